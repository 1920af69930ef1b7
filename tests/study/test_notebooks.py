"""The committed notebooks: run top to bottom, portable, and they run again in small.

`test_notebooks_run_again` runs copies with the smoke parameters, and the solutions of the
exercises, under nbval: every cell must run, and cells tagged `nbval-check-output` must give the
committed output. It takes a few minutes on two cores; leave it out with
`merclip test -k "not run_again"`.
"""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from merclip_lib.config import Config
from merclip_lib.progress import FILE
from merclip_lib.study.grids import read_grid
from merclip_lib.study.notebooks import PROFILES, SHARES, check_parameters, parameters_of
from merclip_lib.workers import QUIET

TESTS = Path(__file__).resolve().parents[1]
FOLDER = TESTS.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|tmp|var|opt|mnt)/|[A-Z]:\\\\?Users")

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks in this copy")
BLOCK = FOLDER / "study_block.ipynb"  # no lesson: `merclip study run` runs copies of it
SOLUTIONS = sorted((FOLDER / "solutions").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code" and cell.source.strip()]


def tagged(path, tag):
    return [cell for cell in code_cells(path) if tag in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("path", [*NOTEBOOKS, BLOCK, *SOLUTIONS], ids=lambda path: path.stem)
def test_was_run_top_to_bottom_without_errors(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert "error" not in kinds


@each_notebook
def test_has_one_parameters_cell_that_papermill_reads(path):
    (cell,) = tagged(path, "parameters")
    names = re.findall(r"^(\w+)\s*(?::[^=]+)?=", cell.source, flags=re.MULTILINE)
    assert set(parameters_of(path)) == set(names) >= {"runs_dir", "figures_dir", "seed"}
    assert not tagged(path, "injected-parameters")


@each_notebook
def test_is_portable(path):
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "papermill" not in notebook.metadata
    for cell in code_cells(path):
        found = MACHINE_PATH.search(nbformat.v4.writes_json(nbformat.v4.new_notebook(cells=[cell])))
        assert not found, f"cell [{cell.execution_count}] holds a path of one machine: {found[0]}"


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_name_notebooks_and_their_parameters(profile):
    paths = {path.stem: path for path in NOTEBOOKS}
    assert set(PROFILES[profile]) <= set(paths)
    assert set(SHARES[profile]) == {stem[:2] for stem in paths}
    for stem, parameters in PROFILES[profile].items():
        check_parameters(paths[stem], parameters)


# Notebook 05 starts from the network trained on the DFME-like population, with its own budget.
STARTED = {"init_from": "dfme", "epochs": 6, "lr": 2e-4, "head_lr_scale": 10.0}


def test_the_training_notebook_has_a_line_for_every_field():
    path = FOLDER / "05_train_loso.ipynb"
    defaults = dataclasses.asdict(Config())
    lines = {key: f"{key} = {value!r}" for key, value in defaults.items()}
    missing = [lines[key] for key in lines.keys() - parameters_of(path).keys()]
    assert not missing, f"write into the cell of parameters of {path.name}: {missing}"
    other = {k: v for k, v in parameters_of(path).items() if defaults.get(k, v) != v}
    assert other == STARTED, f"{path.name} has other defaults than Config: {other}"


def test_ablation_grid_fits_the_training_notebook():
    grid = read_grid(FOLDER / "ablations.yaml")
    notebook = FOLDER / grid["notebook"]
    for entry in grid["entries"]:
        check_parameters(notebook, {**grid["base"], **(entry["parameters"] or {})})


def smoke_copies(folder: Path) -> None:
    """Copies of the notebooks, with the smoke parameters in them."""
    copies = folder / "notebooks"
    for name in ("answers", "solutions", "study"):
        shutil.copytree(FOLDER / name, copies / name)
    (folder / "figures").mkdir()
    for name in ("calibration", "development", "development_references"):  # that notebooks read
        shutil.copy(FOLDER.parent / "figures" / f"{name}.csv", folder / "figures")
    common = {"runs_dir": str(folder / "runs"), "figures_dir": str(folder / "figures")}
    for path in NOTEBOOKS:
        parameters = {**PROFILES["smoke"].get(path.stem, {}), **common}
        notebook = parameterize_notebook(load_notebook_node(str(path)), parameters)
        nbformat.write(notebook, copies / path.name)
    for path in (BLOCK, FOLDER / "exercises.py", *FOLDER.glob("*.yaml")):
        (copies / path.name).write_bytes(path.read_bytes())


# Those that train the same networks stand together; else by how long they take.
TOGETHER = {
    "06 block": [*NOTEBOOKS[6:7], BLOCK],
    "07 08": NOTEBOOKS[7:9],
    "05 09": NOTEBOOKS[5:10:4],
    "00 to 04": NOTEBOOKS[:5],
    "10": NOTEBOOKS[10:],
    "solutions": SOLUTIONS,
}


def test_every_notebook_is_run_again_once():
    together = [path for paths in TOGETHER.values() for path in paths]
    assert sorted(together) == sorted([*NOTEBOOKS, BLOCK, *SOLUTIONS])


@pytest.mark.parametrize("name", TOGETHER)
def test_notebooks_run_again(name, synthme, tmp_path):
    folder = tmp_path / "copies"
    smoke_copies(folder)
    shutil.copytree(synthme.folder, folder / "runs" / "synthme")
    paths = [folder / "notebooks" / path.relative_to(FOLDER) for path in TOGETHER[name]]
    options = "--nbval-lax --nbval-cell-timeout 900 -q -x --durations 5 -p no:cacheprovider".split()
    options += ["--nbval-sanitize-with", str(TESTS / "nbval_sanitize.cfg")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), *map(str, paths)],
        cwd=tmp_path,
        env={**os.environ, **QUIET, FILE: str(tmp_path / "progress.txt")},  # as `merclip run` does
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
