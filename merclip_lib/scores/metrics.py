"""UF1, UAR and accuracy of pooled predictions (paper, evaluation metrics).

One confusion matrix is summed over all folds and every figure comes from it; folds are never
averaged, and every class of the task counts, also one that the truth lacks. Predictions are one
table: clip_id, subject, truth, prediction (class names), and database where there are several.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from merclip_lib.data.table import people

LABELS = ("truth", "prediction")
COLUMNS = ("clip_id", "subject", *LABELS)
METRICS = ("uf1", "uar", "accuracy")


@dataclass(frozen=True)
class Score:
    """Figures of one set of predictions.

    Attributes:
        uf1: unweighted F1, the mean over classes of 2TP / (2TP + FP + FN).
        uar: unweighted average recall, the mean over classes of TP / (TP + FN).
        accuracy: share of right predictions.
        per_class: a row per class: class, count, precision, recall, f1.
        absent: classes without a clip in the truth; each counts as 0 in UF1 and UAR.
    """

    uf1: float
    uar: float
    accuracy: float
    per_class: pd.DataFrame
    absent: tuple[str, ...]


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read the predictions.csv of a run; ids stay text ("01" is not 1).

    Raises:
        ValueError: for a missing column, and for what is no table.
    """
    text = dict.fromkeys((*COLUMNS, "database"), str)
    try:
        predictions = pd.read_csv(path, dtype=text, keep_default_na=False, na_values={})
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    _check_columns(predictions, f"{path}: ")
    return predictions


def score(predictions: pd.DataFrame, classes: Sequence[str]) -> Score:
    """Pooled figures of predictions.

    Args:
        predictions: one row per clip, from all folds of one run (one seed).
        classes: all classes of the task; also one that does not occur counts (as 0).

    Raises:
        ValueError: for an unknown label, a clip that occurs twice, a missing column or an empty
            table.
    """
    matrix = confusion(predictions, classes)
    hits, count, predicted = np.diagonal(matrix), matrix.sum(1), matrix.sum(0)
    per_class = pd.DataFrame({"class": list(classes), "count": count})
    per_class["precision"] = _ratio(hits, predicted)
    per_class["recall"] = _ratio(hits, count)
    per_class["f1"] = _ratio(2 * hits, count + predicted)
    absent = tuple(name for name, clips in zip(classes, count, strict=True) if clips == 0)
    uf1, uar, accuracy = (float(metric_of(matrix, name)) for name in METRICS)
    return Score(uf1, uar, accuracy, per_class, absent)


def confusion(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Confusion counts (C, C), int: rows are the truth, columns the prediction.

    Raises:
        ValueError: as `score`.
    """
    return confusion_by(np.zeros(len(predictions), int), predictions, classes)[0]


def confusion_by_subject(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Confusion counts (S, C, C) of each subject, in order of their names; errors as `score`."""
    _check_columns(predictions)
    return confusion_by(person_of(predictions), predictions, classes)


def confusion_by(
    group: np.ndarray | pd.Series, predictions: pd.DataFrame, classes: Sequence[str]
) -> np.ndarray:
    """Confusion counts (G, C, C) of each group; `group` (N,) says to which each row belongs.

    Raises:
        ValueError: as `score`.
    """
    check_predictions(predictions, classes)
    names, number = np.unique(group, return_inverse=True)
    truth, prediction = (pd.Index(classes).get_indexer(predictions[name]) for name in LABELS)
    matrix = np.zeros((len(names), len(classes), len(classes)), int)
    np.add.at(matrix, (number, truth, prediction), 1)
    return matrix


def metric_of(matrix: np.ndarray, metric: str) -> np.ndarray:
    """A metric of confusion counts with the truth in rows: (..., C, C) -> (...)."""
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    count, predicted = matrix.sum(-1), matrix.sum(-2)
    if metric == "uf1":
        return _ratio(2 * hits, count + predicted).mean(-1)
    if metric == "uar":
        return _ratio(hits, count).mean(-1)
    return _ratio(hits.sum(-1), count.sum(-1))


def person_of(predictions: pd.DataFrame) -> pd.Series:
    """Who is seen in each row (N,); subject "s01" of two databases is two people."""
    names = predictions.filter(["database", "subject"]).astype(str)
    if "database" not in names:
        return names["subject"]
    return people(names.rename(columns={"database": "dataset"}))


def check_predictions(predictions: pd.DataFrame, classes: Sequence[str]) -> None:
    """Raise the ValueError of `score` for predictions or classes that cannot be scored."""
    _check_columns(predictions)
    if isinstance(classes, str) or len(classes) == 0 or len(set(classes)) < len(classes):
        raise ValueError(f"classes {classes!r} must be a list of different class names")
    if predictions.empty:
        raise ValueError("there are no predictions to score; did every fold finish?")
    for clip in predictions.loc[predictions["clip_id"].duplicated(), "clip_id"]:
        again = f"clip {clip!r} is predicted more than once; score each run (seed) by itself"
        raise ValueError(f"{again}, and each clip in the one fold that holds it out")
    for column in LABELS:
        unknown = predictions.loc[~predictions[column].isin(classes), ["clip_id", column]]
        for clip, label in unknown.itertuples(index=False):
            names = ", ".join(map(str, classes))
            wrong = f"clip {clip!r} has {column} {label!r}, which is no class of the task ({names})"
            raise ValueError(f"{wrong}; were the predictions made for another task?")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)


def _check_columns(predictions: pd.DataFrame, where: str = "") -> None:
    """ValueError for a column that is missing."""
    missing = [name for name in COLUMNS if name not in predictions]
    if missing:
        lacking = f"{where}the predictions lack the column(s) {', '.join(missing)}"
        raise ValueError(f"{lacking}; needed are {', '.join(COLUMNS)}")
