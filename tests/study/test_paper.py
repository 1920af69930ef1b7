"""What the paper shows: the table of it, and collecting from notebooks of a few lines."""

import importlib

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from merclip_lib.__main__ import main
from merclip_lib.config import Config
from merclip_lib.study import paper
from merclip_lib.study.checkout import NOTEBOOKS
from merclip_lib.study.design import read_study
from merclip_lib.study.own import levels_of
from merclip_lib.study.paper import ARTEFACTS, as_latex, make_artefacts
from merclip_lib.study.tables import COLUMNS


@pytest.mark.parametrize("name", ARTEFACTS)
def test_every_artefact_names_a_notebook_that_makes_it_by_a_library_call(name):
    artefact = ARTEFACTS[name]
    notebook = nbformat.read(NOTEBOOKS / f"{artefact['notebook']}.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for call in artefact["call"].split(", "):
        room, function = call.split(".")
        assert hasattr(importlib.import_module(f"merclip_lib.{room}"), function)
        assert function in code
    for figure in artefact.get("figures", ()):
        stem = figure.removesuffix("_before").removesuffix("_after")
        assert f'"{stem}' in code or "questions" in artefact
    table = artefact.get("table", "")
    assert table in COLUMNS or "questions" in artefact or not table or f"{table}.csv" in code


@pytest.mark.parametrize("name", [name for name, made in ARTEFACTS.items() if "made_of" in made])
def test_what_is_asked_of_a_store_stands_in_the_designs(name):
    artefact, asked = ARTEFACTS[name], []
    if "questions" in artefact:  # its files are named after it
        assert artefact["figures"] == [artefact["table"]] == [name]
        design = read_study(NOTEBOOKS / "exploratory.yaml").design
        asked = levels_of(design, artefact["questions"])
    elif "trained" in artefact:
        asked = artefact["trained"]
        assert set(asked) <= set(read_study(NOTEBOOKS / "design.yaml").design.entries)
    assert (artefact["made_of"] == "store") == bool(asked)
    assert not asked or f"({len(asked)} trainings)" in artefact["shows"]


CELLS = {
    "07_tiny": (
        "options = {}\nepochs = 6\nflip_probability = 0.5\nfolds = 4",
        "from pathlib import Path\nfolder = Path(figures_dir)\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "(folder / 'map.pdf').write_bytes(b'a map')\n"
        "rows = f'name,value\\n{task},{epochs}\\nflip_{flip_probability},\\n"
        'depth,{options.get("drop_path")}\\n{options.get("held_out")},{folds}\\n\'\n'
        "(folder / 'words.csv').write_text(rows)",
    ),
    "08_broken": ("", "raise KeyError('no such clip')"),
    "06_ablations": (
        "overrides = {}\ntrained = ['full']\nquestions = {}",
        "from pathlib import Path\nfolder = Path(figures_dir)\n"
        "folder.mkdir(parents=True, exist_ok=True)\n"
        "(folder / 'own_parts.csv').write_text('\\n'.join(['entry', *trained]))\n"
        "for name, families in questions.items():\n"
        "    (folder / f'{name}.csv').write_text('\\n'.join(['family', *families]))",
    ),
}
TABLE = {
    "maps": {"shows": "Maps", "notebook": "07_tiny", "figures": ["map", "other"]},
    "words": {"shows": "Words & 100 %", "notebook": "07_tiny", "table": "words"},
    "traps": {"shows": "Traps", "notebook": "08_broken", "figures": ["traps"]},
    "parts": {
        "shows": "Parts",
        "notebook": "06_ablations",
        "made_of": "store",
        "trained": ["full", "none"],
        "table": "own_parts",
    },
    "losses": {
        "shows": "Losses",
        "notebook": "06_ablations",
        "made_of": "store",
        "questions": ["loss_weights"],
        "table": "losses",
    },
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A copy of the repository with three notebooks of a few lines, and the table of them."""
    monkeypatch.setattr(paper, "ARTEFACTS", {name: {"call": "f"} | TABLE[name] for name in TABLE})
    (tmp_path / "notebooks").mkdir()
    common = 'runs_dir = ""\nfigures_dir = ""\nstore_dir = ""\ntask = "synthme-7"\nseed = 0\n'
    for stem, (parameters, body) in CELLS.items():
        tagged = new_code_cell(common + parameters, metadata={"tags": ["parameters"]})
        notebook = new_notebook(cells=[tagged, new_code_cell(body)])
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, tmp_path / "notebooks" / f"{stem}.ipynb")
    return tmp_path


def test_a_task_has_its_recipe_and_what_is_missing_is_told(root, own_store):
    out, store = root / "paper", str(own_store.folder)
    missing = make_artefacts({"samm-5": store}, out, settings={"epochs": 2}, root=root)
    folder = out / "samm-5"
    assert (folder / "map.pdf").read_bytes() == b"a map"
    found = pd.read_csv(folder / "words.csv")
    # no flip is a value of the recipe, also though it is zero; the given epochs come before it
    assert found.name.tolist() == ["samm-5", "flip_0.0", "depth", "subject"]
    assert found.value[0] == 2 and found.value[2] == 0.2
    latex = (folder / "words.tex").read_text()
    assert r"flip\_0.0 &  \\" in latex and "toprule" in latex and "2.000" in latex
    assert "(samm-5)}" in latex
    assert [line.split(": ", 1)[0] for line in missing] == [
        "samm-5, maps",
        "samm-5, traps",
    ]
    assert "made no other.pdf" in missing[0] and "no such clip" in missing[1]
    assert pd.read_csv(folder / "parts.csv").entry.tolist() == ["full", "none"]
    assert pd.read_csv(folder / "losses.csv").family.tolist() == ["loss_weights"]


def test_how_many_groups_of_people_is_for_the_notebook_to_say(root, own_store):
    """The recipe of DFME has a split instead of folds, which a notebook may take or leave."""
    made = make_artefacts({"dfme-7": str(own_store.folder)}, root / "out", ["words"], root=root)
    found = pd.read_csv(root / "out" / "dfme-7" / "words.csv").set_index("name")["value"]
    assert made == [] and found["split"] == 4


def test_of_the_clips_of_a_store_nothing_more_is_asked_than_was_named(root, own_store):
    store, made = {"samm-5": str(own_store.folder)}, root / "paper" / "samm-5"
    assert make_artefacts(store, root / "paper", ["losses"], root=root) == []
    assert not (made / "parts.csv").exists() and not (made / "07_tiny.ipynb").exists()
    assert (made / paper.MADE / "own_parts.csv").read_text() == "entry"  # none was asked for


def test_what_is_made_of_a_store_alone_is_not_missed_of_synthme(root):
    missing = make_artefacts({"synthme-7": ""}, root / "paper", root=root)
    assert [line.split(": ", 1)[0] for line in missing] == ["synthme-7, maps", "synthme-7, traps"]


def test_bad_names_stop_before_anything_runs(root):
    out = root / "paper"
    with pytest.raises(ValueError, match="no figure 'map' of the paper; did you mean 'maps'"):
        make_artefacts({"synthme-7": ""}, out, ["map"], root=root)
    with pytest.raises(ValueError, match="'samm-6' is unknown"):
        make_artefacts({"samm-6": ""}, out, root=root)
    with pytest.raises(ValueError, match="no clip store here"):
        make_artefacts({"samm-5": str(root / "nowhere")}, out, root=root)
    with pytest.raises(ValueError, match="did you mean 'epochs'"):
        make_artefacts({"synthme-7": ""}, out, settings={"epoch": 3}, root=root)
    assert not out.exists()


def test_latex_breaks_long_texts_and_says_small_p_values():
    words = pd.DataFrame({"n": [1, 20], "p": [0.0004, 0.25], "note": ["short", "a word " * 9]})
    latex = as_latex(words, "Words")
    assert r"\begin{tabular}{rrp{45mm}}" in latex and latex.startswith(r"\begin{table*}")
    assert r"1 & $<$0.001 & short \\" in latex and "20 & 0.250 & a word" in latex


def test_captions_need_no_escape():
    assert not [name for name in ARTEFACTS if set(ARTEFACTS[name]["shows"]) & set("&%$#_{}~^")]


def test_the_folder_of_a_task_is_ours_or_nothing_runs(root, capsys):
    folder, one = root / "paper" / "synthme-7", {"synthme-7": ""}
    folder.mkdir(parents=True)
    (folder / "words.csv").write_text("two years of work")
    for tasks in (one, {"synthme-2": "", **one}):  # said before the first of them runs
        with pytest.raises(ValueError, match="synthme-7: holds something else, which stays"):
            make_artefacts(tasks, root / "paper", ["words"], root=root)
    assert (folder / "words.csv").read_text() == "two years of work"
    assert len(list(folder.iterdir())) == len(list(folder.parent.iterdir())) == 1
    (folder / "words.csv").unlink()
    assert make_artefacts(one, root / "paper", ["words"], root=root) == []
    assert "synthme-7: 07_tiny.ipynb begins" in capsys.readouterr().out
    (folder / "notes.txt").write_text("what I saw")  # beside ours it is left alone
    assert make_artefacts(one, root / "paper", ["words"], root=root) == []
    assert (folder / "notes.txt").read_text() == "what I saw"


def test_latex_leaves_empty_what_is_not_known_and_escapes_the_rest():
    latex = as_latex(pd.DataFrame({"p_holm": [0.12345, None], "of": ["a & b", "50 %"]}), "Words")
    wide = as_latex(pd.DataFrame(np.zeros((1, 9)), columns=list("abcdefghi")), "My_set, 95 %")
    assert r"\caption{My\_set, 95 \%}" in wide and r"\scriptsize" in wide
    assert r"\scriptsize" not in latex
    assert r"p\_holm & of \\" in latex and r"0.123 & a \& b \\" in latex and r" & 50 \% \\" in latex


def test_the_commands_list_make_and_refuse(root, monkeypatch, capsys):
    assert main(["figures"]) == 0
    assert "maps" in capsys.readouterr().out
    monkeypatch.setattr("merclip_lib.study.paper.root_with", lambda folder: root)
    task = Config().task
    command = ["figure", "words", "--out", str(root / "out"), "--set", "epochs=3"]
    assert main(command) == 0
    assert pd.read_csv(root / "out" / task / "words.csv").value[0] == 3
    assert not (root / "out" / task / "map.pdf").exists()
    assert main(["figures", "--paper", "--store", "samm-5", "--out", str(root / "out")]) == 2
    assert "--store 'samm-5' is not of the form" in capsys.readouterr().err
