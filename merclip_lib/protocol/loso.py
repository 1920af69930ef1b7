"""The protocol: train each fold on its own people, predict the others, keep what was predicted.

Leave one subject out (LOSO, paper section on protocol): the held-out subject decides nothing,
neither the epoch (the last, or the best on inner validation people) nor any setting. Every
prediction carries its clip id. Folds run side by side, in several processes or on several
machines; where they are kept, and how an interrupted run goes on, is in `merclip_lib.run_store`.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from merclip_lib.config import Config
from merclip_lib.data.store import ClipStore, open_store
from merclip_lib.data.tasks import task_named
from merclip_lib.files import write_csv, write_text, writing
from merclip_lib.protocol.folds import Fold, people
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import (
    begin_run,
    check_run,
    choose_clips,
    encode_text,
    folds_of,
    run_hash,
)
from merclip_lib.runs import store as run_store
from merclip_lib.runs.executors import check_executor, gpu_share, run_jobs, workers_for
from merclip_lib.runs.store import Run, read_run
from merclip_lib.scores.metrics import read_predictions
from merclip_lib.text.bank import TextTargets
from merclip_lib.training.whole_batch import wait_for_all
from merclip_lib.weights.transfer import NETWORK, save_network

WAIT = 1.0  # seconds between looks at a fold that another process is training


@dataclass(frozen=True)
class FoldJob:
    """What a process, here or on another machine, needs to train one fold."""

    config: Config
    store: Path
    fold: Fold
    text: TextTargets | None
    folder: Path
    data_workers: int
    keep_network: bool


def run_fold(job: FoldJob) -> bool:
    """Train one fold into the run store; False when another process is doing so, or did."""
    name = job.fold.name
    with run_store.hold(job.folder, name) as mine:
        if not mine or run_store.is_done(job.folder, name, job.keep_network):
            return False
        part, store = run_store.open_part(job.folder, name), open_store(job.store)
        trained = train_fold(job.config, store, job.fold, job.text, part, job.data_workers)
        if (part / "checkpoint.pt.damaged").exists():
            _progress_line(f"{part / 'checkpoint.pt'} was damaged: {name} was trained anew")
        write_csv(trained.predictions, part / "predictions.csv", run_store.DIGITS)
        write_csv(trained.history, part / "history.csv", run_store.DIGITS)
        write_csv(trained.epochs, part / "epochs.csv", run_store.DIGITS)
        write_text(part / "seconds.json", json.dumps(round(trained.seconds, 2)))
        write_text(part / "environment.json", json.dumps(run_store.environment(), indent=1))
        with writing(part):
            if job.keep_network:
                table = choose_clips(job.config, store).iloc[job.fold.train]
                save_network(
                    part / NETWORK,
                    trained.model,
                    job.config,
                    task_named(job.config.task).classes,
                    people(table),
                )
        wait_for_all()  # where several processes train this fold together
        run_store.finish_part(job.folder, name)
    return True


def cross_validate(
    config: Config,
    store: ClipStore,
    runs_dir: str | Path = "runs",
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
    executor: str = "processes",
    address: str = "",
    data_workers: int = 0,
    keep_network: bool = False,
) -> Run:
    """All folds of a configuration; those already in the run store are not trained again.

    `executor` is "processes" (`workers` side by side, default one per core or GPU), "serial" or
    "ray" (`address` of a cluster, empty for this machine). Every fold has one thread, so the
    predictions depend neither on it nor on `workers` nor on `data_workers` (which read clips).
    Folds that another process is training are left to it and collected when they are done.
    `keep_network` stores each fold's network, for `init_from` of another run. `progress`
    receives a line per fold; by default lines go to the file named in MERCLIP_PROGRESS, if any.
    Raises ValueError for bad input before any training.
    """
    table, progress = choose_clips(config, store), progress or _progress_line
    folds, folder = folds_of(config, table), Path(runs_dir) / run_hash(config, store)

    def waiting() -> list[Fold]:
        return [fold for fold in folds if not run_store.is_done(folder, fold.name, keep_network)]

    if not waiting() and run_store.is_whole(folder):
        return read_run(folder)
    if waiting():
        memory = check_run(config, store, table, folds)
        check_executor(executor, workers, address, config.device, memory)
        workers = workers_for(len(waiting()), workers, config.device, memory)
    text = encode_text(config, store, table) if config.use_text and waiting() else None
    begin_run(folder, config, store, folds)
    while waiting():
        free = [fold for fold in waiting() if not run_store.is_held(folder, fold.name)]
        jobs = [
            FoldJob(
                config,
                store.folder.resolve(),
                fold,
                text,
                folder.resolve(),
                data_workers,
                keep_network,
            )
            for fold in free
        ]
        gpus = gpu_share(workers, config.device, address)
        for k, mine in run_jobs(executor, run_fold, jobs, workers, address, gpus):
            if mine:
                done = len(folds) - len(waiting())
                progress(f"fold {done}/{len(folds)}: {free[k].name} of {folder.name}")
        if not free:
            time.sleep(WAIT)
    collect(folder, folds)
    return read_run(folder)


def collect(folder: Path, folds: list[Fold]) -> None:
    """Write the tables of the whole run from those of its folds.

    A damaged fold is set aside; ValueError says so, and the next start trains it again.
    """
    with run_store.hold(folder, run_store.WHOLE, wait=True):
        predictions, history = [], []
        for fold in folds:
            part = folder / fold.name
            if why := run_store.damage(part):
                raise run_store.set_aside(part, why)
            predictions.append(read_predictions(part / "predictions.csv"))
            history.append(pd.read_csv(part / "history.csv"))
            if len(predictions[-1]) != len(fold.test):
                raise run_store.set_aside(part, "predictions of clips are missing")
            run_store.drop_checkpoint(part)
        write_csv(pd.concat(history), folder / "history.csv", run_store.DIGITS)
        write_csv(pd.concat(predictions), folder / "predictions.csv", run_store.DIGITS)


def _progress_line(line: str) -> None:
    if path := os.environ.get("MERCLIP_PROGRESS"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
