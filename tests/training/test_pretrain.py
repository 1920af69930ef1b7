"""Making the tiny weights in small, and what the shipped ones can do."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from merclip_lib.config import Config, config_from, size_of
from merclip_lib.study import NOTEBOOKS
from merclip_lib.study.sweeps import read_grid
from merclip_lib.synthme.draw import draw_set
from merclip_lib.synthme.plan import MACRO
from merclip_lib.training.pretrain import (
    Pretrainer,
    PretrainSettings,
    evaluate_encoder,
    motion_loss,
    pretrain,
    pretrain_data,
    split_subjects,
    times_of,
    unit_targets,
    unit_vocabulary,
)
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.load import BUNDLED, build_model, load_text_tower

FEW = dataclasses.replace(
    MACRO, name="SynthME-macro-test", prefix="u", subjects=24, clips_per_subject=8, seed=4
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return draw_set(FEW, tmp_path_factory.mktemp("data") / "macro")


def test_three_steps_write_weights_that_load(store, tmp_path):
    settings = PretrainSettings(steps=3, batch_size=8, warmup=1, align_from=0.3, held_out=0.5)
    out = tmp_path / "tiny.safetensors"
    card = pretrain(store, settings, out)
    assert card == json.loads(out.with_suffix(".json").read_text())
    assert {"macro_auc", "recall_at_1", "motion_error"} <= set(card["held_out"])
    config = Config(weights=str(out))
    _, report = build_model(config, classes=7)
    assert not report.skipped and not report.initial
    load_text_tower(config)
    again = pretrain(store, settings, tmp_path / "again.safetensors")
    assert again["curves"] == card["curves"]


@pytest.mark.parametrize(
    ("changes", "moments"),
    [
        ({"frames": 4}, [0, 4]),
        ({"temporal": False}, [0, 1, 2, 3, 4, 4, 5, 6]),
        ({}, [0, 2, 4, 5]),
    ],
)
def test_another_encoder_on_the_same_text_tower(store, tmp_path, changes, moments):
    settings = PretrainSettings(
        steps=2,
        batch_size=4,
        warmup=1,
        align_from=0.0,
        held_out=0.9,
        text=str(BUNDLED),
        **changes,
    )
    size = size_of(settings.config)
    assert times_of(store, size).tolist() == moments and len(moments) == size.times
    out = tmp_path / "other.safetensors"
    pretrain(store, settings, out)
    state, header = read_weights(out)
    assert not any(name.startswith("text_encoder") for name in state)
    assert header["size"]["frames"] == size.frames
    config = Config(weights=str(out), text_weights=str(BUNDLED), **changes)
    _, report = build_model(config, classes=7)
    assert not report.skipped and not report.initial


def test_held_out_subjects_are_not_trained_on(store):
    train, held_out = split_subjects(store, 0.25)
    people = [set(store.table["subject"].iloc[rows]) for rows in (train, held_out)]
    assert people[0].isdisjoint(people[1]) and len(train) + len(held_out) == len(store)


def test_motion_loss_of_a_mirrored_clip_mirrors_the_truth():
    true = torch.randn(2, 8, 4, 4, 2)
    predicted = true.flatten(2, 3)
    still = torch.zeros(2, dtype=torch.bool)
    assert motion_loss(predicted, true, still) == 0
    mirrored = (true.flip(3) * torch.tensor([-1.0, 1.0])).flatten(2, 3)
    assert motion_loss(mirrored, true, ~still) == 0
    assert motion_loss(predicted, true, ~still) > 0.1


def test_bilateral_sentence_fits_any_side_and_one_sided_only_its_own():
    units = unit_vocabulary(["4+L12", "R12"])
    assert units == ["12", "4", "L12", "R12"]
    targets = unit_targets(["4+L12", "12"], units)
    assert targets.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]


def test_shipped_weights_know_action_units_of_people_they_never_saw(store):
    card = json.loads(BUNDLED.with_suffix(".json").read_text())
    assert card["held_out"]["macro_auc"] >= 0.88
    assert card["held_out"]["recall_at_5"] > 10 * 5 * card["held_out"]["chance_at_1"]
    model = Pretrainer(PretrainSettings(text=str(BUNDLED)))  # its motion head is not looked at
    model.vision_encoder = build_model(Config(), classes=7).model.vision_encoder
    found = evaluate_encoder(model, pretrain_data(store), np.arange(len(store)))
    assert found["macro_auc"] > 0.8


def test_shipped_weights_are_small():
    assert sum(file.stat().st_size for file in BUNDLED.parent.iterdir()) < 20_000_000


def test_every_ablation_starts_from_weights_made_for_its_encoder():
    fields = Config.__dataclass_fields__
    for entry in read_grid(NOTEBOOKS / "ablations.yaml")["entries"]:
        given = entry["parameters"] or {}
        config = config_from({key: value for key, value in given.items() if key in fields})
        model, report = build_model(config, classes=7)
        if config.pretrained:
            assert not report.initial and not report.skipped, (entry["name"], str(report))
        assert load_text_tower(config) is not None
