"""Weights files that other programs wrote, or that are none: read rightly, or refused in a line."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from merclip_lib.__main__ import main
from merclip_lib.config import Config
from merclip_lib.weights.files import read_weights
from merclip_lib.weights.inspect import inspect_file
from merclip_lib.weights.key_layouts import recognise, unwrap
from merclip_lib.weights.load import build_model, bundled, named_file

NAMES = ("conv1.weight", "class_embedding", "positional_embedding", "ln_pre.weight")


def state(prefix=""):
    """An image tower, as far as it is needed here."""
    shapes = [(8, 3, 4, 4), (8,), (5, 8), (8,)]
    return {prefix + name: torch.ones(shape) for name, shape in zip(NAMES, shapes, strict=True)}


@pytest.mark.parametrize("key", ["model", "model_ema", "net", "params_ema", "module", "checkpoint"])
def test_looks_inside_the_wrappers_of_other_programs(key):
    content = {key: state(), "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}
    assert list(unwrap(content, "f")) == list(NAMES)
    assert list(unwrap({"checkpoint": content}, "f")) == list(NAMES)
    assert list(unwrap({"params": {"lr": 0.1}, "ema": None, **content}, "f")) == list(NAMES)


def test_looks_under_a_name_that_is_new():
    assert list(unwrap({"student": state(), "epoch": 3, "args": {"lr": 1}}, "f")) == list(NAMES)


@pytest.mark.parametrize("keys", [("state_dict", "state_dict_ema"), ("model", "ema"), ("a", "b")])
def test_two_states_in_one_file_are_not_chosen_from_in_silence(keys):
    with pytest.raises(
        ValueError, match=f"f: holds several states, {keys[0]} and {keys[1]} .*save"
    ):
        unwrap(dict.fromkeys(keys, state()), "f")


@pytest.mark.parametrize("prefix", ["net.", "encoder.", "clip_model.", "net.clip.", "module.net."])
def test_one_prefix_before_all_names_is_taken_off(prefix):
    checkpoint = recognise(unwrap(state(prefix), "f"), "f")
    assert checkpoint.layout == "image tower" and list(checkpoint.vision) == list(NAMES)


def circle():
    content = {"epoch": 1}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"state": {}, "param_groups": []}, "its keys are state, param_groups"),
        ([state()], "it is a list"),
        (torch.ones(3), "it is a Tensor"),
        ({}, "it is a dict"),
        ({"x" * 5000: 1}, "its keys are x{60}\\)"),
        (circle(), "its keys are epoch, model"),
        ({1: torch.ones(1)}, "its keys are 1"),
    ],
)
def test_what_holds_no_state_is_told_by_its_keys(content, told):
    with pytest.raises(ValueError, match=f"f: holds no state dict of tensors .{told}"):
        unwrap(content, "f")


def test_long_names_do_not_fill_the_message():
    for name in ("x" * 5000, "a." * 2500):
        with pytest.raises(ValueError, match="of no known layout") as told:
            recognise({name: torch.ones(1)}, "f")
        assert len(str(told.value)) < 1500


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.ones(5, 8, dtype=torch.bool), "holds bool, not floating-point"),
        (torch.ones(5, 8, dtype=torch.int64), "holds int64, not"),
        (torch.ones(5, 8, dtype=torch.complex64), "holds complex64, not"),
        (torch.full((5, 8), np.nan), "holds NaN or infinity"),
        (torch.full((5, 8), -np.inf).half(), "holds NaN or infinity"),
        (torch.full((5, 8), 1e300, dtype=torch.float64), "holds NaN or infinity"),
        (torch.ones(5, 8).to_sparse(), "is a sparse or quantised tensor"),
        (torch.ones(5, 8, device="meta"), "no values .meta."),
        (torch.ones(()), r"has shape \(\), not 2 dimensions"),
        (torch.ones(0, 8), r"has shape \(0, 8\), not 2 dimensions"),
    ],
)
def test_what_is_no_weight_is_refused_by_its_name(tmp_path, value, told):
    path = tmp_path / "w.pt"
    torch.save(state() | {"positional_embedding": value}, path)
    with pytest.raises(ValueError, match=f"w.pt: .*{told}") as error:
        inspect_file(path)
    assert "positional_embedding" in str(error.value) or value.is_meta


@pytest.mark.parametrize("name", ["logit_scale", "temp"])
@pytest.mark.parametrize("value", [torch.ones(2), torch.tensor(np.nan), torch.tensor(True)])
def test_a_scale_is_one_number(name, value):
    layout = {"vision_encoder.conv1.weight": torch.ones(8, 3, 1, 4, 4)}
    with pytest.raises(ValueError, match=f"f: {name} "):
        recognise(layout | {name: value}, "f")
    for one in (torch.ones(1), torch.ones(())):
        assert recognise(layout | {name: one}, "f").logit_scale in (0, 1)


def test_endings_do_not_decide(tmp_path):
    save_file(state(), tmp_path / "a.SAFETENSORS")
    save_file(state(), tmp_path / "a.pt")
    torch.save(state(), tmp_path / "b.safetensors")
    torch.save(state(), tmp_path / "c.pth", _use_new_zipfile_serialization=False)
    for path in tmp_path.iterdir():
        assert list(read_weights(path)[0]) != [] and set(read_weights(path)[0]) == set(NAMES)


@pytest.mark.parametrize("header", ["{not json", "[1, 2]", "null", '"text"', "3"])
def test_a_header_of_another_program_is_no_header(tmp_path, header):
    save_file(state(), tmp_path / "a.safetensors", {"merclip": header})
    assert read_weights(tmp_path / "a.safetensors")[1] == {}


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_part_of_several_files_and_their_index(tmp_path, ending):
    part = tmp_path / f"model-00001-of-00002.{ending}"
    save_file(state(), part)
    with pytest.raises(ValueError, match="is number 1 of 2 files .* save all their tensors in one"):
        read_weights(part)
    index = tmp_path / f"model.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(NAMES, part.name)}))
    with pytest.raises(ValueError, match="it is the index of weights in several files.*; join"):
        read_weights(index)
    save_file(state(), tmp_path / "model-00001-of-00001.safetensors")
    assert set(read_weights(tmp_path / "model-00001-of-00001.safetensors")[0]) == set(NAMES)


def test_what_is_no_file(tmp_path, monkeypatch, capsys):
    os.mkfifo(tmp_path / "pipe.pt")
    for path in (tmp_path / "pipe.pt", tmp_path, tmp_path / "gone.pt"):
        with pytest.raises(ValueError, match="no such weights file"):
            read_weights(path)
    for name in ("x" * 5000, "x" * 5000 + ".pt", "a" * 300 + "/b.pt"):
        assert main(["weights", "inspect", name, "--size", "merclip-tiny"]) == 2
        assert len(capsys.readouterr().err) < 400
    assert main(["weights", "inspect", "~nosuchuser/x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(ValueError, match="^~nosuchuser/x: no such weights file"):
        inspect_file(Path("~nosuchuser/x"))
    with pytest.raises(ValueError, match="^~nosuchuser/x: no such weights file"):
        build_model(Config(weights="~nosuchuser/x"), 3)
    monkeypatch.setenv("HOME", str(tmp_path))
    save_file(state(), tmp_path / "mine.safetensors")
    assert set(read_weights(named_file("~/mine.safetensors", "merclip-tiny"))[0]) == set(NAMES)


def test_nan_in_the_text_tower_is_named_on_the_command_line(tmp_path, capsys):
    content, _ = read_weights(bundled("text-tiny"))
    name = "text_encoder.ln_final.bias"
    content[name] = content[name] * np.nan
    save_file(content, tmp_path / "w.safetensors")
    assert main(["weights", "inspect", str(tmp_path / "w.safetensors")]) == 2
    told = capsys.readouterr().err
    assert "ln_final.bias holds NaN or infinity" in told and told.count("\n") == 1


def test_a_few_values_that_are_shown_as_many_are_refused(tmp_path):
    many = torch.zeros(1).expand(10**6, 10**4)  # 40 GB, stored as 4 bytes
    torch.save({**state(), "proj": many}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="w.pt: proj has more values than the file"):
        inspect_file(tmp_path / "w.pt")
