"""The design of a study: what follows from it, and everything that it must not say."""

import re
from pathlib import Path

import pytest
import study_stand_in
from study_stand_in import DESIGN, changed, write_design

from merclip_lib.study.design import Cell, read_study
from merclip_lib.study.reference_lines import full_trials

COMMITTED = Path(__file__).resolve().parents[2] / "notebooks" / "design.yaml"


@pytest.fixture(autouse=True)
def populations(monkeypatch):
    study_stand_in.install(monkeypatch.setattr)


def test_what_is_trained_follows_from_the_families(tmp_path):
    families = DESIGN["families"] | {
        "scratch": {
            "cells": {"casme2-like": {"scratch": 2, "tiny": 3}},
            "comparisons": [{"change": "text", "a": "text", "b": "full"}],
        }
    }
    entries = DESIGN["entries"] | {"text": {"config": {"use_text": True}}}
    study = read_study(write_design(tmp_path, families=families, entries=entries))
    wanted = {("full", "scratch"): 2, ("text", "scratch"): 2}
    wanted |= {("full", "tiny"): 3, ("text", "tiny"): 3, ("no_mix", "tiny"): 2}
    cells = [trial.cell for trial in study.trials]
    assert sorted(cells) == sorted(
        Cell(entry, "casme2-like", start, k)
        for (entry, start), number in wanted.items()
        for k in range(number)
    )
    seeds = [trial.training.seed for trial in study.trials]
    assert seeds == sorted(seeds), "trainings on one population lie beside each other"


def test_a_training_is_put_together_from_all_parts_of_the_design(tmp_path):
    starts = DESIGN["starts"] | {"tiny": [{"weights": "a"}, {"weights": "b"}]}
    entries = {
        "full": {},
        "no_mix": {"config": {"mix": False, "seed": 1000}, "population": {"clips": 30}},
    }
    path = write_design(tmp_path, starts=starts, entries=entries)
    trials = {trial.cell: trial for trial in read_study(path).trials}
    trial = trials[Cell("no_mix", "casme2-like", "tiny", 1)]
    config = trial.config
    assert (config.frames, config.weights, config.epochs, config.mix) == (2, "b", 2, False)
    assert (config.lr, config.seed, config.task) == (1e-3, 1051, study_stand_in.FAST["task"])
    assert (trial.training.seed, trial.training.people, trial.training.clips) == (51, 3, 30)
    assert (trial.test.seed, trial.test.people, trial.test.clips) == (60, 6, 42)
    assert trial.seconds == 18 + 1.0 * 30 * 2
    full = trials[Cell("full", "casme2-like", "tiny", 1)]
    assert full.config.seed == full.training.seed == 51
    assert full.test == trial.test
    assert trials[Cell("full", "casme2-like", "tiny", 0)].config.weights == "a"


BAD = {
    "a misspelt key": ({"entries": {"full": {"confg": {}}}}, "entries, full.*'confg'.*config"),
    "no such top key": ({"famlies": {}}, "'famlies'; did you mean 'families'"),
    "no such switch": (
        {"entries": {"full": {}, "no_mix": {"config": {"mixx": False}}}},
        "entry no_mix at casme2-like, tiny: .*'mixx'",
    ),
    "a value of another type": (
        {"entries": {"full": {}, "no_mix": {"config": {"lr": "1e-4"}}}},
        "entry no_mix .*write numbers as 1.0e-4",
    ),
    "no such change of a population": (
        {"entries": {"full": {}, "no_mix": {"population": {"peple": 3}}}},
        "entry no_mix .*'peple'",
    ),
    "no such preset": (
        changed(cells={"casme9-like": {"tiny": 2}}),
        "family primary, 'mix': preset 'casme9-like' is unknown.*'casme2-like'",
    ),
    "a preset that cannot be drawn": (
        {"presets": {"casme2-lik": DESIGN["presets"]["casme2-like"]}}
        | changed(cells={"casme2-lik": {"tiny": 2}}),
        "there is no preset 'casme2-lik'",
    ),
    "no such start": (
        changed(cells={"casme2-like": {"tiney": 2}}),
        "start 'tiney' is unknown; did you mean 'tiny'",
    ),
    "no such entry": (changed(b="no_mx"), "'mix': entry 'no_mx'.*'no_mix'"),
    "no such budget": (
        {"entries": {"full": {}, "no_mix": {"budget": "short"}}},
        "budget 'short' is unknown; known are full",
    ),
    "no such task": (
        {"presets": {"casme2-like": DESIGN["presets"]["casme2-like"] | {"task": "casme2-55"}}},
        "task 'casme2-55' is unknown",
    ),
    "seeds that overlap": (
        {"seeds": DESIGN["seeds"] | {"training": [45, 59]}},
        r"controls \[40, 49\] and training \[45, 59\] overlap",
    ),
    "seeds the wrong way round": (
        {"seeds": DESIGN["seeds"] | {"test": [69, 60]}},
        r"test is \[69, 60\]; write \[first, last\]",
    ),
    "seeds of a purpose missing": ({"seeds": {"test": [1, 2]}}, "a range for each of motion"),
    "more populations than seeds": (
        changed(cells={"casme2-like": {"tiny": 11}}),
        "population 10 is beyond the training seeds 50 to 59",
    ),
    "one population": (changed(cells={"casme2-like": {"tiny": 1}}), "at least 2 populations"),
    "nowhere": (
        {
            "families": {
                "primary": {
                    "primary": True,
                    "comparisons": changed()["families"]["primary"]["comparisons"],
                }
            }
        },
        "needs cells",
    ),
    "an entry that nobody asks about": (
        {"entries": DESIGN["entries"] | {"idle": {}}},
        "no family compares entry 'idle'",
    ),
    "other test people": (
        {"entries": {"full": {}, "no_mix": {"test": {"dependence": 0.0}}}},
        "'mix': a and b differ in `test`",
    ),
    "a bound without a control": (changed(within=[-0.1, 0.1]), "within.* negative controls"),
    "a negative control without a bound": (changed(control="negative"), "within"),
    "no such control": (changed(control="negativ"), "number 1, control is 'negativ'.*'negative'"),
    "two primary families": (
        {"families": {name: DESIGN["families"]["primary"] for name in ("primary", "second")}},
        "only one family",
    ),
    "no such statistic": ({"rules": {"statistic": "z"}}, "rules, statistic is 'z'; known are t"),
    "too expensive": ({"clip_seconds": 1e4}, "core-hours, core_hours allows 20; ask for fewer"),
    "no time": ({"block_minutes": 0}, "block_minutes is 0"),
    "a time that is no number": ({"core_hours": float("nan")}, "core_hours is nan"),
    "a level above one": ({"rules": {"level": 5.0}}, "rules must keep 0 < level < power"),
    "power below the level": ({"rules": {"power": 0.01}}, "rules must keep"),
    "no resamples": ({"rules": {"samples": 0}}, "rules must keep"),
    "a start without weights": (
        {"starts": DESIGN["starts"] | {"tiny": []}},
        "entry .* at casme2-like, tiny",
    ),
}


@pytest.mark.parametrize("changes, message", BAD.values(), ids=BAD)
def test_a_bad_design_is_refused_in_one_line(tmp_path, changes, message):
    path = write_design(tmp_path, frozen=False, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        read_study(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds: [1\n", "cannot read the design"),
        ("entries: {full: {}, full: {}}", "the key 'full' is given twice"),
        ("points: {8: 1}", "the key 8 must be text: write '8'"),
        ("- a list", "is .*; write a value of type dict"),
        ("seeds: 2020-13-45", "cannot read the design"),
        ("seeds: " + "[" * 5000, "cannot read the design"),
    ],
)
def test_a_file_that_is_no_design_is_refused_in_one_line(tmp_path, text, message):
    (tmp_path / "design.yaml").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_study(tmp_path / "design.yaml")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="cannot read the design"):
        read_study(tmp_path / "absent.yaml")
    with pytest.raises(ValueError, match="name a design something.yaml"):
        read_study(tmp_path / "design")


def test_a_frozen_design_cannot_change(tmp_path):
    path = write_design(tmp_path)
    study = read_study(path)
    path.write_text("# what a comment says does not matter\n" + path.read_text())
    assert read_study(path).hash == study.hash
    text = path.read_text()
    path.write_text(text.replace("core_hours: 20", "core_hours: 19"))
    with pytest.raises(ValueError, match=f"changed after it had been frozen as {study.hash}"):
        read_study(path)
    path.write_text(re.sub("frozen: .*", 'frozen: "0123456789ab"', text))
    with pytest.raises(ValueError, match="frozen as 0123456789ab"):
        read_study(path)


def test_seeds_serve_their_purpose(tmp_path):
    design = read_study(write_design(tmp_path)).design
    assert design.seed("development", 9) == 39
    for number in (10, -1):
        with pytest.raises(ValueError, match="development seeds 30 to 39"):
            design.seed("development", number)


def test_a_comparison_may_cross_two_starts(tmp_path):
    families = changed(b="full", b_start="scratch")["families"]
    study = read_study(write_design(tmp_path, families=families, entries={"full": {}}))
    assert {trial.cell[:3] for trial in study.trials} == {
        ("full", "casme2-like", "tiny"),
        ("full", "casme2-like", "scratch"),
    }
    with pytest.raises(ValueError, match="b_start 'scrtch' is unknown; did you mean 'scratch'"):
        read_study(write_design(tmp_path, **changed(b_start="scrtch")))


def test_the_committed_design_is_sound(monkeypatch):
    """It fits the configuration, the tasks and the populations as they are drawn."""
    monkeypatch.undo()
    study = read_study(COMMITTED)
    design, cells = study.design, {trial.cell[:3] for trial in study.trials}
    primary = {
        (entry, preset, start)
        for entry in ("full", "no_text", "no_eim", "no_mix")
        for preset in ("casme2-like", "casme3-like")
        for start in ("motion", "dfme")
    }
    assert primary <= cells
    assert (design.rules.margin, design.rules.exclude) == (0.05, 0.02)
    assert design.core_hours <= 20 and design.block_minutes <= 40
    for trial in study.trials:
        assert trial.test.people >= 150 and trial.test.clips <= 1500


def test_reference_lines_need_a_primary_family(tmp_path):
    families = {"only": DESIGN["families"]["primary"] | {"primary": False}}
    with pytest.raises(ValueError, match="no family has `primary: true`"):
        full_trials(read_study(write_design(tmp_path, families=families)))
