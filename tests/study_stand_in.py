"""A small study, whose populations are noise and whose trainings take no time: not a test."""

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tiny_runs
import yaml

from merclip_lib.data.store import META, open_store
from merclip_lib.data.tasks import task_named
from merclip_lib.runs.executors import Execution
from merclip_lib.study import blocks, design
from merclip_lib.study.archive import block_file, row_of, write_block
from merclip_lib.study.blocks import Workplace, plan_blocks, run_block
from merclip_lib.study.design import read_study

CLASSES = tiny_runs.CLASSES
SERIAL = Execution("serial")
DESIGN = {
    "seeds": {
        "motion": [0, 9],
        "dfme": [10, 19],
        "calibration": [20, 29],
        "development": [30, 39],
        "controls": [40, 49],
        "training": [50, 59],
        "test": [60, 69],
    },
    "presets": {
        "casme2-like": {
            "task": tiny_runs.FAST.task,
            "people": 3,
            "clips": 21,
            "test_people": 6,
            "test_clips": 42,
        }
    },
    "config": {"frames": 2, "use_text": False, "use_eim": False},
    "starts": {"scratch": [{"pretrained": False}], "tiny": [{"weights": ""}]},
    "budgets": {"full": {"scratch": {"epochs": 1}, "tiny": {"epochs": 2, "lr": 1.0e-3}}},
    "entries": {"full": {}, "no_mix": {"config": {"mix": False}}},
    "families": {
        "primary": {
            "primary": True,
            "cells": {"casme2-like": {"tiny": 2}},
            "comparisons": [{"change": "mix", "a": "full", "b": "no_mix"}],
        }
    },
    "rules": {"samples": 200},
    "clip_seconds": 1.0,
    "other_seconds": 18.0,
    "core_hours": 20,
    "block_minutes": 1,
}


@dataclass(frozen=True)
class Population:
    preset: str
    seed: int
    people: int
    clips: int
    dependence: float = 1.0
    masked: bool = False


def population(preset, seed, people=None, clips=None, **changes):
    if preset != "casme2-like":
        raise ValueError(f"there is no preset {preset!r}")
    return Population(preset, seed, people, clips, **changes)


def draw_population(made, folder):
    """Two frames of noise per clip, each person with every class."""
    if (folder / META).is_file():
        return open_store(folder)
    return tiny_runs.make_store(folder, made.people, f"SynthME-{made.seed}")


def install(patch=setattr):
    """Put these populations in the place of drawn ones, in this process."""
    patch(design, "population", population)
    patch(blocks, "draw_population", draw_population)


def write_design(folder: Path, frozen: bool = True, **changes) -> Path:
    """A design file with other values at the top, frozen as it is."""
    path = folder / "design.yaml"
    path.write_text(yaml.safe_dump({**DESIGN, **changes}, sort_keys=False))
    if frozen:
        path.write_text(f'{path.read_text()}frozen: "{read_study(path).hash}"\n')
    return path


def predictions(trial, skill: float) -> pd.DataFrame:
    """The test clips of a training, a share of them said rightly."""
    names = [(f"p{person}", emotion) for person in range(trial.test.people) for emotion in CLASSES]
    table = pd.DataFrame(names, columns=["subject", "truth"])
    seed = [trial.cell.population, *trial.cell.entry.encode()]
    generator = np.random.default_rng(seed)
    guess = generator.choice(CLASSES, len(table))
    right = generator.random(len(table)) < skill
    return table.assign(
        clip_id=table["subject"] + "/" + table["truth"],
        prediction=np.where(right, table["truth"], guess),
    )


def train(trial, populations) -> pd.DataFrame:
    """A network that knows more with LocalStaticFaceMix, and says so to nobody."""
    return predictions(trial, 0.8 if trial.config.mix else 0.3)


def invented(trial, skill: float) -> pd.DataFrame:
    """As `predictions`, for any task: as many clips as the test has, of classes drawn once."""
    classes, test = task_named(trial.config.task).classes, trial.test
    people = np.arange(test.clips) % test.people
    table = pd.DataFrame({"subject": [f"p{person:03d}" for person in people]})
    drawn = np.random.default_rng(test.seed)
    table["truth"] = drawn.choice(classes, len(table))
    table["clip_id"] = [f"{subject}/{k}" for k, subject in enumerate(table["subject"])]
    own = np.random.default_rng([trial.cell.population, *"".join(map(str, trial.cell)).encode()])
    right = own.random(len(table)) < skill
    return table.assign(prediction=np.where(right, table["truth"], own.choice(classes, len(table))))


def write_archive(study, archive: Path, skill) -> None:
    """An archive of invented answers; `skill` says what share of them a training knows."""
    for number, part in enumerate(plan_blocks(study), 1):
        rows = []
        for trial in part:
            digest = hashlib.sha256(str(trial.test).encode()).hexdigest()[:8]
            file = archive / f"test-{trial.test.preset}-{digest}.csv"
            row = row_of(trial, invented(trial, skill(trial)), file)
            made_by = {"design": study.hash, "code": "0" * 12, "commit": "c0ffee"}
            rows.append(row | made_by | {"processor": "none", "torch": "none", "seconds": 1.0})
        write_block(block_file(archive, number), rows)


def place(folder: Path, train=train, execution=SERIAL) -> Workplace:
    return Workplace(folder / "study", folder / "runs", execution, train)


def run_and_die(folder: str, block: int, trainings: int) -> None:
    """Run a block in a process that is gone after some trainings."""
    install()
    left = trainings

    def train_or_die(trial, populations):
        nonlocal left
        if left == 0:
            os._exit(9)
        left -= 1
        return train(trial, populations)

    path = Path(folder)
    run_block(read_study(path / "design.yaml"), block, place(path, train_or_die))


def changed(family: str = "primary", **values) -> dict:
    """The families with other values in the first comparison."""
    families = {**DESIGN["families"]}
    comparison = families[family]["comparisons"][0] | values
    families[family] = families[family] | {"comparisons": [comparison]}
    return {"families": families}


FAST = dataclasses.asdict(tiny_runs.FAST)
