"""The sizes of a network, read from the shapes of its weights, and compared with ours."""

import math
from collections.abc import Mapping

from torch import Tensor

from merclip_lib.config import SIZES, ModelSize
from merclip_lib.weights.key_layouts import Checkpoint

# fields of ModelSize that must agree
_COMPARED = {
    "vision": ("width", "layers", "patch", "embed_dim", "token_dim"),
    "text": ("text_width", "text_layers", "embed_dim", "vocabulary"),
}

# Numbers of dimensions of the tensors by which sizes are told.
_DIMENSIONS = {
    "conv1.weight": (4, 5),
    "positional_embedding": (2,),
    "token_embedding.weight": (2,),
    "text_projection": (2,),
    "proj": (2,),
    "to_cls_decoder.weight": (2,),
    "fc_cls.weight": (2,),
    "transformer.resblocks.0.lmhra1.pos_embed.1.weight": (5,),
    "temporal_positional_embedding": (3,),
}


def sizes_in(checkpoint: Checkpoint, source: str = "") -> dict[str, dict[str, float]]:
    """Sizes that the shapes tell: pixels, channels, tokens, blocks, classes.

    Args:
        checkpoint: the parts of a weights file.
        source: name of the file, for the message of an error.

    Returns:
        Sizes by part (`vision`, `text`, `head`), without the parts that the file lacks. Frames
        are only known where a layout has an embedding of time.

    Raises:
        ValueError: a tensor has a shape from which no size can be told.
    """
    for part in (checkpoint.vision, checkpoint.text, checkpoint.head):
        for name, numbers in _DIMENSIONS.items():
            if name in part and (part[name].ndim not in numbers or not part[name].numel()):
                raise ValueError(
                    f"{source}: {name} has shape {tuple(part[name].shape)}, not "
                    f"{' or '.join(map(str, numbers))} dimensions; the file holds another network"
                )
    sizes, text, head = {}, checkpoint.text, checkpoint.head
    if {"conv1.weight", "positional_embedding"} <= checkpoint.vision.keys():
        sizes["vision"] = _vision_sizes(checkpoint.vision)
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


def _vision_sizes(vision: Mapping[str, Tensor]) -> dict[str, float]:
    kernel = vision["conv1.weight"].shape  # (D, 3, p, p) or (D, 3, taps, p, p)
    grid = math.isqrt(len(vision["positional_embedding"]) - 1)
    sizes: dict[str, float] = {
        "width": kernel[0],
        "layers": _blocks(vision, "transformer.resblocks"),
        "patch": kernel[-1],
        "resolution": grid * kernel[-1],
        "time taps": kernel[2] if len(kernel) == 5 else 1,
        "global blocks": _blocks(vision, "transformer.dec"),
    }
    if "proj" in vision:
        sizes["embed_dim"] = vision["proj"].shape[1]
    if "to_cls_decoder.weight" in vision:
        sizes["token_dim"] = vision["to_cls_decoder.weight"].shape[0]
    reduce = vision.get("transformer.resblocks.0.lmhra1.pos_embed.1.weight")
    if reduce is not None:
        sizes["lmhra_reduction"] = round(reduce.shape[1] / reduce.shape[0], 3)
    if "temporal_positional_embedding" in vision:
        sizes["frames"] = vision["temporal_positional_embedding"].shape[1]
    return sizes


def _blocks(state: Mapping[str, Tensor], stem: str) -> int:
    """How many numbers follow `stem` in the names."""
    return len({name[len(stem) + 1 :].split(".")[0] for name in state if name.startswith(stem)})


def fitting_size(sizes: Mapping[str, Mapping[str, float]]) -> str:
    """The name in `SIZES` whose video encoder (or else text tower) has these sizes, or ""."""
    part = "vision" if "vision" in sizes else "text"
    fit = (name for name, size in SIZES.items() if not _differences(part, sizes[part], size))
    return next(fit, "") if part in sizes else ""


def check_sizes(checkpoint: Checkpoint, size: ModelSize, part: str, source: str) -> None:
    """Refuse a part of a checkpoint that is made for another network.

    Args:
        checkpoint: the parts of a weights file.
        size: the network's sizes.
        part: `vision` or `text`; a file without it passes.
        source: name of the file, for the message of the error.

    Raises:
        ValueError: a size differs; the message names the `size` that fits, if there is one.
    """
    sizes = sizes_in(checkpoint, source)
    if part in sizes and (unlike := _differences(part, sizes[part], size)):
        fits = fitting_size(sizes)
        remedy = f"choose size {fits}" if fits else "choose a file made for this `size`"
        encoder = "video or image encoder" if part == "vision" else "text tower"
        raise ValueError(f"{source}: its {encoder} has {', '.join(unlike)}; {remedy}")


def _differences(part: str, sizes: Mapping[str, float], size: ModelSize) -> list[str]:
    """What is unlike, in words."""
    unlike = []
    for field in _COMPARED[part]:
        key, wanted = field.removeprefix("text_"), getattr(size, field)
        if key in sizes and sizes[key] != wanted:
            unlike.append(f"{key} {sizes[key]} (the network: {wanted})")
    reduction = sizes.get("lmhra_reduction")
    if size.lmhra and reduction and abs(reduction - size.lmhra_reduction) > 0.1:
        unlike.append(f"lmhra_reduction {reduction} (the network: {size.lmhra_reduction})")
    return unlike
