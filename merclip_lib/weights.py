"""Weights in and out: the bundled tiny ones, our own files, and CLIP checkpoints.

Files of ours are safetensors whose header says what they hold and how they were made. Foreign
checkpoints are read with `weights_only=True`, so a file can never run code. Loading returns a
report that names what was loaded, inflated from 2-D, resized, skipped or left at its start.
"""

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.config import SIZES, Config, ModelSize, size_of
from merclip_lib.model import MERCLIP, text_tower

BUNDLED = Path(__file__).parent / "assets" / "merclip-tiny.safetensors"
TOKENIZER = "ViT-B-16-quickgelu"  # CLIP's own byte-pair encoding, shipped with open_clip


@dataclass
class LoadReport:
    """Parameter names by what became of them."""

    source: str
    loaded: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    initial: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{len(names)} {what}" for what, names in asdict(self).items() if what != "source"]
        return f"{self.source}: {', '.join(parts)}"


def save_weights(path: str | Path, state: dict[str, Tensor], header: dict) -> None:
    """Write tensors and a JSON header to a safetensors file, atomically."""
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    save_file(
        {name: tensor.detach().contiguous() for name, tensor in state.items()},
        temporary,
        metadata={"merclip": json.dumps(header, sort_keys=True)},
    )
    os.replace(temporary, path)


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """State and header of a weights file (.safetensors, or a torch file without code).

    Raises ValueError with one sentence when the file is absent, damaged, or no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such weights file; leave `weights` empty for the tiny ones")
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                header = json.loads((file.metadata() or {}).get("merclip", "{}"))
                return {name: file.get_tensor(name) for name in file.keys()}, header
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path}: cannot be read as weights ({type(error).__name__}: it is damaged, or holds "
            "more than tensors); fetch it again"
        ) from None
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not any(torch.is_tensor(v) for v in state.values()):
        raise ValueError(f"{path}: holds no state dict of tensors; name a checkpoint of weights")
    return {k.removeprefix("module."): v for k, v in state.items() if torch.is_tensor(v)}, {}


def split_towers(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(video or image tower, text tower) of a state in our layout or in CLIP's.

    Ours: `vision_encoder.*` and `text_encoder.*`. CLIP's: `visual.*`, text keys at the root.
    """
    vision, text = {}, {}
    prefixes = {"vision_encoder.": vision, "visual.": vision, "text_encoder.": text}
    at_root = ("transformer.", "token_embedding", "positional_", "ln_final", "text_")
    for name, tensor in state.items():
        for prefix, tower in prefixes.items():
            if name.startswith(prefix):
                tower[name.removeprefix(prefix)] = tensor
                break
        else:
            if name.startswith(at_root):
                text[name] = tensor
    return vision, text


def load_into(module: nn.Module, state: dict[str, Tensor], source: str) -> LoadReport:
    """Copy what fits by name, adapting the shapes that may differ; say what happened.

    A 2-D patch kernel is inflated into the centre time tap of the stem; a stem with three taps
    loaded into one is summed over time (the same answer to a static clip); positional embeddings
    of another resolution are interpolated. Any other disagreement of shapes raises ValueError:
    the file belongs to a network of another size.
    """
    report, own = LoadReport(source), module.state_dict()
    for name, tensor in state.items():
        if name not in own:
            report.skipped.append(name)
            continue
        target, tensor = own[name], tensor.to(own[name].dtype)
        if tensor.shape == target.shape:
            report.loaded.append(name)
        elif name == "conv1.weight" and tensor.ndim == 4 and tensor.shape == target[:, :, 0].shape:
            inflated = torch.zeros_like(target)
            inflated[:, :, target.shape[2] // 2] = tensor
            tensor = inflated
            report.inflated.append(name)
        elif name == "conv1.weight" and tensor.ndim == 5 and target.shape[2] == 1:
            tensor = tensor.sum(2, keepdim=True)
            report.resized.append(name)
        elif name == "positional_embedding" and _of_grids(tensor, target):
            tensor = resize_positions(tensor, len(target))
            report.resized.append(name)
        else:
            raise ValueError(
                f"{source}: {name} has shape {tuple(tensor.shape)}, the network wants "
                f"{tuple(target.shape)}; choose the `size` that these weights were made for"
            )
        own[name] = tensor
    module.load_state_dict(own)
    seen = {*report.loaded, *report.inflated, *report.resized}
    report.initial = [name for name in own if name not in seen]
    return report


def _of_grids(*positions: Tensor) -> bool:
    """Whether all are (1 + g*g, D) with the same D: an image tower's, not a text tower's."""
    squares = all(math.isqrt(len(p) - 1) ** 2 == len(p) - 1 for p in positions)
    return squares and len({p.shape[1:] for p in positions}) == 1


def resize_positions(positions: Tensor, length: int) -> Tensor:
    """Interpolate a (1 + g*g, D) positional embedding bicubically to (length, D)."""
    old, new = round((len(positions) - 1) ** 0.5), round((length - 1) ** 0.5)
    grid = positions[1:].T.view(1, -1, old, old)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], grid.flatten(2)[0].T])


def build_model(config: Config, classes: int) -> tuple[MERCLIP, LoadReport | None]:
    """The network of a configuration, with its pretrained video encoder unless from scratch."""
    torch.manual_seed(config.seed)  # initial values of whatever is not loaded
    model = MERCLIP(size_of(config), classes, config.use_eim)
    if not config.pretrained:
        return model, None
    state, _ = read_weights(weights_file(config))
    report = load_into(model.vision_encoder, split_towers(state)[0], weights_file(config).name)
    if "conv1.weight" in report.initial:
        raise ValueError(
            f"{report.source}: no video or image tower (conv1.weight is missing); name a CLIP "
            "checkpoint or weights of this library"
        )
    if "logit_scale" in state:
        model.logit_scale.data.fill_(state["logit_scale"].item())
    return model, report


def load_text_tower(config: Config) -> nn.Module:
    """The frozen text tower of a configuration, in evaluation mode."""
    state, _ = read_weights(weights_file(config))
    tower = text_tower(SIZES[config.size])
    report = load_into(tower, split_towers(state)[1], weights_file(config).name)
    if report.initial:
        raise ValueError(f"{report.source}: no text tower ({report.initial[0]} is missing)")
    return tower.eval().requires_grad_(False)


def weights_file(config: Config) -> Path:
    """The named weights, or the bundled ones for `merclip-tiny`."""
    if not config.weights and config.size != "merclip-tiny":
        raise ValueError(
            f"size {config.size} needs `weights`: name a CLIP checkpoint file "
            "(see README, Weights of the paper's size)"
        )
    return Path(config.weights) if config.weights else BUNDLED


def tokenizer():
    """CLIP's tokenizer: list of sentences -> (N, 77) token numbers."""
    import open_clip

    return open_clip.get_tokenizer(TOKENIZER)


def size_header(size: ModelSize) -> dict:
    """Sizes as plain values, for the header of a weights file."""
    return asdict(size)
