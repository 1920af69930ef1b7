"""What holds for any input of a kind: it is read, or refused in one line that names the file.

`KINDS` has for each kind its inputs and a check, which is called with an empty folder and one
input; tests/test_fuzz_of_inputs.py tries a few, `benchmarks.fuzz` many.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import strategies
from hypothesis import strategies as st

from merclip_lib.data.annotations.read import read_annotations
from merclip_lib.data.annotations.report import manifest_report, manifest_text, task_report
from merclip_lib.data.frames.decode import PictureSettings
from merclip_lib.data.frames.prepare import prepare
from merclip_lib.data.table import COLUMNS, check_table, read_table, write_table
from merclip_lib.scores.predictions_file import as_json, as_text, score_file
from merclip_lib.study.grids import read_grid
from merclip_lib.text import facs
from merclip_lib.weights.inspect import inspect_file


def refused(error: ValueError, *words: str) -> None:
    """The error is of use: one line, not endless, that names the file."""
    text = str(error)
    assert "\n" not in text.strip() and len(text) < 2500, text
    assert all(word in text for word in words), text


def annotation(folder: Path, text: str) -> None:
    try:
        units = facs.parse(text, "f, row 2")
    except ValueError as error:
        return refused(error, "f, row 2", "write them like")
    assert facs.swap_sides(facs.swap_sides(text)) == text
    assert len(facs.parse(facs.swap_sides(text))) == len(units)


def clip_table(folder: Path, content: bytes) -> None:
    (folder / "t.csv").write_bytes(content)
    try:
        table = read_table(folder / "t.csv")
    except ValueError as error:
        return refused(error, "t.csv")
    assert set(COLUMNS) <= {*table.columns} and table["clip_id"].is_unique
    write_table(table, folder / "again.csv")
    assert read_table(folder / "again.csv")[COLUMNS].equals(table[COLUMNS])


def annotation_file(folder: Path, given: tuple[tuple[str, bytes], str]) -> None:
    (ending, content), dataset = given
    (folder / f"a{ending}").write_bytes(content)
    try:
        reading = read_annotations(folder / f"a{ending}", dataset)
    except ValueError as error:
        return refused(error, f"a{ending}")
    assert reading.counts()["kept"] == len(reading.table) > 0
    assert (reading.report["reason"] != "")[reading.report["outcome"] != "kept"].all()
    report = manifest_report(reading, dataset)
    assert f"{len(reading.table)} clips" in manifest_text(report)
    write_table(reading.table, folder / "o.csv")  # what `merclip manifest` leaves behind
    table = read_table(folder / "o.csv")
    pd.testing.assert_frame_equal(table, reading.table)
    try:
        chosen = task_report(table, "any-7")[1]
    except ValueError as error:
        return refused(error, "any-7")
    write_table(chosen, folder / "task.csv")
    again = read_table(folder / "task.csv")
    pd.testing.assert_frame_equal(again, check_table(chosen.reset_index(drop=True)))


def predictions(folder: Path, content: bytes) -> None:
    (folder / "p.csv").write_bytes(content)
    try:
        report = score_file(folder / "p.csv", samples=20)
    except ValueError as error:
        return refused(error, "p.csv")
    assert 0 <= report.values["uf1"].value <= 1 and report.clips >= report.subjects > 0
    assert as_text(report) and as_json(report)


def grid(folder: Path, content: bytes) -> None:
    (folder / "g.yaml").write_bytes(content)
    try:
        read = read_grid(folder / "g.yaml")
    except ValueError as error:
        return refused(error, "g.yaml")
    assert read["entries"] and all(isinstance(seed, int) for seed in read["seeds"])
    assert all(Path(entry["name"]).name == entry["name"] for entry in read["entries"])


def weights(folder: Path, content: bytes) -> None:
    (folder / "w.safetensors").write_bytes(content)
    try:
        assert inspect_file(folder / "w.safetensors")["layout"]
    except ValueError as error:
        refused(error, "w.safetensors")


def pictures(folder: Path, files: dict[str, bytes]) -> None:
    (folder / "data/01/a").mkdir(parents=True)
    for name, content in files.items():
        (folder / "data/01/a" / name).write_bytes(content)
    row = ["c1", "dfme", "01", "a", "1", "", "8", "200", "4", "fear", "01/a"]
    (folder / "t.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row) + "\n")
    small, table = PictureSettings(size=8, length=4), read_table(folder / "t.csv")
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its bar
            store = prepare(table, folder / "data", folder / "store", small, 1)
        assert store.frames.shape == (1, 4, 8, 8, 3) and np.ptp(store.frames) > 2
    except ValueError as error:
        title, line = str(error).splitlines()
        assert "1 of 1 clips cannot be read" in title and line.startswith("clip c1: ")
    for name, content in files.items():  # the user's pictures are as they were
        assert (folder / "data/01/a" / name).read_bytes() == content


class Kind(NamedTuple):
    """Inputs, what must hold for each, and whether that writes a clip store."""

    inputs: st.SearchStrategy[Any]
    check: Callable[[Path, Any], None]
    writes: bool = False


SETS = st.sampled_from(["casme2", "dfme", "casme3", "samm", "mmew", "4dme"])
KINDS = {
    "annotations": Kind(strategies.annotation_texts(), annotation),
    "clip tables": Kind(strategies.clip_tables(), clip_table),
    "annotation files": Kind(st.tuples(strategies.annotation_sheets(), SETS), annotation_file),
    "score files": Kind(strategies.score_files(), predictions),
    "grids": Kind(strategies.grids(), grid),
    "weights": Kind(strategies.weights_files(), weights),
    "picture folders": Kind(strategies.picture_folders(), pictures, writes=True),
}
