"""Key layouts of published checkpoints, told apart by their parameter names.

Each is brought to the names of this library, which are those of the authors' program. Read from
the sources of: CLIP and open_clip, UniFormerV2 (OpenGVLab), its port in mmaction2 (OpenMMLab),
ViCLIP (InternVideo), MER-CLIP.
"""

import contextlib
import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, is_tensor

WRAPPERS = tuple(
    "state_dict model model_state_dict model_state net network params weights module checkpoint "
    "state_dict_ema model_ema ema ema_state_dict params_ema".split()
)
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.")
_SHOWN = 60  # signs of a name in a message
_NESTED = 4  # wrappers around a state, or prefixes before its names

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
_PLACES = {  # of the other layouts: _IMAGE_AT_ROOT
    "MER-CLIP": [*_ENCODERS, ("cls_head.", "head", "")],
    # `text.` stands in open_clip's files with two towers.
    "CLIP": [("visual.", "vision", ""), ("text.", "text", ""), *_TEXT_AT_ROOT],
    "text tower": [*_ENCODERS, *_TEXT_AT_ROOT],
    "UniFormerV2": [*_OLD_NORM, *_IMAGE_AT_ROOT],
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
        ValueError: there is no state dict, or several, or two names become one.
    """
    for _ in range(_NESTED):
        mapping: Mapping = content if isinstance(content, Mapping) else {}
        tensors, inner = _tensors_of(mapping), _states_in(mapping)
        if not inner and not tensors:  # under a name that is new to us
            inner = [key for key, value in mapping.items() if _tensors_of(value)]
        if len(inner) > 1:
            raise ValueError(
                f"{source}: holds several states, {' and '.join(map(str, inner))} (one may be an "
                "average of the other); save the one that you mean and name that file"
            )
        if not inner:
            break
        content = mapping[inner[0]]
    if not tensors:
        keys = ", ".join(str(key)[:_SHOWN] for key in list(mapping)[:6])
        held = f"its keys are {keys}" if keys else f"it is a {type(content).__name__}"
        raise ValueError(
            f"{source}: holds no state dict of tensors ({held}); name a checkpoint of weights"
        )
    state = {}
    for name, tensor in tensors.items():
        while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
            name = name.removeprefix(prefix)
        if name in state:
            raise ValueError(
                f"{source}: holds {name[:_SHOWN]} twice, under different prefixes (two networks in "
                "one file?); save the state dict of one of them and name that file"
            )
        state[name] = tensor
    return state


def _tensors_of(mapping: object) -> dict[str, Tensor]:
    """The tensors that stand in a mapping under names, none for anything else."""
    items = mapping.items() if isinstance(mapping, Mapping) else ()
    return {key: value for key, value in items if isinstance(key, str) and is_tensor(value)}


def _states_in(mapping: Mapping, depth: int = _NESTED) -> list[str]:
    """The wrappers in a mapping that hold tensors, perhaps in further wrappers."""
    inner = {key: mapping[key] for key in WRAPPERS if isinstance(mapping.get(key), Mapping)}
    return [k for k, v in inner.items() if _tensors_of(v) or depth and _states_in(v, depth - 1)]


def check_values(name: str, tensor: Tensor, source: str) -> None:
    """Refuse a tensor that is no weight: of another kind, without values, NaN or infinite."""
    wrong = ""
    if tensor.layout != torch.strided or tensor.is_quantized:
        wrong = "is a sparse or quantised tensor"
    elif not tensor.is_floating_point():
        wrong = f"holds {str(tensor.dtype).removeprefix('torch.')}, not floating-point numbers"
    elif not tensor.is_meta and not tensor.float().isfinite().all():
        wrong = "holds NaN or infinity"
    if wrong:
        raise ValueError(
            f"{source}: {name[:_SHOWN]} {wrong}; the file is damaged or was saved otherwise than "
            "as weights: fetch or save it again"
        )


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
    layout, state = _without_prefix(state, source)
    parts: dict[str, dict[str, Tensor]] = {"vision": {}, "text": {}, "head": {}, "other": {}}
    scale = None
    for name, tensor in state.items():
        if name in ("logit_scale", "temp"):
            check_values(name, tensor, source)
            if tensor.numel() != 1 or (name == "temp" and tensor.item() <= 0):
                raise ValueError(f"{source}: {name} is {tensor.tolist()}, not one number above 0")
            scale = -math.log(tensor.item()) if name == "temp" else tensor.item()
            continue
        part, our_name = _place(layout, name)
        parts[part][our_name] = tensor
    other = list(parts.pop("other"))
    return Checkpoint(layout, **parts, logit_scale=scale, other=other)


def _without_prefix(state: Mapping[str, Tensor], source: str) -> tuple[str, Mapping[str, Tensor]]:
    """Layout and state, without what some programs write before all names (`net.`, `clip.`)."""
    inner = state
    for _ in range(_NESTED):
        with contextlib.suppress(ValueError):
            return layout_of(inner, source), inner
        if len({name.partition(".")[0] for name in inner}) > 1 or any("." not in n for n in inner):
            break
        inner = {name.partition(".")[2]: tensor for name, tensor in inner.items()}
    return layout_of(state, source), state


def _place(layout: str, name: str) -> tuple[str, str]:
    """Part (`vision`, `text`, `head` or `other`) and our name of one tensor."""
    for stem, part, our_stem in _PLACES.get(layout, _IMAGE_AT_ROOT):
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
    shown = ", ".join(name[:_SHOWN] for name in list(state)[:4])
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
