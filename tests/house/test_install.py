"""What is installed: a wheel that works elsewhere, and what it asks for."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import merclip_lib

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "merclip_lib"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Where a package is imported by another name than it is installed by.
IMPORTED_AS = {
    "open-clip-torch": "open_clip",
    "scikit-learn": "sklearn",
    "pillow": "PIL",
    "opencv-python-headless": "cv2",
    "pyyaml": "yaml",
    "lazy-loader": "lazy_loader",
    "scikit-image": "skimage",
}


def build(folder: Path) -> None:
    """Build the wheel from a copy, so that nothing is left in the checkout, and unpack it."""
    source = folder / "source"
    shutil.copytree(LIBRARY, source / "merclip_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run([*pip, "-w", str(folder), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as file:
        file.extractall(folder / "unpacked")


@pytest.fixture(scope="session")
def wheel(once) -> Path:
    """The wheel's content."""
    if find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed: pip install -r requirements.txt")
    return once("wheel", build) / "unpacked"


def elsewhere(wheel: Path, folder: Path, *arguments: str) -> str:
    """What Python prints in another folder, where the library is the wheel's."""
    done = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{arguments}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_wheel_holds_the_whole_library_and_nothing_else(wheel):
    def files(folder):
        paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {str(path) for path in paths if "__pycache__" not in path.parts}

    assert files(wheel / "merclip_lib") == files(LIBRARY)
    tops = {path.name for path in wheel.iterdir()}
    assert tops == {"merclip_lib", f"merclip-{merclip_lib.__version__}.dist-info"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("describe 4+7", "a combination of lowering the brows and tightening the lids"),
        ("task synthme-5 --table {table}", "synthme-5"),
        ("cost synthme-5 --clips-per-second 2", "fold"),
        ("recipe casme3-7", "papermill"),
        ("score {predictions}", "UF1"),
    ],
)
def test_commands_run_where_it_is_installed(command, expected, wheel, tmp_path):
    files = {
        "table": ROOT / "data_manifests" / "synthme.csv",
        "predictions": ROOT / "tests" / "fixtures" / "v02" / "full.csv",
    }
    arguments = command.format(**files).split()
    assert expected in elsewhere(wheel, tmp_path, "-m", "merclip_lib", *arguments)


def test_drawing_and_weights_where_it_is_installed(wheel, tmp_path):
    elsewhere(wheel, tmp_path, "-m", "merclip_lib", "synth")
    assert (tmp_path / "runs" / "synthme" / "table.csv").is_file()
    code = "import merclip_lib; from merclip_lib.weights import read_weights, BUNDLED\n"
    code += "print(merclip_lib.__file__, len(read_weights(BUNDLED)[0]))"
    path, tensors = elsewhere(wheel, tmp_path, "-c", code).split()
    assert Path(path).is_relative_to(wheel) and int(tensors) > 0


def plain(requirement: str) -> str:
    """The name in a requirement, as the package index spells it."""
    return re.split(r"[\[<>=!~ ]", requirement)[0].lower().replace("_", "-")


def requirements(*extras: str) -> set[str]:
    project = PROJECT["project"]
    listed = [*project["dependencies"]] if not extras else []
    listed += [name for extra in extras for name in project["optional-dependencies"][extra]]
    return {plain(name) for name in listed} - {"merclip"}


def test_what_the_library_imports_is_asked_for():
    names = {
        alias.split(".")[0]
        for path in LIBRARY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for alias in (
            [name.name for name in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    ours = {name for name in names if name not in sys.stdlib_module_names} - {"merclip_lib"}
    asked = requirements() | requirements("notebooks", "look", "ray")
    assert ours - {IMPORTED_AS.get(name, name) for name in asked} == set()


def test_tools_of_tests_and_notebooks_are_extras():
    tools = requirements("notebooks", "look", "test", "dev", "ray")
    assert not tools & requirements()
    assert {"jupyterlab", "papermill", "pytest", "hypothesis", "nbval", "import-linter"} <= tools


def test_requirements_pin_every_package_and_end_with_the_library():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines.pop() == "-e ."
    pins = dict(line.split("==") for line in lines)
    asked = requirements() | requirements("notebooks", "look", "test", "dev")
    assert {plain(name) for name in pins} == asked
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert {"pip": ["-r requirements.txt"]} in environment["dependencies"]


def test_the_version_is_that_of_the_library():
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "merclip_lib.__version__"
    }
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == merclip_lib.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changes, flags=re.MULTILINE)[0] == merclip_lib.__version__
