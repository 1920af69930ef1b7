"""Blocks of a study: cut, trained, resumed, archived, trained again."""

import gzip
import multiprocessing
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import study_stand_in
import torch
from study_stand_in import CLASSES, DESIGN, place, predictions, run_and_die, write_design

from merclip_lib.__main__ import main
from merclip_lib.config import Config
from merclip_lib.runs.code import loaded_code
from merclip_lib.study.archive import block_file, predictions_of, read_blocks
from merclip_lib.study.blocks import (
    draw,
    plan_blocks,
    plan_text,
    run_block,
    status,
    train_and_test,
    verify,
)
from merclip_lib.study.design import read_study
from merclip_lib.synthme.populations import population

TWO_MINUTES = {"block_minutes": 2}  # two trainings of 60 s on two cores: a minute


@pytest.fixture(autouse=True)
def populations(monkeypatch):
    study_stand_in.install(monkeypatch.setattr)


@pytest.fixture
def study(tmp_path):
    """Four trainings of 60 seconds in two blocks."""
    return read_study(write_design(tmp_path))


def test_blocks_hold_every_training_once_and_take_their_minutes(tmp_path):
    families = {"primary": DESIGN["families"]["primary"] | {"cells": {"casme2-like": {"tiny": 10}}}}
    study = read_study(write_design(tmp_path, families=families, block_minutes=2.5))
    parts = plan_blocks(study)
    assert [trial for part in parts for trial in part] == study.trials
    assert [len(part) for part in parts] == [5, 5, 5, 5]
    said = plan_text(study)
    assert said.splitlines()[0] == "block 1: 5 trainings, 2 min"
    assert "20 trainings, 0.3 core-hours" in said and "not frozen" not in said
    short = read_study(write_design(tmp_path, block_minutes=0.1, frozen=False))
    assert [len(part) for part in plan_blocks(short)] == [1] * 4
    assert f'not frozen: add the line `frozen: "{short.hash}"`' in plan_text(short)


def test_a_block_is_archived_with_what_made_it_and_unscored(study, tmp_path, capsys):
    file = run_block(study, 1, place(tmp_path))
    assert file == tmp_path / "study" / "block-001.csv.gz"
    rows = read_blocks(study, tmp_path / "study", 2)
    assert len(rows) == 2 and set(rows["block"]) == {1}
    assert set(rows["design"]) == {study.hash} and set(rows["code"]) == {loaded_code()}
    assert rows[["commit", "processor", "torch", "seconds"]].ne("").all(axis=None)
    for (_, row), trial in zip(rows.iterrows(), plan_blocks(study)[0], strict=True):
        expected = study_stand_in.train(trial, None)
        columns = ["clip_id", "subject", "truth", "prediction"]
        pd.testing.assert_frame_equal(predictions_of(row, tmp_path / "study"), expected[columns])
    text = gzip.decompress(file.read_bytes()).decode()
    said = "".join(capsys.readouterr())
    for word in ("uf1", "accuracy", "truth"):
        assert word not in (text + said).lower()


def test_the_same_trainings_give_the_same_bytes(study, tmp_path, monkeypatch):
    monkeypatch.setattr("merclip_lib.study.blocks.time.monotonic", lambda: 1.0)
    one = run_block(study, 1, place(tmp_path / "a"))
    monkeypatch.setattr("merclip_lib.files.os.getpid", lambda: 1)  # in another process
    two = run_block(study, 1, place(tmp_path / "b"))
    assert one.read_bytes() == two.read_bytes()


def test_a_killed_block_resumes_with_what_it_has(study, tmp_path):
    child = multiprocessing.get_context("spawn").Process(
        target=run_and_die, args=(str(tmp_path), 1, 1)
    )
    child.start()
    child.join()
    assert child.exitcode == 9
    assert not list((tmp_path / "study").glob("*"))
    assert status(study, place(tmp_path))["finished"].tolist() == [1, 0]
    trained = []

    def train(trial, folder):
        trained.append(trial.cell)
        return study_stand_in.train(trial, folder)

    file = run_block(study, 1, place(tmp_path, train))
    assert trained == [plan_blocks(study)[0][1].cell]
    assert run_block(study, 1, place(tmp_path, train)) == file and len(trained) == 1
    table = status(study, place(tmp_path))
    assert table["finished"].tolist() == [2, 0]
    assert table["code"].tolist() == [loaded_code(), ""]


def test_processes_side_by_side_predict_the_same(study, tmp_path):
    serial = run_block(study, 1, place(tmp_path / "a"))
    both = replace(place(tmp_path / "b"), execution=study_stand_in.Execution("processes", 2))
    rows = [pd.read_csv(file)["predictions"] for file in (serial, run_block(study, 1, both))]
    assert rows[0].equals(rows[1])


def test_what_may_not_be_run_is_refused(study, tmp_path):
    for number in (0, 3):
        with pytest.raises(ValueError, match=f"no block {number}: .*blocks 1 to 2"):
            run_block(study, number, place(tmp_path))
    loose = read_study(write_design(tmp_path, frozen=False))
    with pytest.raises(ValueError, match=f'not frozen: add the line `frozen: "{loose.hash}"'):
        run_block(loose, 1, place(tmp_path))
    assert not (tmp_path / "runs").exists()


def test_a_block_of_another_design_or_a_damaged_one_is_named(study, tmp_path):
    file = run_block(study, 1, place(tmp_path))
    other = read_study(write_design(tmp_path, core_hours=19))
    with pytest.raises(ValueError, match=f"block-001.csv.gz was made for the design {study.hash}"):
        status(other, place(tmp_path))
    whole = file.read_bytes()
    for damaged in (whole[:-20], whole[:100] + b"?" * 50 + whole[150:], b"", gzip.compress(b"a,b")):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="block-001.csv.gz is damaged"):
            status(study, place(tmp_path))


def test_all_blocks_are_tested_on_the_same_clips(study, tmp_path):
    def train(trial, folder):
        table = study_stand_in.train(trial, folder)
        return table.assign(truth=table["truth"].sample(frac=1, random_state=0).to_numpy())

    run_block(study, 1, place(tmp_path))
    with pytest.raises(ValueError, match=r"test-casme2-like-60-.*csv: its clips are not those"):
        run_block(study, 2, place(tmp_path, train))
    assert not block_file(tmp_path / "study", 2).exists()


def test_verify_trains_again_and_compares(study, tmp_path):
    run_block(study, 1, place(tmp_path))
    same = verify(study, place(tmp_path), sample=9)
    assert len(same) == 2
    assert (same["equal"] == 1).all() and (same["uf1_difference"] == 0).all()
    other = verify(study, place(tmp_path, lambda trial, _: predictions(trial, 1.0)), sample=1)
    assert 0.2 < other["equal"][0] < 1 and other["uf1_difference"][0] > 0
    with pytest.raises(ValueError, match="no block is here yet"):
        verify(study, place(tmp_path / "elsewhere"))


def test_training_people_are_not_tested(tmp_path):
    store = study_stand_in.tiny_runs.make_store(tmp_path / "set")
    with pytest.raises(ValueError, match="SynthME/s0 is in .*; test on others"):
        train_and_test(study_stand_in.tiny_runs.FAST, store, store)


def test_a_training_says_what_computed_it(study, tmp_path):
    file = run_block(study, 1, replace(place(tmp_path), device="auto"))
    row = read_blocks(study, file.parent, 2).iloc[0]
    gpu = torch.cuda.is_available()
    here = torch.cuda.get_device_name() if gpu else torch.backends.cpu.get_cpu_capability()
    assert row["processor"] == here and row["torch"] == torch.__version__


def test_each_design_has_an_archive_of_its_own(study, tmp_path):
    other = study.path.with_name("exploratory.yaml")
    other.write_bytes(study.path.read_bytes())
    assert study.archive.name == "study" and read_study(other).archive.name == "exploratory"


def test_a_class_that_the_training_lacks_is_never_predicted(tmp_path):
    store, fresh = (
        study_stand_in.tiny_runs.make_store(tmp_path / name, people, name)
        for name, people in (("SynthME-1", 2), ("SynthME-2", 1))
    )
    lacking = store.table["emotion"].replace(CLASSES[0], CLASSES[1])
    few = replace(store, table=store.table.assign(emotion=lacking))
    found = train_and_test(study_stand_in.tiny_runs.FAST, few, fresh)
    assert CLASSES[0] in set(found["truth"]) and len(found) == len(fresh.table)


def test_a_side_is_read_from_the_nearer_sentence(tmp_path, monkeypatch):
    monkeypatch.undo()  # real populations
    made = {
        seed: draw(population("casme2-like", seed, people=2, clips=4, rule="side"), tmp_path)
        for seed in (70_001, 70_002)
    }
    config = Config(task="synthme-2", epochs=1, weights="motion")
    found = train_and_test(config, *made.values(), read_out="side")
    assert set(found["prediction"]) <= {"first", "second"}

    def left(config, annotations):
        side = [1.0 if each.startswith("L") else -1.0 for each in annotations]
        return np.outer(side, np.r_[1.0, np.zeros(63)])

    def shown(model, dataset, config):
        sides = np.where(dataset.labels == 0, 1.0, -1.0)
        return np.outer(sides, np.r_[1.0, np.zeros(63)]), None

    monkeypatch.setattr("merclip_lib.study.blocks.sentence_embeddings", left)
    monkeypatch.setattr("merclip_lib.study.blocks.embed", shown)
    found = train_and_test(config, *made.values(), read_out="side")
    assert found["prediction"].equals(found["truth"])


STAND_IN = """
import sys
sys.path[:0] = [{tests!r}]
import study_stand_in
study_stand_in.install()
"""


def test_a_study_from_its_design_to_its_tables(tmp_path, monkeypatch, capsys):
    """Real trainings of seconds, by papermill, on populations of noise."""
    tests = Path(study_stand_in.__file__).parent
    (tmp_path / "sitecustomize.py").write_text(STAND_IN.format(tests=str(tests)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(tests.parent)]))
    monkeypatch.delenv("MERCLIP_PROGRESS", raising=False)
    design = write_design(tmp_path, block_minutes=10)
    command = ["study", "--design", str(design), "--runs-dir", str(tmp_path / "runs")]
    assert main([*command, "plan"]) == 0
    assert main([*command, "score", "--figures-dir", str(tmp_path)]) == 2
    assert main([*command, "run"]) == 2
    assert "--block" in capsys.readouterr().err
    assert main([*command, "run", "--block", "1"]) == 0
    said = capsys.readouterr().out
    assert "training 4/4" in said and not re.search("uf1|accuracy", said, flags=re.IGNORECASE)
    assert main([*command, "status"]) == 0
    verify = [sys.executable, "-m", "merclip_lib", *command, "verify", "--sample", "1"]
    verified = subprocess.run(verify, capture_output=True, text=True)  # its workers are stand-ins
    assert re.search(r"\s1\.0\s+0\.0$", verified.stdout.strip()), verified.stderr
    assert main([*command, "score", "--figures-dir", str(tmp_path)]) == 0
    assert len(pd.read_csv(tmp_path / "differences.csv")) == 1
    parts = pd.read_csv(tmp_path / "parts.csv")
    assert parts["mix"].tolist() == [True, False] and parts["uf1"].between(0, 1).all()
    row = read_blocks(read_study(design), tmp_path / "study", 1).iloc[0]
    assert set(row["classes"].split()) == set(CLASSES) and len(row["predictions"]) == 42
