"""Grids of runs: one notebook, once for each entry and each seed.

A sweep checks every entry before anything starts, skips what the run store already holds, and
goes on when an entry fails. Entries run one after the other, or side by side through the
executors that folds use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from merclip_lib.config import Config, config_from
from merclip_lib.data.store import open_store
from merclip_lib.protocol.plan import is_finished
from merclip_lib.runs import executors
from merclip_lib.runs.executors import Execution
from merclip_lib.study import notebooks
from merclip_lib.study.checkout import default_runs
from merclip_lib.study.progress import Clock, progress_file
from merclip_lib.synthme.draw import draw_set
from merclip_lib.synthme.plan import STUDY
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
        notebook: the notebook.
        output: where its executed copy goes.
        parameters: what papermill injects.
        config: what these make of the configuration.
        store_dir: folder of the clip store; empty for SynthME.
    """

    name: str
    notebook: Path
    output: Path
    parameters: dict[str, Any]
    config: Config
    store_dir: str


WHOLE_GRID = Selection()
ONE_BY_ONE = Execution("serial")


def sweep(
    grid: str | Path,
    runs_dir: str | Path | None = None,
    selection: Selection = WHOLE_GRID,
    execution: Execution = ONE_BY_ONE,
) -> list[str]:
    """Run a grid's notebook for every entry and seed that the run store does not hold yet.

    Args:
        grid: the YAML file; see `read_grid`.
        runs_dir: the run store; None: `runs` in the copy of the repository.
        selection: which entries and seeds, and with what changed.
        execution: "serial" takes one notebook after the other, whose folds run side by side;
            "processes" and "ray" take notebooks side by side, each with one fold at a time.

    Returns:
        One line per failure: a failing entry does not stop the others.

    Raises:
        ValueError: for a bad grid or executor, before anything starts.
    """
    runs_dir = Path(runs_dir or default_runs()).resolve()
    jobs = plan_jobs(Path(grid), runs_dir, selection, execution.executor == "serial")
    device, memory = (jobs[0].config.device, memory_bytes(jobs[0].config)) if jobs else ("cpu", 0)
    executors.check_execution(execution, device, memory)
    todo = [job for job in jobs if not _is_done(job, runs_dir)]
    workers = executors.workers_for(len(todo), execution, device, memory)
    execution = replace(execution, workers=workers)
    gpus = executors.gpu_share(execution, device) if execution.executor != "serial" else 0.0
    say = Clock(dict.fromkeys((job.output.stem for job in todo), 1.0))
    say(f"{len(jobs) - len(todo)} of {len(jobs)} runs are in the store, {len(todo)} to do")
    for job in todo:
        say(f"  {notebooks.papermill_command(job.notebook, job.output, job.parameters)}")
    failures = []
    with progress_file(_output(runs_dir), say):
        for k, failure in executors.run_jobs(run_job, todo, execution, gpus):
            if failure:
                failures.append(f"{todo[k].name}: {failure}")
            say(f"[{say.done + 1}/{len(todo)}] {todo[k].name}: {failure or 'finished'}")
            say.finish()
    return failures


def read_grid(grid: str | Path) -> dict[str, Any]:
    """A grid file: notebook, base, seeds and entries (name, question, parameters).

    Raises:
        ValueError: when the file cannot be read, a key is missing or unknown, or a name is given
            twice.
    """
    try:
        content = yaml.safe_load(Path(grid).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the grid {grid}: {error}") from None
    _check_keys(content, {"notebook", "entries"}, {"base", "seeds"}, f"{grid}")
    if not isinstance(content["entries"], list):
        raise ValueError(f"{grid}: entries must be a list")
    names = set()
    for entry in content["entries"]:
        where = f"{grid}, entry {entry.get('name') if isinstance(entry, dict) else entry!r}"
        _check_keys(entry, {"name"}, {"question", "parameters"}, where)
        if entry["name"] in names:
            raise ValueError(f"{where}: this name is given twice")
        names.add(entry["name"])
    return {"base": {}, "seeds": [0], **content}


def plan_jobs(grid: Path, runs_dir: Path, selection: Selection, parallel_folds: bool) -> list[Job]:
    """The jobs of a grid, one per wanted entry and seed; every entry is checked.

    Args:
        grid: the YAML file.
        runs_dir: the run store.
        selection: which entries and seeds, and with what changed.
        parallel_folds: whether a notebook may run its folds side by side.

    Raises:
        ValueError: for a bad grid, an entry that its notebook or `Config` refuses, and a name in
            `selection.only` that is not in the grid.
    """
    content = read_grid(grid)
    notebook = grid.resolve().parent / content["notebook"]
    names = [entry["name"] for entry in content["entries"]]
    wanted = selection.only or names
    if unknown := set(wanted) - set(names):
        raise ValueError(f"{grid} has no entry {min(unknown)!r}")
    jobs = []
    for entry in content["entries"]:
        for seed in content["seeds"] if selection.seeds is None else selection.seeds:
            name = f"{entry['name']}-seed{seed}"
            output = _output(runs_dir) / name
            parameters = {
                **content["base"],
                **selection.overrides,
                **(entry.get("parameters") or {}),
                "seed": seed,
                "runs_dir": str(runs_dir),
                "figures_dir": str(output),
            }
            try:
                filled = notebooks.check_parameters(notebook, parameters)
                if not parallel_folds and "executor" in filled:
                    parameters["executor"] = "serial"
                known = [field.name for field in fields(Config) if field.name in filled]
                config = config_from({key: filled[key] for key in known})
            except ValueError as error:
                raise ValueError(f"{grid}, entry {entry['name']!r}: {error}") from None
            copy, store = output.with_name(f"{name}.ipynb"), filled.get("store_dir", "")
            if entry["name"] in wanted:
                jobs.append(Job(name, notebook, copy, parameters, config, store))
    return jobs


def run_job(job: Job) -> str:
    """Execute a notebook; returns what went wrong, or nothing."""
    try:
        notebooks.execute(job.notebook, job.output, job.parameters)
    except notebooks.NotebookError as error:
        return str(error)
    return ""


def _is_done(job: Job, runs_dir: Path) -> bool:
    """Whether the run store holds the run of a job; SynthME is drawn if it is not there."""
    drawn = runs_dir / STUDY.name.lower()
    store = open_store(job.store_dir) if job.store_dir else draw_set(STUDY, drawn)
    return is_finished(runs_dir, job.config, store)


def _output(runs_dir: Path) -> Path:
    """Where the executed copies of a sweep go."""
    return runs_dir / "notebooks" / "sweep"


def _check_keys(mapping: Any, required: set[str], optional: set[str], where: str) -> None:
    """ValueError for a key that is missing or unknown."""
    keys = set(mapping) if isinstance(mapping, dict) else set()
    known = ", ".join(sorted(required | optional))
    if missing := required - keys:
        raise ValueError(f"{where}: the key {min(missing)!r} is missing; keys: {known}")
    if unknown := keys - required - optional:
        raise ValueError(f"{where}: unknown key {min(unknown, key=str)!r}; keys: {known}")
