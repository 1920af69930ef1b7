"""Trainings of one's own beside the frozen ones, on a development population or on a clip store.

A study asks its questions of drawn populations, trains each of its entries and tests on fresh
people. Of a clip store the same is asked with its own people held out, all of them in turn.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from merclip_lib.config import Config, config_from
from merclip_lib.data.store import ClipStore
from merclip_lib.data.tasks import task_named
from merclip_lib.files import did_you_mean
from merclip_lib.protocol.loso import cross_validate
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.code import loaded_code
from merclip_lib.runs.executors import run_jobs
from merclip_lib.scores.metrics import read_predictions
from merclip_lib.scores.verdicts import side_of_change
from merclip_lib.study.answers import set_name
from merclip_lib.study.blocks import Job, Workplace, draw, run_job
from merclip_lib.study.design import Cell, Changes, Design, Entry, Trial, _trial
from merclip_lib.study.sweeps import compared
from merclip_lib.study.tables import changes_parts_alone, parts_of
from merclip_lib.synthme.populations import population_hash

YOURS = "your entry"
VERDICTS = {1: "helps", -1: "hurts", 0: "cannot tell"}


@dataclass(frozen=True)
class Here:
    """What is trained here, on whom, and where it starts.

    Attributes:
        task: of the configuration; empty: that of the preset.
        preset: of the development population.
        start: of the design; empty takes neither its weights nor its epochs and learning rate.
        number: of the development population.
        changes: fields of `Config` over those of the design, under what an entry changes itself.
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
    known |= dict.fromkeys(here.sizes, ["people", "clips", "test_people", "test_clips"])
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
            name: replace(made, seeds="development", config=here.changes | made.config)
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
    folder, drawn, jobs = place.runs / "own" / loaded_code(), place.runs / "populations", {}
    for name, trial in trials.items():
        # its hash knows weights, words and clips by their content
        plan = RunPlan(trial.config, draw(trial.training, drawn), every_class=False)
        what = f"{plan.hash} {population_hash(trial.test)} {trial.read_out}"
        file = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:12]}.csv"
        jobs[name] = Job(trial, replace(place, device=trial.config.device), file)
    todo = [job for job in jobs.values() if not job.file.is_file()]
    for job in todo:
        draw(job.trial.test, drawn)
    list(run_jobs(run_job, todo, place.execution))
    return {name: read_predictions(job.file) for name, job in jobs.items()}


def levels_of(design: Design, asked: Sequence[Any]) -> dict[tuple[str, str], Changes]:
    """What is changed at each level of each factor, by (factor, level).

    Args:
        design: the design.
        asked: its families, by name, or settings with their values, such as
            {"mix_method": ["mixup", "cutmix"]}.

    Raises:
        ValueError: the design has no such family.
    """
    levels: dict[tuple[str, str], Changes] = {}
    for family in asked:
        if isinstance(family, Mapping):
            levels |= {(key, str(v)): {key: v} for key, values in family.items() for v in values}
        elif family in design.families:
            for comparison in design.families[family].comparisons:
                changes = design.entries[comparison.a].config
                levels |= {(key, str(v)): changes for key, v in comparison.points.items()}
        else:
            known = did_you_mean(family, design.families)
            raise ValueError(f"the design has no family {family!r}{known}")
    return levels


def compare_levels(
    full: Config, levels: Mapping[tuple[str, str], Changes], store: ClipStore, runs_dir: str | Path
) -> pd.DataFrame:
    """By how much each level differs from the method, on held-out people of a clip store.

    Trainings that the run store holds are not repeated.

    Args:
        full: the method.
        levels: as `levels_of` gives them.
        store: the clips.
        runs_dir: the run store.

    Returns:
        A row per level: factor, level, part (none), uf1, the paired difference with its interval
        [low, high], p_holm (all rows asked together) and verdict.

    Raises:
        ValueError: one of them cannot be trained on these clips; said before any is.
    """
    plans = {"full": RunPlan(full, store)}
    for level, changes in levels.items():
        plans[" ".join(level)] = RunPlan(config_from(asdict(full) | changes), store)
    tables = {at: [cross_validate(plan, runs_dir).predictions] for at, plan in plans.items()}
    table = compared(tables, dict.fromkeys(tables, task_named(full.task).classes))[1:]
    table[["factor", "level"]] = list(levels)
    table = table.drop(columns=["low", "high"]).rename(columns={"from": "low", "to": "high"})
    sides = map(side_of_change, table["difference"], table["p_holm"])
    table["verdict"] = [VERDICTS[side] for side in sides]
    return table.assign(part="")["factor level part uf1 difference low high p_holm verdict".split()]
