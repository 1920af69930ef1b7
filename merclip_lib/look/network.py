"""The network that reads a clip: the one that comes with the library, or that of any run.

Both are files as `weights.transfer.save_network` writes them: their header says the configuration,
the emotions, and whose faces were seen in training.
"""

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from merclip_lib.config import Config, config_from, size_of
from merclip_lib.data.store import ClipStore
from merclip_lib.files import write_text
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.training.loop import fit
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.load import BUNDLED
from merclip_lib.weights.transfer import network_file, save_network

TINY = BUNDLED.with_name("look-tiny.safetensors")


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        name: of its file or run.
        model: in evaluation mode.
        config: the configuration that it was trained under.
        classes: names of the emotions, in the order of the outputs.
        people: everybody it was trained on, as "dataset/subject".
    """

    name: str
    model: MERCLIP
    config: Config
    classes: tuple[str, ...]
    people: frozenset[str]

    @property
    def drawn_only(self) -> bool:
        """Whether it has seen drawn faces only."""
        return all(name.lower().startswith("synthme") for name in self.people)


def load_network(run: str = "") -> Network:
    """The network of a run, or the one that comes with the library.

    Args:
        run: a run's folder, or run/fold, trained with keep_network=True; "" is the library's.

    Raises:
        ValueError: there is no network, or it is damaged.
    """
    path = network_file(replace(Config(), init_from=run)) if run else TINY
    state, header = read_weights(path)
    if not {"config", "classes", "people"} <= header.keys():
        raise ValueError(f"{path}: not the network of a run; train the run with keep_network=True")
    config, classes = config_from(header["config"]), tuple(header["classes"])
    with torch.random.fork_rng(devices=[]):
        model = MERCLIP(size_of(config), len(classes), config.use_eim)
    model.load_state_dict(state)
    return Network(run or path.stem, model.eval(), config, classes, frozenset(header["people"]))


def train_network(store: ClipStore, out: Path = TINY) -> dict:
    """Train on all clips of a store, nobody held out, and write network and card.

    The network is for looking at clips, not for figures: what it makes of a person of the store
    says nothing about unseen people; notebook 05 measures that. Weights are written in half
    precision.

    Args:
        store: of the default task, SynthME.
        out: the file; the card stands beside it, as .json.

    Returns:
        The card.
    """
    started, plan = time.monotonic(), RunPlan(Config(), store)
    everything = plan.training_data(np.arange(len(plan.table)))
    training = fit(plan.network(), everything, plan.config)
    save_network(out, training.model.half(), plan.config, plan.classes, plan.people)
    card = {
        "name": out.stem,
        "data": store.meta.get("name"),
        "data_hash": store.meta.get("hash"),
        "config": asdict(plan.config),
        "clips": len(plan.table),
        "held_out_clips": 0,
        "seconds": round(time.monotonic() - started),
        "history": training.history,
    }
    write_text(out.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return card
