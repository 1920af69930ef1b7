"""Folds, the run store, and what a killed run leaves behind."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from merclip_lib import metrics, protocol, synthetic
from merclip_lib.config import Config
from merclip_lib.manifests import TASKS

SMALL = dataclasses.replace(
    synthetic.STUDY, name="SynthME-test", prefix="t", subjects=4, clips_per_subject=14, frames=8
)
QUICK = Config(epochs=1, folds=2, lr=1e-3)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return synthetic.draw_set(SMALL, tmp_path_factory.mktemp("data") / "set")


def test_loso_holds_out_each_subject_once(store):
    table = protocol.choose_clips(QUICK, store)
    folds = protocol.make_folds(table)
    assert len(folds) == table["subject"].nunique()
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(table)))
    for fold in folds:
        held_out = set(table["subject"].iloc[fold.test])
        assert len(held_out) == 1
        assert held_out.isdisjoint(table["subject"].iloc[fold.train])


def test_groups_never_split_a_subject(store):
    table = protocol.choose_clips(QUICK, store)
    for fold in protocol.make_folds(table, 2):
        parts = [set(table["subject"].iloc[rows]) for rows in (fold.train, fold.test)]
        assert parts[0].isdisjoint(parts[1])


def test_same_name_in_two_datasets_is_two_people(store):
    table = protocol.choose_clips(QUICK, store)
    other = table.assign(dataset="elsewhere")
    folds = protocol.make_folds(pd.concat([table, other]))
    assert len(folds) == 2 * table["subject"].nunique()


def test_too_few_subjects_is_an_error(store):
    with pytest.raises(ValueError, match="cannot make 9 folds"):
        protocol.make_folds(protocol.choose_clips(QUICK, store), 9)


def test_same_configuration_twice_same_bytes_with_any_workers(store, tmp_path):
    first = protocol.cross_validate(QUICK, store, tmp_path / "a", workers=1)
    second = protocol.cross_validate(QUICK, store, tmp_path / "b", workers=2)
    one, two = (run.folder / "predictions.csv" for run in (first, second))
    assert one.read_bytes() == two.read_bytes()
    classes = TASKS[QUICK.task].classes
    assert set(first.predictions["clip_id"]) == set(store.table["clip_id"])
    assert 0 <= metrics.score(first.predictions, classes).uf1 <= 1
    probabilities = first.predictions[[f"p_{name}" for name in classes]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_finished_run_is_not_trained_again(store, tmp_path):
    lines = []
    config = dataclasses.replace(QUICK, use_text=False)
    assert not protocol.is_finished(tmp_path, config, store)
    run = protocol.cross_validate(config, store, tmp_path, workers=1, progress=lines.append)
    assert len(lines) == 2 and protocol.is_finished(tmp_path, config, store)
    before = (run.folder / "group1" / "predictions.csv").stat().st_mtime_ns
    protocol.cross_validate(config, store, tmp_path, workers=1, progress=lines.append)
    assert len(lines) == 2
    assert (run.folder / "group1" / "predictions.csv").stat().st_mtime_ns == before
    assert [r.hash for r in protocol.read_runs(tmp_path)] == [run.hash]


def test_killed_run_goes_on_and_ends_the_same(store, tmp_path):
    whole = protocol.cross_validate(QUICK, store, tmp_path / "whole", workers=1)
    script = (
        "import sys; from merclip_lib import protocol; from merclip_lib.clips import open_store;"
        "from merclip_lib.config import Config;"
        "protocol.cross_validate(Config(epochs=1, folds=2, lr=1e-3), open_store(sys.argv[1]),"
        "sys.argv[2], workers=1)"
    )
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(store.folder), str(killed)], start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(killed.glob("*/group*/predictions.csv")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run = protocol.cross_validate(QUICK, store, killed, workers=1)
    name = "predictions.csv"
    assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_hash_follows_data_and_configuration(store):
    base = protocol.run_hash(QUICK, store)
    other = dataclasses.replace(store, meta={**store.meta, "hash": "another"})
    assert protocol.run_hash(QUICK, other) != base
    assert protocol.run_hash(dataclasses.replace(QUICK, seed=1), store) != base


def test_unfinished_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no finished run here"):
        protocol.read_run(tmp_path)
