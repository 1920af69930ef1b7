"""Kills without end: `python -m benchmarks.kills --kills 200`.

`prepare`, `synth`, `runs clean` (tests/killed.py) and a whole sweep of notebooks are killed at
random moments and started again until each has been killed often enough; the sweep, whose notebooks
start slowly, a tenth as often. Every time: what is there can be used, and the user's files are
untouched; at the end: the results are those of an undisturbed run, to the byte. Any difference ends
it with a traceback.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import killed
import tiny_runs

from merclip_lib.study.sweeps import sweep

GRID = (
    "notebook: tiny.ipynb\nbase: {store_dir: ../stores/set}\nseeds: [0, 1]\nentries: [{name: a}]\n"
)
PARAMETERS = """runs_dir = "runs"
figures_dir = "figures"
store_dir = ""
seed = 0
task = "synthme-7"
frames = 2
epochs = 2
folds = 2
use_text = False
use_eim = False"""
BODY = """from pathlib import Path

from merclip_lib import study
from merclip_lib.config import config_from
from merclip_lib.data.store import open_store
from merclip_lib.protocol.loso import cross_validate
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.executors import Execution

plan = RunPlan(config_from(study.given(globals())), open_store(store_dir))
len(cross_validate(plan, runs_dir, Execution("serial")).predictions)"""


def begin_sweep(folder: Path) -> None:
    """A grid of two tiny runs, its notebook, and their clips, which are the user's."""
    cell = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(cells=[cell(PARAMETERS), cell(BODY)])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    (folder / "users").mkdir()
    nbformat.write(notebook, folder / "users" / "tiny.ipynb")
    (folder / "users" / "grid.yaml").write_text(GRID.replace("../stores", "stores"))
    tiny_runs.make_store(folder / "users" / "stores" / "set")


def run_sweep(folder: Path) -> None:
    if failures := sweep(folder / "users" / "grid.yaml", folder / "runs"):
        raise ValueError(failures)


def predictions(folder: Path) -> dict[str, bytes]:
    """The tables of the runs; executed notebooks and environments hold times."""
    return {name: text for name, text in killed.files(folder).items() if name.endswith(".csv")}


def no_kernel_is_left(folder: Path) -> None:
    """The kernel of a killed sweep ends by itself."""
    for _ in range(100):
        kernels = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in str(p.info)]
        if not kernels:
            return
        time.sleep(0.3)
    raise AssertionError(kernels)


def kill_sweeps(place: Path, kills: int) -> int:
    works = {"sweep": killed.Work(begin_sweep, run_sweep, no_kernel_is_left, "runs", "users")}
    return killed.kill("sweep", place, kills, works=works, results=predictions)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=200, help="of all works together")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    place = Path(tempfile.mkdtemp())
    each = -(-given.kills // len(killed.WORKS))
    for name in killed.WORKS:
        began = time.monotonic()
        count = killed.kill(name, place / name, each, given.seed)
        print(f"{name:<12}{count:>5} kills, {time.monotonic() - began:.0f} s: alike", flush=True)
    began, count = time.monotonic(), kill_sweeps(place / "sweep", max(1, given.kills // 10))
    print(f"{'sweep':<12}{count:>5} kills, {time.monotonic() - began:.0f} s: alike", flush=True)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
