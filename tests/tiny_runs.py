"""A clip store of noise, small trainings on it, and children that are killed: not a test."""

import dataclasses
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd

from merclip_lib.config import Config
from merclip_lib.data.store import open_store, write_store
from merclip_lib.data.table import COLUMNS
from merclip_lib.data.tasks import TASKS
from merclip_lib.protocol.loso import cross_validate
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.executors import Execution, run_jobs

CLASSES = TASKS["synthme-7"].classes
FAST = Config(task="synthme-7", frames=2, epochs=2, folds=2, lr=1e-3, use_text=False, use_eim=False)
SHAPE = (2, 64, 64, 3)


def make_store(folder: Path, subjects: int = 3, dataset: str = "SynthME", **columns):
    """Two frames of noise per clip, every class once per subject; `columns` are added."""
    rows = [
        dict.fromkeys(COLUMNS, "")
        | {
            "clip_id": f"{dataset}/s{s}/{emotion}",
            "dataset": dataset,
            "subject": f"s{s}",
            "clip": emotion,
            "onset": 0,
            "apex": 1,
            "offset": 1,
            "fps": 200,
            "action_units": "4+7",
            "emotion": emotion,
        }
        for s in range(subjects)
        for emotion in CLASSES
    ]
    table = pd.DataFrame(rows).assign(**columns)
    generator = np.random.default_rng(subjects)
    noise = ((generator.integers(0, 256, SHAPE, dtype=np.uint8), None) for _ in rows)
    return write_store(folder, table, noise, {"name": dataset, "hash": dataset}, SHAPE)


def run(config, store, runs_dir, keep_network=False, progress=None, **execution):
    """`cross_validate` with the fields of `Execution` as keywords."""
    plan = RunPlan(config, store)
    return cross_validate(plan, runs_dir, Execution(**execution), keep_network, progress)


def train(store: str, runs_dir: str, changes: list[dict], lines: str = os.devnull) -> None:
    """Cross-validate FAST with each of the changes in turn, in this process; a small sweep."""
    for change in changes:
        with open(lines, "a") as file:
            run(
                dataclasses.replace(FAST, **change),
                open_store(store),
                runs_dir,
                executor="serial",
                progress=lambda line, file=file: file.write(line + "\n"),
            )


def train_and_die(store: str, runs_dir: str, changes: list[dict], seed: int) -> None:
    """`train`, killed by SIGKILL at a drawn write: before it, half way through it, or after."""
    draw = random.Random(seed)
    left, moment, replace = draw.randint(1, 8), draw.choice(["before", "half", "after"]), os.replace

    def replace_or_die(source, target):
        nonlocal left
        left -= 1
        if left == 0 and moment == "half" and os.path.isfile(source):
            os.truncate(source, os.path.getsize(source) // 2)
        if left == 0 and moment == "after":
            replace(source, target)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = replace_or_die
    train(store, runs_dir, changes)


def train_on_a_full_disk(store: str, runs_dir: str, kibibytes: int, message: str) -> None:
    """`train` where no file may grow beyond a limit; the error goes to the file `message`."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes * 1024, kibibytes * 1024))
    try:
        train(store, runs_dir, [{}])
    except ValueError as error:
        Path(message).write_text(str(error))


def parent_of_a_worker(note: str) -> None:
    """Start a worker process that writes its number to `note` and works for ever."""
    list(run_jobs(work_for_ever, [note], Execution()))


def work_for_ever(note: str) -> None:
    Path(note + ".part").write_text(str(os.getpid()))
    os.replace(note + ".part", note)
    time.sleep(3600)


def square(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number**2


def end_at_once(_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
