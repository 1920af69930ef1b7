"""Action units as labels, in the place of sentences (an ablation; not in the paper).

It asks whether the words matter, or only the labels that they bring.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from merclip_lib.text.facs import NAMES, parse, swap_sides

NUMBERS = sorted(NAMES)
COUNT = 2 * len(NUMBERS)  # U: each unit on the left and on the right


class UnitLabels(NamedTuple):
    """Which units were annotated in each clip of a store."""

    plain: Tensor  # (rows of the store, U) in {0, 1}
    mirrored: Tensor  # those of its left-right mirror image

    def of(self, rows: Tensor, mirror: Tensor) -> Tensor:
        """Labels (N, U) of clips (N,); left and right exchanged where `mirror` (N,) is True."""
        return torch.where(mirror[:, None], self.mirrored[rows], self.plain[rows])


def unit_labels(table: pd.DataFrame, rows: np.ndarray) -> UnitLabels:
    """The labels of a table's clips.

    Args:
        table: with `action_units`.
        rows: the row of the store of each clip.

    Raises:
        ValueError: an annotation that cannot be read.
    """
    labels = UnitLabels(*(torch.zeros(rows.max() + 1, COUNT) for _ in range(2)))
    for row, annotation in zip(rows, table["action_units"], strict=True):
        labels.plain[row] = _present(annotation)
        labels.mirrored[row] = _present(swap_sides(annotation))
    return labels


def _present(annotation: object) -> Tensor:
    """Left and right of each unit (U,); a unit without a side is on both."""
    present = torch.zeros(len(NUMBERS), 2)
    for unit in parse(annotation):
        if unit.number in NAMES:
            sides = torch.tensor([unit.side != "right", unit.side != "left"])
            present[NUMBERS.index(unit.number)] += sides
    return present.clamp(max=1).flatten()


def unit_table(annotations: pd.Series) -> pd.DataFrame:
    """Which units annotations name, sides left out: {0, 1}, a column per unit that FACS numbers."""
    present = [{unit.number for unit in parse(text)} for text in annotations]
    rows = [[int(number in units) for number in NUMBERS] for units in present]
    return pd.DataFrame(rows, annotations.index, NUMBERS)
