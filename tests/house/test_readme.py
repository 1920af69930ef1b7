"""The examples of README and docs are whole: a script that scores, lines that run notebooks."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tiny_runs
import yaml

from merclip_lib.config import Config, config_from
from merclip_lib.data.tasks import TASKS
from merclip_lib.runs import read_runs
from merclip_lib.scores import score
from merclip_lib.study.notebooks import parameters_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = "\n".join(page.read_text("utf-8") for page in PAGES)
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[01][0-9]_*.ipynb"))
EXAMPLE = re.findall(r"^```python\n(.*?)^```", REFERENCE, re.M | re.S)


@pytest.fixture
def folder(tmp_path):
    classes = TASKS["synthme-5"].classes
    emotions = [classes[k % len(classes)] for k in range(2 * len(tiny_runs.CLASSES))]
    tiny_runs.make_store(tmp_path / "runs" / "synthme", subjects=2, emotion=emotions)
    return tmp_path


def run(folder, text):
    (folder / "script.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_example_runs_as_it_stands(folder):
    done = run(folder, EXAMPLE[0])
    assert done.returncode == 0, done.stderr
    (made,) = read_runs(folder / "runs")
    assert float(done.stdout) == score(made.predictions, TASKS["synthme-5"].classes).uf1


def test_without_its_guard_it_says_what_is_missing(folder):
    guarded, body = EXAMPLE[0].split('if __name__ == "__main__":')
    plain = "\n".join(line.removeprefix("    ") for line in body.splitlines()[1:])
    done = run(folder, guarded + plain + "\n")
    assert done.returncode == 1
    assert '`if __name__ == "__main__":` around it' in done.stderr.splitlines()[-1]


def test_every_papermill_line_names_parameters_of_its_notebook():
    lines = re.findall(r"^papermill .*", README, re.M)
    assert lines
    for line in lines:
        known = parameters_of(ROOT / line.split()[1])
        for name, value in re.findall(r"-p (\w+) (\S+)", line):
            assert name in known, line
            config_from(
                {name: yaml.safe_load(value)} if name in Config.__dataclass_fields__ else {}
            )
        for values in re.findall(r"-y '(.+)'", line):
            assert yaml.safe_load(values).keys() <= known.keys(), line


def test_the_reference_names_every_command_and_every_parameter():
    written = (ROOT / "merclip_lib" / "cli" / "commands.toml").read_text("utf-8")
    for command in tomllib.loads(written):
        assert re.search(rf"^merclip .*\b{command}\b", REFERENCE, re.M), command
    names = set(re.findall(r"`(\w+)`", REFERENCE)) | set(Config.__dataclass_fields__)
    for notebook in NOTEBOOKS:
        assert set(parameters_of(notebook)) <= names, notebook.name
