"""The example of the README is a whole script, and says what it scores."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_runs

from merclip_lib.data.tasks import TASKS
from merclip_lib.runs import read_runs
from merclip_lib.scores import score

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)


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
