"""Which way of computing a run has: chosen by trial, recorded, the same for all its folds."""

import dataclasses
import json
import shutil

import pytest
import tiny_runs
import torch

from merclip_lib.config import SIZES, Config
from merclip_lib.model.arithmetic import ARITHMETICS, arithmetic, current
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol import loso
from merclip_lib.runs import arithmetic as trying
from merclip_lib.runs.arithmetic import Trial, choose, trials
from merclip_lib.runs.overview import list_runs

FAST = dataclasses.replace(tiny_runs.FAST, epochs=1)
SWITCH = torch.backends.mkldnn.matmul


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "merclip"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_runs.make_store(tmp_path_factory.mktemp("data") / "set")


def tried(monkeypatch, seconds: dict, errors: dict) -> None:
    """A machine on which the trial of the ways ends like this."""
    found = {name: Trial(seconds.get(name, 1.0), errors.get(name, 2e-7)) for name in ARITHMETICS}
    monkeypatch.setattr(trying, "try_out", lambda config: found)


@pytest.mark.parametrize(
    ("seconds", "errors", "expected"),
    [
        ({"onednn": 0.5, "matmul": 0.8}, {"onednn": 3e-7}, "onednn"),
        ({"onednn": 0.5, "matmul": 0.8}, {"onednn": 2e-3}, "matmul"),  # rounded to bfloat16
        ({"onednn": 0.5}, {"onednn": 2e-3}, "torch"),
        ({"onednn": 0.95}, {}, "torch"),  # no gain worth another rounding
        ({"onednn": 0.5}, {"onednn": float("nan")}, "torch"),
    ],
)
def test_the_fastest_that_is_as_exact_counts(seconds, errors, expected, monkeypatch):
    tried(monkeypatch, seconds, errors)
    assert choose(Config()) == expected


def test_a_trial_is_remembered_and_a_damaged_note_is_not_believed(cache, monkeypatch):
    tried(monkeypatch, {"onednn": 0.5}, {})
    assert choose(Config()) == "onednn"
    tried(monkeypatch, {}, {})
    assert choose(Config()) == "onednn"
    assert choose(Config(precision="bfloat16")) == "torch"  # another trial
    for note in cache.iterdir():
        note.write_text("{")
    assert choose(Config()) == "torch"


def test_other_devices_are_left_alone(monkeypatch):
    tried(monkeypatch, {"onednn": 0.1}, {})
    assert choose(Config(device="cuda")) == choose(Config(compile=True)) == "torch"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_real_trial(precision):
    state = torch.get_rng_state()
    found = trials(Config(precision=precision))
    assert list(found) == list(ARITHMETICS)
    assert all(trial.seconds > 0 for trial in found.values())
    for name in ("torch", "matmul"):  # what oneDNN does depends on the processor
        assert found[name].error < 1e-5
    assert torch.equal(torch.get_rng_state(), state)
    assert current() == "torch" and SWITCH.fp32_precision == "none"


def test_attention_is_the_same_either_way():
    torch.manual_seed(0)
    model, video = MERCLIP(SIZES["merclip-tiny"], 7).eval(), torch.randn(2, 3, 8, 64, 64)
    outputs, slopes = [], []
    for name in ("torch", "matmul"):
        model.zero_grad()
        with arithmetic(name):
            assert current() == name
            output = model(video)
            (output.z.sum() + output.logits.sum()).backward()
        outputs.append(torch.cat([output.z, output.logits], 1))
        slopes.append(model.vision_encoder.conv1.weight.grad.clone())
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*slopes, atol=1e-4 * slopes[0].abs().max().item(), rtol=1e-4)


def test_the_arithmetic_ends_with_its_block():
    with pytest.raises(RuntimeError), arithmetic("onednn"):
        assert SWITCH.fp32_precision == "bf16"
        raise RuntimeError
    assert current() == "torch" and SWITCH.fp32_precision == "none"


def arithmetics_of(folder) -> set[str]:
    """What the folds of a run say that they were computed with."""
    notes = folder.glob("*/environment.json")
    return {json.loads(note.read_text())["arithmetic"] for note in notes}


@pytest.mark.parametrize("run_json", ["kept", "lost"])
def test_remaining_folds_are_computed_as_recorded(run_json, store, tmp_path, monkeypatch):
    tried(monkeypatch, {"matmul": 0.5}, {})
    run = tiny_runs.run(FAST, store, tmp_path, executor="serial")
    before = run.predictions
    assert json.loads((run.folder / "run.json").read_text())["arithmetic"] == "matmul"
    assert list_runs(tmp_path)["arithmetic"].tolist() == ["matmul"]
    shutil.rmtree(run.folder / "group2")
    (run.folder / "predictions.csv").unlink()
    if run_json == "lost":
        (run.folder / "run.json").unlink()
    monkeypatch.setattr(loso, "choose", lambda config: "torch")  # now it would be another
    run = tiny_runs.run(FAST, store, tmp_path, executor="processes", workers=2)
    assert json.loads((run.folder / "run.json").read_text())["arithmetic"] == "matmul"
    assert arithmetics_of(run.folder) == {"matmul"}
    assert run.predictions.equals(before)


def test_a_run_is_not_finished_where_its_products_would_be_rounded(store, tmp_path, monkeypatch):
    tried(monkeypatch, {"matmul": 0.5}, {"onednn": 2e-3})
    run = tiny_runs.run(FAST, store, tmp_path, executor="serial")
    shutil.rmtree(run.folder / "group2")
    record = json.loads((run.folder / "run.json").read_text())
    for name, why in (("onednn", "rounds to bfloat16"), ("of 0.9", "has not")):
        (run.folder / "run.json").write_text(json.dumps({**record, "arithmetic": name}))
        with pytest.raises(ValueError, match=f"{name!r} products, which this processor {why}"):
            tiny_runs.run(FAST, store, tmp_path, executor="serial")
    assert not (run.folder / "group2").exists()
    (run.folder / "run.json").unlink()  # then a fold says how, if it can
    (run.folder / "group1" / "environment.json").write_text("half a wor")
    with pytest.raises(ValueError, match="group1/environment.json cannot be read"):
        tiny_runs.run(FAST, store, tmp_path, executor="serial")
