"""The protocol: train each fold on its own people, predict the others, keep what was predicted.

Leave one subject out (LOSO, paper section on protocol): the held-out subject decides nothing,
neither the epoch (the last, or the best on inner validation people) nor any setting. Every
prediction carries its clip id. Folds run side by side, in several processes or on several
machines; where they are kept, and how an interrupted run goes on, is in `merclip_lib.run_store`.
"""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
import torch

from merclip_lib import executors, run_store, transfer, weights
from merclip_lib.clips import ClipStore, open_store
from merclip_lib.config import Config, config_hash, size_of
from merclip_lib.fold_training import (
    Trained,
    choose_clips,
    start_model,
    text_targets,
    train_fold,
)
from merclip_lib.folds import Fold, inner_validation, make_folds, people, stamp
from merclip_lib.manifests import task_named
from merclip_lib.metrics import read_predictions
from merclip_lib.run_store import Run, read_run, read_runs, write_csv, write_text
from merclip_lib.train import TextTargets
from merclip_lib.whole_batch import wait_for_all

__all__ = [
    "Fold", "Run", "Trained", "choose_clips", "cross_validate", "folds_of", "is_finished",
    "make_folds", "read_run", "read_runs", "run_hash", "stamp", "text_targets", "train_fold",
    "write_csv", "write_text",
]  # fmt: skip

WAIT = 1.0  # seconds between looks at a fold that another process is training


def folds_of(config: Config, table: pd.DataFrame) -> list[Fold]:
    """The folds of a configuration; `table` as `choose_clips` gives it."""
    return make_folds(table, config.folds, config.held_out, config.seed)


def run_hash(config: Config, store: ClipStore) -> str:
    """12 hex digits of everything that decides the predictions: config, clips, weights."""
    also = {"weights": _file_hash(weights.weights_file(config))}
    if config.text_weights:
        also["text_weights"] = _file_hash(weights.text_file(config))
    if config.init_from:
        also["init_from"] = _file_hash(transfer.network_file(config))
    return config_hash(config, data=_data_hash(store), **also)


def _data_hash(store: ClipStore) -> str:
    if "hash" not in store.meta:
        raise ValueError(
            f"{store.folder}: meta.json has no hash that says which clips these are; delete the "
            "folder and prepare it again"
        )
    return store.meta["hash"]


@cache
def _file_hash(path: Path) -> str:
    if not path.is_file():
        return "none"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def is_finished(runs_dir: str | Path, config: Config, store: ClipStore) -> bool:
    """Whether this configuration's predictions are already in the run store."""
    return (Path(runs_dir) / run_hash(config, store) / "predictions.csv").is_file()


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
        write_csv(trained.predictions, part / "predictions.csv")
        write_csv(trained.history, part / "history.csv")
        write_csv(trained.epochs, part / "epochs.csv")
        write_text(part / "seconds.json", json.dumps(round(trained.seconds, 2)))
        write_text(part / "environment.json", json.dumps(run_store.environment(), indent=1))
        with run_store.writing(part):
            if job.keep_network:
                table = choose_clips(job.config, store).iloc[job.fold.train]
                transfer.save_network(
                    part / transfer.NETWORK, trained.model, job.config,
                    task_named(job.config.task).classes, people(table),
                )  # fmt: skip
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
        executors.check_executor(executor, workers, address, config.device, memory)
        workers = executors.workers_for(len(waiting()), workers, config.device, memory)
    text = encode_text(config, store, table) if config.use_text and waiting() else None
    begin_run(folder, config, store, folds)
    while waiting():
        free = [fold for fold in waiting() if not run_store.is_held(folder, fold.name)]
        jobs = [
            FoldJob(config, store.folder.resolve(), fold, text, folder.resolve(), data_workers,
                    keep_network)
            for fold in free
        ]  # fmt: skip
        gpus = executors.gpu_share(workers, config.device, address)
        for k, mine in executors.run_jobs(executor, run_fold, jobs, workers, address, gpus):
            if mine:
                done = len(folds) - len(waiting())
                progress(f"fold {done}/{len(folds)}: {free[k].name} of {folder.name}")
        if not free:
            time.sleep(WAIT)
    collect(folder, folds)
    return read_run(folder)


def check_run(config: Config, store: ClipStore, table: pd.DataFrame, folds: list[Fold]) -> float:
    """Raise ValueError for what would stop a fold later; returns bytes that one fold needs."""
    size, pixels = size_of(config), store.frames.shape[2:4]
    if pixels != (size.resolution, size.resolution):
        raise ValueError(
            f"{store.folder}: clips of {pixels[0]} x {pixels[1]} pixels, but {config.size} wants "
            f"{size.resolution}; prepare the set with --size {size.resolution}"
        )
    person = people(table).to_numpy()
    for fold in folds:
        if config.selection == "inner_validation":
            inner_validation(person, fold.train, config.seed)
    if config.init_from:
        transfer.check_people(config, {name for fold in folds for name in person[fold.test]})
    return memory_of_run(config)


def memory_of_run(config: Config) -> float:
    """Bytes that training one fold takes. Raises ValueError when its weights are not there."""
    size, classes = size_of(config), task_named(config.task).classes
    with torch.random.fork_rng(devices=[]):
        model = start_model(config, len(classes))  # the weights are there and of this size
    parameters = sum(parameter.numel() for parameter in model.parameters())
    tokens = size.times * (size.grid**2 + 1)
    return executors.memory_of(
        parameters, tokens * size.layers * size.width * -(-config.batch_size // config.accumulate)
    )


def encode_text(config: Config, store: ClipStore, table: pd.DataFrame) -> TextTargets:
    """`text_targets`; ValueError unless sentences are as wide as the embedding of clips."""
    text, width = text_targets(config, table, len(store)), size_of(config).embed_dim
    if text.bank.shape[-1] != width:
        raise ValueError(
            f"{weights.text_file(config)}: its sentences have {text.bank.shape[-1]} numbers, the "
            f"clips of {config.size} {width}; name a text tower of that width as `text_weights`"
        )
    return text


def begin_run(folder: Path, config: Config, store: ClipStore, folds: list[Fold]) -> None:
    """Make the folder of a run and write run.json, unless it is there and can be read."""
    with run_store.writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with run_store.hold(folder, run_store.WHOLE, wait=True):
        try:
            run_store.read_record(folder)
        except ValueError:
            write_text(folder / "run.json", describe_run(config, store, folds))


def describe_run(config: Config, store: ClipStore, folds: list[Fold]) -> str:
    """What run.json says: configuration, data, weights and what became of them, folds, stamp."""
    record = {
        "config": dataclasses.asdict(config),
        "data": {"name": store.meta.get("name"), "hash": _data_hash(store)},
        "weights": _file_hash(weights.weights_file(config)),
        "folds": [fold.name for fold in folds],
        "protocol": config.protocol,
        "selection": config.selection,
        "held_out": config.held_out,
        "stamp": stamp(config),
        "torch": torch.__version__,
    }
    with torch.random.fork_rng(devices=[]):
        model, report = weights.build_model(config, len(task_named(config.task).classes))
    if report:
        record["loading"] = report.counts()
    if config.init_from:
        report = transfer.start_from(model, config)
        record["init_from"] = {"report": str(report), "initial": report.initial}
    return json.dumps(record, indent=1)


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
        write_csv(pd.concat(history), folder / "history.csv")
        write_csv(pd.concat(predictions), folder / "predictions.csv")


def _progress_line(line: str) -> None:
    if path := os.environ.get("MERCLIP_PROGRESS"):
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
