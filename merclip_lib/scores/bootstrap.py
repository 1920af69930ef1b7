"""Intervals by a bootstrap over subjects, paired differences, and Holm's correction.

Clips of one person are not independent, so what is drawn with replacement is subjects, not clips.
Intervals are percentiles, which of fewer than about ten people are too narrow; p-values stop at
what so few can say. Not in the paper, which gives no intervals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from merclip_lib.scores import metrics
from merclip_lib.scores.metrics import METRICS, confusion_by_subject

Tables = Sequence[pd.DataFrame]  # predictions of the same clips, one table per seed
Classes = Sequence[str]  # all classes of the task
# A rule that makes a number of predictions: confusion counts (S, C, C) of S subjects and the
# weight of every subject in each of B resamples (B, S) -> (B,).
ScoringRule = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Resampling:
    """How subjects are drawn; the same settings draw the same subjects wherever they are used.

    Attributes:
        samples: number of resamples.
        seed: of the generator that draws them.
        level: share of the resampled values that an interval holds.
    """

    samples: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}; at least one resample is needed")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}; write 95 % as 0.95")

    def draw(self, subjects: int) -> np.ndarray:
        """How often each subject is drawn, (samples, subjects) float; rows sum to `subjects`."""
        return _drawn(self.samples, self.seed, subjects)

    def interval(self, values: np.ndarray) -> tuple[float, float]:
        """Percentile interval (low, high) of resampled values (B,); NaN is left out."""
        low, high = np.nanquantile(values, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)


@lru_cache(maxsize=4)  # a study asks for the same draw hundreds of times
def _drawn(samples: int, seed: int, subjects: int) -> np.ndarray:
    """The draw of a `Resampling`; read-only, as it is shared."""
    share = np.full(subjects, 1 / subjects)
    drawn = np.random.default_rng(seed).multinomial(subjects, share, size=samples).astype(float)
    drawn.flags.writeable = False
    return drawn


DEFAULT = Resampling()


class Estimate(NamedTuple):
    """A number with its interval."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Score of a minus score of b: observed mean over seeds, interval over subjects, p-value."""

    mean: float
    low: float
    high: float
    p: float


def bootstrap_interval(
    table: pd.DataFrame, classes: Classes, metric: str = "uf1", resampling: Resampling = DEFAULT
) -> tuple[float, float]:
    """Percentile interval (low, high) of a metric when subjects are drawn with replacement.

    In a sample that misses a rare class altogether this class scores 0, as it does in `score`;
    the interval is then wide towards low values, and honestly so.

    Raises:
        ValueError: for an unknown metric, or as `score`.
    """
    return mean_and_interval([table], classes, metric, resampling)[1:]


def mean_and_interval(
    tables: Tables, classes: Classes, metric: str = "uf1", resampling: Resampling = DEFAULT
) -> Estimate:
    """Mean over seeds of a metric, and its interval, the same subjects drawn for all seeds.

    Args:
        tables: predictions of the same clips, one table per seed.
        classes: all classes of the task.
        metric: one of METRICS.
        resampling: how subjects are drawn.
    """
    counts = [confusion_by_subject(table, classes) for table in tables]
    return estimate(resampled(counts, pooled(metric), resampling), resampling)


def paired_difference(
    a: Tables, b: Tables, classes: Classes, metric: str = "uf1", resampling: Resampling = DEFAULT
) -> Difference:
    """Does a beat b on the same clips? Every resample draws the same subjects for all tables.

    Args:
        a: predictions, one table per seed; scores are averaged over seeds.
        b: the same of what a is compared with; it may have another number of seeds.
        classes: all classes of the task.
        metric: one of METRICS.
        resampling: how subjects are drawn.

    Returns:
        The difference; p as `two_sided` gives it.

    Raises:
        ValueError: if clip ids, subjects or truth differ (clips are matched by clip_id), or as
            `score`.
    """
    if isinstance(a, pd.DataFrame) or isinstance(b, pd.DataFrame):
        raise ValueError("a and b are lists of predictions, one per seed; write [a] for one seed")
    counts = paired_counts(a, b, classes, ("subject", "truth"))
    first, second = (resampled(each, pooled(metric), resampling) for each in counts)
    difference = first - second
    p = two_sided(difference[1:], len(counts[0][0]))
    return Difference(*estimate(difference, resampling), p)


def two_sided(differences: np.ndarray, people: int) -> float:
    """Two-sided p of resampled differences (B,): twice the share on the other side of 0.

    It is at least 2 / (B + 1), the observed sample being one more, and at least 2 / 2^people: so
    often do all people differ in one direction where there is no difference (sign test).
    """
    other_side = min((differences <= 0).sum(), (differences >= 0).sum())
    share = (1 + other_side) / (len(differences) + 1)
    return float(min(1.0, 2 * max(share, 0.5**people)))


def subject_interval(
    values: np.ndarray, subjects: Sequence, resampling: Resampling = DEFAULT
) -> Estimate:
    """Mean of values (N,) of clips, and its interval when their subjects (N,) are drawn."""
    drawn = _resampled_means(values, subjects, resampling)
    return Estimate(float(np.mean(values)), *resampling.interval(drawn))


def _resampled_means(values: np.ndarray, subjects: Sequence, resampling: Resampling) -> np.ndarray:
    """The mean over clips in each resample of their subjects, (samples,)."""
    number = pd.factorize(np.asarray(subjects))[0]
    drawn = resampling.draw(number.max() + 1)
    total, count = np.bincount(number, values), np.bincount(number)
    return drawn @ total / (drawn @ count)


def clip_differences(
    differences: Mapping[str, np.ndarray], subjects: Sequence, resampling: Resampling = DEFAULT
) -> pd.DataFrame:
    """Several questions about the same clips: is the mean of a difference apart from zero?

    Args:
        differences: name of the question -> (N,) a difference for each clip, such as its score
            with one map minus that with another.
        subjects: (N,) the person in each clip; people are drawn, the same for all questions.
        resampling: how.

    Returns:
        A row per question [name, mean, low, high, p, p_holm]; the last corrected for all of them.
    """
    rows, people = [], len(set(subjects))
    for name, values in differences.items():
        drawn = _resampled_means(values, subjects, resampling)
        rows.append((name, np.mean(values), *resampling.interval(drawn), two_sided(drawn, people)))
    table = pd.DataFrame(rows, columns=["name", "mean", "low", "high", "p"])
    return table.assign(p_holm=holm(table["p"]))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values corrected for asking all these questions together; same order, (m,) float.

    Holm (1979): the k-th smallest of m is multiplied by m - k + 1, is never below a smaller one
    and never above 1. Whatever stays under 0.05 may be called clear, and the chance that any of
    it is an accident is at most 5 %, also when the questions are related, as ablations are.

    Raises:
        ValueError: for a value outside [0, 1].
    """
    p = np.asarray(p_values, float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values {p_values!r} must be a list of numbers in [0, 1]")
    order = np.argsort(p)
    corrected = np.empty(len(p))
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)


def pooled(metric: str) -> ScoringRule:
    """The scoring rule of the protocol: a metric of the confusion matrix over all folds.

    Raises:
        ValueError: for a metric that is not one of METRICS.
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; use one of {', '.join(METRICS)}")

    def rule(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        subjects, classes, _ = counts.shape
        # In floats the product goes through BLAS; counts are far below 2**53, so it stays exact.
        summed = weights @ counts.reshape(subjects, -1).astype(float)
        return metrics.metric_of(summed.reshape(-1, classes, classes), metric)

    return rule


def resampled(
    counts: Sequence[np.ndarray], rule: ScoringRule, resampling: Resampling
) -> np.ndarray:
    """A number as observed and in each resample, mean over seeds: (1 + samples,).

    Args:
        counts: confusion counts by subject (S, C, C), one array per seed.
        rule: what makes a number of them.
        resampling: how subjects are drawn, the same for all seeds.
    """
    subjects = len(counts[0])
    weights = np.vstack([np.ones(subjects), resampling.draw(subjects)])
    return np.mean([rule(each, weights) for each in counts], axis=0)


def estimate(values: np.ndarray, resampling: Resampling) -> Estimate:
    """The number and its interval; `values` (1 + samples,) as `resampled` gives them."""
    return Estimate(float(values[0]), *resampling.interval(values[1:]))


def paired_counts(
    a: Tables, b: Tables, classes: Classes, same: Sequence[str]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Confusion counts by subject (S, C, C) of each table of a and of b, subjects in one order.

    Args:
        a: predictions, one table per seed.
        b: predictions of the same clips.
        classes: all classes of the task.
        same: columns that must agree clip by clip.

    Raises:
        ValueError: if a or b is empty, for other clips, a column that differs, or as `score`.
    """
    if not a or not b:
        raise ValueError("give at least one table of predictions on either side")
    for table in (*a, *b):
        metrics.check_predictions(table, classes)
    tables = [table.sort_values("clip_id").reset_index(drop=True) for table in (*a, *b)]
    for table in tables[1:]:
        _check_same_clips(tables[0], table, same)
    person = metrics.person_of(tables[0])
    counts = [metrics.confusion_by(person, table, classes) for table in tables]
    return counts[: len(a)], counts[len(a) :]


def _check_same_clips(first: pd.DataFrame, other: pd.DataFrame, same: Sequence[str]) -> None:
    """ValueError unless both tables, sorted by clip id, are of the same clips."""
    if differ := set(first["clip_id"]) ^ set(other["clip_id"]):
        missing = f"{len(differ)} clip(s), such as {min(differ)!r}, are not in both sets"
        raise ValueError(f"{missing} of predictions; compare runs over the same clips")
    for column in same:
        for clip in first.loc[first[column] != other[column], "clip_id"]:
            differs = f"clip {clip!r} has another {column} in the second set of predictions"
            raise ValueError(f"{differs}; compare runs of the same task and clip table")
