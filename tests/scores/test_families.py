"""Families of differences over populations: closed forms, and coverage on simulated data."""

import numpy as np
import pytest
from scipy import stats

from merclip_lib.scores.families import (
    Rules,
    judge_family,
    p_equivalence,
    p_value,
    smallest_findable,
    two_way_interval,
)

T, FLIP = Rules(samples=400), Rules("sign-flip", samples=400)
SPREAD = np.array([-0.03, -0.01, -0.01, 0.0, 0.0, 0.01, 0.01, 0.03])  # mean 0


def fixed_people(values) -> np.ndarray:
    """Differences (1 + samples, R) that no draw of test people changes."""
    return np.tile(np.asarray(values, float), (T.samples + 1, 1))


def test_t_by_its_formula():
    values = SPREAD + 0.02
    t = 0.02 / (values.std(ddof=1) / np.sqrt(8))
    assert p_value(values, 0.0, "two-sided", T) == pytest.approx(2 * stats.t.sf(t, 7))
    assert p_value(values, 0.02, "greater", T) == pytest.approx(0.5)


def test_sign_flips_are_counted():
    """All of 8 above zero: one of 256 ways is as far above; two-sided 2 of 256."""
    values = np.linspace(0.01, 0.02, 8)
    assert p_value(values, 0.0, "greater", FLIP) == pytest.approx(1 / 256)
    assert p_value(values, 0.0, "two-sided", FLIP) == pytest.approx(2 / 256)
    assert p_value(values, 0.03, "less", FLIP) == pytest.approx(1 / 256)


def test_equal_differences_need_no_spread():
    """Two networks that predict the same differ by 0 everywhere: no effect, and equivalent."""
    for rules in (T, FLIP):
        assert p_value(np.zeros(8), 0.0, "two-sided", rules) == 1
    assert p_value(np.full(8, 0.1), 0.0, "two-sided", T) == 0
    assert p_equivalence(np.zeros(8), T) == 0
    assert p_equivalence(np.full(8, 0.05), T) == 1 == p_equivalence(np.full(8, -0.06), T)
    assert judge_family([fixed_people(np.zeros(8))], T)[0].verdict == "equivalent"


def test_equivalence_is_two_one_sided_tests():
    values = SPREAD + 0.02
    error = values.std(ddof=1) / np.sqrt(8)
    assert p_equivalence(values, T) == pytest.approx(stats.t.cdf((0.02 - 0.05) / error, 7))
    assert p_equivalence(-values, T) == pytest.approx(p_equivalence(values, T))


@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
def test_what_can_be_found_is_found_as_often_as_said(level):
    """Simulated: 16 populations that scatter by 0.04 around the smallest effect."""
    generator = np.random.default_rng(5)
    unit = np.resize([-1.0, 1.0], 16) * np.sqrt(15 / 16)  # standard deviation 1
    effect = smallest_findable(0.04 * unit, level, 0.8)
    drawn = generator.normal(effect, 0.04, (20_000, 16))
    found = stats.ttest_1samp(drawn, 0, axis=1).pvalue < level
    assert found.mean() == pytest.approx(0.8, abs=0.015)


def test_more_questions_or_fewer_populations_find_less():
    one = smallest_findable(SPREAD, 0.05, 0.8)
    assert one < smallest_findable(SPREAD, 0.05 / 29, 0.8)
    assert smallest_findable(np.tile(SPREAD, 2), 0.05, 0.8) < one
    assert np.isfinite(smallest_findable(SPREAD[:4], 0.05 / 40, 0.8))


def simulated(generator, number: int, people: int = 40) -> np.ndarray:
    """Differences of `number` populations: effect 0.1, of populations, of people and of both."""
    truth = 0.1 + generator.normal(0, 0.05, (number, 1)) + generator.normal(0, 0.15, (1, people))
    clips = truth + generator.normal(0, 0.05, (number, people))
    weights = np.vstack([np.ones(people), T.people.draw(people)]) / people
    return weights @ clips.T


@pytest.mark.parametrize("number", [4, 8, 16])
def test_two_way_intervals_hold_the_truth_as_often_as_they_say(number):
    generator = np.random.default_rng(number)
    held = 0
    for _ in range(500):
        _, low, high = two_way_interval(simulated(generator, number), T)
        held += low <= 0.1 <= high
    assert 0.92 <= held / 500 <= 0.985


def test_an_interval_over_populations_alone_is_too_narrow():
    """With few test people, drawing populations alone misses the truth too often."""
    generator = np.random.default_rng(3)
    both, alone = 0, 0
    for _ in range(200):
        values = simulated(generator, 16, people=16)
        _, low, high = two_way_interval(values, T)
        both += low <= 0.1 <= high
        _, low, high = two_way_interval(fixed_people(values[0]), T)
        alone += low <= 0.1 <= high
    assert alone < 0.75 * 200 < 0.9 * 200 < both


def test_verdicts_follow_holm_and_the_margins():
    spread = fixed_people(SPREAD)
    family = [
        spread + 0.06,  # clear
        spread - 0.06,  # clear
        spread / 4 + 0.001,  # nothing, and small
        spread * 1.5,  # within 0.05, not within 0.02
        spread * 9,  # anything
    ]
    findings = judge_family(family, T)
    assert [f.verdict for f in findings] == [
        "helps",
        "hurts",
        "equivalent",
        "cannot tell",
        "cannot tell",
    ]
    assert [f.equivalent for f in findings] == [False, False, True, True, False]
    assert all(f.low <= f.difference <= f.high for f in findings)


def test_a_family_is_corrected_together():
    """p of 0.02 is clear alone; among three it is 0.06."""
    values = SPREAD + 0.0185
    alone = judge_family([fixed_people(values)], T)[0]
    assert alone.p_holm < 0.05 and alone.verdict == "helps"
    among = judge_family([fixed_people(values)] * 3, T)
    assert among[0].p_holm == pytest.approx(3 * alone.p_holm)
    assert {f.verdict for f in among} == {"cannot tell"}
    assert among[0].smallest_findable > alone.smallest_findable
