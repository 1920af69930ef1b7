"""Recipes: one per task and released configuration, differing where the table says so."""

import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import yaml

from merclip_lib.__main__ import main
from merclip_lib.config import REFERENCE, Config, config_from, stored_side
from merclip_lib.data.tasks import TASKS
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.recipes import (
    FILES,
    MOST,
    PRETRAINING,
    RECIPES,
    RELEASED,
    SYNTHME,
    recipe,
    released,
)
from merclip_lib.study import recipe_report
from merclip_lib.study.notebooks import check_parameters
from merclip_lib.study.recipe_report import NOTEBOOK, commands, sources
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE

ROOT = Path(__file__).resolve().parents[1]

each = pytest.mark.parametrize("name", RECIPES)


def test_every_task_has_its_recipe():
    assert {*FILES, *SYNTHME} == set(TASKS)
    assert {row["task"] for row in RELEASED.values()} == {
        task for task, file in FILES.items() if file
    }
    assert all(RELEASED[file]["task"] == task for task, file in FILES.items() if file)


def test_synthme_takes_the_defaults_of_the_library():
    assert recipe("synthme-5") == Config()
    assert recipe("synthme-3") == Config(task="synthme-3")


def test_what_all_recipes_of_the_paper_share():
    for name in (*FILES, *RELEASED):
        found = recipe(name)
        assert (found.size, found.frames, found.epochs, found.batch_size) == ("ViT-B-16", 16, 55, 8)
        assert (found.warmup_epochs, found.head_lr_scale, found.weight_decay) == (5.0, 1.0, 0.05)
        assert found.normalisation == "imagenet"  # UniFormerV2's weights
        assert found.held_out == ("split" if found.task == "dfme-7" else "subject")


# file: stochastic depth local / global, flip, colour jitter, balanced sampler, lr, lambda's start,
# pixels of the pictures of which 224 are cut out
PUBLISHED = """
dfme_ccac        0   0    no   yes  shuffle   5e-5    2             224
casme2           0   0    0.5  yes  balanced  5e-5    2             224
casme2_3cls      0.2 0.4  0.5  yes  shuffle   5e-5    2             224
casme2_dfme-pre  0.2 0.4  no   yes  shuffle   3e-5    2             224
casme2_ori       0.2 0.4  no   yes  shuffle   5e-5    2             224
casme3           0.2 0.4  no   yes  balanced  5e-5    2             224
samm             0.2 0.4  no   no   shuffle   7e-5    2             256
samm_3cls        0.2 0.4  no   yes  balanced  7e-5    2             224
samm_dfme-pre    0.2 0.4  no   no   shuffle   7e-5    1.5           224
samm_ori         0.2 0.4  no   no   shuffle   2.5e-5  2             224
"""


@pytest.mark.parametrize("line", PUBLISHED.split("\n")[1:-1], ids=lambda line: line.split()[0])
@pytest.mark.parametrize("protocol", ["honest", "reference"])
def test_a_recipe_follows_the_released_configuration_under_either_protocol(line, protocol):
    file, depth, far_depth, flip, jitter, sampler, lr, start, side = line.split()
    found = recipe(file, protocol)
    assert (found.drop_path, found.global_drop_path) == (float(depth), float(far_depth))
    assert found.flip_probability == (0 if flip == "no" else float(flip))
    assert (found.jitter > 0) == (jitter == "yes")
    assert found.class_balanced == (sampler == "balanced")
    assert (found.lr, found.align_start) == (float(lr), float(start))
    assert stored_side(found) == int(side)
    said = sources(file, found)
    for key in ("drop_path", "flip_probability", "jitter", "class_balanced", "lr", "crop"):
        assert said[key] == said["align_start"] == file


def test_a_task_names_the_configuration_that_it_follows():
    for task, file in FILES.items():
        followed = {file, task} - {""}
        assert {recipe(name) for name in followed} == {recipe(task)}
        text = recipe_report.as_text(task, recipe(task))
        said = f"after the released configuration {file}" if file else "no configuration was rel"
        assert said in text.splitlines()[1]
        assert sources(task, recipe(task))["lr"] == (file or "most")
    assert [task for task, file in FILES.items() if not file] == [
        "casme3-3",
        "casme3-4",
        "megc2019-3",
    ]


def test_what_is_no_setting_is_told():
    text = recipe_report.as_text("samm", recipe("samm"))
    assert "context 77" in text and "epoch 50" in text
    assert "context 32" in recipe_report.as_text("casme2_ori", recipe("casme2_ori"))
    assert recipe_report.as_dict("synthme-7", recipe("synthme-7"))["not_settings"] == {}


@each
def test_a_recipe_differs_from_the_base_where_its_row_says_so(name):
    found = recipe_report.differences(name, recipe(name))
    row = released(name)
    wanted = {key for key in Config.__dataclass_fields__ if key in row and key != "task"}
    differ = {key: row[key] for key in wanted if row[key] != MOST[key]}
    if row["task"] == "dfme-7":
        differ["held_out"] = "split"
    assert {key: here for key, (_, here) in found.items()} == differ


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
    assert (said["epochs"], said["normalisation"], said["seed"]) == ("paper", "program", "ours")
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        recipe("casme3-7", epoch=3)
    with pytest.raises(ValueError, match="protocol 'reference' sets soft_targets to False"):
        recipe("casme3-7", protocol="reference", soft_targets=True)


@pytest.mark.parametrize("protocol", ["honest", "reference"])
def test_sources_follow_the_protocol(protocol):
    said = sources("samm-5", recipe("samm-5", protocol=protocol))
    assert said["soft_targets"] == ("program" if protocol == "reference" else "ours")
    assert said["align_start"] == said["lr"] == "samm" and said["grad_clip"] == "paper"


@pytest.mark.parametrize("protocol", ["honest", "reference"])
@each
def test_the_printed_command_gives_the_recipe_to_the_notebook(name, protocol):
    config = recipe(name, protocol)
    lines = commands(name, config)
    transfers = config.task not in (*SYNTHME, PRETRAINING)
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
    assert "class_balanced      True                casme3" in text
    assert main(["recipe", "samm-3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["values"]["lr"] == {"value": 7e-5, "source": "samm_3cls"}
    assert main(["recipe", "casme37"]) == 2
    assert "did you mean 'casme3-7'?" in capsys.readouterr().err
