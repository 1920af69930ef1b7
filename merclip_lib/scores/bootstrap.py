"""Intervals by a bootstrap over people, paired differences, and Holm's correction."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from merclip_lib.scores.metrics import (
    METRICS,
    _check,
    _confusion_of,
    _subjects,
    confusion_by_subject,
    metric_of,
)


@dataclass(frozen=True)
class Difference:
    """Score of a minus score of b: observed mean over seeds, interval over subjects, p-value."""

    mean: float
    low: float
    high: float
    p: float


def bootstrap_interval(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    metric: str = "uf1",
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval (low, high) of a metric when subjects are drawn with replacement.

    In a sample that misses a rare class altogether this class scores 0, as it does in `score`;
    the interval is then wide towards low values, and honestly so.
    """
    _check_samples(metric, samples, level)
    per_subject = confusion_by_subject(predictions, classes)
    weights = draw_subjects(len(per_subject), samples, seed)
    return interval(resampled(per_subject, weights, metric), level)


def paired_difference(
    a: Sequence[pd.DataFrame],
    b: Sequence[pd.DataFrame],
    classes: Sequence[str],
    metric: str = "uf1",
    samples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
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


def _check_same_clips(reference: pd.DataFrame, frame: pd.DataFrame) -> None:
    differ = set(reference["clip_id"]) ^ set(frame["clip_id"])
    if differ:
        raise ValueError(
            f"{len(differ)} clip(s), such as {min(differ)!r}, are not in both sets of "
            "predictions; compare runs over the same clips"
        )
    for column in ("subject", "truth"):
        unequal = reference[column] != frame[column]
        if unequal.any():
            clip = reference.loc[unequal, "clip_id"].iloc[0]
            raise ValueError(
                f"clip {clip!r} has another {column} in the second set of "
                "predictions; compare runs of the same task and clip table"
            )
