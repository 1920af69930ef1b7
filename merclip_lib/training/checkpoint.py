"""The state of a training after each epoch, on disk: what `loop.fit` resumes from.

An interrupted training resumes after its last finished epoch and ends with the same weights, bit
for bit. The file holds the network, the optimiser, both sources of random numbers (the explicit
generator of the batches and torch's own, which drops out inside the network), the history and
what the caller recorded. It is written whole or not at all, and read without executing anything
(`weights_only`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from merclip_lib.config import config_hash
from merclip_lib.files import replacing, writing

if TYPE_CHECKING:
    from merclip_lib.training.loop import Training


def resume(training: Training, path: Path) -> None:
    """Put a training where the file at `path` left it, if there is one that belongs to it.

    Raises:
        ValueError: the folder cannot be written; this is seen before hours are spent.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b"probe")
    state = load(path, key_of(training))
    if state is None:
        return
    training.model.load_state_dict(state["model"])
    training.optimiser.load_state_dict(state["optimiser"])
    set_random_states(state["random"], training.generator)
    training.history[:], training.recorded[:] = state["history"], state["recorded"]


def save(training: Training, path: Path) -> None:
    """Write the whole state of a training.

    Raises:
        ValueError: see `write_state`.
    """
    state = {
        "key": key_of(training),
        "model": training.model.state_dict(),
        "optimiser": training.optimiser.state_dict(),
        "random": random_states(training.generator),
        "history": training.history,
        "recorded": training.recorded,
    }
    write_state(path, state)


def key_of(training: Training) -> str:
    """12 hex digits of what a state belongs to: the configuration, the clips, the network."""
    state, clips = training.model.state_dict(), training.data.clips
    shapes = [(name, tuple(tensor.shape)) for name, tensor in state.items()]
    positions = [clips.rows.tolist(), clips.labels.tolist()]
    digest = hashlib.sha256(repr((shapes, positions)).encode()).hexdigest()
    return config_hash(training.config, training=digest)


def random_states(generator: torch.Generator) -> dict[str, Tensor]:
    """The state of `generator`, of torch's generator and, where it is used, of the GPU's."""
    states = {"batches": generator.get_state(), "torch": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: dict[str, Tensor], generator: torch.Generator) -> None:
    """Undo every draw since `random_states`."""
    generator.set_state(states["batches"])
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])


def write_state(path: Path, state: dict) -> None:
    """Write a state (tensors and plain values) whole or not at all.

    Of several processes that train one network together (`protocol.several_gpus`) the first
    alone writes.

    Raises:
        ValueError: the folder cannot be written or the disk is full; what was at `path` before
            is then still there.
    """
    if not dist.is_initialized() or dist.get_rank() == 0:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:  # what torch makes of a full disk
                raise OSError(str(error)) from error
            file.flush()
            os.fsync(file.fileno())


def load(path: Path, key: str) -> dict | None:
    """The state at `path` if it belongs to `key`, else None.

    A file that is damaged or belongs to another training (other configuration, clips or
    network) is put aside as `<name>.damaged`: the training starts at epoch 0 and nothing is
    lost.
    """
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            sound = archive.testzip() is None  # torch itself does not look at the checksums
        state = torch.load(path, map_location="cpu", weights_only=True) if sound else {}
    except Exception:
        state = {}
    if isinstance(state, dict) and state.get("key") == key:
        return state
    with contextlib.suppress(FileNotFoundError):  # another process of this training was faster
        os.replace(path, path.with_name(f"{path.name}.damaged"))
    return None
