"""The protocol: folds by subject, and a run store that keeps what each fold predicted.

Leave one subject out (LOSO, paper section on protocol): the held-out subject decides nothing,
neither the epoch (always the last) nor any setting. Every prediction carries its clip id. A run
lives in `runs/<hash>/`: `run.json`, one folder per fold with `predictions.csv` and
`history.csv`, and, when all folds are there, `predictions.csv` and `history.csv` of the whole.
A folder is renamed into place when complete, so an interrupted run goes on where it stopped.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from merclip_lib import facs, weights
from merclip_lib.clips import ClipDataset, ClipStore, open_store
from merclip_lib.config import Config, config_from, config_hash
from merclip_lib.manifests import TASKS, apply_task
from merclip_lib.metrics import read_predictions
from merclip_lib.model import MERCLIP, build_text_bank
from merclip_lib.train import TextTargets, fit, predict


@dataclass(frozen=True)
class Fold:
    """One training: `train` and `test` are positions in the chosen table."""

    name: str
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Run:
    """A finished run. `predictions`: clip_id, subject, truth, prediction, p_<class> per clip."""

    hash: str
    folder: Path
    config: Config
    predictions: pd.DataFrame
    history: pd.DataFrame  # fold, epoch, loss, align, emotion, accuracy, weight, lr
    seconds: float  # of all folds' training together


def make_folds(table: pd.DataFrame, folds: int = 0) -> list[Fold]:
    """Folds by subject: one each (`folds` 0, LOSO), or `folds` groups of subjects.

    Subjects of different datasets are different people even under one name. Groups deal the
    subjects out in order, so they depend on nothing else. Raises ValueError when there are fewer
    subjects than folds or only one subject.
    """
    person = (table["dataset"] + "/" + table["subject"]).to_numpy()
    people = sorted(set(person))
    if len(people) < max(folds, 2):
        raise ValueError(f"{len(people)} subjects cannot make {folds or 'LOSO'} folds")
    groups = [people[k::folds] for k in range(folds)] if folds else [[name] for name in people]
    parts = []
    for k, group in enumerate(groups):
        held_out = np.isin(person, group)
        name = f"group{k + 1}" if folds else group[0].replace("/", "-")
        parts.append(Fold(name, np.flatnonzero(~held_out), np.flatnonzero(held_out)))
    return parts


def choose_clips(config: Config, store: ClipStore) -> pd.DataFrame:
    """The clips of the task with a `label` column; the index stays the position in the store."""
    table = apply_task(store.table, config.task)
    if config.subjects:
        table = table[table["subject"].isin(sorted(set(table["subject"]))[: config.subjects])]
    return table


def run_hash(config: Config, store: ClipStore) -> str:
    """12 hex digits of everything that decides the predictions: config, clips, weights."""
    files = {"weights": _file_hash(weights.weights_file(config))}
    if config.text_weights:
        files["text_weights"] = _file_hash(weights.text_file(config))
    return config_hash(config, data=store.meta["hash"], **files)


@cache
def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "none"


def is_finished(runs_dir: str | Path, config: Config, store: ClipStore) -> bool:
    """Whether this configuration's predictions are already in the run store."""
    return (Path(runs_dir) / run_hash(config, store) / "predictions.csv").is_file()


def text_targets(config: Config, table: pd.DataFrame, rows: int) -> TextTargets:
    """Encode each distinct description (and mirror image) of the clips once.

    `table` is indexed by position in a store of `rows` clips.
    """
    def say(annotation: str, emotion: str, clip: str) -> str:
        return facs.describe(annotation, config.description, emotion, where=f"clip {clip}")

    plain, mirror = [], []
    for clip, annotation, emotion in zip(
        table["clip_id"], table["action_units"], table["label"], strict=True
    ):
        plain.append(say(annotation, emotion, clip))
        mirror.append(say(facs.swap_sides(annotation), emotion, clip))
    distinct = sorted({*plain, *mirror})
    number = {text: k for k, text in enumerate(distinct)}
    description, mirrored = np.zeros(rows, int), np.zeros(rows, int)
    description[table.index] = [number[text] for text in plain]
    mirrored[table.index] = [number[text] for text in mirror]
    tower = weights.load_text_tower(config)
    return TextTargets(build_text_bank(tower, weights.tokenizer(), distinct), description, mirrored)


@dataclass(frozen=True)
class Trained:
    """One trained fold: what it predicted for its held-out clips, its losses, its network.

    `epochs` (epoch, clip_id, prediction) is what each epoch would have predicted: no choice is
    made with it; it shows what choosing the epoch on the held-out subject would pretend.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    epochs: pd.DataFrame
    seconds: float
    model: MERCLIP


def train_fold(
    config: Config, store: ClipStore, fold: Fold, text: TextTargets | None = None
) -> Trained:
    """Train on one fold and predict its held-out clips, in this process.

    `text` are the sentences of the chosen clips, encoded (`text_targets`); they are computed
    here when absent and wanted.
    """
    started = time.monotonic()
    table, classes = choose_clips(config, store), TASKS[config.task].classes
    labels = table["label"].map(classes.index).to_numpy()
    rows = table.index.to_numpy()
    subjects = np.zeros(len(store), int)
    subjects[rows] = pd.factorize(table["dataset"] + "/" + table["subject"])[0]
    model, _ = weights.build_model(config, len(classes))
    if config.use_text and text is None:
        text = text_targets(config, table, len(store))
    train = ClipDataset(
        store, rows[fold.train], labels[fold.train], config.frames, training=True, seed=config.seed
    )
    test = ClipDataset(store, rows[fold.test], labels[fold.test], config.frames)
    held_out = table.iloc[fold.test]
    epochs = []  # what each epoch would have predicted: recorded, never looked at to decide

    def record(means: dict) -> None:
        probability = predict(model, test).numpy()
        epochs.append(pd.DataFrame({
            "epoch": means["epoch"],
            "clip_id": held_out["clip_id"].to_numpy(),
            "prediction": [classes[k] for k in probability.argmax(1)],
        }))  # fmt: skip

    history = pd.DataFrame(fit(model, train, subjects, text, config, record))
    history.insert(0, "fold", fold.name)
    probability = predict(model, test).numpy()
    predictions = pd.DataFrame({
        "clip_id": held_out["clip_id"].to_numpy(),
        "subject": held_out["subject"].to_numpy(),
        "database": held_out["dataset"].to_numpy(),
        "truth": held_out["label"].to_numpy(),
        "prediction": [classes[k] for k in probability.argmax(1)],
        **{f"p_{name}": probability[:, k] for k, name in enumerate(classes)},
    })  # fmt: skip
    return Trained(
        predictions, history, pd.concat(epochs), time.monotonic() - started, model
    )


def cross_validate(
    config: Config,
    store: ClipStore,
    runs_dir: str | Path = "runs",
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Run:
    """All folds of a configuration; those already in the run store are not trained again.

    Folds run side by side in `workers` processes (default: one per core) with one thread each,
    so the predictions do not depend on the number of workers. `progress` receives a line per
    finished fold; by default lines are added to the file named in MERCLIP_PROGRESS, if any.
    """
    table = choose_clips(config, store)
    folds = make_folds(table, config.folds)
    folder = Path(runs_dir) / run_hash(config, store)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "run.json", describe_run(config, store, folds))
    waiting = [fold for fold in folds if not (folder / fold.name).is_dir()]
    workers = min(workers or os.cpu_count() or 1, max(len(waiting), 1))
    done = len(folds) - len(waiting)
    progress = progress or _progress_line
    if waiting:
        text = text_targets(config, table, len(store)) if config.use_text else None
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
            jobs = {
                pool.submit(_run_fold, config, store.folder, fold, text, folder): fold
                for fold in waiting
            }
            try:
                for job in as_completed(jobs):
                    job.result()
                    done += 1
                    progress(f"fold {done}/{len(folds)}: {jobs[job].name} of {folder.name}")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    parts = [folder / fold.name for fold in folds]
    write_csv(pd.concat([read_predictions(part / "predictions.csv") for part in parts]),
              folder / "predictions.csv")
    write_csv(pd.concat([pd.read_csv(part / "history.csv") for part in parts]),
              folder / "history.csv")
    return read_run(folder)


def _run_fold(
    config: Config, store_folder: Path, fold: Fold, text: TextTargets | None, folder: Path
) -> None:
    trained = train_fold(config, open_store(store_folder), fold, text)
    temporary = folder / f".{fold.name}.{os.getpid()}.part"
    temporary.mkdir()
    write_csv(trained.predictions, temporary / "predictions.csv")
    write_csv(trained.history, temporary / "history.csv")
    write_csv(trained.epochs, temporary / "epochs.csv")
    write_text(temporary / "seconds.json", json.dumps(round(trained.seconds, 2)))
    shutil.rmtree(folder / fold.name, ignore_errors=True)
    temporary.rename(folder / fold.name)


def _one_thread() -> None:
    torch.set_num_threads(1)


def _progress_line(line: str) -> None:
    if path := os.environ.get("MERCLIP_PROGRESS"):
        with open(path, "a") as file:
            file.write(line + "\n")


def describe_run(config: Config, store: ClipStore, folds: list[Fold]) -> str:
    """What run.json says: configuration, data, weights, folds, versions."""
    return json.dumps({
        "config": dataclasses.asdict(config),
        "data": {"name": store.meta.get("name"), "hash": store.meta["hash"]},
        "weights": _file_hash(weights.weights_file(config)),
        "folds": [fold.name for fold in folds],
        "torch": torch.__version__,
    }, indent=1)  # fmt: skip


def read_run(folder: str | Path) -> Run:
    """A finished run from its folder. Raises ValueError when it is not finished."""
    folder = Path(folder)
    if not (folder / "predictions.csv").is_file():
        raise ValueError(f"{folder}: no finished run here; train it again and it will go on")
    record = json.loads((folder / "run.json").read_text())
    seconds = sum(json.loads((folder / f / "seconds.json").read_text()) for f in record["folds"])
    return Run(
        folder.name, folder, config_from(record["config"]),
        read_predictions(folder / "predictions.csv"), pd.read_csv(folder / "history.csv"), seconds,
    )  # fmt: skip


def read_runs(runs_dir: str | Path) -> list[Run]:
    """All finished runs of a run store, in order of their hashes."""
    return [read_run(path.parent) for path in sorted(Path(runs_dir).glob("*/predictions.csv"))]


def write_csv(table: pd.DataFrame, path: Path) -> None:
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format="%.7g"))


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(text)
    os.replace(temporary, path)
