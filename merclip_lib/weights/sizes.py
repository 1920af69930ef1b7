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

_LMHRA = "transformer.resblocks.0.lmhra1.pos_embed.1.weight"
_Shape = tuple[tuple[int, ...], dict[str, int]]  # how many dimensions; axis of each size
_TOLD_BY: dict[str, dict[str, _Shape]] = {  # by part of a checkpoint, and by name
    "vision": {
        "conv1.weight": ((4, 5), {"width": 0, "patch": -1}),  # (D, 3, p, p) or (D, 3, taps, p, p)
        "positional_embedding": ((2,), {}),
        "proj": ((2,), {"embed_dim": 1}),
        "to_cls_decoder.weight": ((2,), {"token_dim": 0}),
        "temporal_positional_embedding": ((3,), {"frames": 1}),
        _LMHRA: ((5,), {}),
    },
    "text": {
        "token_embedding.weight": ((2,), {"vocabulary": 0, "width": 1}),
        "positional_embedding": ((2,), {"context_length": 0}),
        "text_projection": ((2,), {"embed_dim": 1}),
    },
    "head": {"fc_cls.weight": ((2,), {"classes": 0, "width": 1})},
}
_OPTIONAL = {"proj", "to_cls_decoder.weight", "temporal_positional_embedding", _LMHRA}


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
    sizes: dict[str, dict[str, float]] = {}
    for part, told_by in _TOLD_BY.items():
        state, sizes_here = getattr(checkpoint, part), dict[str, float]()
        for name, (dimensions, axes) in told_by.items():
            if name not in state:
                continue
            shape = tuple(state[name].shape)
            if len(shape) not in dimensions or 0 in shape:
                wanted = f"{' or '.join(map(str, dimensions))} dimensions"
                other = "the file holds another network"
                raise ValueError(f"{source}: {name} has shape {shape}, not {wanted}; {other}")
            sizes_here |= {size: shape[axis] for size, axis in axes.items()}
        if told_by.keys() - _OPTIONAL <= state.keys():
            blocks = "blocks" if part == "head" else "transformer.resblocks"
            sizes[part] = sizes_here | {"layers": _blocks(state, blocks)}
    if "vision" in sizes:
        sizes["vision"] |= _more_of_vision(checkpoint.vision)
    return sizes


def _more_of_vision(vision: Mapping[str, Tensor]) -> dict[str, float]:
    """What takes more than one axis to tell."""
    kernel = vision["conv1.weight"].shape
    sizes: dict[str, float] = {
        "resolution": math.isqrt(len(vision["positional_embedding"]) - 1) * kernel[-1],
        "time taps": kernel[2] if len(kernel) == 5 else 1,
        "global blocks": _blocks(vision, "transformer.dec"),
    }
    if _LMHRA in vision:
        reduced, width = vision[_LMHRA].shape[:2]
        sizes["lmhra_reduction"] = round(width / reduced, 3)
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
