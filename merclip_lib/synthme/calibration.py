"""Figures that tell whether a population is like the real set behind it.

Counted on the annotations alone, so also on the table of any real set.
"""

import warnings
from collections import Counter

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, mutual_info_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from merclip_lib.synthme.plan import plan_population
from merclip_lib.synthme.populations import population
from merclip_lib.text import facs

SEEDS = range(1_000, 1_010)  # the calibration seeds; nothing else is drawn from them
BATCH = 8  # clips of a batch in the paper
PERMUTATIONS = 100
GROUPS = 16  # of people, each held out once


def figures(table: pd.DataFrame, seed: int = 0) -> dict[str, float]:
    """What the annotations of a table are like.

    Args:
        table: a clip table, see `data.table`.
        seed: of the permutations.

    Returns:
        reader: UF1 of a logistic regression (C = 3) from unsided units to the emotion, people
            held out in 16 groups.
        dependence: I(person; emotion) / H(emotion), beyond the mean of 100 permutations.
        undecidable: share of clips whose emotion is not the most frequent one of its unit list.
        equal_pair: chance that a batch of 8 clips holds two of equal units.
        share_CLASS: share of clips of each emotion.
    """
    emotions, people = table["emotion"].to_numpy(), table["subject"].to_numpy()
    sided = [_codes(text, with_sides=True) for text in table["action_units"]]
    unsided = [_codes(text, with_sides=False) for text in table["action_units"]]
    shares = table["emotion"].value_counts(normalize=True).sort_index()
    return {
        "reader": reader(unsided, emotions, people),
        "dependence": dependence(people, emotions, np.random.default_rng(seed)),
        "undecidable": undecidable(sided, emotions),
        "equal_pair": equal_pair(sided),
        **{f"share_{emotion}": float(share) for emotion, share in shares.items()},
    }


def calibrate(preset: str, populations: int = len(SEEDS)) -> dict[str, float]:
    """Mean figures of populations at the real set's size, with `unit_noise` beside them.

    `unit_noise` is the mean share of units (with sides) that were shown or written, but not both.
    More populations than there are calibration seeds go on behind them.
    """
    rows = []
    for seed in range(SEEDS.start, SEEDS.start + populations):
        table = plan_population(population(preset, seed))
        pairs = zip(table["action_units"], table["true_action_units"], strict=True)
        units = [(set(_codes(a, True).split()), set(_codes(b, True).split())) for a, b in pairs]
        noise = float(np.mean([len(a ^ b) / len(a | b) for a, b in units]))
        rows.append(figures(table, seed) | {"unit_noise": noise})
    return pd.DataFrame(rows).mean().to_dict()


def _codes(annotation: str, with_sides: bool) -> str:
    """The units of an annotation in a fixed order, "4 R10", doubts left out."""
    units = {(u.number, u.side[:1].upper() if with_sides else "") for u in facs.parse(annotation)}
    return " ".join(f"{side}{number}" for number, side in sorted(units))


def reader(units: list[str], emotions: np.ndarray, people: np.ndarray) -> float:
    """UF1 of a logistic regression from units to emotions, groups of people held out."""
    vectors = CountVectorizer(token_pattern=r"\S+", binary=True).fit_transform(units)
    folds = GroupKFold(min(GROUPS, len(set(people))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = cross_val_predict(
            LogisticRegression(C=3, max_iter=300), vectors, emotions, groups=people, cv=folds
        )
    return float(f1_score(emotions, predicted, average="macro", zero_division=0))


def dependence(people: np.ndarray, emotions: np.ndarray, rng: np.random.Generator) -> float:
    """I(person; emotion) / H(emotion), less the mean of the same after permuting the emotions."""
    chance = [mutual_info_score(people, rng.permutation(emotions)) for _ in range(PERMUTATIONS)]
    beyond = mutual_info_score(people, emotions) - np.mean(chance)
    return float(beyond / mutual_info_score(emotions, emotions))


def undecidable(units: list[str], emotions: np.ndarray) -> float:
    """Share of clips that even a table from unit lists to their most frequent emotion misses."""
    return float(1 - pd.crosstab(np.array(units), emotions).max(axis=1).sum() / len(emotions))


def equal_pair(units: list[str], batch: int = BATCH) -> float:
    """Chance that `batch` clips, drawn without replacement, hold two of equal units.

    One less the chance that all are different: the elementary symmetric polynomial of the counts
    of equal clips over the number of batches, built up one kind at a time.
    """
    different = np.zeros(batch + 1)  # chance-like weights of k different kinds among those so far
    different[0] = 1
    for count in Counter(units).values():
        different[1:] += different[:-1] * count
    batches = np.prod([(len(units) - k) / (k + 1) for k in range(batch)])
    return float(1 - different[batch] / batches)
