"""Notebook 06 on a tiny study with an invented archive, and on a clip store of one's own."""

import json
import shutil
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from study_stand_in import write_archive, write_design

from merclip_lib.study.design import read_study
from merclip_lib.study.notebooks import execute

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "06_ablations.ipynb"
CELLS = {"casme2-like": {"motion": 3}}
ENTRIES = {
    "full": {},
    "no_text": {"config": {"use_text": False}},
    "no_eim": {"config": {"use_eim": False}},
    "no_mix": {"config": {"mix": False}},
    "half": {"config": {"mix_alpha": 0.5}},
}
FAMILIES = {
    "primary": {
        "primary": True,
        "cells": CELLS,
        "comparisons": [
            {"change": "text", "a": "full", "b": "no_text"},
            {"change": "eim", "a": "full", "b": "no_eim"},
        ],
    },
    "positive controls": {
        "cells": CELLS,
        "comparisons": [{"change": "mix", "a": "full", "b": "no_mix", "control": "positive"}],
    },
    "mix alpha": {
        "cells": CELLS,
        "comparisons": [
            {"change": "half", "a": "half", "b": "full", "part": "mix", "points": {"alpha": 0.5}}
        ],
    },
}
DESIGN = {
    "presets": {
        "casme2-like": {
            "task": "synthme-5",
            "people": 3,
            "clips": 12,
            "test_people": 4,
            "test_clips": 40,
        }
    },
    "config": {},
    "starts": {"motion": [{"weights": "motion"}]},
    "budgets": {"full": {"motion": {"epochs": 1}}},
    "entries": ENTRIES,
    "families": FAMILIES,
}


def write_study(folder: Path, name: str, archive: bool) -> Path:
    """A small design, and if wanted its archive: a network without sentences knows little."""
    path = write_design(folder, **DESIGN).rename(folder / f"{name}.yaml")
    if archive:
        place = folder / ("study" if name == "design" else name)
        write_archive(read_study(path), place, lambda trial: 0.9 if trial.config.use_text else 0.2)
    return path


@pytest.fixture
def runs(tmp_path, synthme):
    """A run store with the example population in it."""
    shutil.copytree(synthme.folder, tmp_path / "runs" / "synthme")
    return tmp_path / "runs"


def run(folder: Path, runs: Path, **given) -> str:
    """What the notebook says, with figures in `folder`/figures."""
    paths = {"runs_dir": str(runs), "figures_dir": str(folder / "figures")}
    given |= {"exploratory": str(folder / "exploratory.yaml"), "start": "motion", "head_epochs": 1}
    given |= {"references_file": str(folder / "references.csv"), **paths}
    execute(NOTEBOOK, folder / "06.ipynb", {"design": str(folder / "design.yaml"), **given})
    cells = nbformat.read(folder / "06.ipynb", as_version=4).cells
    outputs = [said for cell in cells if cell.cell_type == "code" for said in cell.outputs]
    return "\n".join(
        str(said.get("text") or said["data"].get("text/markdown", "")) for said in outputs
    )


def story(folder: Path) -> list[str]:
    """Questions, figures and answers of the executed notebook, in their order."""
    told = []
    for cell in nbformat.read(folder / "06.ipynb", as_version=4).cells:
        shown = [said.get("data", {}) for said in cell.get("outputs", [])]
        told += ["question"] * ("**Question.**" in cell.source)
        for said in shown:
            told += ["figure"] * ("image/png" in said)
            told += ["answer"] * ("**Answer.**" in said.get("text/markdown", ""))
    return told


@pytest.fixture
def references(tmp_path):
    rows = [("casme2-like", "motion", 0, "true units", 0.7)]
    columns = ["preset", "start", "population", "reference", "uf1"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "references.csv", index=False)


def test_a_whole_study_is_read_and_one_own_entry_stands_beside_it(tmp_path, runs, references):
    for name in ("exploratory", "design"):
        write_study(tmp_path, name, archive=True)
    text = run(tmp_path, runs, trained=["full"], entry={"mix": False, "epochs": 1}, population=1)
    told = story(tmp_path)
    figures = [k for k, event in enumerate(told) if event == "figure"]
    assert len(figures) == 7
    assert all(told[k - 1] == "question" and told[k + 1] == "answer" for k in figures), told
    made = {path.name for path in (tmp_path / "figures").iterdir()}
    tables = {"parts.csv", "differences.csv", "controls.csv", "when.csv", "exploratory.csv"}
    drawn = {"build_up", "differences", "controls", "when", "own_parts", "exploratory"}
    assert tables | {f"{name}.pdf" for name in drawn} <= made
    table = pd.read_csv(tmp_path / "figures" / "differences.csv")
    row = table[(table["family"] == "primary") & (table["change"] == "text")].iloc[0]
    assert f"{row['difference']:+.3f} [{row['low']:+.3f}" in text
    assert "* your entry: UF1 " in text
    assert "it: true units 0.700" in text
    assert text.count("trainings, made by: design") == 2
    assert "it finds" in text and "1 of 1 controls" not in text, "without the mix it is as good"
    assert "* LSFM: the positive control: mix (casme2-like from motion) failed" in text
    assert "No control of these failed." in text, "text and EIM have none"
    captions = json.loads((tmp_path / "figures" / "figures.json").read_text())
    for name in ("build_up", "differences", "when"):
        assert "from motion: true units 0.700" in captions[name]["caption"]


@pytest.mark.long
def test_on_an_own_store_people_are_held_out_and_the_rest_is_synthme_s(own_store, tmp_path, runs):
    for name in ("exploratory", "design"):
        write_study(tmp_path, name, archive=False)
    store = {"store_dir": str(own_store.folder), "task": "casme2-3", "trained": ["full", "no_mix"]}
    store |= {"questions": {"mixes": ["mix alpha", {"mix_method": ["cutmix"]}]}}
    recipe = {"epochs": 1, "folds": 2, "frames": 4, "mix": True, "mix_method": "local_static_face"}
    text = run(tmp_path, runs, **store, overrides=recipe)
    assert text.count("is missing; nothing is scored before all are there") == 2
    assert "People held out" in text and "* text + EIM: UF1" in text
    made = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"own_parts.pdf", "own_parts.csv", "mixes.pdf"} <= made and "parts.csv" not in made
    assert len(pd.read_csv(tmp_path / "figures" / "own_parts.csv")) == 2
    levels = pd.read_csv(tmp_path / "figures" / "mixes.csv")
    assert list(levels.factor) == ["alpha", "mix_method"] and list(levels.level) == [
        "0.5",
        "cutmix",
    ]
    assert (levels.difference[0], levels.verdict[0]) == (0, "cannot tell"), "the method has it, too"
    assert levels.uf1.between(0, 1).all() and levels.p_holm.between(0, 1).all()
