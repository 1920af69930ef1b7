"""Kills without end: `python -m benchmarks.kills --kills 200`.

`prepare`, `synth`, `runs clean` (tests/killed.py), a LOSO run and whole sweeps of notebooks, of
which one draws clips in processes of its own, are killed at random moments and started again
until each has been killed often enough: SHARES of all kills. Each is measured undisturbed first,
and the moments lie within those seconds; a work begins as a fork of this process, which has
imported everything, so that all the time goes to what is killed.
Every time: what is there can be used, the user's files are untouched, and no process of what was
killed goes on for long; whenever it came through: the results are those of an undisturbed run, to
the byte. Any difference ends it with a traceback. A line tells each time that a work came through,
and the counts are kept in runs/kills.json.
"""

import argparse
import contextlib
import io
import json
import math
import multiprocessing
import os
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

from merclip_lib.files import write_text
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


DRAWING = """from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import population

few = population("casme2-like", 3, people=3, clips=60, size=64, frames=8)
draw_population(few, f"{runs_dir}/drawn", workers=2)
"""


def begin_sweep(folder: Path) -> None:
    """A grid of two tiny runs, its notebook, and their clips, which are the user's."""
    cell = nbformat.v4.new_code_cell
    cells = [cell(PARAMETERS, id="parameters"), cell(BODY, id="body")]  # not drawn at random
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.cells[0].metadata["tags"] = ["parameters"]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    (folder / "users").mkdir()
    nbformat.write(notebook, folder / "users" / "tiny.ipynb")
    (folder / "users" / "grid.yaml").write_text(GRID.replace("../stores", "stores"))
    tiny_runs.make_store(folder / "users" / "stores" / "set")


def begin_drawing_sweep(folder: Path) -> None:
    """The same, but two processes of the notebook draw clips before it trains."""
    begin_sweep(folder)
    notebook = nbformat.read(folder / "users" / "tiny.ipynb", 4)
    notebook.cells[1].source = DRAWING + notebook.cells[1].source
    nbformat.write(notebook, folder / "users" / "tiny.ipynb")


def run_sweep(folder: Path) -> None:
    os.environ[MARK] = str(folder)  # kernels and what they start inherit it
    with contextlib.redirect_stdout(io.StringIO()):
        failures = sweep(folder / "users" / "grid.yaml", folder / "runs")
    if failures:
        raise ValueError(failures)


def begin_loso(folder: Path) -> None:
    tiny_runs.make_store(folder / "users" / "set")


def run_loso(folder: Path) -> None:
    tiny_runs.train(str(folder / "users" / "set"), str(folder / "runs"), [{}, {"seed": 1}])


def predictions(folder: Path) -> dict[str, bytes]:
    """The tables of the runs; executed notebooks and environments hold times."""
    return {name: text for name, text in killed.files(folder).items() if name.endswith(".csv")}


def nothing_goes_on(folder: Path) -> None:
    """Kernels of a killed sweep, and what these started, end by themselves within seconds."""

    def is_ours(process: psutil.Process) -> bool:
        try:
            return process.environ().get(MARK) == str(folder)
        except psutil.Error:  # another user's, or ended meanwhile
            return False

    for _ in range(100):
        if not (left := [process for process in psutil.process_iter() if is_ours(process)]):
            return
        time.sleep(0.3)
    raise AssertionError(left)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=200, help="of all works together")
    parser.add_argument("--only", nargs="+", default=list(WORKS), choices=list(WORKS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    place, context = Path(tempfile.mkdtemp()), multiprocessing.get_context("fork")
    counts: dict[str, int] = {}
    for name in given.only:
        began, wanted = time.monotonic(), math.ceil(given.kills * SHARES[name])
        print(f"{name:<14} undisturbed first, then {wanted} kills", flush=True)
        for count in killed.kills(context, WORKS[name], place / name, given.seed):
            counts[name], spent = count, time.monotonic() - began
            write_text("runs/kills.json", json.dumps(counts, indent=1))
            print(f"{name:<14}{count:>5} kills, {spent:.0f} s: alike", flush=True)
            if count >= wanted:
                break
    print(f"{sum(counts.values())} kills: {counts}")
    shutil.rmtree(place)


MARK = "MERCLIP_KILLED"  # a variable of the environment, by which processes are known
SWEEP = (run_sweep, nothing_goes_on, "runs", "users", predictions)
WORKS = {
    **killed.WORKS,
    "LOSO": killed.Work(begin_loso, run_loso, lambda folder: None, "runs", "users", predictions),
    "sweep": killed.Work(begin_sweep, *SWEEP),
    "drawing sweep": killed.Work(begin_drawing_sweep, *SWEEP),
}
# Of all kills; a sweep takes many times as long, since its notebooks start slowly.
SHARES = dict(zip(WORKS, (0.3, 0.3, 0.2, 0.1, 0.05, 0.05), strict=True))


if __name__ == "__main__":
    main()
