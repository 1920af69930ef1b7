"""Copying a state into a network, adapting the shapes that may differ, with a report.

The report names what was loaded, inflated from 2-D, resized, skipped or left at its start.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.weights.key_layouts import check_values

OUTCOMES = ("loaded", "inflated", "resized", "skipped", "initial")


@dataclass
class LoadReport:
    """Parameter names by what became of them.

    Attributes:
        source: name of the file.
        loaded: copied as they are.
        inflated: a 2-D patch kernel in the centre time tap of the 3-D stem.
        resized: summed over time, or interpolated to another resolution or sentence length.
        skipped: in the file, without a place in the network.
        initial: in the network, not in the file: left at their initial values.
        layout: a key of `key_layouts.LAYOUTS`.
        notes: sentences about what a user should know.
    """

    source: str
    loaded: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    initial: list[str] = field(default_factory=list)
    layout: str = ""
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line of counts."""
        layout = f" ({self.layout})" if self.layout else ""
        counts = [f"{len(getattr(self, outcome))} {outcome}" for outcome in OUTCOMES]
        return f"{self.source}{layout}: {', '.join(counts)}"

    def counts(self) -> dict:
        """Plain values, for a run's record."""
        numbers = {outcome: len(getattr(self, outcome)) for outcome in OUTCOMES}
        return {"source": self.source, "layout": self.layout, **numbers, "notes": self.notes}

    def table(self) -> str:
        """Outcome, count and module, a line each; then the notes."""
        lines = [str(self)]
        for outcome in OUTCOMES:
            for module, count in Counter(map(_module_of, getattr(self, outcome))).items():
                lines.append(f"  {outcome:<9}{count:>5}  {module}")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])

    def add(self, other: "LoadReport", prefix: str) -> None:
        """Take in the report of a part of the network, whose names get a prefix."""
        for outcome in OUTCOMES:
            getattr(self, outcome).extend(prefix + name for name in getattr(other, outcome))
        self.notes.extend(other.notes)


def _module_of(name: str) -> str:
    """`transformer.resblocks.3.lmhra1.pos_embed.0.bias` -> `transformer.resblocks, lmhra`."""
    words = name.split(".")
    number = next((i for i, word in enumerate(words) if word.isdigit()), None)
    if number is None:
        return name.removesuffix(".weight").removesuffix(".bias")
    return ".".join(words[:number]) + (", lmhra" if "lmhra" in name else "")


def load_into(module: nn.Module, state: Mapping[str, Tensor], source: str) -> LoadReport:
    """Copy into a network what fits by name.

    Args:
        module: the network; it is changed.
        state: tensors by their names in `module`.
        source: name of the file, for the report and the message of an error.

    Returns:
        What became of each parameter.

    Raises:
        ValueError: a shape differs in a way that `adapt` does not know.
    """
    adapted, report = adapt(module.state_dict(), state, source)
    module.load_state_dict(adapted)
    return report


def adapt(
    current: Mapping[str, Tensor], state: Mapping[str, Tensor], source: str
) -> tuple[dict[str, Tensor], LoadReport]:
    """The state of a network with what fits of another state in its place.

    Shapes that may differ: a 2-D patch kernel (or one of a single time tap) is inflated into the
    centre time tap of the stem; a stem with three taps loaded into one is summed over time (the
    same answer to a static clip); positional embeddings of another resolution are interpolated,
    those of another sentence length cut or filled with zeros.

    Args:
        current: the network's state; it may be on the meta device.
        state: the tensors to put in its place.
        source: name of the file, for the report and the message of an error.

    Returns:
        The new state, and what became of each parameter.

    Raises:
        ValueError: another shape differs: the file belongs to a network of another size; or
            values that are no weights.
    """
    report, adapted = LoadReport(source), dict(current)
    report.skipped = [name for name in state if name not in current]
    report.initial = [name for name in current if name not in state]
    for name in (name for name in state if name in current):
        target = current[name]
        if target.is_floating_point():
            check_values(name, state[name], source)
        tensor, outcome = state[name].to(target.dtype), "resized"
        if tensor.shape == target.shape:
            outcome = "loaded"
        elif name == "conv1.weight" and _is_flat(tensor, target):
            tensor, outcome = _inflate(tensor, target.shape[2]), "inflated"
        elif name == "conv1.weight" and tensor.ndim == 5 and target.shape[2] == 1:
            tensor = tensor.sum(2, keepdim=True)
        elif name == "positional_embedding" and _of_sentences(current, tensor, target):
            report.notes.append(_length_note(len(tensor), len(target)))
            tensor = resize_sentence(tensor, len(target))
        elif name == "positional_embedding" and _of_grids(tensor, target):
            tensor = resize_positions(tensor, len(target))
        else:
            raise ValueError(
                f"{source}: {name} has shape {tuple(tensor.shape)}, the network wants "
                f"{tuple(target.shape)}; choose the `size` that these weights were made for"
            )
        getattr(report, outcome).append(name)
        adapted[name] = tensor
    return adapted, report


def _is_flat(kernel: Tensor, target: Tensor) -> bool:
    """Whether a patch kernel has no time, or one tap, and fits the target but for that."""
    frame = kernel[:, :, 0] if kernel.ndim == 5 and kernel.shape[2] == 1 else kernel
    return frame.ndim == 4 and frame.shape == target[:, :, 0].shape


def _inflate(kernel: Tensor, taps: int) -> Tensor:
    """A patch kernel (D, 3, p, p) or (D, 3, 1, p, p) in the centre of (D, 3, taps, p, p)."""
    frame = kernel if kernel.ndim == 4 else kernel[:, :, 0]
    inflated = frame.new_zeros(*frame.shape[:2], taps, *frame.shape[2:])
    inflated[:, :, taps // 2] = frame
    return inflated


def _of_grids(*positions: Tensor) -> bool:
    """Whether all are (1 + g*g, D) with the same D."""
    squares = all(math.isqrt(len(p) - 1) ** 2 == len(p) - 1 for p in positions)
    return squares and len({p.shape[1:] for p in positions}) == 1


def resize_positions(positions: Tensor, length: int) -> Tensor:
    """Interpolate a (1 + g*g, D) positional embedding bicubically to (length, D).

    The class token's position, the first, stays as it is.
    """
    old, new = round((len(positions) - 1) ** 0.5), round((length - 1) ** 0.5)
    grid = positions[1:].T.view(1, -1, old, old)
    grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], grid.flatten(2)[0].T])


def _of_sentences(current: Mapping[str, Tensor], positions: Tensor, target: Tensor) -> bool:
    """Whether these are positional embeddings of a text tower, alike but for the length."""
    return "token_embedding.weight" in current and positions.shape[1:] == target.shape[1:]


def resize_sentence(positions: Tensor, length: int) -> Tensor:
    """Cut a text tower's (S, D) positional embedding to `length`, or fill it with zeros.

    As the authors' program does: ViCLIP has 32 positions, MER-CLIP sentences up to 51 tokens.
    """
    return F.pad(positions[:length], (0, 0, 0, max(0, length - len(positions))))


def _length_note(given: int, wanted: int) -> str:
    if given > wanted:
        return f"the first {wanted} of {given} positions of a sentence are kept"
    return f"positions {given + 1} to {wanted} of a sentence were not trained (zeros)"
