"""Weights in and out: the bundled tiny ones, our own files, and published checkpoints.

Files of ours are safetensors whose header says what they hold and how they were made. Foreign
checkpoints (layouts: `merclip_lib.checkpoints`) are read with `weights_only=True`, so a file can
never run code. Loading returns a `LoadReport`.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from merclip_lib.config import SIZES, Config, ModelSize, size_of
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.text.bank import text_tower
from merclip_lib.weights import key_layouts
from merclip_lib.weights import published as published_weights
from merclip_lib.weights.adapt import LoadReport, adapt, load_into
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.key_layouts import Checkpoint

BUNDLED = Path(__file__).parent / "assets" / "merclip-tiny.safetensors"


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The parts of a weights file in any known layout. Raises ValueError as `read_weights`."""
    return key_layouts.recognise(read_weights(path)[0], str(path))


def split_towers(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(video or image tower, text tower) of a state in any known layout."""
    parts = key_layouts.recognise(state, "weights")
    return parts.vision, parts.text


def build_model(config: Config, classes: int) -> tuple[MERCLIP, LoadReport | None]:
    """The network of a configuration, with its pretrained video encoder unless from scratch.

    The classifier always starts anew, as in the paper, also from a checkpoint that has one.
    """
    torch.manual_seed(config.seed)  # initial values of whatever is not loaded
    model = MERCLIP(size_of(config), classes, config.use_eim)
    if not config.pretrained:
        return model, None
    path = weights_file(config)
    parts = read_checkpoint(path)
    report = load_vision(model.vision_encoder, parts, path.name)
    if parts.logit_scale is not None:
        model.logit_scale.data.fill_(parts.logit_scale)
    if parts.layout.startswith("UniFormerV2") and config.normalisation == "clip":
        report.notes.append('the authors use these weights with normalisation="imagenet"')
    return model, report


def load_vision(encoder: VideoEncoder, parts: Checkpoint, source: str) -> LoadReport:
    """Load the video (or image) tower of a checkpoint.

    Raises ValueError when there is none, when CLIP's part of it is incomplete, or when it was
    made for another size.
    """
    own, report = _adapt_vision(encoder.state_dict(), encoder.size, parts, source)
    encoder.load_state_dict(own)
    return report


def _adapt_vision(own: dict, size: ModelSize, parts: Checkpoint, source: str):
    """`adapt` for the video encoder; `own` may be on the meta device."""
    if "conv1.weight" not in parts.vision:
        raise ValueError(
            f"{source}: no video or image tower (conv1.weight is missing); name a CLIP "
            "checkpoint or weights of this library"
        )
    key_layouts.check_sizes(parts, size, "vision", source)
    vision, gone, note = key_layouts.move_global_blocks(parts.vision, len(size.global_layers))
    own, report = adapt(own, vision, source)
    missing = [name for name in report.initial if _is_clips(name)]
    if missing:
        raise ValueError(
            f"{source}: {missing[0]} and {len(missing) - 1} more of CLIP's parameters are missing; "
            "the file is incomplete: fetch it again, or save the whole state dict"
        )
    report.layout, report.notes = parts.layout, report.notes + [note] * bool(note)
    report.skipped += gone + parts.other
    return own, report


def _is_clips(name: str) -> bool:
    """Whether a parameter of the video encoder is one that CLIP's image tower has."""
    stem = ("conv1.", "class_embedding", "positional_embedding", "ln_pre.")
    return name.startswith(stem) or (".resblocks." in name and "lmhra" not in name)


def load_checkpoint(model: MERCLIP, path: str | Path) -> LoadReport:
    """Load all that a file holds of MER-CLIP: video encoder, classifier, alignment scale, and
    the text tower where the model has one (`model.text_encoder`).

    The classifier is left at its start, with a note, unless its classes and layers are those of
    the file. Raises ValueError as `load_vision`.
    """
    source, parts = Path(path).name, read_checkpoint(path)
    report = LoadReport(source, layout=parts.layout)
    report.add(load_vision(model.vision_encoder, parts, source), "vision_encoder.")
    _load_head(model.cls_head, parts, report)
    if parts.logit_scale is None:
        report.initial.append("logit_scale")
    else:
        model.logit_scale.data.fill_(parts.logit_scale)
        report.loaded.append("logit_scale")
    if hasattr(model, "text_encoder") and parts.text:
        report.add(
            _load_text(model.text_encoder, model.vision_encoder.size, parts, source),
            "text_encoder.",
        )
    else:
        report.skipped += [f"text_encoder.{name}" for name in parts.text]
    return report


def _load_head(head: nn.Module, parts: Checkpoint, report: LoadReport) -> None:
    """Load the classifier if every shape agrees."""
    own = head.state_dict()
    if {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in parts.head.items()}:
        head.load_state_dict(parts.head)
        report.loaded += [f"cls_head.{name}" for name in own]
        return
    report.initial += [f"cls_head.{name}" for name in own]
    report.skipped += [f"cls_head.{name}" for name in parts.head]
    if parts.head:
        found = key_layouts.sizes_in(parts).get("head", {}).get("classes", "?")
        report.notes.append(
            f"classifier left at its start: {found} classes in the file, "
            f"{len(own['fc_cls.weight'])} here, or another depth"
        )


def load_text_tower(config: Config) -> nn.Module:
    """The frozen text tower of a configuration, in evaluation mode."""
    path, size = text_file(config), SIZES[config.size]
    tower = text_tower(size)
    _load_text(tower, size, read_checkpoint(path), path.name)
    return tower.eval().requires_grad_(False)


def _load_text(tower: nn.Module, size: ModelSize, parts: Checkpoint, source: str) -> LoadReport:
    """Load a text tower. Raises ValueError when it is absent, incomplete or of another size."""
    key_layouts.check_sizes(parts, size, "text", source)
    report = load_into(tower, parts.text, source)
    if report.initial:
        raise ValueError(
            f"{source}: no text tower ({report.initial[0]} is missing); name a file that has one "
            "as `text_weights`"
        )
    report.layout = parts.layout
    return report


def weights_file(config: Config) -> Path:
    """The weights a configuration names, or the bundled ones for `merclip-tiny`.

    A name of open_clip's, for example "openai", is downloaded. Raises ValueError when a size has
    none, or a download fails.
    """
    if not config.weights and config.size != "merclip-tiny":
        raise ValueError(
            f'size {config.size} needs `weights`: "openai", or a checkpoint file '
            "(see README, Weights of the paper's size)"
        )
    return locate(config.weights, config.size) if config.weights else BUNDLED


def text_file(config: Config) -> Path:
    """The file of the text tower: `text_weights`, or else that of the video encoder."""
    if config.text_weights:
        return locate(config.text_weights, config.size)
    return weights_file(config)


def locate(weights: str, size: str) -> Path:
    """A path as it stands, or the file of a name: one that comes with us, or a downloaded one."""
    if not published_weights.is_name(weights):
        return Path(weights)
    ours = BUNDLED.with_name(f"{weights}.safetensors")
    return ours if ours.is_file() else published_weights.fetch(weights, size)
