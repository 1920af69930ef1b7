"""Families of differences over training populations: what helps, what hurts, what is the same.

Each of two entries is trained once on each of R populations, and all networks are tested on the
same fresh people, so a difference has R values. Whether it is zero is tested over populations (a t
test with R - 1 degrees of freedom, or flipped signs); its interval draws populations and test
people (a two-way bootstrap). Questions that are asked together are corrected together (Holm).
Not in the paper, which gives neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import optimize, stats

from merclip_lib.scores.bootstrap import Estimate, Resampling, estimate, holm

Alternative = Literal["two-sided", "less", "greater"]


@dataclass(frozen=True)
class Rules:
    """What a study fixes before it is run.

    Attributes:
        statistic: "t", or "sign-flip": exact up to 16 populations, then Monte Carlo.
        level: chance of a false alarm in a family.
        power: with which the smallest effect would be found.
        margin: two entries are equivalent if they differ by less.
        exclude: nobody may call two entries alike while a difference of this size is possible.
        samples: resamples of a bootstrap.
    """

    statistic: Literal["t", "sign-flip"] = "t"
    level: float = 0.05
    power: float = 0.8
    margin: float = 0.05
    exclude: float = 0.02
    samples: int = 5000

    @property
    def people(self) -> Resampling:
        """How test people are drawn."""
        return Resampling(self.samples, seed=0, level=1 - self.level)

    @property
    def populations(self) -> Resampling:
        """How training populations are drawn."""
        return replace(self.people, seed=1)


@dataclass(frozen=True)
class Finding:
    """A difference within its family.

    Attributes:
        difference: mean over populations.
        low: lower end of its interval.
        high: upper end of its interval.
        p_holm: that it is zero, two-sided, corrected for the family.
        smallest_findable: the smallest difference that this spread lets us find with the power of
            the rules, whatever the rest of the family does.
        equivalent: it is smaller than the margin, tested and corrected for the family.
        verdict: "helps", "hurts", "equivalent" or "cannot tell".
    """

    difference: float
    low: float
    high: float
    p_holm: float
    smallest_findable: float
    equivalent: bool
    verdict: str


def judge_family(differences: Sequence[np.ndarray], rules: Rules) -> list[Finding]:
    """What may be said of differences that are asked about together.

    Args:
        differences: one array (1 + samples, R) per question: the difference at each population,
            as observed (first row) and with test people drawn by `rules.people`.
        rules: of the study.

    Returns:
        A finding per question, in their order.
    """
    observed = [values[0] for values in differences]
    p_holm = holm([p_value(each, 0.0, "two-sided", rules) for each in observed])
    p_alike = holm([p_equivalence(each, rules) for each in observed])
    findings = []
    for values, p, alike in zip(differences, p_holm, p_alike, strict=True):
        mean, low, high = two_way_interval(values, rules)
        equivalent = bool(alike < rules.level)
        if p < rules.level:
            verdict = "helps" if mean > 0 else "hurts"
        elif equivalent and -rules.exclude < low and high < rules.exclude:
            verdict = "equivalent"
        else:
            verdict = "cannot tell"
        smallest = smallest_findable(values[0], rules.level / len(differences), rules.power)
        findings.append(Finding(mean, low, high, float(p), smallest, equivalent, verdict))
    return findings


def p_value(values: np.ndarray, mean: float, alternative: Alternative, rules: Rules) -> float:
    """p of the hypothesis that values (R,) scatter around `mean`, by the statistic of the rules."""
    if np.ptp(values) == 0:  # without spread there is nothing to weigh the distance with
        apart = np.sign(values[0] - mean)
        return float(apart == 0 or apart == {"two-sided": 0, "less": 1, "greater": -1}[alternative])
    if rules.statistic == "t":
        return float(stats.ttest_1samp(values, mean, alternative=alternative).pvalue)
    how = {"permutation_type": "samples", "n_resamples": 2**16, "alternative": alternative}
    rng = np.random.default_rng(rules.populations.seed)
    return float(stats.permutation_test((values - mean,), np.mean, rng=rng, **how).pvalue)


def p_equivalence(values: np.ndarray, rules: Rules) -> float:
    """p of the hypothesis that the mean of values (R,) is at or beyond the margin, either way.

    Two one-sided tests (Schuirmann 1987): the larger p counts.
    """
    above = p_value(values, -rules.margin, "greater", rules)
    return max(above, p_value(values, rules.margin, "less", rules))


def smallest_findable(values: np.ndarray, level: float, power: float) -> float:
    """The mean that a two-sided t test finds with this power, given the spread of values (R,).

    It solves P(T > t) = power, where T is noncentral with R - 1 degrees of freedom and t the
    critical value at `level`.
    """
    number = len(values)
    critical = stats.t.isf(level / 2, number - 1)
    shift = optimize.brentq(
        lambda shift: stats.nct.sf(critical, number - 1, shift) - power, 0, 9 * critical
    )
    return float(shift * values.std(ddof=1) / np.sqrt(number))


def two_way_interval(values: np.ndarray, rules: Rules) -> Estimate:
    """Mean over populations and its interval when populations and test people are drawn.

    What the drawn populations add is widened by sqrt(R / (R - 1)) and by t against normal: few
    populations make percentiles too narrow by both (Hesterberg 2015). Scatter that is neither of
    a population nor of a person counts more than once, which errs on the wide side (Owen 2007).

    Args:
        values: (1 + samples, R), as in `judge_family`.
        rules: of the study.
    """
    number, tail = values.shape[1], rules.level / 2
    wider = np.sqrt(number / (number - 1)) * stats.t.isf(tail, number - 1) / stats.norm.isf(tail)
    drawn = np.vstack([np.ones(number), rules.populations.draw(number)])
    mean = values.mean(1)
    return estimate(mean + wider * ((values * drawn).mean(1) - mean), rules.people)
