"""Transfer: the trained network of one run is the start of another (paper: DFME, then CAS(ME)3).

A run keeps its networks where it was asked to (`cross_validate(..., keep_network=True)`). Their
headers say whose faces they have seen, so that nobody is tested on a network that knows them.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from merclip_lib.config import Config
from merclip_lib.weights.adapt import LoadReport, load_into
from merclip_lib.weights.files import read_weights, save_weights

NETWORK = "network.safetensors"


def save_network(
    path: Path, model: nn.Module, config: Config, classes: tuple[str, ...], people: Iterable[str]
) -> None:
    """Write a trained network; `people` ("dataset/subject") are those it was trained on.

    Whoever the network that it started from has seen is added.
    """
    seen = set(people)
    if config.init_from:
        seen |= set(people_of(config))
    header = {
        "config": dataclasses.asdict(config),
        "classes": list(classes),
        "people": sorted(seen),
    }
    save_weights(path, model.state_dict(), header)


def network_file(config: Config) -> Path:
    """The stored network that `init_from` names: a run of one fold, or run/fold.

    Raises ValueError when there is none.
    """
    folder = Path(config.init_from)
    if (folder / NETWORK).is_file():
        return folder / NETWORK
    found = sorted(folder.glob(f"*/{NETWORK}"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.parent.name for path in found[:3])
        raise ValueError(
            f"init_from {config.init_from!r} has {len(found)} networks, one per fold; name one, "
            f"such as {folder.name}/{found[0].parent.name} ({names}, ...)"
        )
    raise ValueError(
        f"init_from {config.init_from!r}: no {NETWORK} there; name a finished run and train it "
        "with keep_network=True"
    )


def people_of(config: Config) -> list[str]:
    """Everybody the network named by `init_from` was trained on, as "dataset/subject"."""
    path = network_file(config)
    header = read_weights(path)[1]
    if "people" not in header:
        raise ValueError(f"{path}: does not say whom it was trained on; train that run again")
    return header["people"]


def check_people(config: Config, held_out: Iterable[str]) -> None:
    """Raise ValueError when the start of a run has been trained on somebody it is tested on."""
    known = {name.lower() for name in people_of(config)} & {name.lower() for name in held_out}
    if known:
        raise ValueError(
            f"init_from {config.init_from!r} was trained on {min(known)}, one of {len(known)} "
            "people held out here whom it knows; start from a run on other people"
        )


def start_from(model: nn.Module, config: Config) -> LoadReport:
    """Copy the network named by `init_from` into `model`.

    A classifier of another number of classes stays at its initial value and is listed in the
    report. Raises ValueError when another shape differs: that network has another size.
    """
    path = network_file(config)
    state, own = read_weights(path)[0], model.state_dict()
    classifier = [name for name in state if name.startswith("cls_head.fc_cls.")]
    other = [name for name in classifier if own[name].shape != state[name].shape]
    with torch.no_grad():
        return load_into(
            model,
            {name: tensor for name, tensor in state.items() if name not in other},
            f"{path.parent.parent.name}/{path.parent.name}",
        )
