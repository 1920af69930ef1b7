"""Commands find the notebooks and tests of a copy of the repository, or say that there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The library as a wheel installs it: the package alone, far from any notebook."""
    folder = tmp_path_factory.mktemp("site")
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "merclip_lib", folder / "merclip_lib", ignore=hidden)
    return folder


@pytest.fixture
def python(installed, tmp_path):
    """Run Python in a folder, by default an empty one, with the installed library."""

    def call(*arguments, cwd=tmp_path):
        environment = os.environ | {"PYTHONPATH": str(installed)}
        command = [sys.executable, "-P", *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)

    return call


@pytest.mark.parametrize("command", ["run", "test"])
def test_without_a_copy_of_the_repository_one_line_says_what_is_missing(python, command):
    done = python("-m", "merclip_lib", command)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("merclip: error: ") and "in a copy of the repository" in line


def test_a_copy_is_found_from_a_folder_inside_it(python, tmp_path):
    (tmp_path / "notebooks" / "deeper").mkdir(parents=True)
    (tmp_path / "notebooks" / "05_train_loso.ipynb").write_text("{}")
    code = "from merclip_lib.study import checkout as c; print(c.NOTEBOOKS, c.default_runs())"
    for inside in (tmp_path, tmp_path / "notebooks" / "deeper"):
        notebooks, runs = python("-c", code, cwd=inside).stdout.split()
        assert (Path(notebooks), Path(runs)) == (tmp_path / "notebooks", tmp_path / "runs")


def test_without_a_copy_runs_lie_below_the_current_folder(python, tmp_path):
    done = python("-c", "from merclip_lib.study import checkout as c; print(c.default_runs())")
    assert Path(done.stdout.strip()) == tmp_path / "runs"


def test_the_copy_beside_the_package_is_found_from_anywhere(tmp_path):
    code = "from merclip_lib.study import NOTEBOOKS; print(NOTEBOOKS)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert Path(done.stdout.strip()) == ROOT / "notebooks"


def test_the_cells_around_a_notebook(python, tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "05_train_loso.ipynb").write_text("{}")
    code = (
        "import os, pandas, sys; from merclip_lib import study\n"
        "print(study.setup(), os.getcwd(), pandas.get_option('display.max_colwidth'))\n"
        "study.versions('numpy', 'pandas')"
    )
    done = python("-c", code)
    first, *versions = done.stdout.splitlines()
    assert first == f"None {tmp_path / 'notebooks'} None"
    assert [line.split()[0] for line in versions] == ["python", "numpy", "pandas"]
