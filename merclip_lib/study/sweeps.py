"""Grids of runs: one notebook, once for each entry and each seed.

A sweep checks every entry before anything starts, skips what the run store already holds, and
goes on when an entry fails. Entries run one after the other, or side by side through the
executors that folds use.
"""

import dataclasses
from pathlib import Path

from merclip_lib.study.notebooks import ROOT, NotebookError, check_parameters, execute
from merclip_lib.study.progress import Clock, progress_file
from merclip_lib.study.recipe_report import papermill_command


def read_grid(grid: Path) -> dict:
    """A grid file: notebook, base, seeds and entries (name, question, parameters).

    Raises ValueError when a key is missing or unknown, or a name is given twice.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(grid).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the grid {grid}: {error}") from None
    _keys(content, {"notebook", "entries"}, {"base", "seeds"}, grid)
    if not isinstance(content["entries"], list):
        raise ValueError(f"{grid}: entries must be a list")
    names = set()
    for entry in content["entries"]:
        where = f"{grid}, entry {entry.get('name') if isinstance(entry, dict) else entry!r}"
        _keys(entry, {"name"}, {"question", "parameters"}, where)
        if entry["name"] in names:
            raise ValueError(f"{where}: this name is given twice")
        names.add(entry["name"])
    return {"base": {}, "seeds": [0], **content}


def _keys(mapping, required: set, optional: set, where) -> None:
    keys = set(mapping) if isinstance(mapping, dict) else set()
    known = ", ".join(sorted(required | optional))
    if missing := required - keys:
        raise ValueError(f"{where}: the key {min(missing)!r} is missing; keys: {known}")
    if unknown := keys - required - optional:
        raise ValueError(f"{where}: unknown key {min(unknown, key=str)!r}; keys: {known}")


def sweep(
    grid: Path,
    runs_dir: Path | None = None,
    seeds: list[int] | None = None,
    overrides: dict | None = None,
    only: list[str] | None = None,
    executor: str = "serial",
    workers: int | None = None,
    address: str = "",
) -> list[str]:
    """Run a grid's notebook for every entry and seed that the run store does not hold yet.

    `overrides` are put over the grid's base (for smaller runs), under the entries' own
    parameters; `only` names the wanted entries. `executor`, `workers` and `address` are those of
    `merclip_lib.executors`: "serial" takes one notebook after the other, whose folds run side by
    side; "processes" and "ray" take notebooks side by side, each with one fold at a time.
    Returns one line per failure: a failing entry does not stop the others. Raises ValueError for
    a bad grid or executor before anything starts.
    """
    from merclip_lib.config import Config, config_from
    from merclip_lib.data.store import open_store
    from merclip_lib.protocol.plan import is_finished
    from merclip_lib.runs.executors import (
        Execution,
        check_execution,
        gpu_share,
        run_jobs,
        workers_for,
    )
    from merclip_lib.synthme.draw import draw_set
    from merclip_lib.synthme.plan import STUDY
    from merclip_lib.training.memory import memory_bytes

    execution = Execution(executor, workers, address)
    content = read_grid(grid)
    notebook = Path(grid).resolve().parent / content["notebook"]
    runs_dir = Path(runs_dir or ROOT / "runs").resolve()
    folder, fields = runs_dir / "notebooks" / "sweep", [f.name for f in dataclasses.fields(Config)]
    if unknown := set(only or []) - {entry["name"] for entry in content["entries"]}:
        raise ValueError(f"{grid} has no entry {min(unknown)!r}")
    jobs = []
    for entry in content["entries"]:
        for seed in content["seeds"] if seeds is None else seeds:
            name = f"{entry['name']}-seed{seed}"
            changed = {
                **content["base"],
                **(overrides or {}),
                **(entry.get("parameters") or {}),
                "seed": seed,
                "runs_dir": str(runs_dir),
                "figures_dir": str(folder / name),
            }
            try:
                filled = check_parameters(notebook, changed)
                if executor != "serial" and "executor" in filled:
                    changed["executor"] = "serial"  # of the folds, within each notebook
                config = config_from({key: filled[key] for key in fields if key in filled})
            except ValueError as error:
                raise ValueError(f"{grid}, entry {entry['name']!r}: {error}") from None
            if not only or entry["name"] in only:
                jobs.append((name, changed, config, filled.get("store_dir")))

    device, memory = "cpu", 0.0
    if jobs:
        device, memory = jobs[0][2].device, memory_bytes(jobs[0][2])
    check_execution(execution, device, memory)
    todo = []
    for name, changed, config, folder_of_clips in jobs:
        drawn = runs_dir / STUDY.name.lower()
        store = open_store(folder_of_clips) if folder_of_clips else draw_set(STUDY, drawn)
        if not is_finished(runs_dir, config, store):
            todo.append(Job(name, notebook, folder / f"{name}.ipynb", changed))
    workers = workers_for(len(todo), execution, device, memory)
    execution = dataclasses.replace(execution, workers=workers)
    gpus = gpu_share(execution, device) if executor != "serial" else 0.0
    say = Clock([1.0] * len(todo))
    say(f"{len(jobs) - len(todo)} of {len(jobs)} runs are in the store, {len(todo)} to do")
    for job in todo:
        say(f"  {papermill_command(job.notebook, job.output, job.parameters)}")
    failures = []
    with progress_file(folder, say):
        for k, failure in run_jobs(run_job, todo, execution, gpus):
            if failure:
                failures.append(f"{todo[k].name}: {failure}")
            say(f"[{say.done + 1}/{len(todo)}] {todo[k].name}: {failure or 'finished'}")
            say.finish()
    return failures


@dataclasses.dataclass(frozen=True)
class Job:
    """One notebook to execute, here or in another process."""

    name: str
    notebook: Path
    output: Path
    parameters: dict


def run_job(job: Job) -> str:
    """Execute a notebook; returns what went wrong, or nothing."""
    try:
        execute(job.notebook, job.output, job.parameters)
    except NotebookError as error:
        return str(error)
    return ""
