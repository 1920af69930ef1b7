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

from merclip_lib.config import SIZES, ModelSize

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


class Checkpoint(NamedTuple):
    """The parts of a checkpoint under the names of this library."""

    layout: str  # a key of LAYOUTS
    vision: dict[str, Tensor]
    text: dict[str, Tensor]
    head: dict[str, Tensor]  # the Emotion Inference Module, or the linear layer in its place
    logit_scale: float | None
    other: list[str]  # names that have no place in MER-CLIP, as they stand in the file


def unwrap(content, where: str) -> dict[str, Tensor]:
    """The state dict in what a torch file holds, without wrappers (`state_dict`, `model`, ...)
    and prefixes (`module.`, `backbone.`, ...).

    Raises ValueError where there is none, or where two names become one.
    """
    while isinstance(content, Mapping):
        inner = [content[key] for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = inner[0]
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {k: v for k, v in content.items() if isinstance(k, str) and is_tensor(v)}
    if not tensors:
        raise ValueError(f"{where}: holds no state dict of tensors; name a checkpoint of weights")
    state = {}
    for name, tensor in tensors.items():
        while prefix := next((p for p in PREFIXES if name.startswith(p)), None):
            name = name.removeprefix(prefix)
        if name in state:
            raise ValueError(
                f"{where}: holds {name} twice, under different prefixes (two networks in one "
                "file?); save the state dict of one of them and name that file"
            )
        state[name] = tensor
    return state


def recognise(state: Mapping[str, Tensor], where: str) -> Checkpoint:
    """Sort the tensors of a state (see `unwrap`) into the parts of MER-CLIP.

    UniFormerV2's last LayerNorm is `transformer.proj.0` in the original names and
    `transformer.norm` in OpenMMLab's and ours; its classifier has no place here. (The authors'
    program matches names only, so it leaves that LayerNorm at its start.) ViCLIP's `temp`
    is the reciprocal of CLIP's logit scale. Raises ValueError for an unknown layout.
    """
    layout = layout_of(state, where)
    parts = {"vision": {}, "text": {}, "head": {}}
    scale, other = None, []
    for name, tensor in state.items():
        part, own_name = _place(layout, name)
        if part is None:
            other.append(name)
        elif part == "scale":
            scale = -math.log(tensor.item()) if name == "temp" else tensor.item()
        else:
            parts[part][own_name] = tensor
    return Checkpoint(layout, **parts, logit_scale=scale, other=other)


def layout_of(state: Mapping[str, Tensor], where: str) -> str:
    """The key of `LAYOUTS` that the names belong to. Raises ValueError for an unknown layout."""
    first = {name.split(".")[0] for name in state}
    towers = {"vision_encoder", "text_encoder"} & first
    if "vision_encoder.temporal_positional_embedding" in state or (towers and "temp" in state):
        return "ViCLIP"
    if "vision_encoder" in first:
        return "MER-CLIP"
    if "visual" in first and "visual.class_embedding" in state:
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
        f"{where}: its {len(state)} names ({shown}, ...) are of no known layout; known are: "
        f"{known}. CLIP must be a ViT; convert other files to one of these"
    )


def _place(layout: str, name: str) -> tuple[str | None, str]:
    """Part (`vision`, `text`, `head`, `scale`, or None) and our name of one tensor."""
    ours = {"vision_encoder.": "vision", "text_encoder.": "text"}
    if layout == "MER-CLIP":
        ours["cls_head."] = "head"
    elif layout == "CLIP":
        ours = {"visual.": "vision", "text.": "text"}  # `text.` in open_clip's two-tower files
    for prefix, part in ours.items():
        if name.startswith(prefix):
            return part, name.removeprefix(prefix)
    if name in ("logit_scale", "temp"):
        return "scale", name
    if layout in ("CLIP", "text tower"):
        at_root = ("transformer.", "token_embedding.", "positional_", "ln_final.", "text_proj")
        return ("text" if name.startswith(at_root) else None), name
    if layout in ("MER-CLIP", "ViCLIP"):
        return None, name
    if layout == "UniFormerV2":
        if name.startswith("transformer.proj.0."):
            return "vision", name.replace("proj.0", "norm")
        if name.startswith("transformer.proj."):
            return None, name
    return (None if name.startswith("cls_head.") else "vision"), name


def move_global_blocks(vision: dict[str, Tensor], count: int) -> tuple[dict, list[str], str]:
    """Give the global blocks of a file the numbers of a network that has `count` of them.

    Both sit after the last local blocks, so they are matched from the end: a block stays with
    its local block. (The 4 of Kinetics go to the last 4 of our 8; those before start as the
    identity.) Returns the renamed state, the names that fall away, and a sentence ("" for none).
    """
    numbers = [int(m[1]) for name in vision if (m := re.match(r"transformer\.dec\.(\d+)\.", name))]
    found = max(numbers, default=-1) + 1
    shift = count - found
    if not numbers or not count or not shift:
        return vision, [], ""
    moved, gone = {}, []
    for name, tensor in vision.items():
        if match := re.match(r"(transformer\.(?:dec|dpe)\.)(\d+)(\..*)", name):
            number = int(match[2]) + shift
            if number < 0:
                gone.append(name)
                continue
            name = f"{match[1]}{number}{match[3]}"
        moved[name] = tensor
    note = f"{found} global blocks in the file, {count} here: matched from the last one"
    return moved, gone, note


def sizes_in(checkpoint: Checkpoint) -> dict[str, dict[str, int | float]]:
    """Sizes that the shapes tell, by part. Pixels, channels, tokens, blocks, classes; frames are
    only known where a layout has an embedding of time."""
    _, vision, text, head, _, _ = checkpoint
    sizes = {}
    if {"conv1.weight", "positional_embedding"} <= vision.keys():
        kernel = vision["conv1.weight"].shape
        grid = math.isqrt(len(vision["positional_embedding"]) - 1)
        found = {
            "width": kernel[0],
            "layers": _blocks(vision, "transformer.resblocks"),
            "patch": kernel[-1],
            "resolution": grid * kernel[-1],
            "time taps": kernel[2] if len(kernel) == 5 else 1,
            "global blocks": _blocks(vision, "transformer.dec"),
        }
        if "proj" in vision:
            found["embed_dim"] = vision["proj"].shape[1]
        if "to_cls_decoder.weight" in vision:
            found["token_dim"] = vision["to_cls_decoder.weight"].shape[0]
        reduce = vision.get("transformer.resblocks.0.lmhra1.pos_embed.1.weight")
        if reduce is not None:
            found["lmhra_reduction"] = round(reduce.shape[1] / reduce.shape[0], 3)
        if "temporal_positional_embedding" in vision:
            found["frames"] = vision["temporal_positional_embedding"].shape[1]
        sizes["vision"] = found
    if {"token_embedding.weight", "positional_embedding", "text_projection"} <= text.keys():
        vocabulary, width = text["token_embedding.weight"].shape
        sizes["text"] = {
            "width": width,
            "layers": _blocks(text, "transformer.resblocks"),
            "embed_dim": text["text_projection"].shape[1],
            "context_length": len(text["positional_embedding"]),
            "vocabulary": vocabulary,
        }
    if "fc_cls.weight" in head:
        classes, width = head["fc_cls.weight"].shape
        sizes["head"] = {"width": width, "layers": _blocks(head, "blocks"), "classes": classes}
    return sizes


def _blocks(state: Mapping[str, Tensor], stem: str) -> int:
    """How many numbers follow `stem` in the names."""
    return len({name[len(stem) + 1 :].split(".")[0] for name in state if name.startswith(stem)})


def fitting_size(sizes: dict) -> str:
    """The name in `SIZES` whose video encoder (or else text tower) has these sizes, or ""."""
    for name, size in SIZES.items():
        if "vision" in sizes and not _differences(sizes["vision"], size):
            return name
        if "vision" not in sizes and "text" in sizes and not _text_differences(sizes["text"], size):
            return name
    return ""


def check_sizes(checkpoint: Checkpoint, size: ModelSize, part: str, where: str) -> None:
    """Raise ValueError when a part (`vision` or `text`) is made for another network than `size`."""
    sizes = sizes_in(checkpoint)
    if part not in sizes:
        return
    compare = _differences if part == "vision" else _text_differences
    if wrong := compare(sizes[part], size):
        fits = fitting_size(sizes)
        remedy = f"choose size {fits}" if fits else "choose a file made for this `size`"
        tower = "video or image tower" if part == "vision" else "text tower"
        raise ValueError(f"{where}: its {tower} has {', '.join(wrong)}; {remedy}")


def _differences(found: dict, size: ModelSize) -> list[str]:
    keys = ("width", "layers", "patch", "embed_dim", "token_dim")
    wrong = _unlike(found, size, {key: key for key in keys})
    reduction = found.get("lmhra_reduction")
    if size.lmhra and reduction and abs(reduction - size.lmhra_reduction) > 0.1:
        wrong.append(f"lmhra_reduction {reduction} (the network: {size.lmhra_reduction})")
    return wrong


def _text_differences(found: dict, size: ModelSize) -> list[str]:
    keys = {
        "width": "text_width",
        "layers": "text_layers",
        "embed_dim": "embed_dim",
        "vocabulary": "vocabulary",
    }
    return _unlike(found, size, keys)


def _unlike(found: dict, size: ModelSize, keys: dict[str, str]) -> list[str]:
    return [
        f"{key} {found[key]} (the network: {getattr(size, own)})"
        for key, own in keys.items()
        if key in found and found[key] != getattr(size, own)
    ]
