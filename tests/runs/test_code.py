"""Which edits make a run another run: a phrase does, a comment does not."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import tiny_runs

from merclip_lib.config import Config, Neutral, config_hash
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs import code
from merclip_lib.runs.overview import list_runs

PACKAGE = code.PACKAGE


@pytest.fixture
def copy(tmp_path):
    """A copy of the library's source that may be edited."""
    package = tmp_path / "merclip_lib"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__", "assets"))
    (package / "weights" / "assets").symlink_to(PACKAGE / "weights" / "assets")
    assert code.fingerprint(package) == code.fingerprint()
    return package


def edit(package: Path, name: str, old: str, new: str) -> None:
    text = (package / name).read_text(encoding="utf-8")
    assert old in text, f"{name} has no {old!r} any more"
    (package / name).write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("text/sentences.py", "This micro-expression involves {}.", "One sees {}."),
        ("augment.py", "mul_(alpha)", "mul_(1 - alpha)"),
        ("model/perceptron.py", "down / 1.702", "down / 1.7"),
        ("training/losses.py", "gamma: float = 2.0", "gamma: float = 1.0"),
        ("config.py", "dataclasses.replace(config, **REFERENCE)", "config"),
    ],
)
def test_an_edit_that_changes_predictions_changes_the_fingerprint(copy, name, old, new):
    edit(copy, name, old, new)
    assert code.fingerprint(copy) != code.fingerprint()


@pytest.mark.parametrize(
    "name, old, new",
    [
        ("augment.py", "import torch\n", "import torch\n\n# a comment\n"),
        ("augment.py", '"""Augmentations of a batch', '"""Some augmentations of a batch'),
        ("augment.py", "unknown region", "no such region"),
        ("training/loop.py", "is no longer finite", "is not finite"),
        ("config.py", "jitter: Number = 0.1", "jitter: Number = 0.1\n    shine: Number = 0.0"),
        ("scores/metrics.py", "import", "import os, "),
    ],
)
def test_words_comments_and_new_fields_do_not(copy, name, old, new):
    edit(copy, name, old, new)
    assert code.fingerprint(copy) == code.fingerprint()


def test_the_fingerprint_is_the_same_on_every_version_of_python(tmp_path):
    """Made with 3.11 and 3.13, which write a syntax tree in different ways."""
    (tmp_path / "config.py").write_text(
        '@wraps\nclass Half(Base):\n    """Says."""\n\n    def to(self, *, by: int = 2) -> None:\n'
        '        return [f"{x / by!r:>5}" for x in () if not self.odd(x)]\n',
        encoding="utf-8",
    )
    assert code.fingerprint(tmp_path) == "1ab1f4504a3c"


def test_a_field_stays_out_of_the_hash_at_its_neutral_value_alone():
    @dataclasses.dataclass(frozen=True)
    class Longer(Config):
        shine: Annotated[float, Neutral(0.0)] = 0.0

    @dataclasses.dataclass(frozen=True)
    class LaterDefault(Config):
        shine: Annotated[float, Neutral(0.0)] = 0.5

    assert config_hash(Longer()) == config_hash(Config())
    assert config_hash(Longer(shine=0.5)) != config_hash(Config())
    assert config_hash(LaterDefault()) == config_hash(Longer(shine=0.5))


def test_what_the_hash_of_the_defaults_was_it_is():
    """Runs are kept for years: a new field needs a `Neutral` value."""
    assert config_hash(Config()) == "f0ea4eee3c81"


def in_copy(package: Path, program: str) -> subprocess.CompletedProcess:
    """Run a program with the edited copy in the place of the library."""
    environment = {**os.environ, "PYTHONPATH": str(Path(tiny_runs.__file__).parent)}
    command, where = [sys.executable, "-c", program], package.parent
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True)


TRAIN = """
import sys, tiny_runs, merclip_lib
from merclip_lib.data.store import open_store
lines = []
config = tiny_runs.dataclasses.replace(tiny_runs.FAST, use_text=True, epochs=1)
store = open_store({store!r})
run = tiny_runs.run(config, store, {runs!r}, progress=lines.append, executor="serial")
print(run.hash, len(lines))
"""


def test_a_students_edit_trains_again_and_a_comment_does_not(copy, tmp_path):
    store = tiny_runs.make_store(tmp_path / "set")
    program = TRAIN.format(store=str(store.folder), runs=str(tmp_path / "runs"))

    def train():
        done = in_copy(copy, program)
        assert done.returncode == 0, done.stderr
        name, trained = done.stdout.split()
        return name, int(trained)

    first, trained = train()
    assert trained == 2
    edit(copy, "text/sentences.py", "lowering the", "pulling down the")
    second, trained = train()
    assert trained == 2 and second != first
    edit(copy, "text/sentences.py", '"""', '"""Anew: ')
    assert train() == (second, 0)
    runs = list_runs(tmp_path / "runs").set_index("run")["code"]
    assert runs[first] == "" and runs[second] == "other"


def test_code_that_was_edited_under_a_running_process_is_noticed(copy):
    program = f"""
from pathlib import Path
from merclip_lib.runs.code import loaded_code
file = Path({str(copy / "augment.py")!r})
loaded_code()
file.write_text(file.read_text() + "# a comment")
loaded_code()
file.write_text(file.read_text().replace("mul_(alpha)", "mul_(1 - alpha)"))
loaded_code()
"""
    done = in_copy(copy, program)
    wanted = "augment.py was edited after it had been loaded; restart the kernel"
    assert wanted in done.stderr.replace(os.sep, "/").splitlines()[-1]


def test_code_that_was_edited_before_the_plan_was_made_is_noticed(copy):
    program = f"""
import os, time
from pathlib import Path
from merclip_lib.text import describe
file = Path({str(copy / "text" / "sentences.py")!r})
file.write_text(file.read_text().replace("lowering the brows", "frowning"))
os.utime(file, (time.time() + 5, time.time() + 5))
print(describe("4"))
from merclip_lib.runs.code import loaded_code
loaded_code()
"""
    done = in_copy(copy, program)
    assert done.stdout == "lowering the brows\n"
    assert "sentences.py was edited after it had been loaded" in done.stderr


def test_weights_replaced_while_a_run_is_planned_are_refused(tmp_path):
    store = tiny_runs.make_store(tmp_path / "set")
    weights = tmp_path / "mine.safetensors"
    shutil.copy(PACKAGE / "weights" / "assets" / "motion.safetensors", weights)
    plan = RunPlan(dataclasses.replace(tiny_runs.FAST, weights=str(weights)), store)
    assert plan.hash
    with open(weights, "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\x00\x00\x80\x3f")
    with pytest.raises(ValueError, match="weights were replaced"):
        plan.check()


def test_other_labels_are_another_run(tmp_path):
    store = tiny_runs.make_store(tmp_path / "set")
    before = RunPlan(tiny_runs.FAST, store).hash
    emotion = store.table["emotion"].replace({"anger": "disgust", "disgust": "anger"})
    other = dataclasses.replace(store, table=store.table.assign(emotion=emotion))
    assert RunPlan(tiny_runs.FAST, other).hash != before


def test_weights_replaced_under_the_same_name_are_another_run(tmp_path):
    store = tiny_runs.make_store(tmp_path / "set")
    weights = tmp_path / "mine.safetensors"
    shutil.copy(PACKAGE / "weights" / "assets" / "motion.safetensors", weights)
    config = dataclasses.replace(tiny_runs.FAST, weights=str(weights))
    before = RunPlan(config, store).hash
    assert RunPlan(config, store).hash == before
    with open(weights, "r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\x00\x00\x80\x3f")
    assert RunPlan(config, store).hash != before


def test_a_joined_table_that_lost_rows_is_made_anew(tmp_path):
    store = tiny_runs.make_store(tmp_path / "set")
    run = tiny_runs.run(tiny_runs.FAST, store, tmp_path / "runs", executor="serial")
    table = run.folder / "predictions.csv"
    whole = table.read_bytes()
    table.write_bytes(b"".join(whole.splitlines(keepends=True)[:-3]))
    again = tiny_runs.run(tiny_runs.FAST, store, tmp_path / "runs", executor="serial")
    assert table.read_bytes() == whole and len(again.predictions) == len(run.predictions)
