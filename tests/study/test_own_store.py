"""The notebooks on a clip store of one's own: no truth is known, and nothing says SynthME."""

from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from merclip_lib.data.store import write_store
from merclip_lib.data.table import COLUMNS
from merclip_lib.study.notebooks import execute

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
EMOTIONS = {"disgust": "4+7", "happiness": "6+L12", "surprise": "1+2"}


@pytest.fixture
def own_store(tmp_path):
    """Ten clips of noise of each of four people, as a prepared copy of CASME II would be."""
    rows = []
    for person in range(1, 5):
        for clip, emotion in enumerate([*EMOTIONS, "disgust", "surprise"] * 2):
            name = f"EP{clip:02d}_01f"
            row = dict.fromkeys(COLUMNS, "") | {"dataset": "casme2", "subject": f"{person:02d}"}
            row |= {"clip": name, "clip_id": f"casme2-{person:02d}-{name}", "emotion": emotion}
            rows.append(
                row | {"action_units": EMOTIONS[emotion], "onset": 0, "apex": 3, "offset": 7}
            )
    table = pd.DataFrame(rows)[list(COLUMNS)].assign(fps=200)
    frames = np.random.default_rng(0).integers(0, 255, (len(table), 8, 64, 64, 3), np.uint8)
    meta = {"name": "CASME II", "hash": "of-noise"}
    clips = ((clip, None) for clip in frames)
    return write_store(tmp_path / "store", table, clips, meta, frames.shape[1:])


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
