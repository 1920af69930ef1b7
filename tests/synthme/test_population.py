"""Who shows what, what is written down, and how far that is like the real sets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from merclip_lib.data.table import COLUMNS
from merclip_lib.synthme import calibration
from merclip_lib.synthme.plan import TRUTH, clips_of_each, plan_population
from merclip_lib.synthme.populations import EXAMPLE, PRESETS, STARTS, population
from merclip_lib.synthme.shortcut import colours
from merclip_lib.text import facs

# Figures of the real sets' annotations: reader of units, dependence of the emotion on the person,
# emotions that no unit list decides, an equal pair in a batch of 8.
RANGES = {
    "casme2-like": {
        "reader": (0.80, 0.88),
        "dependence": (0.14, 0.21),
        "undecidable": (0.08, 0.16),
        "equal_pair": (0.78, 0.90),
    },
    "casme3-like": {
        "reader": (0.24, 0.32),
        "dependence": (0.14, 0.21),
        "undecidable": (0.35, 0.47),
        "equal_pair": (0.89, 0.97),
    },
}


@pytest.mark.parametrize("preset", RANGES)
def test_populations_of_the_calibration_seeds_are_like_the_real_set(preset):
    figures = calibration.calibrate(preset)
    for name, (low, high) in RANGES[preset].items():
        assert low <= figures[name] <= high, (name, figures[name])
    counts = PRESETS[preset]["shares"]
    for emotion, count in counts.items():
        share = count / sum(counts.values())
        assert figures[f"share_{emotion}"] == pytest.approx(share, abs=0.07), emotion
    assert 0.10 <= figures["unit_noise"] <= 0.20


def test_plan_has_truth_beside_what_was_written():
    table = plan_population(population("casme3-like", 5, people=30, clips=300))
    assert list(table.columns) == [*COLUMNS, *TRUTH]
    assert len(table) == 300 and table.clip_id.is_unique and table.subject.nunique() == 30
    assert 0.1 < (table.emotion != table.true_emotion).mean() < 0.5
    written = table.action_units.map(lambda text: {u.number for u in facs.parse(text)})
    shown = table.true_action_units.map(lambda text: {u.number for u in facs.parse(text)})
    assert 0.1 < (written != shown).mean() < 0.6
    assert ((table.onset < table.apex) & (table.apex < table.offset)).all()
    assert (table.offset - table.onset).between(40, 100).all()


def test_people_have_uneven_numbers_of_clips():
    counts = clips_of_each(population("casme2-like", 3))
    assert counts.sum() == 249 and counts.min() >= 1 and counts.max() <= 36
    assert counts.std() > 4
    full = clips_of_each(population("casme2-like", 3, people=2, clips=72))
    assert full.tolist() == [36, 36]


def test_without_dependence_people_prefer_nothing():
    figures = [
        calibration.figures(plan_population(population("casme2-like", 9, 60, 900, dependence=d)))
        for d in (0.0, 1.0)
    ]
    assert figures[0]["dependence"] < 0.03 < 0.1 < figures[1]["dependence"]


def test_populations_share_no_person_and_the_same_seed_is_the_same_table():
    tables = [plan_population(people) for people in (EXAMPLE, *STARTS.values())]
    names = [set(table.subject) for table in tables]
    assert len(set.union(*names)) == sum(map(len, names))
    pd.testing.assert_frame_equal(tables[0], plan_population(EXAMPLE))


def test_exclusive_or_and_side_decide_the_emotion():
    table = plan_population(population("casme2-like", 4, 10, 100, rule="exclusive_or"))
    units = table.action_units.map(lambda text: {u.number for u in facs.parse(text)})
    one = units.map(lambda shown: (1 in shown) != (12 in shown))
    assert ((table.emotion == "first") == one).all()
    table = plan_population(population("casme2-like", 4, 10, 100, rule="side"))
    assert ((table.emotion == "first") == table.action_units.str.startswith("L")).all()
    assert table.emotion.nunique() == 2


def test_a_shortcut_tells_the_emotion_unless_it_is_broken():
    people = population("casme2-like", 4, 10, 100, shortcut="mark")
    table = plan_population(people)
    assert (table.shortcut == table.emotion.map(people.classes.index)).all()
    broken = plan_population(replace(people, broken=True))
    assert 0.05 < (broken.shortcut == broken.emotion.map(people.classes.index)).mean() < 0.4
    assert len(np.unique(colours(5).round(3), axis=0)) == 5


def test_figures_of_tables_known_by_hand():
    units, emotions = ["4", "4", "4", "12"], np.array(["a", "a", "b", "c"])
    assert calibration.undecidable(units, emotions) == pytest.approx(0.25)
    assert calibration.equal_pair(["4", "4", "12"], batch=2) == pytest.approx(1 / 3)
    assert calibration.equal_pair(["1", "2", "3"], batch=2) == 0
    assert calibration.equal_pair(["1"] * 9) == 1
    people = np.repeat(["x", "y"], 50)
    same = calibration.dependence(people, people, np.random.default_rng(0))
    assert same == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("preset", "given", "message"),
    [
        ("casme2like", {}, "no preset 'casme2like'; did you mean 'casme2-like'"),
        ("casme2-like", {"people": 3, "clips": 200}, "3 people and 200 clips cannot be"),
        ("casme2-like", {"people": 3, "clips": 2}, "cannot be"),
        ("casme2-like", {"rule": "sides"}, "rule is 'sides'; choose one of"),
        ("casme2-like", {"shortcut": "hat"}, "shortcut is 'hat'; choose one of"),
    ],
)
def test_populations_that_cannot_be_are_refused(preset, given, message):
    with pytest.raises(ValueError, match=message):
        population(preset, 1, **given)
