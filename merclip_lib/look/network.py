"""The network that reads a clip: the `dfme` start that comes with the library, or that of any run.

Both are files as `weights.transfer.save_network` writes them: their header says the configuration,
the emotions, and whose faces were seen in training.
"""

from dataclasses import dataclass, replace

import torch

from merclip_lib.config import Config, config_from, size_of
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.load import bundled
from merclip_lib.weights.transfer import network_file

OURS = bundled("dfme")  # of SynthME; it has seen no person of the example


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        model: in evaluation mode.
        config: the configuration that it was trained under.
        classes: names of the emotions, in the order of the outputs.
        people: everybody it was trained on, as "dataset/subject".
    """

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
    path = network_file(replace(Config(), init_from=run)) if run else OURS
    state, header = read_weights(path)
    if not {"config", "classes", "people"} <= header.keys():
        raise ValueError(f"{path}: not the network of a run; train the run with keep_network=True")
    config, classes = config_from(header["config"]), tuple(header["classes"])
    with torch.random.fork_rng(devices=[]):
        model = MERCLIP(size_of(config), len(classes), config.use_eim)
    model.load_state_dict(state)
    return Network(model.eval(), config, classes, frozenset(header["people"]))
