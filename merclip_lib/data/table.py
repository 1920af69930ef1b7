"""The clip table: one row per clip, the same columns for every dataset.

Tables are plain CSV; every check names the file, the row as a spreadsheet numbers it, and the
remedy. What a task makes of a table is in `tasks`.
"""

import hashlib
import io
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from merclip_lib.data.limits import check_limits
from merclip_lib.data.text_table import read_text_table
from merclip_lib.files import Kind, write_csv
from merclip_lib.text import facs

# action_units is FACS notation; frames is where the pictures are (folder or video below the data
# root), "" for drawn clips.
_TEXT = ["clip_id", "dataset", "subject", "clip", "action_units", "emotion", "frames"]
_FRAME_NUMBERS = ["onset", "apex", "offset"]
COLUMNS = [*_TEXT[:4], *_FRAME_NUMBERS, "fps", *_TEXT[4:]]
TABLE = Kind(("clip_id", "action_units", "emotion", "frames"))


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a clip table.

    Args:
        path: a CSV file with at least COLUMNS; further columns are kept as they are.

    Returns:
        The checked table. Ids and annotations are text ("01" stays "01", an empty cell is ""),
        frame numbers int64; apex alone may be empty (then it is a nullable integer).

    Raises:
        ValueError: for a missing file, as `text_table.read_text_table`, for a row of more or fewer
            cells than there are headings, or as `check_table`.
    """
    path = Path(path)
    if not os.path.isfile(path):  # False for names too long, too
        raise ValueError(f"{path}: no such clip table; `merclip manifest` makes it of your copy")
    numbered = enumerate(read_text_table(path).rows, 1)
    rows = [(number, row) for number, row in numbered if any(map(str.strip, row))]
    if not rows:
        raise ValueError(f"{path}: all its cells are empty; write or copy it again")
    headings = [cell.strip() for cell in rows[0][1]]
    while not headings[-1]:
        headings.pop()
    if again := [name for name in headings if headings.count(name) > 1]:
        raise ValueError(f"{path}: two columns are headed {again[0]!r}; rename or delete one")
    for number, row in rows:
        if len(row) < len(headings) or any(map(str.strip, row[len(headings) :])):
            wrong = f"{path}, row {number}: {len(row)} cells under {len(headings)} headings"
            remedy = "put quotes around a cell that holds the delimiter, or complete the row"
            raise ValueError(f"{wrong}; {remedy}")
    table = pd.DataFrame([row[: len(headings)] for _, row in rows[1:]], columns=headings)
    text = io.StringIO(table.to_csv(index=False))  # so that pandas tells numbers from text
    as_text = dict.fromkeys([*_TEXT, *_FRAME_NUMBERS, "fps", "split", "label"], str)
    return check_table(pd.read_csv(text, dtype=as_text, keep_default_na=False), str(path))


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Check a clip table and write it, whole or not at all, without its index.

    Raises:
        ValueError: as `check_table` and `files.write_csv`; then nothing is written.
    """
    write_csv(check_table(table, str(path)), path)


def check_table(table: pd.DataFrame, where: str = "clip table") -> pd.DataFrame:
    """Check the columns, types and cells of a clip table.

    Args:
        table: at least COLUMNS.
        where: the file, for messages.

    Returns:
        A copy of the table with the types that `read_table` describes.

    Raises:
        ValueError: for a missing column, no rows, an empty or repeated id, frame numbers that are
            no numbers or out of order, an emotion that is not in lower case, one person in two
            spellings, a cell longer than the limit, or an annotation that `facs.parse` cannot
            read; it names the row.
    """
    if missing := ", ".join(name for name in COLUMNS if name not in table):
        needed = f"a clip table has {', '.join(COLUMNS)}"
        raise ValueError(f"{where}: column(s) {missing} are missing; {needed}")
    if table.empty:
        raise ValueError(f"{where}: the table has no rows; did the filter before it keep any?")
    table = table.copy()
    for name in _TEXT:
        table[name] = table[name].where(table[name].notna(), "").astype(str)
        signs = table[name].str.len()
        check_limits(f"{where}, row {signs.argmax() + 2}: {name}", signs_of_a_cell=signs.max())
        _refuse(table, name, table[name].str.contains("[\r\n]"), where, "has a line break; mend it")
    for name in ("clip_id", "dataset", "subject"):
        _refuse(table, name, table[name].str.strip() == "", where, "must not be empty")
    again = "occurs before in the table; give every clip an id of its own"
    _refuse(table, "clip_id", table["clip_id"].duplicated(), where, again)
    for name in _FRAME_NUMBERS:
        table[name] = _whole_numbers(table, name, where)
    table["fps"] = _numbers(table, "fps", where)
    onset, apex, offset = table["onset"], table["apex"], table["offset"]
    outside = ((apex < onset) | (apex > offset)).fillna(False).astype(bool)
    lower = table["emotion"].str.strip().str.lower()
    write_plain = "must be written in lower case without blanks around"
    for name, wrong, remedy in [
        ("fps", ~(table["fps"] > 0), "must be a number of frames per second"),
        ("onset", onset < 0, "must not be negative"),
        ("offset", offset < onset, "is before the onset; correct the frame numbers"),
        ("apex", outside, "is not between onset and offset; correct it, or leave it empty"),
        ("emotion", table["emotion"] != lower, write_plain),
    ]:
        _refuse(table, name, wrong, where, remedy)
    person = people(table)
    keys = table["dataset"].map(plain) + "/" + table["subject"].map(person_key)
    first = person.groupby(keys).transform("first")
    if others := first[person != first].tolist():
        alike = f"is {others[0]!r} in another spelling; write a dataset and a person always alike"
        _refuse(table, "subject", person != first, where, alike)
    annotations = table["action_units"].reset_index(drop=True).drop_duplicates()
    for row, annotation in annotations.items():
        facs.parse(annotation, where=f"{where}, row {row + 2}")
    return table


def _refuse(table: pd.DataFrame, column: str, wrong: pd.Series, where: str, remedy: str) -> None:
    """ValueError for the first wrong row; row 1 of the file is the header."""
    rows = wrong.to_numpy().nonzero()[0]
    if len(rows):
        value = table[column].iloc[rows[0]]
        text = repr(value) if isinstance(value, str) else str(value)
        raise ValueError(f"{where}, row {rows[0] + 2}: {column} {text} {remedy}")


def _numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    """The column as floats, NaN where a cell is empty."""
    written = table[column].astype(object).where(table[column].notna(), "")
    empty = written.astype(str).str.strip() == ""
    numbers = pd.to_numeric(written.mask(empty), errors="coerce").astype(float)
    finite = numbers.abs() < 2**53  # up to here a float holds every whole number
    _refuse(table, column, ~finite & ~empty, where, "is not a number; correct the cell")
    return numbers


def _whole_numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    """The column as integers; only the apex may be empty."""
    numbers = _numbers(table, column, where)
    if column != "apex":
        _refuse(table, column, numbers.isna(), where, "is missing; fill in the frame number")
    broken = numbers.notna() & (numbers % 1 != 0)
    _refuse(table, column, broken, where, "is not a whole frame number; correct the cell")
    return numbers.astype("Int64" if numbers.isna().any() else "int64")


def people(table: pd.DataFrame) -> pd.Series:
    """Who is seen in each clip, as "dataset/subject".

    "s01" of two datasets are two people. Folds are made of people, and scores counted by them.
    """
    return table["dataset"] + "/" + table["subject"]


def person_key(text: str) -> str:
    """What all spellings of one person within a dataset share: "1", "01", "sub01", "spNO.1"."""
    number = re.fullmatch(r"(?:subject|sub|spno|s)?[\s_.-]*0*([0-9]+)(?:\.0+)?", plain(text))
    return number[1] if number else re.sub(r"(?<![0-9])0+(?=[0-9])", "", plain(text))


def plain(text: str) -> str:
    """Text without case, full-width forms and blanks around: names from two systems agree."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


def hash_ids(clip_ids: Iterable[str]) -> str:
    """12 hex digits that stand for a set of clips, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(str, clip_ids))).encode()).hexdigest()[:12]
