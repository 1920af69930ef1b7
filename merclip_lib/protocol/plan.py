"""The plan of a run: all that is known before anything is trained.

It is made once, from a configuration and a clip store. Checks, the record in run.json, the hash
and the folds read it, and so does every process that trains a fold.
"""

import copy
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from merclip_lib.config import Config, ModelSize, config_hash, size_of, stamp, stored_side
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.prompts import Prompts, own_prompts, read_prompts
from merclip_lib.data.store import ClipStore
from merclip_lib.data.table import people
from merclip_lib.data.tasks import apply_task, task_named
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.folds import Fold, inner_validation, make_folds
from merclip_lib.runs.code import loaded_code
from merclip_lib.text import bank
from merclip_lib.text.unit_labels import unit_labels
from merclip_lib.training.loop import TrainingData
from merclip_lib.weights.files import read_weights, save_weights
from merclip_lib.weights.load import empty_network, load_text_tower, text_file, weights_file
from merclip_lib.weights.transfer import StartNetwork, check_people, network_file, start_network

START = "start.safetensors"  # in the folder of a run while it trains


@dataclass(frozen=True, eq=False)
class RunPlan:
    """A configuration on a clip store, and what follows from both.

    What follows is computed when it is first asked for and then kept. A plan can be sent to
    another process; the network stays behind.

    Attributes:
        config: every setting.
        store: the clips.
        every_class: whether each class of the task must have a clip.
    """

    config: Config
    store: ClipStore
    every_class: bool = True

    @cached_property
    def table(self) -> pd.DataFrame:
        """The clips of the task with a `label` column; the index is the row of the store."""
        table = apply_task(self.store.table, self.config.task, self.every_class)
        names = sorted(set(table["subject"]))[: self.config.subjects or None]
        return table[table["subject"].isin(names)]

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes, in the order of the network's outputs."""
        return task_named(self.config.task).classes

    @cached_property
    def labels(self) -> np.ndarray:
        """Class number of each clip of the table."""
        return self.table["label"].map(self.classes.index).to_numpy()

    @cached_property
    def people(self) -> np.ndarray:
        """Who is seen in each clip of the table, as "dataset/subject"."""
        return people(self.table).to_numpy()

    @cached_property
    def folds(self) -> list[Fold]:
        """Who trains and who is held out, in positions of the table."""
        config = self.config
        return make_folds(self.table, config.folds, config.held_out, config.seed)

    @cached_property
    def size(self) -> ModelSize:
        """Sizes of the network."""
        return size_of(self.config)

    @cached_property
    def hash(self) -> str:
        """12 hex digits of everything that decides the predictions.

        Configuration, clips, sentences, the content of the weights, and the code.
        """
        folds = [fold.test.tolist() for fold in self.folds]
        clips = [self.table["clip_id"].tolist(), self.labels.tolist(), folds]
        words = [*self.sentences, self.templates] if self.config.use_text else []
        also = {"code": self.code, "clips": _digest(clips), "sentences": _digest(words)}
        config = dataclasses.replace(self.config, phrases="", templates="")  # what they say counts
        return config_hash(config, data=self.data_hash, **also, **self.contents)

    @cached_property
    def contents(self) -> dict[str, str]:
        """Digests of the content of the weights; in the hash they stand for their names."""
        files = {"weights": weights_file(self.config)}
        if self.config.use_text:
            files["text_weights"] = text_file(self.config)
        if self.config.init_from:
            files["init_from"] = network_file(self.config)
        return {name: _file_hash(path) for name, path in files.items()}

    @cached_property
    def code(self) -> str:
        """The fingerprint of the code that will make the predictions.

        Raises:
            ValueError: it was edited after this process had loaded it.
        """
        return loaded_code()

    @property
    def data_hash(self) -> str:
        """Which clips these are. Raises ValueError when the store does not say."""
        if "hash" not in self.store.meta:
            why = f"{self.store.folder}: meta.json has no hash that says which clips these are"
            raise ValueError(f"{why}; delete the folder and prepare it again")
        return self.store.meta["hash"]

    @cached_property
    def prompts(self) -> Prompts:
        """Phrases and templates. Raises ValueError for a file that cannot be read."""
        return read_prompts(self.config.phrases, self.config.templates)

    @cached_property
    def sentences(self) -> bank.ClipSentences:
        """What is said of each clip. Raises ValueError for an annotation that cannot be read."""
        return bank.clip_sentences(self.table, self.config.description, self.prompts.phrases)

    @cached_property
    def text(self) -> bank.TextBank | None:
        """The sentences of the clips, encoded; None without the alignment.

        Raises:
            ValueError: sentences are not as wide as the embedding of clips.
        """
        if not self.config.use_text or self.config.align_with == "units":
            return None
        tower = load_text_tower(self.config)
        rows = self.table.index.to_numpy()
        text = bank.bank_of_clips(tower, self.sentences, rows, self.templates)
        if (width := text.embeddings.shape[-1]) != self.size.embed_dim:
            here = f"{text_file(self.config)}: its sentences have {width} numbers, the clips of "
            here += f"{self.config.size} {self.size.embed_dim}"
            raise ValueError(f"{here}; name a text tower of that width as `text_weights`")
        if self.config.align_with == "shuffled":
            return bank.shuffled_bank(text, rows, self.config.seed)
        if self.config.align_with == "random":
            return bank.random_bank(text, self.config.seed)
        return text

    @property
    def templates(self) -> tuple[str, ...]:
        """The prompts that sentences are made with."""
        return self.prompts.templates[: self.config.template_count or None]

    @cached_property
    def start(self) -> StartNetwork:
        """The network with which every fold begins, and what became of the weights."""
        with torch.random.fork_rng(devices=[]):
            return start_network(self.config, len(self.classes))

    def write_start(self, folder: Path) -> None:
        """Leave the network with which every fold begins in the folder of the run."""
        try:
            read_weights(folder / START)
        except ValueError:  # absent or damaged
            save_weights(folder / START, self.start.model.state_dict(), {})

    def network(self, folder: Path | None = None) -> MERCLIP:
        """A copy of the network with which every fold begins.

        Args:
            folder: of the run, where `write_start` left it; without, it is built here.
        """
        if folder is None or not (folder / START).is_file():
            return copy.deepcopy(self.start.model)
        with torch.device("meta"):  # nothing is drawn or computed
            model = empty_network(self.config, len(self.classes))
        state = {name: tensor.clone() for name, tensor in read_weights(folder / START)[0].items()}
        model.load_state_dict(state, assign=True)
        return model

    def dataset(self, positions: np.ndarray, training: bool = False) -> ClipDataset:
        """The clips at these positions of the table; in training some emotions may be hidden.

        A run asks for them at the start of each fold and after each epoch.

        Raises:
            ValueError: the store was replaced since the run began.
        """
        self.store.check_unchanged()
        rows, config = self.table.index.to_numpy()[positions], self.config
        sampling = Sampling(config.frames, training, config.seed, config.short_clips)
        labels = self.labels[positions]
        if training and config.label_share < 1:
            hidden = round((1 - config.label_share) * len(labels))
            order = np.random.default_rng([config.seed, len(labels)]).permutation(len(labels))
            labels[order[:hidden]] = -1
        return ClipDataset(self.store, rows, labels, sampling)

    def training_data(self, positions: np.ndarray, workers: int = 0) -> TrainingData:
        """What a network is trained on: clips at these positions, faces told apart, sentences."""
        subjects = np.zeros(len(self.store), int)
        subjects[self.table.index] = pd.factorize(self.people)[0]
        by_units = self.config.use_text and self.config.align_with == "units"
        units = unit_labels(self.table, self.table.index.to_numpy()) if by_units else None
        clips = self.dataset(positions, training=True)
        return TrainingData(clips, subjects, self.text, workers, units)

    def check(self) -> None:
        """Raise ValueError for what would stop a fold later, before any training."""
        (height, width), side = self.store.frames.shape[2:4], stored_side(self.config)
        if not height == width == side:
            crop = f" with crop {self.config.crop:g}" if self.config.crop < 1 else ""
            here = f"{self.store.folder}: clips of {height} x {width} pixels"
            wanted = f"{self.config.size}{crop} wants {side}; prepare the set with --size {side}"
            raise ValueError(f"{here}, but {wanted}")
        for fold in self.folds:
            if self.config.selection == "inner_validation":
                inner_validation(self.people, fold.train, self.config.seed)
        if self.config.init_from:
            held_out = {who for fold in self.folds for who in self.people[fold.test]}
            check_people(self.config, held_out)
        _ = self.start, self.text  # the weights are there and of this size, annotations are read
        if RunPlan(self.config, self.store).contents != self.contents:
            raise ValueError("the weights were replaced while the run was planned; start again")

    def record(self) -> dict:
        """What run.json keeps: configuration, data, weights and what became of them, folds."""
        config, where = self.config, str(self.store.folder.resolve())
        record = {
            "config": dataclasses.asdict(config),
            "data": {"name": self.store.meta.get("name"), "hash": self.data_hash, "folder": where},
            "weights": self.contents["weights"],
            "code": self.code,
            "folds": [fold.name for fold in self.folds],
            "clips": sum(len(fold.test) for fold in self.folds),
            "protocol": config.protocol,
            "selection": config.selection,
            "held_out": config.held_out,
            "stamp": stamp(config),
            "torch": torch.__version__,
        }
        if config.use_text and (prompts := own_prompts(self.prompts)):
            record["prompts"] = prompts
        if self.start.weights:
            record["loading"] = self.start.weights.counts()
        if report := self.start.transfer:
            record["init_from"] = {"report": str(report), "initial": report.initial}
        return record

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "start"}


def _digest(values: list) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:12]


def _file_hash(path: Path) -> str:
    """The content of a file, read anew each time: it may have been replaced."""
    if not path.is_file():
        return "none"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
