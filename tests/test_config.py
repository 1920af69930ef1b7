"""Configurations: checked, hashed, and turned into sizes."""

import dataclasses
import subprocess
import sys

import pytest

from merclip_lib.config import (
    REFERENCE,
    SIZES,
    Config,
    config_from,
    config_hash,
    files_from,
    size_of,
)


@pytest.mark.parametrize(
    "key, near",
    [("epoch", "epochs"), ("learning_rat", None), ("mix_alfa", "mix_alpha"), ("lrs", "lr")],
)
def test_unknown_key_names_a_known_one(key, near):
    expected = f"'{key}'; did you mean '{near}'" if near else f"'{key}'; known are task"
    with pytest.raises(ValueError, match=expected):
        config_from({key: 1})


@pytest.mark.parametrize(
    "key, value",
    [
        ("lr", "1e-4"),
        ("epochs", 8.0),
        ("epochs", True),
        ("mix", 1),
        ("mix", "true"),
        ("task", 7),
        ("warmup_epochs", None),
        ("lr", False),
    ],
)
def test_wrong_type_is_refused(key, value):
    with pytest.raises(ValueError, match=f"'{key}' wants .*got {value!r}"):
        config_from({key: value})


@pytest.mark.parametrize(
    "values, message",
    [
        ({"size": "tiny"}, "size is 'tiny'; choose one of .*merclip-tiny"),
        ({"description": "words"}, "description is 'words'; choose one of .*phrases"),
        ({"mix_alpha": 1.5}, r"mix_alpha is 1.5; it must lie in \[0, 1\]"),
        ({"mix_probability": -1}, "mix_probability"),
        ({"flip_probability": 2}, "flip_probability"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0}, "lr is 0"),
        ({"frames": 7}, "frames is 7.*even"),
        ({"folds": 1}, "folds must be"),
        ({"folds": -2}, "folds is -2; it must be at least 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"lr": float("inf")}, "lr is inf"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
        ({"drop_path": 1.0}, r"drop_path is 1.0; it must lie in \[0, 1\)"),
        ({"accumulate": 4, "batch_size": 2}, "a batch has 2 clips"),
        ({"seed": -1}, "seed is -1; it must be at least 0"),
        ({"seed": 2**64}, "seed is 18446744073709551616; it must"),
        ({"lr": 10**400}, "'lr' wants float, got 1000"),
        ({"epochs": 10**400}, "epochs is 1000"),
        ({"crop": 0.0}, r"crop is 0.0; it must lie in \(0, 1\]"),
        ({"align_start": 1.0, "align_end": 2.0}, "would be negative"),
        ({"held_out": "clip"}, "needs folds"),
        ({"held_out": "split", "folds": 4}, "its own folds"),
        ({"device": "gpu"}, "choose one of .*cuda"),
        ({"precision": "half"}, "bfloat16"),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        config_from(values)


def test_what_names_no_file_is_left_for_the_check(tmp_path):
    values = {"weights": 5, "store_dir": ["a"], "phrases": "", "epochs": 3}
    assert files_from(tmp_path, values) == values
    with pytest.raises(ValueError, match="'weights' wants str"):
        config_from({"weights": 5})


@pytest.mark.parametrize(("gpu", "device"), [(True, "cuda"), (False, "cpu")])
def test_device_auto_is_the_one_that_is_here(monkeypatch, gpu, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    config = config_from({"device": "auto"})
    assert config.device == device and config_hash(config) == config_hash(Config(device=device))


def test_whole_number_where_a_float_is_wanted():
    config = config_from({"lr": 1, "warmup_epochs": 2})
    assert config == Config(lr=1.0, warmup_epochs=2.0)
    assert type(config.lr) is float
    assert config_hash(config) == config_hash(Config(lr=1.0, warmup_epochs=2.0))


def test_the_reference_protocol_is_one_switch_and_keeps_its_hash():
    config = config_from({"protocol": "reference", "folds": 4})
    assert {key: getattr(config, key) for key in REFERENCE} == REFERENCE
    assert config_from(dataclasses.asdict(config)) == config
    assert config.selection == "best_on_test" and not config.flip_swap


def test_defaults_pass_their_own_checks():
    assert config_from({}) == Config() == config_from(dataclasses.asdict(Config()))


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Config)])
def test_every_field_changes_the_hash(field):
    value = getattr(Config(), field)
    other = not value if isinstance(value, bool) else value + ("x" if type(value) is str else 1)
    assert config_hash(dataclasses.replace(Config(), **{field: other})) != config_hash(Config())


def test_hash_is_the_same_in_every_process_and_covers_what_is_added():
    code = "from merclip_lib.config import *; print(config_hash(Config()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == config_hash(Config())
    hashes = {config_hash(Config(), **more) for more in ({}, {"data": "a"}, {"data": "b"})}
    assert len(hashes) == 3 and all(len(h) == 12 and int(h, 16) >= 0 for h in hashes)


def test_size_follows_the_configuration():
    assert size_of(Config()) == SIZES["merclip-tiny"]
    assert size_of(Config(frames=16)).times == 8
    plain = size_of(Config(temporal=False, frames=7))
    assert (plain.times, plain.lmhra, plain.global_layers) == (7, 0, ())
    assert (plain.width, plain.grid) == (SIZES["merclip-tiny"].width, 8)
