"""The network of a configuration with its pretrained weights: ours, or a published checkpoint.

Published layouts (`key_layouts`) are brought to our names, shapes that may differ are adapted
(`adapt`), and a `LoadReport` says what became of each parameter.
"""

from collections.abc import Mapping
from os.path import expanduser  # that of pathlib fails where there is no such user
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from merclip_lib.config import SIZES, Config, Method, ModelSize, size_of
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.text import unit_labels
from merclip_lib.text.bank import text_tower
from merclip_lib.weights import key_layouts, published
from merclip_lib.weights.adapt import LoadReport, adapt, load_into
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.key_layouts import Checkpoint
from merclip_lib.weights.sizes import check_sizes

BUNDLED = Path(__file__).parent / "assets" / "motion.safetensors"
TEXT = "text-tiny"  # the text tower of the tiny network, made apart from any encoder


class BuiltModel(NamedTuple):
    """A network and what became of its pretrained weights."""

    model: MERCLIP
    report: LoadReport | None  # None from scratch


def build_model(config: Config, classes: int) -> BuiltModel:
    """The network of a configuration, with its pretrained video encoder unless from scratch.

    The classifier always starts anew, as in the paper, also from a checkpoint that has one.

    Args:
        config: its `size`, `weights` and switches; `seed` draws whatever is not loaded, and the
            global generator of torch is set by it.
        classes: number of emotions.

    Raises:
        ValueError: the weights are absent, damaged, incomplete or of another size.
    """
    torch.manual_seed(config.seed)
    model = empty_network(config, classes)
    if not config.pretrained:
        return BuiltModel(model, None)
    path = weights_file(config)
    checkpoint = read_checkpoint(path)
    report = load_vision(model.vision_encoder, checkpoint, path.name)
    if checkpoint.logit_scale is not None:
        model.logit_scale.data.fill_(checkpoint.logit_scale)
    if checkpoint.layout.startswith("UniFormerV2") and config.normalisation == "clip":
        report.notes.append('the authors use these weights with normalisation="imagenet"')
    return BuiltModel(model, report)


def empty_network(method: Method, classes: int) -> MERCLIP:
    """The network of a configuration before any weights are loaded."""
    units = unit_labels.COUNT if method.use_text and method.align_with == "units" else 0
    return MERCLIP(size_of(method), classes, method.use_eim, units)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The parts of a weights file in any known layout.

    Raises:
        ValueError: the file is absent, damaged, or of no known layout.
    """
    return key_layouts.recognise(read_weights(path)[0], str(path))


def load_vision(encoder: VideoEncoder, checkpoint: Checkpoint, source: str) -> LoadReport:
    """Load the video (or image) encoder of a checkpoint.

    Args:
        encoder: the video encoder; it is changed.
        checkpoint: the parts of a weights file.
        source: name of the file, for the report and the message of an error.

    Raises:
        ValueError: there is none, CLIP's part of it is incomplete, or it was made for another
            size.
    """
    adapted, report = adapt_vision(encoder.state_dict(), encoder.size, checkpoint, source)
    encoder.load_state_dict(adapted)
    return report


def adapt_vision(
    current: Mapping[str, Tensor], size: ModelSize, checkpoint: Checkpoint, source: str
) -> tuple[dict[str, Tensor], LoadReport]:
    """`adapt` for the video encoder, global blocks matched; `current` may be on the meta device."""
    if "conv1.weight" not in checkpoint.vision:
        raise ValueError(
            f"{source}: no video or image encoder (conv1.weight is missing); name a CLIP "
            "checkpoint or weights of this library"
        )
    check_sizes(checkpoint, size, "vision", source)
    vision = key_layouts.move_global_blocks(checkpoint.vision, len(size.global_layers))
    adapted, report = adapt(current, vision.state, source)
    missing = [name for name in report.initial if _belongs_to_clip(name)]
    if missing:
        raise ValueError(
            f"{source}: {missing[0]} and {len(missing) - 1} more of CLIP's parameters are missing; "
            "the file is incomplete: fetch it again, or save the whole state dict"
        )
    report.layout = checkpoint.layout
    report.notes += filter(None, [vision.note])
    report.skipped += vision.left_out + checkpoint.other
    return adapted, report


def _belongs_to_clip(name: str) -> bool:
    """Whether a parameter of the video encoder is one that CLIP's image encoder has."""
    stem = ("conv1.", "class_embedding", "positional_embedding", "ln_pre.")
    return name.startswith(stem) or (".resblocks." in name and "lmhra" not in name)


def load_text_tower(method: Method) -> nn.Module:
    """The frozen text tower of a configuration, in evaluation mode.

    Raises:
        ValueError: its file is absent or damaged, or its text tower is absent, incomplete or of
            another size.
    """
    path, size = text_file(method), SIZES[method.size]
    tower, checkpoint = text_tower(size), read_checkpoint(path)
    check_sizes(checkpoint, size, "text", path.name)
    missing = load_into(tower, checkpoint.text, path.name).initial
    if missing:
        lacking = f"no text tower ({missing[0]} is missing)"
        raise ValueError(f"{path.name}: {lacking}; name a file that has one as `text_weights`")
    return tower.eval().requires_grad_(False)


def weights_file(method: Method) -> Path:
    """The weights that a configuration names, or for `merclip-tiny` those that come with us.

    These are the `motion` start of this number of frames, with or without temporal modules. A
    name of open_clip's, for example "openai", is downloaded.

    Raises:
        ValueError: a size has none, or a download fails.
    """
    if method.weights:
        return named_file(method.weights, method.size)
    if method.size != "merclip-tiny":
        raise ValueError(
            f'size {method.size} needs `weights`: "openai", or a checkpoint file '
            "(see README, Weights of the paper's size)"
        )
    shape = "" if method.temporal else "-frames"
    return bundled("motion-four" if method.frames == 4 and method.temporal else f"motion{shape}")


def text_file(method: Method) -> Path:
    """The file of the text tower: `text_weights`; else ours, or that of the video encoder."""
    if method.text_weights:
        return named_file(method.text_weights, method.size)
    ours = method.size == "merclip-tiny" and weights_file(method).parent == BUNDLED.parent
    return bundled(TEXT) if ours else weights_file(method)


def bundled_names() -> set[str]:
    """Names of the weights that come with us."""
    return {file.stem for file in BUNDLED.parent.glob("*.safetensors")}


def bundled(name: str) -> Path:
    """The file of weights that come with us."""
    return BUNDLED.with_name(f"{name}.safetensors")


def named_file(weights: str, size: str) -> Path:
    """The file that a value of `weights` names.

    Args:
        weights: a path, or the name of a file that comes with us or that open_clip can download.
        size: name of the network's size, a key of `SIZES`.

    Raises:
        ValueError: the name is unknown, or its download fails.
    """
    if not published.is_name(weights):
        return Path(expanduser(weights))
    return bundled(weights) if weights in bundled_names() else published.fetch(weights, size)
