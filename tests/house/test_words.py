"""The pages about the project name files, functions and commands that exist."""

import ast
import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "MODEL_CARD.md",
        *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
        "tests/fixtures/README.md",
        "benchmarks/README.md",
        "data_manifests/README.md",
    )
]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)\)")
PATH = re.compile(r"(?<![\w/.])(?:merclip_lib|tests|benchmarks|notebooks|docs|figures)/[\w./-]*\w")
DOTTED = re.compile(r"\b(?:merclip_lib|benchmarks)(?:\.\w+)+")
# A linked module, and the names in code after it, up to the next link or cell of a table.
NAMES_IN_FILE = re.compile(r"\]\(([^)\s]*\.py)\)((?:[\s,]|and|`[\w.]+`)*)")
DIFF = re.compile(r"^```diff\n.*?^```", flags=re.MULTILINE | re.DOTALL)  # see test_contributing
PYTHON = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or a chain of attributes of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            if find_spec(".".join(parts[:end])) is None:
                continue
        except ModuleNotFoundError:
            continue
        if end == len(parts):
            return True
        value = importlib.import_module(".".join(parts[:end]))
        for attribute in parts[end:]:
            fields = getattr(value, "__annotations__", {})
            if not hasattr(value, attribute) and attribute not in fields:
                return False
            value = getattr(value, attribute, None)
        return True
    return False


@each_page
def test_links_and_paths_exist(page):
    text = DIFF.sub("", page.read_text(encoding="utf-8"))
    linked = [link for link in LINK.findall(text) if "://" not in link]
    missing = [link for link in linked if not (page.parent / link).exists()]
    missing += [path for path in PATH.findall(text) if not list(ROOT.glob(path))]
    assert not missing


@each_page
def test_dotted_names_exist(page):
    names = DOTTED.findall(page.read_text(encoding="utf-8"))
    assert not sorted({name for name in names if not exists(name)})


@each_page
def test_names_beside_a_file_are_in_it(page):
    missing = []
    for file, names in NAMES_IN_FILE.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / file).resolve()
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        missing += [
            f"{file}: {name}"
            for name in re.findall(r"`([\w.]+)`", names)
            if not exists(f"{module}.{name}")
        ]
    assert not missing


@each_page
def test_examples_import_from_faces(page):
    """Example code is Python, and imports rooms or what their faces list."""
    wrong = []
    for code in PYTHON.findall(page.read_text(encoding="utf-8")):
        for node in ast.walk(ast.parse(code)):
            if not isinstance(node, ast.ImportFrom) or not node.module.startswith("merclip_lib"):
                continue
            module = importlib.import_module(node.module)
            listed = getattr(module, "__all__", None)
            for alias in node.names:
                room = node.module == "merclip_lib" and find_spec(f"merclip_lib.{alias.name}")
                if not room and not (
                    alias.name in listed if listed else hasattr(module, alias.name)
                ):
                    wrong.append(f"from {node.module} import {alias.name}")
    assert not wrong
