"""The notebooks on a clip store of one's own: no truth is known, and nothing says SynthME."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest

from merclip_lib.study.notebooks import execute

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def run(name: str, own_store, folder: Path, **given) -> str:
    """What a notebook says of the clips, with figures in `folder`/figures."""
    given = {"folds": 2} | given | {"store_dir": str(own_store.folder), "task": "casme2-3"}
    given |= {"epochs": 1, "runs_dir": str(folder), "figures_dir": str(folder / "figures")}
    output = folder / f"{name}.ipynb"
    execute(NOTEBOOKS / output.name, output, given)
    cells = nbformat.read(output, as_version=4).cells
    return " ".join(
        str(said.get("text") or said["data"].get("text/markdown", ""))
        for cell in cells
        if cell.cell_type == "code"
        for said in cell.outputs
    )


@pytest.mark.long
def test_what_the_model_sees_run_again_on_an_own_copy(own_store, tmp_path):
    options = {"init_from": "dfme", "held_out": "split"}  # as the recipe of DFME has it
    given = {"frames": 4, "maps_per_group": 3, "without_text": False, "options": options}
    text = run("07_what_the_model_sees", own_store, tmp_path, **given)
    assert "40 clips of 4 subjects, 2 networks" in text
    assert "the pointing game is left out" in text and "the maps cannot be scored here" in text
    assert "SynthME" not in text
    made = {path.name for path in (tmp_path / "figures").iterdir()}
    assert {"relevance.pdf", "relevance_methods.pdf", "tsne_after.pdf", "au_readout.pdf"} <= made
    assert not {"pointing_game.pdf", "pointing_game.csv", "tsne_text.pdf"} & made


@pytest.mark.long
def test_traps_and_the_ledger_run_again_on_an_own_copy(own_store, tmp_path):
    options = {"init_from": "dfme", "frames": 4}
    text = run("08_protocol_traps", own_store, tmp_path, options=options)
    assert "40 clips, 4 subjects, 3 classes" in text and "SynthME" not in text
    assert "drawn faces" not in text
    traps = pd.read_csv(tmp_path / "figures" / "traps.csv")
    assert len(traps) == 7 and traps.honest.between(0, 1).all()

    stores = {"casme2": str(own_store.folder)}
    text = run("09_paper_and_us", own_store, tmp_path, options=options, stores=stores, folds=0)
    assert "SynthME" not in text
    ledger = pd.read_csv(tmp_path / "figures" / "ledger.csv", keep_default_na=False)
    assert "synthme-5" not in set(ledger.task)
    ours = ledger[(ledger.method == "ours") & (ledger.task == "casme2-3")]
    assert list(ours.protocol) == ["honest", "reference"] and (ours.note == "").all()
    assert {path.name for path in (tmp_path / "figures").glob("*.pdf")} >= {
        "traps.pdf",
        "paper_and_us.pdf",
        "published.pdf",
    }
