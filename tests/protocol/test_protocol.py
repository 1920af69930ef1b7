"""From a configuration to predictions: what is trained, which epoch counts, what is refused."""

import dataclasses
import json
import pickle

import numpy as np
import pandas as pd
import pytest
import tiny_runs
import torch

from merclip_lib.config import config_from
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.tasks import TASKS
from merclip_lib.protocol import one_fold
from merclip_lib.protocol.loso import FoldJob, run_fold
from merclip_lib.protocol.one_fold import best_epoch, merit_of, train_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs import store as run_store
from merclip_lib.scores.metrics import score
from merclip_lib.scores.traps import best_on_test, read_epochs
from merclip_lib.text.bank import bank_of_clips
from merclip_lib.training import loop
from merclip_lib.training.loop import predict
from merclip_lib.weights.transfer import start_network

QUICK = dataclasses.replace(tiny_runs.FAST, use_text=True, use_eim=True, epochs=1)
FAST = tiny_runs.FAST


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_runs.make_store(tmp_path_factory.mktemp("data") / "set", subjects=4)


def serial(config, store, folder, **options):
    return tiny_runs.run(config, store, folder, executor="serial", **options)


def test_two_workers_and_sentences_give_the_same_bytes_as_one_process(store, tmp_path):
    first = tiny_runs.run(QUICK, store, tmp_path / "a", workers=2)
    second = serial(QUICK, store, tmp_path / "b")
    for name in ("predictions.csv", "history.csv"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    classes = TASKS[QUICK.task].classes
    assert set(first.predictions["clip_id"]) == set(store.table["clip_id"])
    assert 0 <= score(first.predictions, classes).uf1 <= 1
    probabilities = first.predictions[[f"p_{name}" for name in classes]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_network_is_built_once_and_every_fold_begins_with_a_copy(store, tmp_path, monkeypatch):
    built, begun, train_epoch = [], [], loop.train_epoch

    def count(*arguments):
        built.append(arguments)
        return start_network(*arguments)

    def watch(training):
        begun.append({name: t.clone() for name, t in training.model.state_dict().items()})
        return train_epoch(training)

    monkeypatch.setattr("merclip_lib.protocol.plan.start_network", count)
    monkeypatch.setattr(loop, "train_epoch", watch)
    run = serial(QUICK, store, tmp_path)
    assert len(built) == 1 and len(begun) == 2
    for name, tensor in RunPlan(QUICK, store).start.model.state_dict().items():
        assert torch.equal(begun[0][name], tensor) and torch.equal(begun[1][name], tensor), name
    assert not list(run.folder.glob("start*"))


def test_a_damaged_start_is_written_anew(store, tmp_path):
    plan = RunPlan(QUICK, store)
    folder = tmp_path / plan.hash
    folder.mkdir()
    (folder / "start.safetensors").write_bytes(b"half a net")
    run = serial(QUICK, store, tmp_path)
    assert run.hash == plan.hash and len(run.predictions) == len(plan.table)


@pytest.mark.parametrize("place", ["", "no/such/folder/lines.txt"])
def test_a_line_of_progress_never_stops_a_training(store, tmp_path, monkeypatch, place):
    monkeypatch.setenv("MERCLIP_PROGRESS", place and str(tmp_path / place))
    assert len(serial(FAST, store, tmp_path / "runs").predictions) == len(store)


def test_a_plan_goes_to_another_process_without_its_clips_and_network(store):
    plan = RunPlan(QUICK, store)
    plan.check()
    sent = pickle.dumps(plan)
    assert len(sent) < 200_000  # the bank of sentences; the network has 3.4 MB
    there = pickle.loads(sent)
    assert there.hash == plan.hash and there.table.equals(plan.table)
    assert torch.equal(there.text.embeddings, plan.text.embeddings)
    assert np.array_equal(
        there.dataset(plan.folds[0].test)[0]["video"], plan.dataset(plan.folds[0].test)[0]["video"]
    )


def test_finished_run_is_not_trained_again(store, tmp_path):
    lines = []
    run = serial(FAST, store, tmp_path, progress=lines.append)
    assert [line.split(":")[0] for line in lines] == ["fold 1/2", "fold 2/2"]
    assert run_store.is_whole(run.folder) and run.folder == tmp_path / RunPlan(FAST, store).hash
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.csv")}
    serial(FAST, store, tmp_path, progress=lines.append)
    assert len(lines) == 2
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*.csv")} == before
    assert [r.hash for r in run_store.read_runs(tmp_path)] == [run.hash]


def test_hash_follows_data_and_configuration(store):
    base = RunPlan(QUICK, store).hash
    other = dataclasses.replace(store, meta={**store.meta, "hash": "another"})
    assert RunPlan(QUICK, other).hash != base
    assert RunPlan(dataclasses.replace(QUICK, seed=1), store).hash != base


def test_unfinished_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no finished run here"):
        run_store.read_run(tmp_path)


def test_a_set_without_a_hash_is_named(store):
    with pytest.raises(ValueError, match="meta.json .*hash.* prepare"):
        _ = RunPlan(QUICK, dataclasses.replace(store, meta={})).hash


def test_split_carries_its_column(tmp_path):
    split = np.repeat(["train", "train", "test A", "test B"], 7)
    store = tiny_runs.make_store(tmp_path / "set", subjects=4, split=split)
    config = dataclasses.replace(FAST, held_out="split", folds=0)
    predictions = serial(config, store, tmp_path).predictions
    assert predictions["split"].value_counts().to_dict() == {"test A": 7, "test B": 7}
    for _, part in predictions.groupby("split"):
        assert 0 <= score(part, TASKS[config.task].classes).uf1 <= 1


@pytest.fixture(scope="module")
def judged(store, tmp_path_factory):
    """One run per way to choose the epoch."""
    folder = tmp_path_factory.mktemp("judged")
    config = dataclasses.replace(FAST, epochs=3, lr=3e-3, held_out="subject")
    return {
        way: serial(dataclasses.replace(config, selection=way), store, folder, keep_network=True)
        for way in ("last", "inner_validation", "best_on_test")
    }


def test_choosing_on_the_held_out_clips_is_the_trap_and_says_so(judged):
    honest, run = judged["last"], judged["best_on_test"]
    trapped = best_on_test(honest.predictions, read_epochs(honest.folder))
    chosen = run.predictions.set_index("clip_id").loc[trapped["clip_id"]]
    assert chosen["prediction"].tolist() == trapped["prediction"].tolist()
    assert chosen["epoch"].tolist() == trapped["epoch"].tolist()
    assert set(chosen["selection"]) == {"best_on_test"}
    record = json.loads((run.folder / "run.json").read_text())
    assert record["stamp"] == "epoch chosen on the held-out subject"
    assert record["selection"] == "best_on_test" and record["protocol"] == "honest"
    assert "selection" not in honest.predictions


def test_inner_validation_never_looks_at_the_held_out_clips(judged, store, monkeypatch, tmp_path):
    run = judged["inner_validation"]
    assert set(run.predictions["selection"]) == {"inner_validation"}
    assert json.loads((run.folder / "run.json").read_text())["stamp"] == ""
    plan, seen = RunPlan(run.config, store), []
    fold = plan.folds[0]
    merit = merit_of

    def watch(config, answer, truth, classes):
        seen.append(len(truth))
        return merit(config, answer, truth, classes)

    monkeypatch.setattr(one_fold, "merit_of", watch)
    trained = train_fold(plan, fold)
    assert seen == [7] * 3  # one of two training people
    kept = run.predictions.set_index("clip_id").loc[trained.predictions["clip_id"]]
    assert kept["prediction"].tolist() == trained.predictions["prediction"].tolist()


@pytest.mark.parametrize("way", ["last", "inner_validation", "best_on_test"])
def test_the_network_is_that_of_the_chosen_epoch(judged, store, way):
    run = judged[way]
    plan = RunPlan(run.config, store)
    fold = plan.folds[1]
    trained = train_fold(plan, fold)
    clips = ClipDataset(
        store, fold.test, np.zeros(len(fold.test), int), Sampling(run.config.frames)
    )
    again = predict(trained.model, clips).numpy()
    columns = [f"p_{name}" for name in tiny_runs.CLASSES]
    np.testing.assert_array_equal(again, trained.predictions[columns].to_numpy())
    stored = pd.read_csv(run.folder / fold.name / "predictions.csv")
    np.testing.assert_allclose(again, stored[columns], atol=1e-4)  # this process has more threads
    assert (run.folder / fold.name / "network.safetensors").is_file()


def test_ties_go_to_the_later_epoch_or_as_the_authors_to_the_earlier():
    merits = [0.1, 0.5, 0.5, 0.2]
    chosen = {
        way: best_epoch(config_from({"selection": way}), merits)
        for way in ("last", "inner_validation", "best_on_test")
    }
    assert chosen == {"last": 3, "inner_validation": 2, "best_on_test": 1}


def test_networks_asked_for_later_are_made_with_the_same_predictions(store, tmp_path):
    run = serial(FAST, store, tmp_path)
    before = (run.folder / "group1" / "predictions.csv").read_bytes()
    lines = []
    serial(FAST, store, tmp_path, keep_network=True, progress=lines.append)
    assert len(lines) == 2
    assert (run.folder / "group1" / "predictions.csv").read_bytes() == before
    assert (run.folder / "group1" / "network.safetensors").is_file()
    assert not [path for path in run.folder.glob(".*") if path.name != ".locks"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"task": "casme3-7"}, "casme3"),
        ({"size": "ViT-B-16", "weights": "no-such-file.pt"}, "224"),
        ({"weights": "no-such-file.pt"}, "no-such-file.pt"),
        ({"held_out": "database", "folds": 0}, "at least 2 databases"),
        ({"selection": "inner_validation", "subjects": 2}, "at least 2 training people"),
    ],
)
def test_bad_input_is_an_error_before_anything_is_written(store, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        serial(dataclasses.replace(FAST, **changes), store, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_text_tower_of_another_width_is_refused(store, tmp_path, monkeypatch):
    def wide(*arguments):
        text = bank_of_clips(*arguments)
        return dataclasses.replace(text, embeddings=text.embeddings.repeat(1, 1, 2))

    monkeypatch.setattr("merclip_lib.protocol.plan.bank.bank_of_clips", wide)
    with pytest.raises(ValueError, match="sentences have 128 numbers.*64"):
        serial(QUICK, store, tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_fold_that_another_process_finished_is_not_counted_again(store, tmp_path):
    run = serial(FAST, store, tmp_path)
    plan = RunPlan(FAST, store)
    job = FoldJob(plan, plan.folds[0], run.folder)
    assert run_fold(job) is False
