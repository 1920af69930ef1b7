"""Weights files: safetensors with a header that says what they are."""

import errno
import json
import re
from os.path import expanduser  # that of pathlib fails where there is no such user
from pathlib import Path

import torch
from torch import Tensor

from merclip_lib.files import Kind, replacing
from merclip_lib.weights import key_layouts, published

TOKENS = "token_embedding.weight"
PLACES = ".places"  # of the tokens in a table whose equal rows are stored once
WEIGHTS = Kind(('"__metadata__"', '"merclip"'))
_PART = re.compile(r"-0*([0-9]+)-of-0*([2-9]|[1-9][0-9]+)\.")  # model-00001-of-00002.safetensors


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
    path = Path(expanduser(path))
    try:
        if not path.is_file():  # a pipe would be waited for
            raise FileNotFoundError(errno.ENOENT, "not there, or no file")
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            is_safetensors = file.read(1) == b"{" and length < path.stat().st_size
    except OSError as error:
        absent = f"{str(path)[:200]}: no such weights file ({error.strerror})"
        raise ValueError(f"{absent}; leave `weights` empty for the tiny ones") from None
    if part := _PART.search(path.name):
        number = f"{path}: is number {part[1]} of {part[2]} files that belong together"
        raise ValueError(f"{number}; save all their tensors in one file and name that")
    if not is_safetensors:  # whatever the ending says
        state = key_layouts.unwrap(published.read_torch_file(path), str(path))
        if any(tensor.is_meta for tensor in state.values()):
            raise ValueError(f"{path}: its tensors have no values (meta); save the network again")
        for name, tensor in state.items():
            if tensor.numel() > path.stat().st_size:  # a view of a few values, repeated
                raise ValueError(f"{path}: {name} has more values than the file; save it whole")
        return state, {}
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            header = _header((file.metadata() or {}).get("merclip", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}
        for name in [name for name in state if name.endswith(TOKENS + PLACES)]:
            table = name.removesuffix(PLACES)
            state[table] = state[table][state.pop(name)]
    except Exception as error:
        raise ValueError(published.why_unreadable(path, error)) from None
    return key_layouts.unwrap(state, str(path)), header


def _header(text: str) -> dict:
    """What a file says of itself; {} where another program wrote something else there."""
    try:
        header = json.loads(text)
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}
