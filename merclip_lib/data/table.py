"""The clip table: one row per clip, the same columns for every dataset.

Tables are plain CSV; every check names the file, the row as a spreadsheet numbers it, and the
remedy. What a task makes of a table is in `tasks` (its names are importable from here as well).
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from merclip_lib.files import write_csv
from merclip_lib.text import facs

# onset, apex and offset are frame numbers, fps frames per second; action_units is FACS notation;
# frames is where the pictures are (folder or video below the data root), "" for drawn clips.
COLUMNS = [
    "clip_id",
    "dataset",
    "subject",
    "clip",
    "onset",
    "apex",
    "offset",
    "fps",
    "action_units",
    "emotion",
    "frames",
]


_TEXT = ["clip_id", "dataset", "subject", "clip", "action_units", "emotion", "frames"]


_REQUIRED = ["clip_id", "dataset", "subject"]


_FRAME_NUMBERS = ["onset", "apex", "offset"]


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a clip table; further columns are kept as they are.

    Ids and annotations are text ("01" stays "01", an empty cell is ""), frame numbers int64;
    apex alone may be empty (then it is a nullable integer). Raises ValueError for a missing file
    or column, an empty table, a repeated clip_id, frame numbers out of order, or an annotation
    that `facs.parse` cannot read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"{path}: no such clip table; build it from your copy of the dataset, or "
            "draw SynthME with `merclip synth`"
        )
    numbers = dict.fromkeys([*_FRAME_NUMBERS, "fps"], str)
    table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str) | numbers, keep_default_na=False)
    return check_table(table, str(path))


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Check a clip table and write it (atomically; the index is not written)."""
    write_csv(check_table(table, str(path)), path)


def check_table(table: pd.DataFrame, where: str = "clip table") -> pd.DataFrame:
    """A copy of the table with checked columns and types; ValueError as in `read_table`."""
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(
            f"{where}: column(s) {', '.join(missing)} are missing; a clip table has "
            f"{', '.join(COLUMNS)}"
        )
    if table.empty:
        raise ValueError(f"{where}: the table has no rows; did the filter before it keep any?")
    table = table.copy()
    for name in _TEXT:
        table[name] = table[name].where(table[name].notna(), "").astype(str)
    for name in _REQUIRED:
        _refuse(table, table[name].str.strip() == "", name, where, "must not be empty")
    _refuse(
        table,
        table["clip_id"].duplicated(),
        "clip_id",
        where,
        "occurs before in the table; give every clip an id of its own",
    )
    for name in _FRAME_NUMBERS:
        table[name] = _whole_numbers(table, name, where)
    table["fps"] = _numbers(table, "fps", where)
    _refuse(table, ~(table["fps"] > 0), "fps", where, "must be a number of frames per second")
    _refuse(table, table["onset"] < 0, "onset", where, "must not be negative")
    _refuse(
        table,
        table["offset"] < table["onset"],
        "offset",
        where,
        "is before the onset; correct the frame numbers",
    )
    outside = (table["apex"] < table["onset"]) | (table["apex"] > table["offset"])
    _refuse(
        table,
        outside.fillna(False).astype(bool),
        "apex",
        where,
        "is not between onset and offset; correct it, or leave it empty",
    )
    _refuse(
        table,
        table["emotion"] != table["emotion"].str.strip().str.lower(),
        "emotion",
        where,
        "must be written in lower case without blanks around",
    )
    for row, annotation in enumerate(table["action_units"]):
        facs.parse(annotation, where=f"{where}, row {row + 2}")
    return table


def _refuse(table: pd.DataFrame, bad: pd.Series, column: str, where: str, remedy: str) -> None:
    """ValueError for the first bad row; row 1 of the file is the header."""
    rows = bad.to_numpy().nonzero()[0]
    if len(rows):
        value = table[column].iloc[rows[0]]
        text = repr(value) if isinstance(value, str) else str(value)
        raise ValueError(f"{where}, row {rows[0] + 2}: {column} {text} {remedy}")


def _numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    written = table[column].astype(object).where(table[column].notna(), "")
    empty = written.astype(str).str.strip() == ""
    numbers = pd.to_numeric(written.mask(empty), errors="coerce").astype(float)
    finite = numbers.abs() < 2**53
    _refuse(table, ~finite & ~empty, column, where, "is not a number; correct the cell")
    return numbers


def _whole_numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    numbers = _numbers(table, column, where)
    if column != "apex":
        _refuse(table, numbers.isna(), column, where, "is missing; fill in the frame number")
    _refuse(
        table,
        numbers.notna() & (numbers % 1 != 0),
        column,
        where,
        "is not a whole frame number; correct the cell",
    )
    return numbers.astype("Int64" if numbers.isna().any() else "int64")


def hash_ids(clip_ids: Iterable[str]) -> str:
    """12 hex digits that stand for a set of clips, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(str, clip_ids))).encode()).hexdigest()[:12]
