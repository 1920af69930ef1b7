"""UF1, UAR and accuracy of pooled predictions, with intervals over subjects.

One confusion matrix is summed over all folds and every figure comes from it; folds are never
averaged, and every class of the task counts, also one that the truth lacks. Clips of one person
are not independent, so uncertainty comes from drawing subjects, not clips. Predictions are one
table: clip_id, subject, truth, prediction (class names), and database where there are several.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = ("clip_id", "subject", "truth", "prediction")


METRICS = ("uf1", "uar", "accuracy")


@dataclass(frozen=True)
class Score:
    """Figures of one set of predictions; `absent` lists classes without a clip in the truth."""

    uf1: float
    uar: float
    accuracy: float
    per_class: pd.DataFrame  # class, count, precision, recall, f1
    absent: tuple[str, ...]


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read predictions.csv; ids stay text ("01" is not 1). ValueError for a missing column."""
    text = dict.fromkeys((*COLUMNS, "database"), str)
    predictions = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={})
    _check_columns(predictions, f"{path}: ")
    return predictions


def score(predictions: pd.DataFrame, classes: Sequence[str]) -> Score:
    """Pooled figures of `predictions` over all `classes` of the task.

    UF1 is the mean over classes of 2TP / (2TP + FP + FN), UAR the mean over classes of recall,
    both 0 for a class that does not occur. Raises ValueError for an unknown label, a clip that
    occurs twice, a missing column or an empty table.
    """
    matrix = confusion(predictions, classes)
    hits, count, predicted = np.diagonal(matrix), matrix.sum(1), matrix.sum(0)
    per_class = pd.DataFrame(
        {
            "class": list(classes),
            "count": count,
            "precision": _ratio(hits, predicted),
            "recall": _ratio(hits, count),
            "f1": _ratio(2 * hits, count + predicted),
        }
    )
    absent = tuple(name for name, clips in zip(classes, count, strict=True) if clips == 0)
    return Score(*(float(metric_of(matrix, name)) for name in METRICS), per_class, absent)


def score_by(predictions: pd.DataFrame, column: str, classes: Sequence[str]) -> dict[str, Score]:
    """One Score per value of `column`, such as the databases of MEGC2019; same predictions."""
    if column not in predictions:
        raise ValueError(f"the predictions have no column {column!r}; add it from the clip table")
    return {name: score(part, classes) for name, part in predictions.groupby(column, sort=True)}


def confusion(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Confusion counts (C, C), int: rows are the truth, columns the prediction."""
    _check(predictions, classes)
    return _confusion_of(predictions, classes, np.zeros(len(predictions), int), 1)[0]


def confusion_by_subject(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Confusion counts (S, C, C) of each subject, subjects in order of their names."""
    _check(predictions, classes)
    subject, names = _subjects(predictions)
    return _confusion_of(predictions, classes, subject, len(names))


def metric_of(matrix: np.ndarray, metric: str) -> np.ndarray:
    """A metric of confusion counts: (..., C, C) -> (...); rows are the truth."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    count, predicted = matrix.sum(-1), matrix.sum(-2)
    if metric == "uf1":
        return _ratio(2 * hits, count + predicted).mean(-1)
    if metric == "uar":
        return _ratio(hits, count).mean(-1)
    return _ratio(hits.sum(-1), count.sum(-1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _confusion_of(predictions, classes, group: np.ndarray, groups: int) -> np.ndarray:
    """Confusion counts per group of rows: (groups, C, C) int."""
    index = {name: position for position, name in enumerate(classes)}
    truth = predictions["truth"].map(index).to_numpy(int)
    prediction = predictions["prediction"].map(index).to_numpy(int)
    matrix = np.zeros((groups, len(index), len(index)), int)
    np.add.at(matrix, (group, truth, prediction), 1)
    return matrix


def _subjects(predictions: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Subject index of every row, and the subjects; "s01" of two databases are two people."""
    subject = predictions["subject"].astype(str)
    if "database" in predictions:
        subject = predictions["database"].astype(str) + "/" + subject
    names = sorted(subject.unique())
    return subject.map({name: i for i, name in enumerate(names)}).to_numpy(int), names


def _check_columns(predictions: pd.DataFrame, where: str = "") -> None:
    missing = [name for name in COLUMNS if name not in predictions]
    if missing:
        raise ValueError(
            f"{where}the predictions lack the column(s) {', '.join(missing)}; "
            f"needed are {', '.join(COLUMNS)}"
        )


def _check(predictions: pd.DataFrame, classes: Sequence[str]) -> None:
    _check_columns(predictions)
    if isinstance(classes, str) or len(classes) == 0 or len(set(classes)) < len(classes):
        raise ValueError(f"classes {classes!r} must be a list of different class names")
    if predictions.empty:
        raise ValueError("there are no predictions to score; did every fold finish?")
    twice = predictions.loc[predictions["clip_id"].duplicated(), "clip_id"]
    if len(twice):
        raise ValueError(
            f"clip {twice.iloc[0]!r} is predicted more than once; score each run "
            "(seed) by itself, and each clip in the one fold that holds it out"
        )
    for column in ("truth", "prediction"):
        unknown = predictions.loc[~predictions[column].isin(classes), ["clip_id", column]]
        if len(unknown):
            clip, label = unknown.iloc[0]
            raise ValueError(
                f"clip {clip!r} has {column} {label!r}, which is no class of the "
                f"task ({', '.join(map(str, classes))}); were the predictions made "
                "for another task?"
            )
