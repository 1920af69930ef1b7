"""What a run will be, known before anything is trained."""

import dataclasses
import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from merclip_lib.config import Config, config_hash, size_of, stamp
from merclip_lib.data.store import ClipStore
from merclip_lib.data.tasks import apply_task, task_named
from merclip_lib.files import write_text, writing
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.folds import Fold, inner_validation, make_folds, people
from merclip_lib.runs import store as run_store
from merclip_lib.runs.executors import memory_of
from merclip_lib.text.bank import TextTargets, build_text_bank, tokenizer
from merclip_lib.text.facs import swap_sides
from merclip_lib.text.sentences import describe
from merclip_lib.weights.load import build_model, load_text_tower, text_file, weights_file
from merclip_lib.weights.transfer import check_people, network_file, start_from


def choose_clips(config: Config, store: ClipStore) -> pd.DataFrame:
    """The clips of the task with a `label` column; the index stays the position in the store."""
    table = apply_task(store.table, config.task)
    if config.subjects:
        table = table[table["subject"].isin(sorted(set(table["subject"]))[: config.subjects])]
    return table


def text_targets(config: Config, table: pd.DataFrame, rows: int) -> TextTargets:
    """Encode each distinct description (and mirror image) of the clips once.

    `table` is indexed by position in a store of `rows` clips.
    """

    def say(annotation: str, emotion: str, clip: str) -> str:
        return describe(annotation, config.description, emotion, where=f"clip {clip}")

    plain, mirror = [], []
    for clip, annotation, emotion in zip(
        table["clip_id"], table["action_units"], table["label"], strict=True
    ):
        plain.append(say(annotation, emotion, clip))
        mirror.append(say(swap_sides(annotation), emotion, clip))
    distinct = sorted({*plain, *mirror})
    number = {text: k for k, text in enumerate(distinct)}
    description, mirrored = np.zeros(rows, int), np.zeros(rows, int)
    description[table.index] = [number[text] for text in plain]
    mirrored[table.index] = [number[text] for text in mirror]
    tower = load_text_tower(config)
    return TextTargets(build_text_bank(tower, tokenizer(), distinct), description, mirrored)


def start_model(config: Config, classes: int) -> MERCLIP:
    """The network as training begins: pretrained weights, or the network of another run."""
    model, _ = build_model(config, classes)
    if config.init_from:
        start_from(model, config)
    return model


def folds_of(config: Config, table: pd.DataFrame) -> list[Fold]:
    """The folds of a configuration; `table` as `choose_clips` gives it."""
    return make_folds(table, config.folds, config.held_out, config.seed)


def run_hash(config: Config, store: ClipStore) -> str:
    """12 hex digits of everything that decides the predictions: config, clips, weights."""
    also = {"weights": _file_hash(weights_file(config))}
    if config.text_weights:
        also["text_weights"] = _file_hash(text_file(config))
    if config.init_from:
        also["init_from"] = _file_hash(network_file(config))
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
        check_people(config, {name for fold in folds for name in person[fold.test]})
    return memory_of_run(config)


def memory_of_run(config: Config) -> float:
    """Bytes that training one fold takes. Raises ValueError when its weights are not there."""
    size, classes = size_of(config), task_named(config.task).classes
    with torch.random.fork_rng(devices=[]):
        model = start_model(config, len(classes))  # the weights are there and of this size
    parameters = sum(parameter.numel() for parameter in model.parameters())
    tokens = size.times * (size.grid**2 + 1)
    return memory_of(
        parameters, tokens * size.layers * size.width * -(-config.batch_size // config.accumulate)
    )


def encode_text(config: Config, store: ClipStore, table: pd.DataFrame) -> TextTargets:
    """`text_targets`; ValueError unless sentences are as wide as the embedding of clips."""
    text, width = text_targets(config, table, len(store)), size_of(config).embed_dim
    if text.bank.shape[-1] != width:
        raise ValueError(
            f"{text_file(config)}: its sentences have {text.bank.shape[-1]} numbers, the "
            f"clips of {config.size} {width}; name a text tower of that width as `text_weights`"
        )
    return text


def begin_run(folder: Path, config: Config, store: ClipStore, folds: list[Fold]) -> None:
    """Make the folder of a run and write run.json, unless it is there and can be read."""
    with writing(folder):
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
        "weights": _file_hash(weights_file(config)),
        "folds": [fold.name for fold in folds],
        "protocol": config.protocol,
        "selection": config.selection,
        "held_out": config.held_out,
        "stamp": stamp(config),
        "torch": torch.__version__,
    }
    with torch.random.fork_rng(devices=[]):
        model, report = build_model(config, len(task_named(config.task).classes))
    if report:
        record["loading"] = report.counts()
    if config.init_from:
        report = start_from(model, config)
        record["init_from"] = {"report": str(report), "initial": report.initial}
    return json.dumps(record, indent=1)
