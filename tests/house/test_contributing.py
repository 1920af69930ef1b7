"""CONTRIBUTING.md: its examples are applied to a copy and tried, its table says the rules."""

import difflib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```diff\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
SECTIONS = {
    part.split("\n")[0]: BLOCK.findall(part) for part in re.split(r"^### ", TEXT, flags=re.M)[1:]
}
FOR_ALL = {"files", "workers", "progress"}  # every room may import these
ANNOTATIONS = """Subject,Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion
1,a,1,5,9,4+7,disgust
2,b,11,15,19,12,happiness
3,c,21,25,29,1+2,surprise
"""
# What each section promises, in a process that imports the changed copy.
PROMISES = {
    "A sentence style": """
from merclip_lib.__main__ import main
from merclip_lib.config import config_from
from merclip_lib.text import describe
said = "a combination of action unit 4 and left action unit 10"
assert describe("4+L10", "numbers") == said
assert main(["describe", "4+L10", "--style", "numbers"]) == 0
assert config_from({"description": "numbers"}).description == "numbers"
""",
    "A switch": """
import torch
from pathlib import Path
from merclip_lib.config import Config, config_from
from merclip_lib.model.merclip import Output
from merclip_lib.study.notebooks import check_parameters, parameters_of
from merclip_lib.study.grids import read_grid
from merclip_lib.training.losses import Targets, batch_losses
plain = config_from({"focal_gamma": 0.0})
notebook = Path("notebooks/05_train_loso.ipynb")
assert check_parameters(notebook, {"focal_gamma": 0.5})["focal_gamma"] == 0.5
assert set(Config.__dataclass_fields__) <= set(parameters_of(notebook))
entries = {entry["name"]: entry for entry in read_grid(Path("notebooks/ablations.yaml"))["entries"]}
assert entries["cross_entropy"]["parameters"] == {"focal_gamma": 0.0}
output = Output(torch.ones(2, 4), torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
targets = Targets(torch.tensor([0, 0]), None, None, None)
loss = batch_losses(output, targets, torch.tensor(1.0), 1.0, gamma=plain.focal_gamma).total
torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(output.logits, targets.labels))
assert batch_losses(output, targets, torch.tensor(1.0), 1.0).total < loss
try:
    config_from({"focal_gamma": -1.0})
except ValueError as error:
    assert "focal_gamma" in str(error)
else:
    raise AssertionError("out of range")
""",
    "An augmentation": """
import torch
from pathlib import Path
from merclip_lib.config import Config, config_from
from merclip_lib.study.notebooks import parameters_of
from merclip_lib.training.batches import augment_batch
def augmented(**values):
    video, subjects = torch.zeros(3, 4, 3, 8, 8), torch.arange(3)
    config = config_from({"mix": False, "jitter": 0.0, "flip_probability": 0.0, **values})
    return augment_batch(video, subjects, config, torch.Generator().manual_seed(0))[0]
assert augmented().eq(0).all()
noisy = augmented(noise=0.5)
assert noisy.std() > 0.3
assert noisy.eq(noisy[:, :1]).all(), "the same in all frames"
assert set(Config.__dataclass_fields__) <= set(parameters_of(Path("notebooks/05_train_loso.ipynb")))
""",
    "A data set": """
import contextlib, io, json
from merclip_lib.__main__ import main
from merclip_lib.config import config_from
assert main("manifest ourset --annotations coding.csv --out ourset.csv".split()) == 0
said = io.StringIO()
with contextlib.redirect_stdout(said):
    assert main("task ourset-3 --table ourset.csv --strict --json".split()) == 0
assert json.loads(said.getvalue())["differences"] == []
assert config_from({"task": "ourset-3"}).task == "ourset-3"
""",
}


def apply(block: str, folder: Path) -> None:
    """Make the change of one block below `folder`; what does not fit fails with file and line."""
    head, *lines = block.splitlines()
    path = folder / head[4:]
    if head.startswith("+++ "):
        assert not path.exists(), f"{head}: there is such a file already"
        path.write_text("".join(line[1:] + "\n" for line in lines), encoding="utf-8")
        return
    assert head.startswith("--- ") and path.is_file(), f"{head}: there is no such file"
    text = path.read_text(encoding="utf-8").splitlines()
    for hunk in "\n".join(lines).split("\n@@\n"):
        marked = hunk.split("\n")
        before = [line[1:] for line in marked if not line.startswith("+")]
        after = [line[1:] for line in marked if not line.startswith("-")]
        places = [
            i for i in range(len(text) - len(before) + 1) if text[i : i + len(before)] == before
        ]
        for line in before:
            near = difflib.get_close_matches(line, text, n=1, cutoff=0.4)
            assert line in text, f"{head[4:]} has no line\n{line}\nthe nearest is\n{near}"
        assert len(places) == 1, f"{head[4:]}: {len(places)} places have these lines:\n{before}"
        text[places[0] : places[0] + len(before)] = after
    path.write_text("\n".join(text) + "\n", encoding="utf-8")


def run(folder: Path, *arguments: str):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def test_every_example_is_tried():
    assert set(SECTIONS) == set(PROMISES) and all(SECTIONS.values())


@pytest.mark.parametrize("section", PROMISES)
def test_the_example_does_what_it_promises(section, tmp_path):
    shutil.copytree(
        ROOT / "merclip_lib", tmp_path / "merclip_lib", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "notebooks").mkdir()
    for name in ("pyproject.toml", "notebooks/05_train_loso.ipynb", "notebooks/ablations.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "coding.csv").write_text(ANNOTATIONS)
    for block in SECTIONS[section]:
        apply(block, tmp_path)
    where = f"import merclip_lib\nassert merclip_lib.__file__.startswith({str(tmp_path)!r})\n"
    done = run(tmp_path, "-P", "-c", where + PROMISES[section])
    assert done.returncode == 0, done.stdout + done.stderr
    changed = {block.split("\n")[0][4:] for block in SECTIONS[section]}
    for command in ("format --check", "check"):
        paths = [path for path in changed if path.endswith(".py")]
        done = run(tmp_path, "-m", "ruff", *command.split(), "--no-cache", *paths)
        assert done.returncode == 0, done.stdout + done.stderr


def house() -> dict[str, set[str]]:
    """What each room may import, by the table of CONTRIBUTING."""
    rows: dict[str, set[str]] = {}
    section = TEXT.split("## The house")[1].split("\n## ")[0]
    for room, allowed in re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", section, flags=re.M):
        names = set(re.findall(r"`(\w+)`", allowed))
        rows[room] = (
            set(rows) - FOR_ALL - names if allowed.startswith("all rows above but") else names
        )
    return rows


def test_the_table_of_rooms_says_what_the_rules_say():
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = rules["tool"]["importlinter"]["contracts"]
    rooms = {path.stem for path in (ROOT / "merclip_lib").iterdir()}
    floors = [
        [name for name in re.findall(r"\w+", layer) if name in rooms - {"__main__"}]
        for contract in contracts
        for layer in contract.get("layers", [])
    ]
    table = house()
    for number, floor in enumerate(floors):
        for room in floor:
            below = {name for lower in floors[number + 1 :] for name in lower} - FOR_ALL
            for contract in contracts:
                if f"merclip_lib.{room}" in contract.get("source_modules", []):
                    below -= {name.split(".")[1] for name in contract["forbidden_modules"]}
                if f"merclip_lib.{room}" in contract.get("allowed_importers", []):
                    continue
                if contract["type"] == "protected":
                    below -= {name.split(".")[1] for name in contract["protected_modules"]}
            assert table.pop(room) == below, room
    assert not table
