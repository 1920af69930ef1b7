"""Making the starts in small, and what the shipped ones are."""

import json

import numpy as np
import pytest
import torch

from merclip_lib.config import Config, config_from
from merclip_lib.study import NOTEBOOKS
from merclip_lib.study.grids import read_grid
from merclip_lib.study.motion_start import (
    MotionReader,
    MotionSettings,
    motion_error,
    motion_loss,
    pretrain,
    split_people,
    times_of,
)
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import population
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.load import BUNDLED, build_model, load_text_tower

FEW = population("any-units", 4, people=12, clips=96, frames=8)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return draw_population(FEW, tmp_path_factory.mktemp("data") / "motion", workers=1)


@pytest.mark.parametrize(
    ("changes", "moments"),
    [
        ({"frames": 4}, [0, 4]),
        ({"temporal": False}, [0, 1, 2, 3, 4, 4, 5, 6]),
        ({}, [0, 2, 4, 5]),
    ],
)
def test_three_steps_write_weights_that_load(store, tmp_path, changes, moments):
    settings = MotionSettings(steps=3, batch_size=4, warmup=1, held_out=0.5, **changes)
    assert times_of(store, settings.size).tolist() == moments
    out = tmp_path / "tiny.safetensors"
    card = pretrain(store, settings, out)
    assert card == json.loads(out.with_suffix(".json").read_text())
    assert card["motion_error"] > 0 and len(card["curve"]) == 2
    state, header = read_weights(out)
    assert header["size"]["frames"] == settings.frames
    assert {tensor.dtype for tensor in state.values()} <= {torch.float16, torch.int64}
    _, report = build_model(Config(weights=str(out), **changes), classes=7)
    assert not report.skipped and not report.initial
    again = pretrain(store, settings, tmp_path / "again.safetensors")
    assert again["curve"] == card["curve"]


def test_held_out_people_are_not_trained_on(store):
    train, held_out = split_people(store, 0.25)
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


def test_a_store_without_motion_is_refused(store, tmp_path):
    bare = type(store)(store.folder, store.table, store.frames, None, store.meta)
    with pytest.raises(ValueError, match="no motion.npy; pretraining needs"):
        pretrain(bare, MotionSettings(steps=1), tmp_path / "x.safetensors")


def test_shipped_encoder_has_learnt_displacement(store):
    """A linear reading of its patches, made on some people, tells the motion of others."""
    settings = MotionSettings()
    model = MotionReader(settings.size)
    model.vision_encoder = build_model(Config(), classes=7).model.vision_encoder
    scale = float(np.asarray(store.motion, np.float32).std())
    untrained = motion_error(model, store, np.arange(len(store)), settings, scale)
    read_by_least_squares(model, store, scale)
    assert motion_error(model, store, np.arange(len(store)), settings, scale) < 0.5 < untrained
    assert json.loads(BUNDLED.with_suffix(".json").read_text())["motion_error"] < 0.3


def read_by_least_squares(model: MotionReader, store, scale: float) -> None:
    """Put the best linear reading into the motion head."""
    from merclip_lib.study.motion_start import dataset_of, gather, true_motion

    settings, rows = MotionSettings(), np.arange(len(store))
    video, _, at = gather(dataset_of(store, rows, settings), torch.arange(len(store)))
    with torch.no_grad():
        tokens = model.eval().vision_encoder(video.transpose(1, 2)).patches.flatten(0, 2)
    true = true_motion(store, at, settings.size).flatten(0, 3) / scale
    ones = torch.ones(len(tokens), 1)
    solution = torch.linalg.lstsq(torch.cat([tokens, ones], 1), true).solution
    model.motion.weight.data, model.motion.bias.data = solution[:-1].T.clone(), solution[-1].clone()


def test_shipped_weights_are_small():
    assert sum(file.stat().st_size for file in BUNDLED.parent.iterdir()) < 16 * 2**20


def test_every_ablation_starts_from_weights_made_for_its_encoder():
    fields = Config.__dataclass_fields__
    for entry in read_grid(NOTEBOOKS / "ablations.yaml")["entries"]:
        given = entry["parameters"] or {}
        config = config_from({key: value for key, value in given.items() if key in fields})
        model, report = build_model(config, classes=7)
        if config.pretrained:
            assert not report.initial and not report.skipped, (entry["name"], str(report))
        assert load_text_tower(config) is not None
