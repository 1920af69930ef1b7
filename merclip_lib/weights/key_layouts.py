"""Key layouts of published checkpoints, told apart by their parameter names.

Each is brought to the names of this library, which are those of the authors' program. Read from
the sources of: CLIP and open_clip, UniFormerV2 (OpenGVLab), its port in mmaction2 (OpenMMLab),
ViCLIP (InternVideo), MER-CLIP.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, is_tensor

WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state")
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")

LAYOUTS = {
    "MER-CLIP": "ours and the authors': vision_encoder.*, text_encoder.*, cls_head.*",
    "video encoder": "MER-CLIP's video encoder alone: conv1.*, transformer.*, to_cls_decoder.*",
    "CLIP": "OpenAI's and open_clip's: visual.*, transformer.*, token_embedding.*",
    "image tower": "of CLIP, alone: conv1.*, class_embedding, transformer.resblocks.*",
    "text tower": "of CLIP or ViCLIP, alone: token_embedding.*, text_projection",
    "UniFormerV2": "the original names: conv1.*, transformer.dec.*, transformer.proj.*",
    "UniFormerV2 (OpenMMLab)": "conv1.*, transformer.dec.*, transformer.norm.*, cls_head.fc_cls.*",
    "ViCLIP": "vision_encoder.temporal_positional_embedding, text_encoder.*, temp",
}

# Where a tensor belongs: (its name begins with, part of MER-CLIP, what stands there instead); the
# first rule that fits holds, and what fits none is "other".
_ENCODERS = [("vision_encoder.", "vision", ""), ("text_encoder.", "text", "")]
_TEXT_AT_ROOT = [
    (stem, "text", stem)
    for stem in ("transformer.", "token_embedding.", "positional_", "ln_final.", "text_proj")
]
_IMAGE_AT_ROOT = [*_ENCODERS, ("cls_head.", "other", "cls_head."), ("", "vision", "")]
_OLD_NORM = [
    ("transformer.proj.0.", "vision", "transformer.norm."),
    ("transformer.proj.", "other", "transformer.proj."),
]
_PLACES = {
    "MER-CLIP": [*_ENCODERS, ("cls_head.", "head", "")],
    "video encoder": _IMAGE_AT_ROOT,
    # `text.` stands in open_clip's files with two towers.
    "CLIP": [("visual.", "vision", ""), ("text.", "text", ""), *_TEXT_AT_ROOT],
    "image tower": _IMAGE_AT_ROOT,
    "text tower": [*_ENCODERS, *_TEXT_AT_ROOT],
    "UniFormerV2": [*_OLD_NORM, *_IMAGE_AT_ROOT],
    "UniFormerV2 (OpenMMLab)": _IMAGE_AT_ROOT,
    "ViCLIP": _ENCODERS,
}


class Checkpoint(NamedTuple):
    """The parts of a checkpoint under the names of this library."""

    layout: str  # a key of LAYOUTS
    vision: dict[str, Tensor]
    text: dict[str, Tensor]
    head: dict[str, Tensor]  # the Emotion Inference Module, or the linear layer in its place
    logit_scale: float | None
    other: list[str]  # names that have no place in MER-CLIP, as they stand in the file


def unwrap(content: object, source: str) -> dict[str, Tensor]:
    """The state dict in what a torch file holds.

    Args:
        content: what was read, perhaps with wrappers (`state_dict`, `model`, ...) around the
            state and prefixes (`module.`, `backbone.`, ...) before the names.
        source: name of the file, for the message of an error.

    Returns:
        Tensors by name, without wrappers and prefixes.

    Raises:
        ValueError: there is no state dict, or two names become one.
    """
    mapping: Mapping = content if isinstance(content, Mapping) else {}
    for key in WRAPPERS:
        if isinstance(mapping.get(key), Mapping):
            return unwrap(mapping[key], source)
    tensors = {k: v for k, v in mapping.items() if isinstance(k, str) and is_tensor(v)}
    if not tensors:
        raise ValueError(f"{source}: holds no state dict of tensors; name a checkpoint of weights")
    state = {}
    for name, tensor in tensors.items():
        while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
            name = name.removeprefix(prefix)
        if name in state:
            raise ValueError(
                f"{source}: holds {name} twice, under different prefixes (two networks in one "
                "file?); save the state dict of one of them and name that file"
            )
        state[name] = tensor
    return state


def recognise(state: Mapping[str, Tensor], source: str) -> Checkpoint:
    """Sort the tensors of a state into the parts of MER-CLIP.

    UniFormerV2's last LayerNorm is `transformer.proj.0` in the original names and
    `transformer.norm` in OpenMMLab's and ours; its classifier has no place here. (The authors'
    program matches names only, so it leaves that LayerNorm at its start.) ViCLIP's `temp` is the
    reciprocal of CLIP's logit scale.

    Args:
        state: tensors by name, see `unwrap`.
        source: name of the file, for the message of an error.

    Returns:
        The parts under our names.

    Raises:
        ValueError: the names are of no known layout.
    """
    layout = layout_of(state, source)
    parts: dict[str, dict[str, Tensor]] = {"vision": {}, "text": {}, "head": {}, "other": {}}
    scale = None
    for name, tensor in state.items():
        if name in ("logit_scale", "temp"):
            scale = -math.log(tensor.item()) if name == "temp" else tensor.item()
            continue
        part, our_name = _place(layout, name)
        parts[part][our_name] = tensor
    other = list(parts.pop("other"))
    return Checkpoint(layout, **parts, logit_scale=scale, other=other)


def _place(layout: str, name: str) -> tuple[str, str]:
    """Part (`vision`, `text`, `head` or `other`) and our name of one tensor."""
    for stem, part, our_stem in _PLACES[layout]:
        if name.startswith(stem):
            return part, our_stem + name.removeprefix(stem)
    return "other", name


def layout_of(state: Mapping[str, Tensor], source: str) -> str:
    """The key of `LAYOUTS` that the names belong to; ValueError when it is none of them."""
    roots = {name.split(".")[0] for name in state}
    encoders = {"vision_encoder", "text_encoder"} & roots
    if "vision_encoder.temporal_positional_embedding" in state or (encoders and "temp" in state):
        return "ViCLIP"
    if "vision_encoder" in roots:
        return "MER-CLIP"
    if "visual.class_embedding" in state:
        return "CLIP"
    if {"token_embedding.weight", "text_encoder.token_embedding.weight"} & state.keys():
        return "text tower"
    if {"conv1.weight", "class_embedding"} <= state.keys():
        if "to_cls_decoder.weight" in state:
            return "video encoder"
        if "transformer.norm.weight" in state:
            return "UniFormerV2 (OpenMMLab)"
        if "transformer.temporal_cls_token" in state or "transformer.proj.0.weight" in state:
            return "UniFormerV2"
        return "image tower"
    known = "; ".join(f"{layout} ({names})" for layout, names in LAYOUTS.items())
    shown = ", ".join(list(state)[:4])
    raise ValueError(
        f"{source}: its {len(state)} names ({shown}, ...) are of no known layout; known are: "
        f"{known}. CLIP must be a ViT; convert other files to one of these"
    )


class Renumbered(NamedTuple):
    """A video encoder's state whose global blocks have the numbers of another network."""

    state: dict[str, Tensor]
    left_out: list[str]  # names of blocks that the network has not
    note: str  # a sentence about it; "" when nothing was renumbered


def move_global_blocks(vision: dict[str, Tensor], count: int) -> Renumbered:
    """Give the global blocks of a file the numbers of a network that has `count` of them.

    Both sit after the last local blocks, so they are matched from the end: a block stays with
    its local block. (The 4 of Kinetics go to the last 4 of our 8; those before start as the
    identity.)
    """
    numbers = [int(m[1]) for name in vision if (m := re.match(r"transformer\.dec\.(\d+)\.", name))]
    in_file = max(numbers, default=-1) + 1
    shift = count - in_file
    if not numbers or not count or not shift:
        return Renumbered(vision, [], "")
    state, left_out = {}, []
    for name, tensor in vision.items():
        if match := re.match(r"(transformer\.(?:dec|dpe)\.)(\d+)(\..*)", name):
            number = int(match[2]) + shift
            if number < 0:
                left_out.append(name)
                continue
            name = f"{match[1]}{number}{match[3]}"
        state[name] = tensor
    note = f"{in_file} global blocks in the file, {count} here: matched from the last one"
    return Renumbered(state, left_out, note)
