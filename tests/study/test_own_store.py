"""The notebooks on a clip store of one's own: no truth is known, and nothing says SynthME."""

from pathlib import Path

import nbformat

from merclip_lib.study.notebooks import execute

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def test_what_the_model_sees_run_again_on_an_own_copy(own_store, tmp_path):
    given = {"store_dir": str(own_store.folder), "task": "casme2-3", "epochs": 1, "frames": 4}
    given |= {"folds": 2, "maps_per_group": 3, "without_text": False, "runs_dir": str(tmp_path)}
    figures, output = tmp_path / "figures", tmp_path / "07.ipynb"
    notebook = NOTEBOOKS / "07_what_the_model_sees.ipynb"
    execute(notebook, output, {**given, "figures_dir": str(figures)})
    cells = nbformat.read(output, as_version=4).cells
    text = " ".join(
        str(said.get("text") or said["data"].get("text/markdown", ""))
        for cell in cells
        if cell.cell_type == "code"
        for said in cell.outputs
    )
    assert "the pointing game is left out" in text and "the maps cannot be scored here" in text
    assert "SynthME" not in text
    made = {path.name for path in figures.iterdir()}
    assert {"relevance.pdf", "relevance_methods.pdf", "tsne_after.pdf", "au_readout.pdf"} <= made
    assert not {"pointing_game.pdf", "pointing_game.csv", "tsne_text.pdf"} & made
