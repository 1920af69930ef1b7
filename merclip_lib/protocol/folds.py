"""Folds: which clips train and which are held out, and the stamp of whatever is not honest.

By default each person is held out once (LOSO, paper section on protocol). Other divisions:
one fold per database, the table's own split, and, as a trap to be shown and never to be
believed, clips dealt out so that a person is in training and in test.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from merclip_lib.data.table import people
from merclip_lib.data.tasks import database

_LONGEST = 60  # signs of a folder's name; a file system has room for 255 bytes


@dataclass(frozen=True)
class Fold:
    """One training: `train` and `test` are positions in the chosen table."""

    name: str
    train: np.ndarray
    test: np.ndarray


def make_folds(
    table: pd.DataFrame, folds: int = 0, held_out: str = "subject", seed: int = 0
) -> list[Fold]:
    """The folds of a table, by what is held out.

    Args:
        table: the clips.
        folds: 0 = leave one out; k = k groups.
        held_out: "subject": one person each (LOSO), or groups of people dealt out in order, so
            that they depend on nothing else. "database": one fold each. "split": one fold,
            trained on the rows whose column `split` says `train`, tested on all others. "clip"
            (a trap): groups of clips.
        seed: shuffles the clips of "clip"; nothing else.

    Raises:
        ValueError: the table is too small, has no split, or splits a person.
    """
    if held_out == "split":
        return [_split_fold(table)]
    if held_out == "clip":
        if len(table) < folds:
            raise ValueError(f"{len(table)} clips cannot make {folds} folds")
        order = np.random.default_rng(seed).permutation(len(table))
        part = np.empty(len(table), int)
        part[order] = np.arange(len(table)) % folds
        return _folds(part, range(folds), [f"clips{k + 1}" for k in range(folds)])
    if held_out == "database":
        part = database(table["dataset"]).to_numpy()
        names = sorted(set(part))
        if len(names) < 2:
            raise ValueError(
                f'held_out="database" needs clips of at least 2 databases, these are all of '
                f"{names[0]}; choose a composite task such as megc2019-3"
            )
        return _folds(part, names, names)
    person = people(table).to_numpy()
    names = sorted(set(person))
    if len(names) < max(folds, 2):
        raise ValueError(f"{len(names)} subjects cannot make {folds or 'LOSO'} folds")
    if not folds:
        return _folds(person, names, names)
    group = {name: k % folds for k, name in enumerate(names)}
    part = np.array([group[name] for name in person])
    return _folds(part, range(folds), [f"group{k + 1}" for k in range(folds)])


def _folds(part: np.ndarray, values: Sequence, names: Sequence[str]) -> list[Fold]:
    """One fold per value of `part` (clips,), which is held out."""
    held_out = [part == value for value in values]
    return [
        Fold(name, np.flatnonzero(~test), np.flatnonzero(test))
        for name, test in zip(_folder_names(names), held_out, strict=True)
    ]


def _split_fold(table: pd.DataFrame) -> Fold:
    if "split" not in table:
        raise ValueError('held_out="split" needs a column `split` in the clip table; add it')
    train = (table["split"] == "train").to_numpy()
    if train.all() or not train.any():
        values = ", ".join(sorted(map(repr, set(table["split"]))))
        raise ValueError(f"the column `split` holds {values}; it needs `train` and others to test")
    person = people(table)
    if both := sorted(set(person[train]) & set(person[~train])):
        raise ValueError(
            f"the column `split` puts clips of {both[0]} into training and test; give every "
            'person one split, or choose held_out="subject"'
        )
    return Fold("split", np.flatnonzero(train), np.flatnonzero(~train))


def _folder_names(names: Sequence[str]) -> list[str]:
    """Names as folders of their own on any file system: "../a" stays inside, "a/b" is not "a-b"."""
    taken: set[str] = set()  # in lower case
    result = []
    for name in names:
        folder = base = re.sub(r"[^\w.-]", "-", name).lstrip(".")[:_LONGEST] or "fold"
        number = 2
        while folder.lower() in taken:
            folder, number = f"{base}-{number}", number + 1
        taken.add(folder.lower())
        result.append(folder)
    return result


def inner_validation(
    person: np.ndarray, train: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Validation people for the choice of an epoch, drawn from the training people alone.

    Args:
        person: (clips,) who is seen in each clip of the table.
        train: positions of the training clips.
        seed: of the draw.

    Returns:
        `train` without the validation people (one in five, at least one), and their positions.

    Raises:
        ValueError: there is nobody to spare.
    """
    names = sorted(set(person[train]))
    if len(names) < 2:
        raise ValueError(
            f'selection="inner_validation" needs at least 2 training people, here is {len(names)}; '
            'choose selection="last"'
        )
    drawn = np.random.default_rng(seed).permutation(names)[: max(1, len(names) // 5)]
    spared = np.isin(person[train], drawn)
    return train[~spared], train[spared]
