"""Weights files from elsewhere: fetched by name, known by checksum, read without running code.

`weights="openai"` (or another tag) is downloaded once by open_clip and kept in its cache. Only
tags trained with QuickGELU are offered: our blocks have it, and with another activation an
encoder gives other outputs.
"""

import hashlib
import re
import warnings
import zipfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

MODELS = {"ViT-B-16": "ViT-B-16-quickgelu", "ViT-L-14": "ViT-L-14-quickgelu"}


def is_name(weights: str) -> bool:
    """Whether `weights` is meant as a name: nothing of a path in it, and no such file."""
    path = Path(weights)
    try:
        return not path.suffix and path.name == weights and not path.exists()
    except OSError:  # too long for a name
        return False


@cache
def fetch(name: str, size: str) -> Path:
    """Download, once, the weights that open_clip knows by a name.

    Args:
        name: such as "openai".
        size: name of the network's size, a key of `config.SIZES`.

    Returns:
        The local file.

    Raises:
        ValueError: the name is unknown, or the download fails; then the message says what to
            fetch by hand.
    """
    absent = f"weights {name!r}: no such file, and no"
    if size not in MODELS:
        sizes = ", ".join(MODELS)
        raise ValueError(f"{absent} weights are published for size {size}; known sizes: {sizes}")
    from open_clip import list_pretrained_tags_by_model
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    tags = list_pretrained_tags_by_model(MODELS[size])
    if name not in tags:
        names = f"open_clip name of a {size} with QuickGELU; known names: {', '.join(tags)}"
        raise ValueError(f"{absent} {names}")
    source = get_pretrained_cfg(MODELS[size], name)
    try:
        # The plain address first: OpenAI's holds the checksum, and fails at once without network.
        return Path(download_pretrained(source, prefer_hf_hub=False))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        failed = f"weights {name!r}: cannot be downloaded ({reason})"
        raise ValueError(f"{failed}. {_by_hand(source)}") from None


def _by_hand(source: dict) -> str:
    """How to get a file of open_clip's table without open_clip."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME

    url, repository = source["url"], source["hf_hub"].rstrip("/")
    of_hub = f"{HF_SAFE_WEIGHTS_NAME} of the model repository {repository}" if repository else ""
    name = url.rsplit("/", 1)[-1] or HF_SAFE_WEIGHTS_NAME
    places = ", or ".join(filter(None, (url, of_hub)))
    return f"By hand: fetch {places}, and name it: weights=/path/to/{name}"


@cache
def openai_files() -> dict[str, str]:
    """SHA-256 -> name of OpenAI's published files; their addresses hold it before the name."""
    import open_clip
    from open_clip.pretrained import get_pretrained_url

    return {
        before[1]: f"OpenAI's CLIP {model.removesuffix('-quickgelu')}"
        for model, tag in open_clip.list_pretrained()
        if (before := re.search(r"/([0-9a-f]{64})/[^/]*$", get_pretrained_url(model, tag)))
    }


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identify(path: Path, checksum: str) -> str:
    """What a checksum says of a file, in words.

    Args:
        path: the file. OpenMMLab ends its file names with the first 8 digits of the SHA-256.
        checksum: its SHA-256.

    Returns:
        The name of a known public file, "as its name promises", that it is not what its name
        promises, or that it is unknown.
    """
    if checksum in openai_files():
        return openai_files()[checksum]
    promised = re.search(r"_\d{8}-([0-9a-f]{8})\.pth$", path.name)
    if promised and not checksum.startswith(promised[1]):
        return f"NOT what its name promises ({promised[1]}): damaged or renamed, fetch it again"
    return "as its name promises" if promised else "not in the table of public files"


def read_torch_file(path: Path) -> object:
    """What a torch file holds, tensors and plain values alone; no code of the file is run.

    Raises:
        ValueError: the file is damaged, or holds more than that.
    """
    try:
        if not _is_torchscript(path):
            with torch.serialization.safe_globals([(_Unread, name) for name in _RECORDS]):
                with path.open("rb") as file:  # so that the ending decides nothing
                    return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(why_unreadable(path, error)) from None
    return _read_torchscript(path)


class _Unread:
    """Stands in for the loss histories beside the weights in OpenMMLab's training checkpoints.

    What they hold is thrown away, and none of their code runs.
    """

    def __new__(cls, *_):
        return super().__new__(cls)

    def __setstate__(self, state):
        pass


_RECORDS = (
    "mmengine.logging.history_buffer.HistoryBuffer builtins.getattr numpy.dtype numpy.ndarray "
    "numpy.core.multiarray._reconstruct numpy._core.multiarray._reconstruct "
    "numpy.core.multiarray.scalar numpy._core.multiarray.scalar"
).split()


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _read_torchscript(path: Path) -> dict[str, Tensor]:
    """The state of a TorchScript archive, as OpenAI publishes CLIP.

    Such an archive holds code, so only OpenAI's own files are opened, known by their SHA-256.
    """
    if sha256(path) not in openai_files():
        wrong = "is a TorchScript archive, which holds code, and not one that OpenAI published"
        how = 'torch.save(torch.jit.load(FILE).state_dict(), "state.pt")'
        remedy = f"if you trust it, save its state alone and name that file: {how}"
        raise ValueError(f"{path}: {wrong}; {remedy}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch gives TorchScript up one day
        return torch.jit.load(path, map_location="cpu").state_dict()


def why_unreadable(path: Path, error: Exception) -> str:
    """One sentence on why a file could not be read, and what to do."""
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    why, remedy = f"{type(error).__name__}: the file is damaged", "fetch it again"
    if start.startswith((b"<!doctype", b"<html")):
        why, remedy = "it is a web page, saved instead of the file", "fetch the file itself"
    elif start.startswith(b"version https://git-lfs"):
        why, remedy = "it is a Git LFS pointer", "fetch what it stands for with `git lfs pull`"
    elif start.startswith(b"{") and b"weight_map" in path.read_bytes():
        why = "it is the index of weights in several files"
        how = "read each with safetensors.torch.load_file, and save all tensors in one file"
        remedy = f"join these: {how}"
    elif "Unsupported global" in str(error):
        why = "it holds more than tensors, and objects from a file could run code"
        how = 'torch.save(torch.load(FILE, weights_only=False)["state_dict"], "state.pt")'
        remedy = f"if you trust it, save its state dict alone and name that file: {how}"
    return f"{path}: cannot be read as weights ({why}); {remedy}"
