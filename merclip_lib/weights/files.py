"""Weights files: safetensors with a header that says what they are."""

import json
from pathlib import Path

import torch
from torch import Tensor

from merclip_lib.files import replacing
from merclip_lib.weights import key_layouts, published

TOKENS = "token_embedding.weight"
PLACES = ".places"  # of the tokens in a table whose equal rows are stored once


def save_weights(path: str | Path, state: dict[str, Tensor], header: dict) -> None:
    """Write a safetensors file, whole or not at all, its folder too.

    Equal rows of a table of tokens are stored once, where most have an equal.

    Args:
        path: the file.
        state: tensors by name.
        header: what the file is, as JSON values.

    Raises:
        ValueError: the disk does not let us.
    """
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().contiguous() for name, tensor in state.items()}
    for name in [name for name in tensors if name.endswith(TOKENS)]:
        rows, places = tensors[name].unique(dim=0, return_inverse=True)
        if 2 * len(rows) < len(places):
            tensors[name], tensors[name + PLACES] = rows, places.to(torch.int32)
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
        for name in [name for name in state if name.endswith(TOKENS + PLACES)]:
            table = name.removesuffix(PLACES)
            state[table] = state[table][state.pop(name)]
    except Exception as error:
        raise ValueError(published.why_unreadable(path, error)) from None
    return key_layouts.unwrap(state, str(path)), header
