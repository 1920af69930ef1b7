"""The rooms of the library: what each may import, what its face shows, and to whom."""

import ast
import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import merclip_lib

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONTENTS = list(pkgutil.iter_modules(merclip_lib.__path__))
ROOMS = [module.name for module in CONTENTS if module.ispkg]
FACES = [name for name in ROOMS if name != "cli"]  # the command line is for the shell
MODULES = ("config", "augment", "recipes", "files")  # no room: a notebook takes any public name
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as lint; lint()"
HEAVY = ("torch", "pandas", "matplotlib", "numpy", "cv2", "sklearn", "open_clip")


def lint_imports(*arguments: str, cwd: Path):
    command = [sys.executable, "-c", LINT_IMPORTS, "--no-cache", "--no-logo", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rooms_import_what_they_may():
    done = lint_imports(cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("text/facs.py", "from merclip_lib.data import table"),
        ("data/table.py", "import merclip_lib.config"),
        ("runs/store.py", "def late():\n    from merclip_lib.training import loop"),
        ("explain/pointing.py", "from merclip_lib.figures import style"),
        ("protocol/folds.py", "from merclip_lib.study import cost"),
        ("study/cost.py", "from merclip_lib.look import page"),
        ("files.py", "from merclip_lib import config"),
        ("attic/__init__.py", ""),
    ],
)
def test_a_forbidden_import_is_seen(module, line, tmp_path):
    shutil.copytree(ROOT / "merclip_lib", tmp_path / "merclip_lib")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    changed = tmp_path / "merclip_lib" / module
    changed.parent.mkdir(exist_ok=True)
    with open(changed, "a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint_imports(cwd=tmp_path)
    assert done.returncode == 1
    assert module.split("/")[0].removesuffix(".py") in done.stdout.split("Broken contracts")[1]


def test_importing_the_library_is_cheap():
    code = f"""
import sys, time
start = time.perf_counter()
import merclip_lib
alone = time.perf_counter() - start
import {", ".join(f"merclip_lib.{name}" for name in ROOMS)}
print(alone, *[name for name in {HEAVY!r} if name in sys.modules])
"""
    tries = [python(code).split() for _ in range(3)]
    assert tries[0][1:] == [], "loaded by importing the rooms"
    assert min(float(seconds) for seconds, *_ in tries) < 0.5


@pytest.mark.parametrize("room", FACES)
def test_a_face_says_what_the_room_is_for(room):
    face = importlib.import_module(f"merclip_lib.{room}")
    text = " ".join(face.__doc__.split())
    assert "paper" in text and "notebook may" in text, text


@pytest.mark.parametrize("room", FACES)
def test_the_names_in_a_face_exist(room):
    face = importlib.import_module(f"merclip_lib.{room}")
    missing = [name for name in face.__all__ if not hasattr(face, name)]
    modules = [n for n in face.__all__ if isinstance(getattr(face, n, None), ModuleType)]
    assert (missing, modules) == ([], [])
    assert len(set(face.__all__)) == len(face.__all__) > 0


def imports_of(notebook: Path):
    """(cell, module, name) of each import from the library; name "" for `import module`."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for position, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        lines = "".join(cell["source"]).splitlines()
        code = "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                yield from ((position, alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((position, node.module, alias.name) for alias in node.names)


def is_face(module: str, name: str) -> bool:
    """Whether a notebook may import this: a room, a name of its face, or a module of no room."""
    if module == "merclip_lib":
        return name in (*FACES, *MODULES)
    _, room, *deeper = module.split(".")
    if deeper or not name or room not in (*FACES, *MODULES):
        return False
    return room in MODULES or name in importlib.import_module(module).__all__


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_import_faces(path):
    offenders = [
        f"{path.name} cell {cell}: from {module} import {name}"
        for cell, module, name in imports_of(path)
        if module.split(".")[0] == "merclip_lib" and not is_face(module, name)
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_what_a_face_shows(path):
    """`text.parse` of `from merclip_lib import text` is in the face; `text.facs.parse` is not."""
    rooms = {name for _, module, name in imports_of(path) if module == "merclip_lib"} & set(FACES)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    offenders = []
    for position, cell in enumerate(cells):
        lines = "".join(cell["source"]).splitlines() if cell["cell_type"] == "code" else []
        code = "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))
        for node in ast.walk(ast.parse(code)):
            if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
                continue
            room, name = node.value.id, node.attr
            if room in rooms and name not in importlib.import_module(f"merclip_lib.{room}").__all__:
                offenders.append(f"{path.name} cell {position}: {room}.{name}")
    assert not offenders, "\n".join(offenders)
