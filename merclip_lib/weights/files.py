"""Weights files: safetensors with a header that says what they are."""

import json
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from merclip_lib.config import ModelSize
from merclip_lib.files import replacing
from merclip_lib.weights import key_layouts
from merclip_lib.weights import published as published_weights


def save_weights(path: str | Path, state: dict[str, Tensor], header: dict) -> None:
    """Write tensors and a JSON header to a safetensors file, atomically."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"merclip": json.dumps(header, sort_keys=True)})


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """State (its names without wrappers and prefixes) and header of a weights file.

    Safetensors, or a torch file without code. Raises ValueError with one sentence when the file
    is absent, damaged, or no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such weights file; leave `weights` empty for the tiny ones")
    if path.suffix != ".safetensors":
        return key_layouts.unwrap(published_weights.read_torch_file(path), str(path)), {}
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("merclip", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:
        raise ValueError(published_weights.cannot_read(path, error)) from None
    return key_layouts.unwrap(state, str(path)), header


def size_header(size: ModelSize) -> dict:
    """Sizes as plain values, for the header of a weights file."""
    return asdict(size)
