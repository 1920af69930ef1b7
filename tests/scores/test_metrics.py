"""Pooled metrics, intervals and paired differences."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score

from merclip_lib.scores.bootstrap import (
    Resampling,
    bootstrap_interval,
    clip_differences,
    holm,
    paired_difference,
    subject_interval,
)
from merclip_lib.scores.metrics import METRICS, confusion, read_predictions, score
from merclip_lib.scores.traps import measure_trap
from merclip_lib.scores.verdicts import claims, p_in_words

CLASSES = ("anger", "disgust", "others")


def table(truth, prediction, subject=None, classes=CLASSES):
    """Predictions with made-up ids from class numbers."""
    count = len(truth)
    return pd.DataFrame(
        {
            "clip_id": [f"clip{i:04d}" for i in range(count)],
            "subject": subject if subject is not None else [f"s{i % 4}" for i in range(count)],
            "truth": [classes[i] for i in truth],
            "prediction": [classes[i] for i in prediction],
        }
    )


def noisy(seed, right, subjects=20, clips=10):
    """Predictions right with the given probability, else drawn at random."""
    generator = np.random.default_rng(seed)
    truth = np.arange(subjects * clips) % 3
    guess = generator.integers(0, 3, truth.size)
    keep = generator.random(truth.size) < right
    return table(truth, np.where(keep, truth, guess), np.repeat(np.arange(subjects), clips))


def test_reference_numbers(golden):
    cases = json.loads((golden / "metrics.json").read_text())
    assert cases
    for case in cases.values():
        classes = [f"c{i}" for i in range(case["C"])]
        result = score(table(case["gt"], case["pred"], classes=classes), classes)
        assert result.uf1 == pytest.approx(case["fixedC_UF1"], abs=1e-12)
        assert result.uar == pytest.approx(case["fixedC_UAR"], abs=1e-12)


def test_agrees_with_scikit_learn():
    predictions = noisy(0, 0.5)
    result = score(predictions, CLASSES)
    truth, prediction = predictions["truth"], predictions["prediction"]
    assert result.uf1 == pytest.approx(f1_score(truth, prediction, average="macro"))
    assert result.uar == pytest.approx(balanced_accuracy_score(truth, prediction))
    assert result.accuracy == pytest.approx((truth == prediction).mean())
    assert result.absent == ()
    assert result.per_class["f1"].mean() == pytest.approx(result.uf1)


def test_confusion_has_truth_in_rows():
    matrix = confusion(table([0, 0, 1], [0, 2, 1]), CLASSES)
    assert matrix.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert matrix.dtype.kind == "i"


def test_absent_class_counts_as_zero():
    result = score(table([0, 0, 1, 1], [0, 0, 1, 1]), CLASSES)
    assert result.uf1 == pytest.approx(2 / 3)
    assert result.uar == pytest.approx(2 / 3)
    assert result.accuracy == 1
    assert result.absent == ("others",)


def test_precision_is_not_recall():
    rows = score(table([0, 0, 1], [0, 1, 1]), CLASSES).per_class.set_index("class")
    assert rows.loc["anger", ["precision", "recall"]].tolist() == [1, 0.5]
    assert rows.loc["disgust", ["precision", "recall"]].tolist() == [0.5, 1]


def test_row_order_does_not_matter():
    a, b = noisy(1, 0.7), noisy(2, 0.3)
    shuffled = b.sample(frac=1, random_state=0)
    assert paired_difference([a], [b], CLASSES) == paired_difference([a], [shuffled], CLASSES)


@pytest.mark.parametrize("metric", METRICS)
def test_interval_equals_slow_resampling(metric):
    predictions = noisy(3, 0.5, subjects=5, clips=7)
    generator = np.random.default_rng(11)
    values = []
    for weights in generator.multinomial(5, np.full(5, 0.2), size=60):
        drawn = pd.concat(
            [
                predictions[predictions["subject"] == subject]
                for subject, times in enumerate(weights)
                for _ in range(times)
            ]
        )
        drawn["clip_id"] = range(len(drawn))
        values.append(getattr(score(drawn, CLASSES), metric))
    expected = np.quantile(values, [0.05, 0.95])
    found = bootstrap_interval(predictions, CLASSES, metric, Resampling(60, 11, 0.9))
    assert found == pytest.approx(tuple(expected))


def test_interval_holds_the_score_and_follows_the_seed():
    predictions = noisy(4, 0.5)
    low, high = bootstrap_interval(predictions, CLASSES)
    assert low < score(predictions, CLASSES).uf1 < high
    assert (low, high) == bootstrap_interval(predictions, CLASSES, resampling=Resampling(seed=0))
    assert (low, high) != bootstrap_interval(predictions, CLASSES, resampling=Resampling(seed=1))


def test_subjects_of_two_databases_are_two_people():
    predictions = table([0, 1, 2] * 2, [0, 1, 2, 1, 2, 0], ["s1"] * 6)
    assert bootstrap_interval(predictions, CLASSES) == (0.5, 0.5)
    predictions["database"] = ["SMIC"] * 3 + ["SAMM"] * 3
    assert bootstrap_interval(predictions, CLASSES) == (0, 1)


def test_interval_is_over_subjects_not_clips():
    subjects = np.repeat(["a", "b", "c", "d"], 25)
    alike = np.tile([0.0, 1.0, 1.0, 1.0], 25)[:100]
    mean, low, high = subject_interval(np.repeat([0.0, 1, 1, 1], 25), subjects)
    assert mean == 0.75 and low <= 0.25 and high == 1.0
    mean, low, high = subject_interval(alike, subjects)
    assert low <= mean <= high and high - low < 0.05


def test_differences_of_clips_are_asked_together():
    subjects = np.repeat(list("abcdefgh"), 3)
    always, sometimes = np.full(24, 0.1), np.where(subjects == "a", 3.0, 0.0)
    found = clip_differences({"always": always, "one person": sometimes}, subjects)
    row, other = (found.iloc[k] for k in (0, 1))
    assert (row["mean"], row.low, row.high) == pytest.approx((0.1, 0.1, 0.1))
    assert row.p == 2 / 2**8 and row.p_holm == 4 / 2**8  # all eight people in one direction
    assert other.low == 0 and other.p_holm == other.p > 0.5
    assert claims(found, "rises", "falls", "does not tell") == [
        "always rises (+0.100 [+0.100, +0.100]; p = 0.016 after Holm's correction for 2 questions)",
        f"one person does not tell (+0.375 [+0.000, {other.high:+.3f}], the interval touches zero; "
        f"{p_in_words(other.p)} after Holm's correction for 2 questions)",
    ]
    (alone,) = claims(
        clip_differences({"it": -always}, subjects), "rises", "falls", "does not tell"
    )
    assert alone == "it falls (-0.100 [-0.100, -0.100]; p = 0.008)"


@pytest.mark.parametrize(
    ("people", "p"), [(1, 1), (2, 1 / 2), (5, 1 / 16), (8, 1 / 128), (9, 1 / 256), (10, 2 / 1001)]
)
def test_few_people_cannot_make_a_small_p_however_much_they_differ(people, p):
    """All people in one direction: 2 / 2^people by a sign test, 2 / 1001 by the resamples."""
    row = clip_differences({"it": np.full(people, 0.3)}, np.arange(people)).iloc[0]
    assert row.p == pytest.approx(p)
    good, bad = (
        table([0, 1, 2] * people, [k] * 3 * people, np.repeat(np.arange(people), 3)) for k in (0, 1)
    )
    good["prediction"] = good["truth"]
    assert paired_difference([good], [bad], CLASSES).p == pytest.approx(p)
    effect = measure_trap([bad], [good], CLASSES)
    assert effect.p == pytest.approx(p) and effect.low > 0
    assert effect.verdict == ("inflates" if people > 5 else "no clear change")


def test_a_p_value_by_counting_resamples():
    """Person a falls, b and c rise; of 27 draws the mean falls in the 7 that hold a twice."""
    row = clip_differences({"it": [-1.0, 1.0, 1.0]}, list("abc"), Resampling(20_000)).iloc[0]
    assert row["mean"] == pytest.approx(1 / 3)
    assert row.p == pytest.approx(2 * 7 / 27, abs=0.01)


def test_paired_difference():
    good, bad = [noisy(seed, 0.9) for seed in (0, 1)], [noisy(seed, 0.2) for seed in (2, 3, 4)]
    found = paired_difference(good, bad, CLASSES, resampling=Resampling(500))
    assert 0 < found.low < found.mean < found.high
    assert 1 / 501 <= found.p < 0.01
    turned = paired_difference(bad, good, CLASSES, resampling=Resampling(500))
    assert (turned.mean, turned.low, turned.p) == pytest.approx((-found.mean, -found.high, found.p))
    same = paired_difference(good, good, CLASSES)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_paired_difference_needs_the_same_clips():
    a = noisy(0, 0.5)
    with pytest.raises(ValueError, match="'clip0199'.*same clips"):
        paired_difference([a], [a.iloc[:-1]], CLASSES)
    with pytest.raises(ValueError, match="another truth"):
        paired_difference([a], [a.assign(truth="anger")], CLASSES)
    with pytest.raises(ValueError, match="another subject"):
        paired_difference([a], [a.assign(subject=0)], CLASSES)
    with pytest.raises(ValueError, match="lists"):
        paired_difference(a, a, CLASSES)
    with pytest.raises(ValueError, match="at least one"):
        paired_difference([], [a], CLASSES)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda p: p.assign(truth="fear"), "'clip0000' has truth 'fear'"),
        (lambda p: p.assign(prediction=None), "has prediction None"),
        (lambda p: p.assign(clip_id="x"), "'x' is predicted more than once"),
        (lambda p: p.drop(columns="subject"), "lack the column.* subject"),
        (lambda p: p.iloc[:0], "no predictions"),
    ],
)
def test_bad_predictions_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        score(change(noisy(0, 0.5)), CLASSES)


def test_bad_settings_are_refused():
    predictions = noisy(0, 0.5)
    with pytest.raises(ValueError, match="different class names"):
        score(predictions, "anger")
    with pytest.raises(ValueError, match="uf1, uar, accuracy"):
        bootstrap_interval(predictions, CLASSES, "f1")
    with pytest.raises(ValueError, match="0.95"):
        Resampling(level=95)
    with pytest.raises(ValueError, match="samples is 0"):
        Resampling(samples=0)


def test_read_predictions(tmp_path):
    path = tmp_path / "predictions.csv"
    predictions = noisy(0, 0.5).assign(subject="007")
    predictions.to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_predictions(path), predictions, check_dtype=False)
    predictions.drop(columns="truth").to_csv(path, index=False)
    with pytest.raises(ValueError, match="predictions.csv: .* truth"):
        read_predictions(path)


def test_holm_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1; the last may not be below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([0.5, 0.4, 0.9]) == pytest.approx([1, 1, 1])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms())
def test_holm_is_between_the_raw_value_and_bonferroni(values, random):
    corrected = holm(values)
    for raw, found in zip(values, corrected, strict=True):
        assert raw <= found <= min(1, raw * len(values))
    shuffled = random.sample(range(len(values)), len(values))
    again = holm([values[k] for k in shuffled])
    assert again == pytest.approx(corrected[shuffled])


@pytest.mark.parametrize("values", [[0.1, 1.2], [-0.1], [float("nan")], 0.5])
def test_holm_refuses_what_is_no_p_value(values):
    with pytest.raises(ValueError, match="must be a list of numbers in"):
        holm(values)
