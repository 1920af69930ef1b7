"""Grids of runs: one notebook, once for each entry and each seed.

A sweep checks every entry before anything starts, skips what the run store already holds, and
goes on when an entry fails. Entries run one after the other, or side by side through the
executors that folds use.
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from merclip_lib.config import Config, config_from, files_from
from merclip_lib.data.store import ClipStore, open_store
from merclip_lib.data.tasks import task_named
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs import executors
from merclip_lib.runs.executors import Execution
from merclip_lib.runs.store import is_done, is_whole, read_run
from merclip_lib.scores.bootstrap import Resampling, holm, mean_and_interval, paired_difference
from merclip_lib.study import notebooks
from merclip_lib.study.checkout import default_runs, find_root
from merclip_lib.study.grids import check_parameters, check_seeds, read_grid
from merclip_lib.study.progress import Clock, progress_file
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.training.memory import memory_bytes


@dataclass(frozen=True)
class Selection:
    """What of a grid is run.

    Attributes:
        seeds: instead of the grid's seeds.
        overrides: parameters over the grid's base, under the entries' own (for smaller runs).
        only: names of the wanted entries; None: all.
    """

    seeds: Sequence[int] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    only: Sequence[str] | None = None


@dataclass(frozen=True)
class Job:
    """One notebook to execute, here or in another process.

    Attributes:
        name: entry and seed.
        entry: name of the entry.
        notebook: the notebook.
        output: where its executed copy goes.
        parameters: what papermill injects.
        config: what these make of the configuration.
        store_dir: folder of the clip store; empty for SynthME.
    """

    name: str
    entry: str
    notebook: Path
    output: Path
    parameters: dict[str, Any]
    config: Config
    store_dir: str


COPIES = Path("notebooks", "sweep")  # where, in the run store, executed copies go
WHOLE_GRID = Selection()
SIDE_BY_SIDE = Execution("processes")


def sweep(
    grid: str | Path,
    runs_dir: str | Path | None = None,
    selection: Selection = WHOLE_GRID,
    execution: Execution = SIDE_BY_SIDE,
) -> list[str]:
    """Run a grid's notebook for every entry and seed that the run store does not hold yet.

    Args:
        grid: the YAML file; see `read_grid`.
        runs_dir: the run store; None: `runs` in the copy of the repository.
        selection: which entries and seeds, and with what changed.
        execution: "processes" and "ray" take notebooks side by side, each with one fold at a time;
            "serial" takes one after the other, whose folds run side by side, as does "processes"
            where there is one notebook, or memory or GPUs for one.

    Returns:
        One line per failure: a failing entry does not stop the others.

    Raises:
        ValueError: for a bad grid or executor, before anything starts.
    """
    runs_dir = Path(runs_dir or default_runs()).resolve()
    jobs = plan_jobs(Path(grid), runs_dir, selection)
    memory = max(memory_bytes(replace(job.config, seed=0)) for job in jobs)
    device = "cuda" if any(job.config.device == "cuda" for job in jobs) else "cpu"
    executors.check_execution(execution, device, memory)
    todo = [job for job in jobs if not _is_done(job, runs_dir)]
    workers = executors.workers_for(len(todo), execution, device, memory)
    if execution.executor == "serial" or (execution.executor == "processes" and workers == 1):
        execution = Execution("serial", 1)
    else:
        execution = replace(execution, workers=workers)
        todo = [_with_folds_one_by_one(job) for job in todo]
    say = Clock(dict.fromkeys((job.name for job in todo), 1.0), workers=execution.workers or 1)
    say(f"{len(jobs) - len(todo)} of {len(jobs)} runs are in the store, {len(todo)} to do")
    for job in todo:
        say(f"  {notebooks.papermill_command(job.notebook, job.output, job.parameters)}")
    failures = []
    with progress_file(runs_dir / COPIES, say):
        for k, failure in executors.run_jobs(run_job, todo, execution, device):
            if failure:
                failures.append(f"{todo[k].name}: {failure}")
            say.finish(todo[k].name, outcome=failure or "finished")
        say(results_text(results(jobs, runs_dir)))
    return failures


def plan_jobs(grid: Path, runs_dir: Path, selection: Selection) -> list[Job]:
    """The jobs of a grid, one per wanted entry and seed; every entry is checked.

    Args:
        grid: the YAML file.
        runs_dir: the run store.
        selection: which entries and seeds, and with what changed.

    Raises:
        ValueError: for a bad grid, an entry that its notebook or `Config` refuses, and a name in
            `selection.only` that is not in the grid.
    """
    content = read_grid(grid)
    folder = grid.resolve().parent
    notebook = _notebook_of(grid, content["notebook"])
    seeds = content["seeds"] if selection.seeds is None else selection.seeds
    check_seeds(seeds, "given instead of those of the grid")
    check_parameters(dict(selection.overrides), "the overrides")
    names = [entry["name"] for entry in content["entries"]]
    wanted = selection.only or names
    if unknown := set(wanted) - set(names):
        raise ValueError(f"{grid} has no entry {min(unknown)!r}")
    jobs = []
    for entry, seed in itertools.product(content["entries"], seeds):
        name = f"{entry['name']}-seed{seed}"
        output = runs_dir / COPIES / name
        parameters = {
            **files_from(folder, content["base"]),
            **selection.overrides,
            **files_from(folder, entry["parameters"]),
            "seed": seed,
            "runs_dir": str(runs_dir),
            "figures_dir": str(output),
        }
        try:
            filled = notebooks.check_parameters(notebook, parameters)
            known = [key for key in Config.__dataclass_fields__ if key in filled]
            config = config_from({key: filled[key] for key in known})
        except ValueError as error:
            raise ValueError(f"{grid}, entry {entry['name']!r}: {error}") from None
        if entry["name"] in wanted:
            place = notebook, output.with_name(f"{name}.ipynb"), parameters
            jobs.append(Job(name, entry["name"], *place, config, filled.get("store_dir", "")))
    return jobs


def _with_folds_one_by_one(job: Job) -> Job:
    """A job that leaves the other cores to other jobs, if its notebook can be told so."""
    change = {"executor": "serial"} if "executor" in notebooks.parameters_of(job.notebook) else {}
    return replace(job, parameters=job.parameters | change)


def run_job(job: Job) -> str:
    """Execute a notebook; returns what went wrong, or nothing."""
    return notebooks.attempt(job.notebook, job.output, job.parameters)


def _is_done(job: Job, runs_dir: Path) -> bool:
    """Whether the run store holds the run of a job, and its networks where they are wanted."""
    plan, keep = RunPlan(job.config, _store(job, runs_dir)), job.parameters.get("keep_network")
    networks = (is_done(runs_dir / plan.hash, fold.name, network=True) for fold in plan.folds)
    return is_whole(runs_dir / plan.hash) and (not keep or all(networks))


def _store(job: Job, runs_dir: Path) -> ClipStore:
    """The clips of a job; SynthME is drawn if it is not there."""
    drawn = runs_dir / "synthme"
    return open_store(job.store_dir) if job.store_dir else draw_population(EXAMPLE, drawn)


def results(jobs: Sequence[Job], runs_dir: Path) -> pd.DataFrame:
    """What the finished runs of a grid are worth, as `compared` says it."""
    tables, classes = dict[str, list[pd.DataFrame]](), dict[str, tuple[str, ...]]()
    for job in jobs:
        folder = runs_dir / RunPlan(job.config, _store(job, runs_dir)).hash
        if is_whole(folder):
            tables.setdefault(job.entry, []).append(read_run(folder).predictions)
            classes[job.entry] = task_named(job.config.task).classes
    return compared(tables, classes)


def compared(
    tables: Mapping[str, list[pd.DataFrame]], classes: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Entries beside the first of them.

    Args:
        tables: predictions of each entry, one table per seed.
        classes: of the task of each entry.

    Returns:
        A row per entry: entry, seeds, uf1 (mean over seeds) with the interval over subjects [low,
        high], and where the clips are those of the first entry the paired difference to it with
        its interval, and its p-value corrected for all of them.
    """
    first, rows, p = next(iter(tables.values()), []), list[dict](), dict[int, float]()
    drawn = Resampling(max(1000, 40 * len(tables)))  # so many that Holm's correction can be passed
    for entry, predictions in tables.items():
        value, low, high = mean_and_interval(predictions, classes[entry], resampling=drawn)
        row = {"entry": entry, "seeds": len(predictions), "uf1": value, "low": low, "high": high}
        with contextlib.suppress(ValueError):  # other clips
            won = paired_difference(predictions, first, classes[entry], resampling=drawn)
            row |= {"difference": won.mean, "from": won.low, "to": won.high}
            p |= {len(rows): won.p} if rows else {}
        rows.append(row)
    return pd.DataFrame(rows).assign(p_holm=pd.Series(holm(list(p.values())), list(p), float))


def results_text(table: pd.DataFrame) -> str:
    """The table of `results` for the terminal."""
    if table.empty:
        return "no run of this grid is in the store"
    head = f"difference to {table['entry'][0]}, intervals over subjects drawn together\n"
    return head + table.round(3).to_string(index=False, na_rep="")


def _notebook_of(grid: Path, name: str) -> Path:
    """The notebook of a grid: beside it, or in the copy of the repository."""
    places = [grid.resolve().parent / name, (find_root() or Path.cwd()) / "notebooks" / name]
    if there := [path for path in places if path.is_file()]:
        return there[0]
    raise ValueError(f"{grid}: no notebook {places[0]}, nor {places[1]}; put the grid beside it")
