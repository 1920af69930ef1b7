"""A notebook that is run with other parameters says what its own tables say, and nothing else."""

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from merclip_lib import scores, text
from merclip_lib.study.notebooks import execute

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"

pytestmark = [
    pytest.mark.skipif(not list(FOLDER.glob("0*.ipynb")), reason="no notebooks here"),
    pytest.mark.long,
]


def run_with(stem, folder, parameters):
    """The text of what each cell shows, by the id of the cell."""
    common = {"runs_dir": str(folder / "runs"), "figures_dir": str(folder / "figures")}
    copy = folder / f"{stem}.ipynb"
    execute(FOLDER / f"{stem}.ipynb", copy, {**parameters, **common})
    shown = {}
    for cell in nbformat.read(copy, as_version=4).cells:
        parts = [output.get("data", {}) for output in cell.get("outputs", [])]
        texts = [part.get("text/markdown", part.get("text/plain", "")) for part in parts]
        shown[cell["id"]] = "\n".join(texts)
    return shown


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Notebook 05 with one other seed, without sentences, on another task."""
    folder = tmp_path_factory.mktemp("trained")
    small = {"subjects": 4, "epochs": 1, "folds": 2}
    other = {"seed": 1, "use_text": False, "task": "synthme-3", "mix": False}
    return folder, run_with("05_train_loso", folder, {**small, **other})


def test_the_number_that_is_said_is_that_of_the_table(trained):
    folder, shown = trained
    (row,) = pd.read_csv(folder / "figures" / "results.csv").to_dict("records")
    (predictions,) = (folder / "runs").glob("*/predictions.csv")
    table = pd.read_csv(predictions, dtype=str)
    classes = ["negative", "positive", "surprise"]
    score = scores.score(table, classes)
    assert row["seed"] == 1 and abs(row["UF1"] - score.uf1) < 1e-6
    said = shown["cell-16"]
    assert f"Pooled UF1 {score.uf1:.3f}, UAR {score.uar:.3f}, accuracy" in said
    assert "mean of 1 seed." in said and "Seeds differ" not in said
    majority = table.truth.value_counts(normalize=True).iloc[0]
    assert f"accuracy {majority:.3f} and" in said
    assert f"[{row['UF1 low']:.3f}, {row['UF1 high']:.3f}]" in said


def test_the_errors_that_are_said_are_those_of_the_predictions(trained):
    folder, shown = trained
    (predictions,) = (folder / "runs").glob("*/predictions.csv")
    table = pd.read_csv(predictions, dtype=str)
    wrong = table[table.truth != table.prediction]
    counted = wrong.groupby(["truth", "prediction"]).size()
    said = re.findall(r"(\w+) taken for (\w+) \((\d+) times\)", shown["cell-19"])
    assert len(said) == min(len(counted), 2)
    assert {int(n) for *_, n in said} <= set(counted)
    assert all(counted[truth, prediction] == int(n) for truth, prediction, n in said)
    assert int(said[0][2]) == counted.max()
    right = (table.truth == table.prediction).groupby(table.subject).mean()
    assert f"From {right.min():.0%} to {right.max():.0%} of" in shown["answer-person"]


def test_nothing_is_said_of_what_is_switched_off(trained):
    _, shown = trained
    said = shown["cell-13"]
    assert "alignment" not in said and "emotion loss" in said
    assert "(with flip, jitter on)" in said


def test_another_annotation_reaches_text_and_pictures(tmp_path):
    shown = run_with("00_start_here", tmp_path, {"annotation": "1+2", "subject": 4})
    assert text.describe("1+2") in shown["cell-07"]
    numbers = [float(n) for n in re.findall(r"\d+\.\d", shown["answer-strip"])]
    frame = int(re.search(r"onset in frame (\d+)", shown["answer-strip"])[1])
    assert len(numbers) == 2 and 0 < frame < 16
    assert ("not at the apex" in shown["answer-strip"]) == (frame != 8)


def test_another_alpha_is_said_in_every_answer(tmp_path):
    shown = run_with("03_local_static_face_mix", tmp_path, {"alpha": 0.8, "seed": 2})
    assert "with 80% of clip" in shown["answer-grid"]
    assert "0.80 of the motion inside is left (alpha is 0.8)" in shown["answer-motion"]
    left = re.findall(r"(\d+)% (?:of its motion )?is left", shown["answer-regions"])
    assert len(left) == 2 and all(80 <= int(percent) < 100 for percent in left)
    table = shown["identity-read"].splitlines()
    right = [float(line.split()[-1]) for line in table if re.search(r"\d\.\d\d$", line)]
    answer = r"from (\d+)% of the clips, and from (\d+)% of mixed ones; .* in (\d+)%"
    said = [int(n) / 100 for n in re.search(answer, shown["answer-identity"]).groups()]
    assert said == pytest.approx(right, abs=0.006)


def test_the_ledger_says_what_another_run_gave(tmp_path):
    small = {"subjects": 3, "epochs": 1, "folds": 2, "task": "synthme-3"}
    shown = run_with("09_paper_and_us", tmp_path, small)
    table = pd.read_csv(tmp_path / "figures" / "ledger.csv", keep_default_na=False)
    words = (table.note != "").sum()
    assert f"has {(table.uf1 != '').sum()} figures and {words} cells in words" in shown["cell-19"]
    assert set(table[table.method == "ours"].task) >= {"synthme-3", "casme3-7"}
    committed = FOLDER.parent / "figures"
    reached = pd.read_csv(committed / "development_references.csv")
    written = reached[reached.reference == "units as written"].groupby("preset").uf1.mean()
    assert f"reach {written['casme3-like']:.2f} from the" in shown["answer-readers"]
    paper = scores.read_published()
    paper = paper[(paper.method == "MER-CLIP") & (paper.task == "casme3-7")].uf1.item()
    assert f"UF1 {paper:.4f} is published" in shown["answer-readers"]
