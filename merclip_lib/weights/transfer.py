"""Transfer: the trained network of one run is the start of another (paper: DFME, then CAS(ME)3).

A run keeps its networks where it was asked to (`cross_validate(..., keep_network=True)`). Their
headers say whose faces they have seen, so that nobody is tested on a network that knows them.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from torch import nn

from merclip_lib.config import Config, Method
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.weights.adapt import LoadReport, load_into
from merclip_lib.weights.files import read_weights, save_weights
from merclip_lib.weights.load import build_model, bundled, bundled_names

NETWORK = "network.safetensors"


class StartNetwork(NamedTuple):
    """The network with which a training begins, and what became of the weights it was given."""

    model: MERCLIP
    weights: LoadReport | None  # None from scratch
    transfer: LoadReport | None  # None without `init_from`


def start_network(config: Config, classes: int) -> StartNetwork:
    """The network as training begins: pretrained weights, or the network of another run.

    Raises:
        ValueError: the weights are not there or do not fit; see `build_model`, `start_from`.
    """
    model, report = build_model(config, classes)
    return StartNetwork(model, report, start_from(model, config) if config.init_from else None)


def save_network(
    path: Path, model: nn.Module, config: Config, classes: tuple[str, ...], people: Iterable[str]
) -> None:
    """Write a trained network with a header that says whom it has seen.

    Args:
        path: the file.
        model: the network.
        config: the configuration that it was trained under.
        classes: names of the emotions, in the order of the outputs.
        people: everybody it was trained on, as "dataset/subject"; whoever the network that it
            started from has seen is added.

    Raises:
        ValueError: the disk does not let us.
    """
    seen = set(people) | set(people_of(config) if config.init_from else [])
    header = {"config": asdict(config), "classes": list(classes), "people": sorted(seen)}
    save_weights(path, model.state_dict(), header)


def network_file(method: Method) -> Path:
    """The stored network that `init_from` names: one that comes with us ("dfme"), a run, run/fold.

    Raises:
        ValueError: there is none, or one per fold.
    """
    folder = Path(method.init_from)
    if method.init_from in bundled_names():
        return bundled(method.init_from)
    if (folder / NETWORK).is_file():
        return folder / NETWORK
    networks = sorted(folder.glob(f"*/{NETWORK}"))
    if len(networks) == 1:
        return networks[0]
    if networks:
        raise ValueError(
            f"init_from {method.init_from!r} has {len(networks)} networks, one per fold; name one, "
            f"such as {folder.name}/{networks[0].parent.name}"
        )
    raise ValueError(
        f"init_from {method.init_from!r}: no {NETWORK} there; name a finished run and train it "
        "with keep_network=True"
    )


def people_of(method: Method) -> list[str]:
    """Everybody the network named by `init_from` was trained on, as "dataset/subject".

    Raises:
        ValueError: there is no such network, or it does not say.
    """
    path = network_file(method)
    header = read_weights(path)[1]
    if "people" not in header:
        raise ValueError(f"{path}: does not say whom it was trained on; train that run again")
    return header["people"]


def check_people(method: Method, held_out: Iterable[str]) -> None:
    """Refuse a start that knows the people a run is tested on.

    Args:
        method: its `init_from` names the start.
        held_out: everybody the run is tested on, as "dataset/subject".

    Raises:
        ValueError: the network has been trained on one of them (leakage).
    """
    known = {name.lower() for name in people_of(method)} & {name.lower() for name in held_out}
    if known:
        raise ValueError(
            f"init_from {method.init_from!r} was trained on {min(known)}, one of {len(known)} "
            "people held out here whom it knows; start from a run on other people"
        )


def start_from(model: nn.Module, method: Method) -> LoadReport:
    """Copy the network named by `init_from` into another.

    Args:
        model: the network; it is changed. A classifier of another number of classes stays at its
            initial value and is listed in the report.
        method: its `init_from` names the start.

    Raises:
        ValueError: another shape differs: that network has another size.
    """
    path = network_file(method)
    state, current = read_weights(path)[0], model.state_dict()
    classifier = [name for name in state if name.startswith("cls_head.fc_cls.")]
    unlike = [name for name in classifier if current[name].shape != state[name].shape]
    fitting = {name: tensor for name, tensor in state.items() if name not in unlike}
    return load_into(model, fitting, f"{path.parent.parent.name}/{path.parent.name}")
