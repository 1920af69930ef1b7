"""Weights files: safetensors with a header that says what they are."""

import json
from pathlib import Path

from torch import Tensor

from merclip_lib.files import Kind, replacing
from merclip_lib.weights import key_layouts, published

WEIGHTS = Kind(('"__metadata__"', '"merclip"'))


def save_weights(path: str | Path, state: dict[str, Tensor], header: dict) -> None:
    """Write a safetensors file, whole or not at all, its folder too.

    Args:
        path: the file.
        state: tensors by name.
        header: what the file is, as JSON values.

    Raises:
        ValueError: the disk does not let us.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"merclip": json.dumps(header, sort_keys=True)})


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read a safetensors file, or a torch file of which no code is run.

    Args:
        path: the file.

    Returns:
        Tensors by name, without wrappers and prefixes, and the header ({} for files of others).

    Raises:
        ValueError: the file is absent, damaged, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such weights file; leave `weights` empty for the tiny ones")
    if path.suffix != ".safetensors":
        return key_layouts.unwrap(published.read_torch_file(path), str(path)), {}
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("merclip", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:
        raise ValueError(published.why_unreadable(path, error)) from None
    return key_layouts.unwrap(state, str(path)), header
