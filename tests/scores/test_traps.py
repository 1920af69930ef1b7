"""The traps on tables small enough to work out by hand, and what must hold on any table."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score

from merclip_lib.figures.charts import two_ways
from merclip_lib.scores import traps
from merclip_lib.scores.bootstrap import Resampling, bootstrap_interval, paired_difference
from merclip_lib.scores.metrics import score
from merclip_lib.scores.traps import (
    best_on_test,
    matched_by_row_order,
    mean_of_folds,
    mean_of_folds_present,
    pooled_uar,
    pooled_uf1,
    precision_as_uar,
    read_epochs,
)

CLASSES = ("a", "b", "c")


def table(*rows):
    """Predictions from (subject, truth, prediction); ids in order."""
    frame = pd.DataFrame(rows, columns=["subject", "truth", "prediction"])
    return frame.assign(clip_id=[f"k{i:02d}" for i in range(len(frame))])


HAND = table(
    ("s1", "a", "a"),
    ("s1", "a", "b"),
    ("s1", "b", "b"),
    ("s2", "a", "a"),
    ("s2", "c", "a"),
)


@st.composite
def predictions(draw):
    """Up to 20 clips of up to 4 subjects, any truth and any prediction."""
    label = st.sampled_from(CLASSES)
    rows = draw(st.lists(st.tuples(st.sampled_from("wxyz"), label, label), min_size=1, max_size=20))
    return table(*rows)


@st.composite
def runs(draw):
    """Predictions and what three epochs would have said; the last epoch is the prediction."""
    frame = draw(predictions())
    label = st.lists(st.sampled_from(CLASSES), min_size=len(frame), max_size=len(frame))
    parts = [frame.assign(epoch=e, prediction=draw(label)) for e in (0, 1)]
    epochs = pd.concat([*parts, frame.assign(epoch=2)])
    return frame, epochs.rename(columns={"subject": "fold"})


def number(frame, way):
    return traps.measure_trap(
        [frame], [frame], CLASSES, wrong=way, resampling=Resampling(2)
    ).trapped


def test_fold_averages_by_hand():
    # s1: F1 of a is 2/3, of b is 2/3, c is neither true nor predicted; s2: a 2/3, c 0, b neither
    assert number(HAND, mean_of_folds) == pytest.approx((4 / 9 + 2 / 9) / 2)
    assert number(HAND, mean_of_folds_present) == pytest.approx((2 / 3 + 1 / 3) / 2)
    # pooled: a has TP 2, FP 1, FN 1; b TP 1, FP 1, FN 0; c only a miss
    assert number(HAND, pooled_uf1) == pytest.approx((4 / 6 + 2 / 3 + 0) / 3)
    assert number(HAND, pooled_uar) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert number(HAND, precision_as_uar) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


@settings(max_examples=20, deadline=None)
@given(predictions())
def test_ways_agree_with_scikit_learn(frame):
    options = {"labels": CLASSES, "zero_division": 0}
    precision = precision_score(frame.truth, frame.prediction, average="macro", **options)
    assert number(frame, precision_as_uar) == pytest.approx(precision)
    folds = [part for _, part in frame.groupby("subject")]
    dropped = [f1_score(part.truth, part.prediction, average="macro") for part in folds]
    assert number(frame, mean_of_folds_present) == pytest.approx(np.mean(dropped))
    counted = [f1_score(p.truth, p.prediction, average="macro", **options) for p in folds]
    assert number(frame, mean_of_folds) == pytest.approx(np.mean(counted))


@settings(max_examples=20, deadline=None)
@given(predictions(), st.randoms())
def test_one_subject_makes_one_fold_and_exchange_turns_uar_into_precision(frame, random):
    alone = frame.assign(subject="w")
    assert number(alone, mean_of_folds) == pytest.approx(number(alone, pooled_uf1))
    turned = frame.rename(columns={"truth": "prediction", "prediction": "truth"})
    assert number(turned, pooled_uar) == pytest.approx(number(frame, precision_as_uar))
    order = random.sample(range(len(frame)), len(frame))
    for way in (mean_of_folds, mean_of_folds_present, precision_as_uar):
        assert number(frame.iloc[order], way) == pytest.approx(number(frame, way))


def test_best_on_test_by_hand():
    epochs = pd.DataFrame(
        {
            "fold": ["s1"] * 6 + ["s2"] * 4,
            "epoch": [0, 0, 0, 1, 1, 1, 0, 0, 1, 1],
            "clip_id": ["k00", "k01", "k02", "k00", "k01", "k02", "k03", "k04", "k03", "k04"],
            "prediction": ["a", "a", "c", "a", "b", "b", "a", "b", "a", "a"],
        }
    )
    chosen = best_on_test(HAND, epochs).set_index("clip_id")
    # s1: two right in either epoch, the earlier stays; s2: one right in either
    assert chosen.epoch.tolist() == [0] * 5
    assert chosen.prediction.tolist() == ["a", "a", "c", "a", "b"]
    assert set(chosen.selection) == {"best_on_test"}
    epochs.loc[4, "prediction"] = "a"  # epoch 1 of s1 is right three times now
    chosen = best_on_test(HAND, epochs)
    assert chosen.epoch.tolist() == [1, 1, 1, 0, 0]
    assert "p_a" not in best_on_test(HAND.assign(p_a=0.5), epochs)


@settings(max_examples=20, deadline=None)
@given(runs(), st.randoms())
def test_choosing_on_the_held_out_clips_never_lowers_accuracy(run, random):
    frame, epochs = run
    chosen = best_on_test(frame, epochs)
    for epoch in range(3):
        one = frame.clip_id.map(epochs[epochs.epoch == epoch].set_index("clip_id").prediction)
        single = score(frame.assign(prediction=one), CLASSES)
        assert score(chosen, CLASSES).accuracy >= single.accuracy - 1e-12
    order = random.sample(range(len(epochs)), len(epochs))
    again = best_on_test(frame.iloc[::-1], epochs.iloc[order])
    pd.testing.assert_frame_equal(again.sort_values("clip_id", ignore_index=True), chosen)


def test_best_on_test_refuses_other_clips():
    epochs = HAND.assign(epoch=0).rename(columns={"subject": "fold"})
    with pytest.raises(ValueError, match="other clips"):
        best_on_test(HAND.iloc[:4], epochs)
    with pytest.raises(ValueError, match="epoch 1 of fold 's1'"):
        best_on_test(HAND, pd.concat([epochs, epochs.iloc[:1].assign(epoch=1)]))
    with pytest.raises(ValueError, match="more than once"):
        best_on_test(pd.concat([HAND, HAND]), epochs)


def test_epochs_are_read_from_the_folders_of_the_folds(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"folds": ["s1", "s2"]}))
    for fold in ("s1", "s2"):
        (tmp_path / fold).mkdir()
        text = f"epoch,clip_id,prediction\n0,{fold[1]}01,None\n"
        (tmp_path / fold / "epochs.csv").write_text(text)
    found = read_epochs(tmp_path)
    assert found.to_dict("list") == {
        "fold": ["s1", "s2"],
        "epoch": [0, 0],
        "clip_id": ["101", "201"],
        "prediction": ["None"] * 2,
    }
    (tmp_path / "s2" / "epochs.csv").unlink()
    with pytest.raises(ValueError, match="epochs.csv: .* train it again"):
        read_epochs(tmp_path)


def test_row_order_is_harmless_only_in_the_same_order():
    same = matched_by_row_order(HAND, list(HAND.clip_id))
    pd.testing.assert_frame_equal(same, HAND)
    other = matched_by_row_order(HAND, ["k04", "k00", "k01", "k02", "k03"])
    assert other.truth.tolist() == ["c", "a", "a", "b", "a"]
    assert other.prediction.tolist() == HAND.prediction.tolist()
    with pytest.raises(ValueError, match="not those"):
        matched_by_row_order(HAND, ["k00"])


@settings(max_examples=20, deadline=None)
@given(predictions(), st.randoms())
def test_matching_by_id_does_not_know_the_order(frame, random):
    order = random.sample(range(len(frame)), len(frame))
    shuffled = frame.iloc[order]
    assert score(shuffled, CLASSES).uf1 == score(frame, CLASSES).uf1
    back = matched_by_row_order(shuffled, list(shuffled.clip_id))
    assert score(back, CLASSES).uf1 == score(frame, CLASSES).uf1


def test_measure_equals_the_paired_difference():
    generator = np.random.default_rng(0)
    truth = np.arange(90) % 3

    def draw(right):
        guess = np.where(generator.random(90) < right, truth, generator.integers(0, 3, 90))
        return table(
            *(
                (f"s{i // 9}", CLASSES[t], CLASSES[g])
                for i, (t, g) in enumerate(zip(truth, guess, strict=True))
            )
        )

    good, bad = [draw(0.9), draw(0.9)], [draw(0.2)]
    found = traps.measure_trap(bad, good, CLASSES, resampling=Resampling(300, 5))
    paired = paired_difference(good, bad, CLASSES, resampling=Resampling(300, 5))
    assert (found.change, found.low, found.high) == pytest.approx(
        (paired.mean, paired.low, paired.high)
    )
    assert (found.honest_low, found.honest_high) == pytest.approx(
        bootstrap_interval(bad[0], CLASSES, resampling=Resampling(300, 5))
    )
    assert found.verdict == "inflates"
    assert traps.measure_trap(good, bad, CLASSES, resampling=Resampling(300)).verdict == "deflates"
    same = traps.measure_trap(good, good, CLASSES, resampling=Resampling(300))
    assert (same.change, same.low, same.high, same.verdict) == (0, 0, 0, "no clear change")
    assert found.p == paired.p
    assert f"becomes {found.trapped:.3f}" in str(found) and str(found).endswith(": inflates")


def test_effects_measured_together_are_corrected_for_all_of_them():
    clear = traps.TrapEffect(0.5, 0.4, 0.6, 0.7, 0.6, 0.8, 0.2, 0.1, 0.3, 0.002)
    weak = traps.TrapEffect(0.5, 0.4, 0.6, 0.45, 0.4, 0.5, -0.05, -0.1, -0.0003, 0.03)
    assert weak.verdict == traps.measured_together({"alone": weak}).verdict[0] == "deflates"
    table = traps.measured_together({"first": clear, "second": weak, "third": weak})
    assert table.p_holm.tolist() == pytest.approx([0.006, 0.06, 0.06])
    assert table.verdict.tolist() == ["inflates", "no clear change", "no clear change"]
    assert table.sentence[0] == (
        "first: inflates (+0.200 [+0.100, +0.300]; p = 0.006 after Holm's correction for 3 "
        "questions)"
    )
    assert "-0.000], the interval touches zero; p = 0.060" in table.sentence[1]


NUMBERS = {
    "epoch": {"best": 0.512, "epochs": 6},
    "means": {"shown": 2.54, "classes": 5, "dropped": "so and so", "apart": 0.2},
    "exchanged": {"before": 0.5, "after": 0.5},
    "row order": {"folds": 4, "loso": 0.0},
    "people": {},
    "flip": {"sided": 0.081},
}


@pytest.mark.parametrize("trap", traps.REMARKS)
def test_the_remark_on_a_trap_follows_its_verdict(trap):
    up = traps.TrapEffect(0.5, 0.4, 0.6, 0.7, 0.6, 0.8, 0.2, 0.1, 0.3, 0.002)
    down = up._replace(trapped=0.3, change=-0.2, low=-0.3, high=-0.1)
    unclear = up._replace(low=-0.1, p=0.2)
    said = {each.verdict: traps.answer_trap(trap, each, **NUMBERS[trap]) for each in (up, down)}
    said[unclear.verdict] = traps.answer_trap(trap, unclear, **NUMBERS[trap])
    assert list(said) == ["inflates", "deflates", "no clear change"]
    for verdict, text in said.items():
        assert text.startswith("**Answer.** 0.500 [0.400, 0.600] becomes") and "{" not in text
        for other, remark in traps.REMARKS[trap].items():
            if "{" not in remark:
                assert (remark in text) == (other in (verdict, "always"))


def test_numbers_are_put_into_the_remarks():
    effect = traps.TrapEffect(0.5, 0.4, 0.6, 0.7, 0.6, 0.8, 0.2, 0.1, 0.3, 0.002)
    said = traps.answer_trap("epoch", effect, **NUMBERS["epoch"])
    assert "the best epoch reaches 0.512. There are 6 epochs" in said
    assert "8% of the clips" in traps.answer_trap("flip", effect, **NUMBERS["flip"])


def test_all_traps_are_said_with_the_widest():
    up = traps.TrapEffect(0.5, 0.4, 0.6, 0.7, 0.6, 0.8, 0.2, 0.1, 0.3, 0.002)
    wide = up._replace(honest_low=0.3, change=0.25)
    text = traps.answer_traps(traps.measured_together({"first": up, "second": wide}), 16)
    assert "With 16 subjects" in text and "The largest gain is +0.250, second." in text
    assert "honest number is 0.30 wide" in text
    assert [line[:8] for line in text.splitlines()[2:4]] == ["* first:", "* second"]


@pytest.mark.parametrize("intervals", [True, False])
def test_figure_of_two_ways_says_the_change(intervals):
    measured = traps.measure_trap(
        [HAND], [HAND.assign(prediction=HAND.truth)], CLASSES, resampling=Resampling(20)
    )
    rows = pd.DataFrame([{"name": "copied truth", **measured._asdict()}])
    rows = rows if intervals else rows[["name", "honest", "trapped", "change"]]
    axes = two_ways(rows, "SynthME: two ways").axes[0]
    written = " ".join(text.get_text() for text in axes.texts).replace("\N{MINUS SIGN}", "-")
    assert f"{measured.change:+.3f}" in written
    assert (f"[{measured.low:+.3f}, {measured.high:+.3f}]" in written) == intervals
    assert [label.get_text() for label in axes.get_yticklabels()] == ["copied truth"]


def test_the_change_is_grey_where_holm_leaves_it_unclear():
    row = {"honest": 0.5, "trapped": 0.6, "change": 0.1, "low": 0.02, "high": 0.2}
    row |= {f"{way}_{end}": 0.5 for way in ("honest", "trapped") for end in ("low", "high")}
    rows = pd.DataFrame(
        [{"name": "clear", "p_holm": 0.03, **row}, {"name": "not", "p_holm": 0.06, **row}]
    )

    def colours(table):
        texts = two_ways(table, "SynthME: two ways").axes[0].texts
        return [text.get_color() for text in texts if text.get_text()[0] == "+"]

    clear, unclear = colours(rows)
    assert clear != unclear and colours(rows.drop(columns="p_holm")) == [clear, clear]


def test_measure_needs_the_same_clips_and_subjects():
    with pytest.raises(ValueError, match="'k04'.*same clips"):
        traps.measure_trap([HAND], [HAND.iloc[:4]], CLASSES)
    with pytest.raises(ValueError, match="another subject"):
        traps.measure_trap([HAND], [HAND.assign(subject="s1")], CLASSES)
    with pytest.raises(ValueError, match="at least one"):
        traps.measure_trap([], [HAND], CLASSES)
