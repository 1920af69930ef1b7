"""Trainings of one's own: what they are made of, and that they are made once."""

import dataclasses

import pandas as pd
import pytest
import study_stand_in
from study_stand_in import write_design

from merclip_lib.study.design import Comparison, Family, read_study
from merclip_lib.study.own import YOURS, Here, levels_of, own_trials, train_here
from merclip_lib.study.reference_lines import full_trials, read_references, write_references

HERE = Here(start="tiny")


@pytest.fixture
def design(tmp_path, monkeypatch):
    study_stand_in.install(monkeypatch.setattr)
    monkeypatch.setattr("merclip_lib.study.design.population", study_stand_in.population)
    return read_study(write_design(tmp_path)).design


def test_own_trainings_have_development_people_and_the_settings_of_the_design(design):
    changes = {"epochs": 3, "seed": 7}
    here = dataclasses.replace(HERE, number=4, changes=changes, sizes={"clips": 9})
    trials = own_trials(design, ["full", "no_mix"], {"jitter": 0.3}, here)
    assert list(trials) == ["LSFM", "none", YOURS]  # the design leaves out text and EIM
    first, last = design.seeds["development"]
    for trial in trials.values():
        assert (trial.training.seed, trial.test.seed) == (first + 4, last)
        assert (trial.training.people, trial.training.clips, trial.test.clips) == (3, 9, 42)
        assert (trial.config.epochs, trial.config.lr) == (3, 1e-3)
        assert trial.config.seed == first + 4 + 7
    assert [trial.config.mix for trial in trials.values()] == [True, False, True]
    assert trials[YOURS].config.jitter == 0.3
    assert own_trials(design, [], "no_mix", HERE)["none"].config.epochs == 2
    assert own_trials(design, ["full"], None, Here(start=""))["LSFM"].config.epochs > 2


def test_what_is_given_for_all_does_not_take_back_what_an_entry_changes(design):
    recipe = {"mix": True, "jitter": 0.0, "epochs": 3}  # as a recipe says it: mix is on
    here = dataclasses.replace(HERE, changes=recipe)
    trials = own_trials(design, ["full", "no_mix"], {"jitter": 0.3}, here)
    assert [trial.config.mix for trial in trials.values()] == [True, False, True]
    assert [trial.config.jitter for trial in trials.values()] == [0.0, 0.0, 0.3]
    assert {trial.config.epochs for trial in trials.values()} == {3}


def test_levels_are_those_of_a_family_or_values_of_a_setting(design):
    family = Family(
        [
            Comparison("a", "no_mix", "full", points={"mix": "off", "parts": 2}),
            Comparison("b", "full", "full", points={"mix": "on"}),
        ]
    )
    design = dataclasses.replace(design, families={"mixes": family})
    found = levels_of(design, ["mixes", {"jitter": [0.0, 0.3]}])
    off, on = (dict(design.entries[name].config) for name in ("no_mix", "full"))
    assert found == {
        ("mix", "off"): off,
        ("parts", "2"): off,
        ("mix", "on"): on,
        ("jitter", "0.0"): {"jitter": 0.0},
        ("jitter", "0.3"): {"jitter": 0.3},
    }
    with pytest.raises(ValueError, match="no family 'mixed'; did you mean 'mixes'"):
        levels_of(design, ["mixed"])


@pytest.mark.parametrize(
    ("entry", "changed", "message"),
    [
        ("no_mixx", {}, "no 'no_mixx'.*'no_mix'"),
        (None, {"start": "tinny"}, "no 'tinny'.*'tiny'"),
        (None, {"preset": "casme9-like"}, "no 'casme9-like'"),
        (None, {"sizes": {"peple": 3}}, "no 'peple'; did you mean 'people'"),
        (None, {"number": 99}, "beyond the development seeds"),
        ({"epoch": 3}, {}, "'epoch'.*'epochs'"),
    ],
)
def test_what_the_design_lacks_is_named(design, entry, changed, message):
    with pytest.raises(ValueError, match=message):
        own_trials(design, ["full"], entry, dataclasses.replace(HERE, **changed))


def test_an_own_training_is_made_once(design, tmp_path):
    made = []

    def train(trial, populations):
        made.append(trial.cell.entry)
        return study_stand_in.train(trial, populations)

    place = study_stand_in.place(tmp_path, train)
    trials = own_trials(design, ["full", "no_mix"], None, HERE)
    first = train_here(trials, place)
    again = train_here(trials, place)
    assert made == ["full", "no_mix"] and list(first) == ["LSFM", "none"]
    pd.testing.assert_frame_equal(first["none"], again["none"])
    train_here(own_trials(design, ["full"], None, dataclasses.replace(HERE, number=1)), place)
    assert made == ["full", "no_mix", "full"]


def test_an_own_training_takes_the_device_of_its_configuration(design, tmp_path):
    made = []

    def train(trial, populations):
        made.append(trial.config.device)
        return study_stand_in.train(trial, populations)

    elsewhere = dataclasses.replace(study_stand_in.place(tmp_path, train), device="auto")
    train_here(own_trials(design, ["full"], None, HERE), elsewhere)
    assert made == ["cpu"]


@pytest.mark.parametrize(
    ("key", "first", "then"),
    [
        ("phrases", "action_unit,phrase\n4,frowning\n", "action_unit,phrase\n4,frowning hard\n"),
        ("templates", "a face, {}\n", "a person, {}\n"),
        ("weights", "the start", "another one"),
        ("text_weights", "the tower", "another one"),
    ],
)
def test_a_file_of_another_content_is_another_training(design, tmp_path, key, first, then):
    made, file = [], tmp_path / "mine.txt"

    def train(trial, populations):
        made.append(getattr(trial.config, key))
        return study_stand_in.train(trial, populations)

    place = study_stand_in.place(tmp_path, train)
    for content, trainings in ((first, 1), (first, 1), (then, 2), (first, 2)):
        file.write_text(content)
        entry = {key: str(file), "use_text": True}
        train_here(own_trials(design, [], entry, HERE), place)
        assert made == [str(file)] * trainings


def test_references_are_scored_once_on_the_people_of_the_primary_family(tmp_path, monkeypatch):
    study_stand_in.install(monkeypatch.setattr)
    study = read_study(write_design(tmp_path))
    asked = []

    def references(training, fresh):
        asked.append((training.config.epochs, len(fresh.table)))
        table = fresh.table[["clip_id", "subject"]].assign(truth=fresh.table["label"])
        return {name: table.assign(prediction=table["truth"]) for name in ("one", "two")}

    monkeypatch.setattr("merclip_lib.study.reference_lines.references", references)
    assert [trial.cell[:3] for trial in full_trials(study)] == [("full", "casme2-like", "tiny")] * 2
    for _ in range(2):
        file = write_references(study, study_stand_in.place(tmp_path), tmp_path / "figures")
    table = read_references(file)
    assert asked == [(2, 42)] * 2
    assert list(table) == ["preset", "start", "population", "reference", "uf1"]
    assert table["reference"].tolist() == ["one", "two"] * 2 and (table["uf1"] == 1).all()
    assert read_references(tmp_path / "nowhere.csv").empty
    monkeypatch.setattr("merclip_lib.study.reference_lines.loaded_code", lambda: "other")
    write_references(study, study_stand_in.place(tmp_path), tmp_path / "figures")
    assert len(asked) == 4, "other code reads otherwise"
