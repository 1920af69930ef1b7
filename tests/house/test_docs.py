"""The site: every page is in its navigation, and what it names is there. It is not built here."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def pages(part) -> list[str]:
    """All pages below a part of the navigation."""
    if isinstance(part, str):
        return [part]
    parts = part.values() if isinstance(part, dict) else part
    return [page for inner in parts for page in pages(inner)]


NAVIGATION = pages(SITE["nav"])


def source(page: str) -> Path:
    """The file of the repository that a page of the site shows."""
    if page == "start.md":  # docs/index.md is the site's first page
        return ROOT / "README.md"
    if page.startswith("api/"):
        room = ROOT / "merclip_lib" / Path(page).stem
        return room if room.is_dir() else room.with_suffix(".py")
    inside = ROOT / "docs" / page
    return inside if inside.exists() else ROOT / page


def test_every_page_of_the_navigation_exists():
    assert not [page for page in NAVIGATION if not source(page).exists()]
    assert len(NAVIGATION) == len(set(NAVIGATION))


def test_every_page_notebook_and_room_is_in_the_navigation():
    written = {path.name for path in (ROOT / "docs").glob("*.md")}
    written |= {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("[01]*.ipynb")}
    parts = [path for path in (ROOT / "merclip_lib").iterdir() if path.name[0] not in "._"]
    rooms = [path for path in parts if path.suffix == ".py" or (path / "__init__.py").is_file()]
    written |= {f"api/{path.stem}.md" for path in rooms if not path.name.startswith("_")}
    assert written <= set(NAVIGATION)


def test_nothing_on_the_site_comes_from_elsewhere():
    assert SITE["theme"]["font"] is False
    assert not {"extra_javascript", "extra"} & SITE.keys()
    assert all((ROOT / "docs" / name).is_file() for name in SITE["extra_css"])
    assert {"execute": False}.items() <= options("mkdocs-jupyter").items()


def options(plugin: str) -> dict:
    """The options of a plugin of the site."""
    (found,) = [p[plugin] for p in SITE["plugins"] if isinstance(p, dict) and plugin in p]
    return found


def test_what_builds_the_site_is_an_extra_with_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.sub(r"\[.*", "", name) for name in project["optional-dependencies"]["docs"]}
    lines = (ROOT / "docs" / "site" / "requirements.txt").read_text(encoding="utf-8").split()
    assert asked <= {line.split("==")[0] for line in lines}
    assert all("==" in line for line in lines)


def test_the_readme_is_short_and_has_its_commands_and_a_place_for_results():
    assert len(README.splitlines()) <= 150
    assert re.search(r"^<!-- results -->\n.*<!-- end of results -->$", README, re.M | re.S)
    for line in ("make run", "make test", "merclip demo", ". .venv/bin/activate"):
        assert re.search(rf"^{re.escape(line)}\b", README, re.M), line
    assert "figures/demo.gif" in README and "merclip test --all" in README


def test_the_minutes_of_the_notebooks_add_up_to_those_of_the_standard_profile():
    tutorial = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    minutes = re.findall(r"^\| \[\d\d .*\| (< )?(\d+) \|$", tutorial, re.M)
    least = sum(int(number) for less, number in minutes if not less)
    standard = re.search(r"^\| `standard` \|.*\| about (\d+) minutes", tutorial, re.M)
    most = least + sum(bool(less) for less, _ in minutes)
    assert least / 2 <= int(standard[1]) <= most / 2  # two notebooks at a time


def test_the_moving_picture_of_the_readme_is_small():
    picture = ROOT / "figures" / "demo.gif"
    assert picture.read_bytes().startswith(b"GIF89a") and picture.stat().st_size < 500_000
