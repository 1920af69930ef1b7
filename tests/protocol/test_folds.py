"""Who trains and who is held out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merclip_lib.config import Config, config_from, stamp
from merclip_lib.data.table import people
from merclip_lib.protocol.folds import inner_validation, make_folds


def table(*datasets, subjects=4, clips=3, **columns):
    rows = [
        {"dataset": dataset, "subject": f"s{s}"}
        for dataset in datasets or ("SynthME",)
        for s in range(subjects)
        for _ in range(clips)
    ]
    return pd.DataFrame(rows).assign(**columns)


def check_partition(clips, folds):
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(clips)))
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(len(clips)))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 5), st.sampled_from(["A", "A B"]))
def test_by_subject_nobody_is_on_both_sides(subjects, clips, number, datasets):
    made = table(*datasets.split(), subjects=subjects, clips=clips)
    person = people(made)
    if number == 1 or number > person.nunique():
        number = 0
    folds = make_folds(made, number)
    assert len(folds) == (number or person.nunique())
    check_partition(made, folds)
    for fold in folds:
        assert set(person.iloc[fold.train]).isdisjoint(person.iloc[fold.test])


def test_by_database_each_is_held_out_once():
    made = table("casme2", "samm", "smic")
    folds = make_folds(made, held_out="database")
    assert [fold.name for fold in folds] == ["casme2", "samm", "smic"]
    check_partition(made, folds)
    assert set(made["dataset"].iloc[folds[1].test]) == {"samm"}
    with pytest.raises(ValueError, match="at least 2 databases"):
        make_folds(table("casme2"), held_out="database")


def test_by_split_trains_on_train_alone():
    split = np.repeat(["train", "test A", "test B", "train"], 3)
    (fold,) = make_folds(table(split=split), held_out="split")
    assert fold.name == "split"
    assert list(fold.train) == [0, 1, 2, 9, 10, 11] and list(fold.test) == [3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    "columns, message",
    [
        ({}, "needs a column `split`"),
        ({"split": "train"}, "the column `split` holds 'train'"),
        ({"split": ["train", "test"] * 6}, "clips of SynthME/s0 into training and test"),
    ],
)
def test_a_split_that_is_none_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        make_folds(table(**columns), held_out="split")


def test_by_clip_people_are_on_both_sides_and_the_seed_shuffles():
    made = table(clips=10)
    folds = make_folds(made, 2, "clip", seed=1)
    check_partition(made, folds)
    assert set(people(made).iloc[folds[0].train]) & set(people(made).iloc[folds[0].test])
    again, other = (make_folds(made, 2, "clip", seed=seed)[0].test for seed in (1, 2))
    assert (again == folds[0].test).all() and (other != folds[0].test).any()
    with pytest.raises(ValueError, match="40 clips cannot make 41 folds"):
        make_folds(made, 41, "clip")


def test_names_of_folds_are_folders_of_their_own():
    made = table().assign(subject=["../../etc", "a/b", "a-b", "A-B"] * 3)
    names = [fold.name for fold in make_folds(made)]
    assert names == ["SynthME-..-..-etc", "SynthME-A-B", "SynthME-a-b-2", "SynthME-a-b-3"]
    made = table().assign(dataset="..", subject=["", "x", "/", ":"] * 3)
    names = [fold.name for fold in make_folds(made)]
    assert len(set(names)) == 4 and not any("/" in n or n.startswith(".") for n in names)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(0, 99))
def test_validation_people_come_from_the_training_people(subjects, seed):
    made = table(subjects=subjects + 1)
    person, fold = people(made).to_numpy(), make_folds(made)[0]
    train, spared = inner_validation(person, fold.train, seed)
    assert sorted([*train, *spared]) == list(fold.train)
    assert len(set(person[spared])) == max(1, subjects // 5)
    assert set(person[train]).isdisjoint(person[spared])
    again = inner_validation(person, fold.train, seed)[1]
    assert (again == spared).all()


def test_nobody_to_spare_for_validation():
    made = table(subjects=2)
    with pytest.raises(ValueError, match="needs at least 2 training people, here is 1"):
        inner_validation(people(made).to_numpy(), make_folds(made)[0].train, 0)


@pytest.mark.parametrize(
    "values, words",
    [
        ({}, ""),
        ({"selection": "inner_validation"}, ""),
        ({"held_out": "database"}, ""),
        ({"protocol": "reference"}, "epoch chosen on the held-out subject"),
        ({"selection": "best_on_test", "held_out": "split"}, "epoch chosen on the held-out clips"),
        ({"held_out": "clip", "folds": 2}, "people in both training and test"),
    ],
)
def test_stamp(values, words):
    assert stamp(config_from(values)) == words
    assert stamp(Config()) == ""
