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


@dataclass(frozen=True)
class Difference:
    """Score of a minus score of b: observed mean over seeds, interval over subjects, p-value."""

    mean: float
    low: float
    high: float
    p: float


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
    per_class = pd.DataFrame({
        "class": list(classes),
        "count": count,
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, count),
        "f1": _ratio(2 * hits, count + predicted),
    })
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


def bootstrap_interval(predictions: pd.DataFrame, classes: Sequence[str], metric: str = "uf1",
                       samples: int = 1000, seed: int = 0,
                       level: float = 0.95) -> tuple[float, float]:
    """Percentile interval (low, high) of a metric when subjects are drawn with replacement.

    In a sample that misses a rare class altogether this class scores 0, as it does in `score`;
    the interval is then wide towards low values, and honestly so.
    """
    _check_samples(metric, samples, level)
    per_subject = confusion_by_subject(predictions, classes)
    weights = draw_subjects(len(per_subject), samples, seed)
    return interval(resampled(per_subject, weights, metric), level)


def paired_difference(a: Sequence[pd.DataFrame], b: Sequence[pd.DataFrame],
                      classes: Sequence[str], metric: str = "uf1", samples: int = 1000,
                      seed: int = 0, level: float = 0.95) -> Difference:
    """Does a beat b on the same clips? Both are lists of predictions, one per seed.

    Every resample draws the same subjects for all of them; scores are averaged over seeds.
    p is two-sided: twice the share of resamples on the other side of 0, never under
    1 / (samples + 1). Clips are matched by clip_id; ValueError if ids, subjects or truth differ.
    """
    _check_samples(metric, samples, level)
    if isinstance(a, pd.DataFrame) or isinstance(b, pd.DataFrame):
        raise ValueError("a and b are lists of predictions, one per seed; write [a] for one seed")
    if not a or not b:
        raise ValueError("a and b need at least one set of predictions each")
    reference, means, observed = None, [], []
    for frames in (a, b):
        scores, points = [], []
        for frame in frames:
            _check(frame, classes)
            frame = frame.sort_values("clip_id").reset_index(drop=True)
            if reference is None:
                reference = frame
                subject, names = _subjects(reference)
                weights = draw_subjects(len(names), samples, seed)
            _check_same_clips(reference, frame)
            per_subject = _confusion_of(frame, classes, subject, len(names))
            scores.append(resampled(per_subject, weights, metric))
            points.append(metric_of(per_subject.sum(0), metric))
        means.append(np.mean(scores, axis=0))
        observed.append(np.mean(points))
    difference = means[0] - means[1]
    other_side = min((difference <= 0).sum(), (difference >= 0).sum())
    p = min(1.0, 2 * (1 + other_side) / (samples + 1))
    return Difference(float(observed[0] - observed[1]), *interval(difference, level), float(p))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values corrected for asking all these questions together; same order, (m,) float.

    Holm (1979): the k-th smallest of m is multiplied by m - k + 1, is never below a smaller one
    and never above 1. Whatever stays under 0.05 may be called clear, and the chance that any of
    it is an accident is at most 5 %, also when the questions are related, as ablations are.
    Raises ValueError for a value outside [0, 1].
    """
    p = np.asarray(p_values, float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values {p_values!r} must be a list of numbers in [0, 1]")
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)


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


def draw_subjects(subjects: int, samples: int, seed: int) -> np.ndarray:
    """Bootstrap: how often each subject is drawn, (samples, subjects); rows sum to `subjects`."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(subjects, np.full(subjects, 1 / subjects), size=samples)


def resampled(per_subject: np.ndarray, weights: np.ndarray, metric: str) -> np.ndarray:
    """Pooled metric of each resample: counts (S, C, C) by subject, weights (B, S) -> (B,)."""
    subjects, classes, _ = per_subject.shape
    # In floats the product goes through BLAS; counts are far below 2**53, so it stays exact.
    summed = weights.astype(float) @ per_subject.reshape(subjects, -1).astype(float)
    return metric_of(summed.reshape(-1, classes, classes), metric)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval (low, high) of resampled values (B,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _check_samples(metric: str, samples: int, level: float) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; use one of {', '.join(METRICS)}")
    if samples < 1:
        raise ValueError(f"samples is {samples}; at least one resample is needed")
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; write 95 % as 0.95")


def _check_columns(predictions: pd.DataFrame, where: str = "") -> None:
    missing = [name for name in COLUMNS if name not in predictions]
    if missing:
        raise ValueError(f"{where}the predictions lack the column(s) {', '.join(missing)}; "
                         f"needed are {', '.join(COLUMNS)}")


def _check(predictions: pd.DataFrame, classes: Sequence[str]) -> None:
    _check_columns(predictions)
    if isinstance(classes, str) or len(classes) == 0 or len(set(classes)) < len(classes):
        raise ValueError(f"classes {classes!r} must be a list of different class names")
    if predictions.empty:
        raise ValueError("there are no predictions to score; did every fold finish?")
    twice = predictions.loc[predictions["clip_id"].duplicated(), "clip_id"]
    if len(twice):
        raise ValueError(f"clip {twice.iloc[0]!r} is predicted more than once; score each run "
                         "(seed) by itself, and each clip in the one fold that holds it out")
    for column in ("truth", "prediction"):
        unknown = predictions.loc[~predictions[column].isin(classes), ["clip_id", column]]
        if len(unknown):
            clip, label = unknown.iloc[0]
            raise ValueError(f"clip {clip!r} has {column} {label!r}, which is no class of the "
                             f"task ({', '.join(map(str, classes))}); were the predictions made "
                             "for another task?")


def _check_same_clips(reference: pd.DataFrame, frame: pd.DataFrame) -> None:
    differ = set(reference["clip_id"]) ^ set(frame["clip_id"])
    if differ:
        raise ValueError(f"{len(differ)} clip(s), such as {min(differ)!r}, are not in both sets of "
                         "predictions; compare runs over the same clips")
    for column in ("subject", "truth"):
        unequal = reference[column] != frame[column]
        if unequal.any():
            clip = reference.loc[unequal, "clip_id"].iloc[0]
            raise ValueError(f"clip {clip!r} has another {column} in the second set of "
                             "predictions; compare runs of the same task and clip table")
