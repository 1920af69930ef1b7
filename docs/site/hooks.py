"""Builds the site out of the repository as it is: pages keep the links that work in a checkout.

Beside docs/ the site has the notebooks, the pages at the top of other folders, and a page of the
API for each room. A link is read from where its page lies in the repository; to a module of the
library it becomes a link to the room's page, to any other file a copy of it.
"""

import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "merclip_lib"
PAGES = (
    "README.md CONTRIBUTING.md CHANGELOG.md MODEL_CARD.md data_manifests/README.md "
    "benchmarks/README.md tests/fixtures/README.md"
).split()
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
OUTSIDE = re.compile(r"^\w+:")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.M | re.S)
SCRIPT = re.compile(r"<script\b.*?</script>|<link\b[^>]*>", re.S)
# From elsewhere, also where a script names what it will load.
LOADS = re.compile(r"""(?:src *= *|\bhref=|import\()["']?(?:https?:)?//""", re.I)
LINK_OF_NOTEBOOK = re.compile(r'href="(?!\w+:|#|/)([^"#]+\.(?:md|py|ipynb))')
PAGE = re.compile(r"\.(?:md|ipynb)$")
FORMULA = re.compile(
    r"<(pre|script|style|code)\b.*?</\1>|\$\$(.+?)\$\$|\$([^$\n]+?)\$",  # the first: not in code
    re.S,
)
FOLDER = "index.txt"  # what is in a folder that a page links to


def rooms() -> list[str]:
    """Rooms and modules at the top of the library."""
    found = [path for path in LIBRARY.iterdir() if path.suffix == ".py" or path.is_dir()]
    return sorted(p.stem for p in found if not p.name.startswith("_") and p.name != "py.typed")


def place(name: str) -> str:
    """Where a page of the repository stands on the site."""
    return "start.md" if name == "README.md" else name.removeprefix("docs/")


@event_priority(100)  # before mkdocs-jupyter takes the notebooks
def on_files(files, config):
    notebooks = [path.relative_to(ROOT) for path in (ROOT / "notebooks").rglob("[01]*.ipynb")]
    for name in sorted(path.as_posix() for path in notebooks if "checkpoint" not in path.name):
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    for name in PAGES:
        files.append(File.generated(config, place(name), abs_src_path=str(ROOT / name)))
    for room in rooms():
        files.append(File.generated(config, f"api/{room}.md", content=api_page(room)))
    texts = [(name, (ROOT / name).read_text("utf-8")) for name in PAGES]
    texts += [(f"docs/{p.name}", p.read_text("utf-8")) for p in (ROOT / "docs").glob("*.md")]
    for page, text in texts:
        for _, link, _ in LINK.findall(CODE.sub("", text)):
            copy_file(files, config, target(page, link))
    return files


def api_page(room: str) -> str:
    """The page of a room: what it is for, then its modules one by one."""
    folder = LIBRARY / room
    modules = sorted(folder.rglob("[a-z]*.py")) if folder.is_dir() else []
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules]
    parts = [f"# {room}", *(f"::: {name}" for name in [f"merclip_lib.{room}", *names])]
    return "\n\n".join(parts)


def target(page: str, link: str) -> str:
    """What a link of a page means, as a path in the repository; "" outside of it."""
    if OUTSIDE.match(link):
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def copy_file(files, config, name: str) -> None:
    """Give the site a linked file that is no page; of a folder, a list of what is in it."""
    path = ROOT / name
    if not name or site_path(name) != (name + f"/{FOLDER}" if path.is_dir() else name):
        return
    uri = site_path(name)
    if files.get_file_from_path(uri) or not path.exists():
        return
    if path.is_dir():
        content = "\n".join(sorted(p.name for p in path.iterdir() if p.name[0] not in "._"))
        files.append(File.generated(config, uri, content=content))
    else:
        files.append(File.generated(config, uri, abs_src_path=str(path)))


def site_path(name: str) -> str:
    """Where something of the repository is on the site."""
    if name in PAGES or name.startswith("docs/"):
        return place(name)
    parts = name.split("/")
    if parts[0] == "merclip_lib" and len(parts) > 1:
        room = parts[1].removesuffix(".py")
        if name.endswith(".py") or ((ROOT / name).is_dir() and len(parts) == 2):
            return f"api/{room}.md"
    return f"{name}/{FOLDER}" if (ROOT / name).is_dir() else name


def on_page_markdown(markdown, page, config, files):
    uri = page.file.src_uri
    if uri.startswith("api/") or uri.endswith(".ipynb"):
        return markdown
    name = next((p for p in PAGES if place(p) == uri), f"docs/{uri}")

    def moved(match):
        wanted = target(name, match[2])
        if not wanted:
            return match[0]
        link = posixpath.relpath(site_path(wanted), posixpath.dirname(uri) or ".")
        module = wanted.removesuffix(".py").replace("/", ".")
        return match[1] + link + (f"#{module})" if wanted.endswith(".py") else match[3])

    parts = CODE.split(markdown)
    return "".join(part if k % 2 else LINK.sub(moved, part) for k, part in enumerate(parts))


def on_post_page(output, page, config):
    """Leave out what a page would load from elsewhere; links and formulas of notebooks."""
    output = SCRIPT.sub(lambda found: "" if LOADS.search(found[0]) else found[0], output)
    uri = page.file.src_uri
    if not uri.endswith(".ipynb"):
        return output

    def moved(match):
        wanted = posixpath.relpath(site_path(target(uri, match[1])), posixpath.dirname(uri))
        return f'href="{PAGE.sub(".html", wanted.replace("README.md", "index.md"))}'

    return FORMULA.sub(as_mathml, LINK_OF_NOTEBOOK.sub(moved, output))


def as_mathml(match) -> str:
    """A formula as browsers show it by themselves."""
    if match[1]:
        return match[0]
    display = "block" if match[2] else "inline"
    return convert(html.unescape(match[2] or match[3]), display=display)
