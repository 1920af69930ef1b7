"""From one run to the next: which network, whose faces, which classifier."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import tiny_runs
import torch

from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.store import open_store
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.training.loop import predict
from merclip_lib.weights.files import read_weights, save_weights
from merclip_lib.weights.load import build_model
from merclip_lib.weights.transfer import NETWORK, people_of, start_from, start_network

FAST = dataclasses.replace(tiny_runs.FAST, epochs=1, use_eim=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A finished run on other people, two folds, with its networks."""
    folder = tmp_path_factory.mktemp("source")
    store = tiny_runs.make_store(folder / "set", dataset="SynthME-macro")
    run = tiny_runs.run(FAST, store, folder, executor="serial", keep_network=True)
    return run.folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_runs.make_store(tmp_path_factory.mktemp("data") / "set")


def test_the_network_makes_the_stored_predictions(source):
    store = open_store(source.parent / "set")
    model, _ = build_model(FAST, 7)
    start_from(model, dataclasses.replace(FAST, init_from=str(source / "group1")))
    fold = RunPlan(FAST, store).folds[0]
    dataset = ClipDataset(store, fold.test, np.zeros(len(fold.test), int), Sampling(FAST.frames))
    stored = pd.read_csv(source / "group1" / "predictions.csv")
    columns = [f"p_{name}" for name in tiny_runs.CLASSES]
    found = predict(model, dataset).numpy()
    np.testing.assert_allclose(found, stored[columns], atol=1e-5)


def test_a_run_starts_from_the_network_and_says_so(source, store, tmp_path):
    plain = tiny_runs.run(FAST, store, tmp_path, executor="serial")
    config = dataclasses.replace(FAST, init_from=str(source / "group1"))
    run = tiny_runs.run(config, store, tmp_path, executor="serial")
    assert run.hash != plain.hash
    assert not run.predictions.equals(plain.predictions)
    other = dataclasses.replace(FAST, init_from=str(source / "group2"))
    assert RunPlan(other, store).hash != run.hash


def test_another_number_of_classes_leaves_the_classifier_alone(source):
    config = dataclasses.replace(FAST, init_from=str(source / "group1"), task="synthme-3")
    model, _ = build_model(config, 3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = start_from(model, config)
    assert set(report.initial) == {"cls_head.fc_cls.weight", "cls_head.fc_cls.bias"}
    after = model.state_dict()
    assert torch.equal(after["cls_head.fc_cls.weight"], before["cls_head.fc_cls.weight"])
    name = "cls_head.blocks.0.attn.proj.weight"
    assert not torch.equal(after[name], before[name])


def test_nobody_is_tested_on_a_network_that_knows_them(source, tmp_path):
    store = open_store(source.parent / "set")
    config = dataclasses.replace(FAST, init_from=str(source / "group1"))
    with pytest.raises(ValueError, match="was trained on synthme-macro/s1, .*start from a run on"):
        tiny_runs.run(config, store, tmp_path, executor="serial")
    assert not list(tmp_path.iterdir())


def test_a_chain_of_runs_remembers_everybody(source, store, tmp_path):
    first = dataclasses.replace(FAST, init_from=str(source / "group1"))
    run = tiny_runs.run(first, store, tmp_path, executor="serial", keep_network=True)
    seen = people_of(dataclasses.replace(FAST, init_from=str(run.folder / "group1")))
    assert seen == ["SynthME-macro/s1", "SynthME/s1"]


def test_the_start_of_a_training_says_what_became_of_both_files(source):
    plain = start_network(FAST, 7)
    assert plain.weights is not None and plain.weights.loaded and plain.transfer is None
    config = dataclasses.replace(FAST, init_from=str(source / "group1"))
    model, _, transfer = start_network(config, 7)
    assert transfer is not None and transfer.source.endswith("/group1") and not transfer.initial
    stored, _ = read_weights(source / "group1" / NETWORK)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in model.state_dict().items())
    assert start_network(dataclasses.replace(FAST, pretrained=False), 7).weights is None


@pytest.mark.parametrize(
    "name, message",
    [
        ("", "has 2 networks, one per fold; name one"),
        ("group9", "no network.safetensors there; name a finished run"),
    ],
)
def test_a_start_that_is_none_is_named(source, store, tmp_path, name, message):
    config = dataclasses.replace(FAST, init_from=str(source / name))
    with pytest.raises(ValueError, match=message):
        tiny_runs.run(config, store, tmp_path, executor="serial")


def test_a_network_of_another_size_is_refused(source, store, tmp_path):
    state, header = read_weights(source / "group1" / NETWORK)
    state["logit_scale"] = torch.zeros(2)
    save_weights(tmp_path / "run" / NETWORK, state, header)
    config = dataclasses.replace(FAST, init_from=str(tmp_path / "run"))
    with pytest.raises(ValueError, match="logit_scale has shape"):
        tiny_runs.run(config, store, tmp_path / "runs", executor="serial")
    assert not (tmp_path / "runs").exists()


def test_a_damaged_network_is_named(source, store, tmp_path):
    (tmp_path / "network.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match="network.safetensors"):
        people_of(dataclasses.replace(FAST, init_from=str(tmp_path)))
