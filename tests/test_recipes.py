"""Recipes: one per task, differing from the base only where the table says so."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import yaml

from merclip_lib.__main__ import main
from merclip_lib.config import REFERENCE, Config, config_from
from merclip_lib.data.tasks import TASKS
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.recipes import DIFFERENCES, PRETRAINING, RECIPES, SYNTHME, recipe
from merclip_lib.study import recipe_report
from merclip_lib.study.notebooks import check_parameters
from merclip_lib.study.recipe_report import NOTEBOOK, commands, sources
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.population import EXAMPLE

ROOT = Path(__file__).resolve().parents[1]

each = pytest.mark.parametrize("name", RECIPES)


def test_every_task_has_its_recipe():
    assert set(RECIPES) == set(TASKS)


def test_synthme_takes_the_defaults_of_the_library():
    assert recipe("synthme-5") == Config()
    assert recipe("synthme-3") == Config(task="synthme-3")


def test_the_paper_s_values():
    found = recipe("casme3-7")
    assert (found.size, found.frames, found.epochs, found.batch_size) == ("ViT-B-16", 16, 55, 8)
    assert (found.lr, found.warmup_epochs, found.head_lr_scale) == (5e-5, 5.0, 1.0)
    assert (found.drop_path, found.global_drop_path, found.weight_decay) == (0.2, 0.4, 0.05)
    assert found.normalisation == "imagenet"  # UniFormerV2's weights
    balanced = {n for n in DIFFERENCES if recipe(n).class_balanced}
    assert balanced == {n for n in DIFFERENCES if int(n[-1]) >= 5}
    assert {n for n in DIFFERENCES if recipe(n).lr == 7e-5} == {"samm-3", "samm-5"}
    assert recipe("dfme-7").held_out == "split"


@each
def test_a_recipe_differs_from_the_base_where_the_table_says_so(name):
    found = recipe_report.differences(name, recipe(name))
    table = DIFFERENCES.get(name, {})
    assert {key: here for key, (_, here) in found.items()} == table


@each
def test_the_protocol_is_one_switch(name):
    honest = recipe(name)
    reference = recipe(name, protocol="reference")
    assert reference == dataclasses.replace(honest, protocol="reference", **REFERENCE)
    assert (honest.selection, honest.flip_swap, honest.soft_targets) == ("last", True, True)
    assert recipe_report.as_dict(name, honest)["stamp"] == ""
    assert "epoch chosen on the held-out" in recipe_report.as_dict(name, reference)["stamp"]


def test_changes_are_checked_and_said_to_be_given():
    found = recipe("casme3-7", device="cuda", precision="bfloat16", accumulate=4)
    said = sources("casme3-7", found)
    assert {key for key, source in said.items() if source == "given"} == {
        "device",
        "precision",
        "accumulate",
    }
    assert (said["lr"], said["class_balanced"], said["jitter"]) == ("paper", "program", "ours")
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        recipe("casme3-7", epoch=3)
    with pytest.raises(ValueError, match="protocol 'reference' sets soft_targets to False"):
        recipe("casme3-7", protocol="reference", soft_targets=True)


@pytest.mark.parametrize("protocol", ["honest", "reference"])
def test_sources_follow_the_protocol(protocol):
    said = sources("samm-5", recipe("samm-5", protocol=protocol))
    assert said["soft_targets"] == ("program" if protocol == "reference" else "ours")
    assert said["align_start"] == "program" and said["lr"] == "paper"


@pytest.mark.parametrize("protocol", ["honest", "reference"])
@each
def test_the_printed_command_gives_the_recipe_to_the_notebook(name, protocol):
    config = recipe(name, protocol)
    lines = commands(name, config)
    transfers = name not in (*SYNTHME, PRETRAINING)
    assert len(lines) == 1 + transfers
    wanted = [recipe(PRETRAINING, protocol), config] if transfers else [config]
    notebook = ROOT / NOTEBOOK
    fields = {field.name for field in dataclasses.fields(Config)}
    for line, expected in zip(lines, wanted, strict=True):
        words = shlex.split(line)
        values = yaml.safe_load(words[words.index("-y") + 1])
        filled = check_parameters(notebook, values)
        given = {key: value for key, value in filled.items() if key in fields}
        paths = dict(weights="", init_from="")
        assert config_from({**given, **paths}) == expected
    if transfers:
        assert "keep_network: true" in lines[0] and "init_from" in lines[1]


def test_a_store_of_another_set_is_one_clear_error(tmp_path):
    small = dataclasses.replace(EXAMPLE, people=2, clips=4)
    store = draw_population(small, tmp_path / "synthme", workers=1)
    with pytest.raises(ValueError, match="casme3-7.*no clip of class.*SynthME.*use the table of"):
        _ = RunPlan(recipe("casme3-7"), store).table


def test_the_command_lists_prints_and_names_the_nearest(capsys):
    assert main(["recipe"]) == 0
    assert capsys.readouterr().out.split() == list(RECIPES)
    assert main(["recipe", "casme3-7", "--protocol", "reference"]) == 0
    text = capsys.readouterr().out
    assert "stamp: epoch chosen on the held-out subject" in text
    assert "class_balanced    False -> True" in text and text.count("papermill ") == 2
    assert main(["recipe", "samm-3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"]["lr"] == {"value": 7e-5, "source": "paper"}
    assert main(["recipe", "casme37"]) == 2
    assert "did you mean 'casme3-7'?" in capsys.readouterr().err
