"""Trainings of one's own beside the frozen ones, on a development population or on another set."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from merclip_lib.files import did_you_mean
from merclip_lib.runs.code import loaded_code
from merclip_lib.runs.executors import run_jobs
from merclip_lib.scores.metrics import read_predictions
from merclip_lib.study.answers import set_name
from merclip_lib.study.blocks import Job, Workplace, draw, run_job
from merclip_lib.study.design import Cell, Changes, Design, Entry, Trial, _trial
from merclip_lib.study.tables import changes_parts_alone, parts_of

YOURS = "your entry"


@dataclass(frozen=True)
class Here:
    """What is trained here, on whom, and where it starts.

    Attributes:
        task: of the configuration; empty: that of the preset.
        preset: of the development population.
        start: of the design; empty takes neither its weights nor its epochs and learning rate.
        number: of the development population.
        changes: fields of `Config` over those of every entry.
        sizes: people, clips, test_people, test_clips instead of those of the preset.
    """

    task: str = ""
    preset: str = "casme2-like"
    start: str = "dfme"
    number: int = 0
    changes: Changes = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


def own_trials(design: Design, names: Sequence[str], entry: Any, here: Here) -> dict[str, Trial]:
    """What trains entries of a design on a development population, and tests on the last one.

    Args:
        design: the design.
        names: of entries.
        entry: one more: a name, or changes of `Config`.
        here: where they are trained.

    Returns:
        Trainings by name: the set of parts where an entry changes nothing else.

    Raises:
        ValueError: a name is unknown, a setting unknown or out of range.
    """
    entries = dict(design.entries)
    if isinstance(entry, Mapping) and entry:
        entries[YOURS], entry = Entry(dict(entry)), YOURS
    wanted = [*names, *([entry] if entry else [])]
    known: dict[str, Iterable[str]] = dict.fromkeys(wanted, entries)
    known |= {here.preset: design.presets, here.start: ["", *design.starts]}
    for name, there in known.items():
        if name not in there:
            raise ValueError(f"the design has no {name!r}{did_you_mean(name, there)}")
    kind, last = design.presets[here.preset], design.seeds["development"][1]
    other = replace(
        design,
        seeds=design.seeds | {"test": [last, last]},
        presets={here.preset: replace(kind, task=here.task or kind.task, **here.sizes)},
        starts=design.starts | {"": [{}]},
        budgets={name: {"": {}, **budget} for name, budget in design.budgets.items()},
        entries={
            name: replace(made, seeds="development", config=made.config | here.changes)
            for name, made in entries.items()
        },
    )
    trials = {}
    for name in wanted:
        parts = name != YOURS and changes_parts_alone(entries[name])
        cell = Cell(name, here.preset, here.start, here.number)
        trials[set_name(parts_of(design, entries[name])) if parts else name] = _trial(other, cell)
    return trials


def train_here(trials: Mapping[str, Trial], place: Workplace) -> dict[str, pd.DataFrame]:
    """Predictions of each training; those made before by this code are taken from `place.runs`."""
    folder, jobs = place.runs / "own" / loaded_code(), {}
    for name, trial in trials.items():
        what = str((trial.config, trial.training, trial.test))
        digest = hashlib.sha256(what.encode()).hexdigest()[:12]
        jobs[name] = Job(trial, place, folder / f"{digest}.csv")
    todo = [job for job in jobs.values() if not job.file.is_file()]
    for job in todo:
        for people in (job.trial.training, job.trial.test):
            draw(people, place.runs / "populations")
    list(run_jobs(run_job, todo, place.execution))
    return {name: read_predictions(job.file) for name, job in jobs.items()}
