"""Whatever is handed over is read or refused in one line; `benchmarks.fuzz` does it for longer."""

import shutil

import numpy as np
import strategies
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merclip_lib.data.annotations.read import read_annotations
from merclip_lib.data.frames.decode import PictureSettings
from merclip_lib.data.frames.prepare import prepare
from merclip_lib.data.table import COLUMNS, read_table, write_table
from merclip_lib.text import facs
from merclip_lib.weights.inspect import inspect_file

few = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def refused(error: ValueError, *words: str) -> None:
    """The error is of use: one line, not endless, that names the file."""
    text = str(error)
    assert "\n" not in text.strip() and len(text) < 2500, text
    assert all(word in text for word in words), text


@few
@given(strategies.annotation_texts())
def test_annotations(text):
    try:
        units = facs.parse(text, "f, row 2")
    except ValueError as error:
        return refused(error, "f, row 2", "write them like")
    assert facs.swap_sides(facs.swap_sides(text)) == text
    assert len(facs.parse(facs.swap_sides(text))) == len(units)


@few
@given(strategies.clip_tables())
def test_clip_tables(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    try:
        table = read_table(tmp_path / "t.csv")
    except ValueError as error:
        return refused(error, "t.csv")
    assert set(COLUMNS) <= {*table.columns} and table["clip_id"].is_unique
    write_table(table, tmp_path / "again.csv")
    assert read_table(tmp_path / "again.csv")[COLUMNS].equals(table[COLUMNS])


@few
@given(strategies.annotation_sheets(), st.sampled_from(["casme2", "dfme", "casme3", "samm"]))
def test_annotation_files(tmp_path, file, dataset):
    ending, content = file
    (tmp_path / f"a{ending}").write_bytes(content)
    try:
        reading = read_annotations(tmp_path / f"a{ending}", dataset)
    except ValueError as error:
        return refused(error, f"a{ending}")
    assert reading.counts()["kept"] == len(reading.table) > 0
    assert (reading.report["reason"] != "")[reading.report["outcome"] != "kept"].all()


@few
@given(strategies.weights_files())
def test_weights(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    try:
        assert inspect_file(path)["layout"]
    except ValueError as error:
        refused(error, "w.safetensors")


@few
@given(strategies.picture_folders())
def test_folders_of_pictures(tmp_path, files):
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    (tmp_path / "data/01/a").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "data/01/a" / name).write_bytes(content)
    row = ["c1", "dfme", "01", "a", "1", "", "8", "200", "4", "fear", "01/a"]
    (tmp_path / "t.csv").write_text(",".join(COLUMNS) + "\n" + ",".join(row) + "\n")
    small = PictureSettings(size=8, length=4)
    try:
        store = prepare(read_table(tmp_path / "t.csv"), tmp_path / "data", tmp_path / "s", small, 1)
    except ValueError as error:
        title, line = str(error).splitlines()
        assert "1 of 1 clips cannot be read" in title and line.startswith("clip c1: ")
        return
    assert store.frames.shape == (1, 4, 8, 8, 3) and np.ptp(store.frames) > 2
