"""Spreadsheets as they come: xlsx, xls or csv, any sheet, any encoding, headings in any row.

Everything is read as text, so that `01` stays `01`. Headings are compared without case, blanks and
signs ("Onset Frame" is "onsetframe") and are looked for in the first rows of every sheet.
"""

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from merclip_lib.data.annotations.releases import Release

HEADER_ROWS = 40  # SAMM has a dozen lines of text above its header
_ENCODINGS = ("utf-8-sig", "gb18030", "latin-1")


@dataclass(frozen=True)
class Sheet:
    """One sheet as text: `rows[0]` is row 1 of the file, and all rows are of one length."""

    name: str
    rows: list[list[str]]


@dataclass(frozen=True)
class Fields:
    """Where the fields of an annotation file are.

    Attributes:
        sheet: the sheet that has them.
        header: its header row, 0 the first; -1 where there is none.
        column: the column of each field.
    """

    sheet: Sheet
    header: int
    column: dict[str, int]

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, numbered as in the file."""
        yield from enumerate(self.sheet.rows[self.header + 1 :], start=self.header + 2)


def read_sheets(path: str | Path) -> list[Sheet]:
    """Read all sheets of an annotation file.

    Raises:
        ValueError: for a file that is missing or cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; name the annotation file of your own copy")
    suffix = path.suffix.lower()
    if suffix not in (".xlsx", ".xlsm", ".xls", ".csv", ".tsv", ".txt"):
        raise ValueError(f"{path}: {suffix or 'no'} ending; annotation files are xlsx, xls or csv")
    try:
        if suffix in (".csv", ".tsv", ".txt"):
            return [_text_sheet(path.name, _csv_rows(path))]
        frames = pd.read_excel(path, None, header=None, dtype=object, keep_default_na=False)
    except ImportError as problem:
        raise ValueError(
            f"{path}: no reader for {suffix} is installed; open it in a spreadsheet program and "
            "save it as xlsx"
        ) from problem
    except Exception as problem:  # whatever a damaged file provokes in the readers
        raise ValueError(
            f"{path}: cannot be read as xlsx, xls or csv ({problem}); save it again as xlsx"
        ) from problem
    return [_text_sheet(name, frame.values.tolist()) for name, frame in frames.items()]


def _csv_rows(path: Path) -> list[list[str]]:
    """Rows of a csv whose encoding and delimiter (comma, semicolon, tab) are detected."""
    raw = path.read_bytes()
    encodings = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else _ENCODINGS
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            text = raw.decode(encoding)
            break
    else:
        raise ValueError("neither UTF-8 nor UTF-16 text")
    head = text.splitlines()[:HEADER_ROWS]
    delimiter = max(",;\t", key=lambda sign: max([0, *(line.count(sign) for line in head)]))
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _text_sheet(name: str, rows: list[list]) -> Sheet:
    width = max(map(len, rows), default=0)
    return Sheet(name, [[*map(_cell_text, row), *[""] * (width - len(row))] for row in rows])


def _cell_text(cell: object) -> str:
    """A cell as text; whole numbers without a decimal point ("12.0" from a csv too)."""
    if cell is None or cell != cell:
        return ""
    text = " ".join(str(cell).split())  # line breaks within a cell, blanks of every kind
    text = "".join(sign for sign in text if sign.isprintable())
    return re.sub(r"\.0+$", "", text) if re.fullmatch(r"-?[0-9]+\.0+", text) else text


def normalise(heading: str) -> str:
    """A heading without case, blanks and signs."""
    return "".join(sign for sign in str(heading).lower() if sign.isalnum())


def find_fields(sheets: list[Sheet], release: Release, path: Path) -> Fields:
    """Find the first row of any sheet that has a heading for every field of a release.

    Args:
        sheets: of the annotation file.
        release: its `headings`, and `order` for a file without header.
        path: the file, for messages.

    Raises:
        ValueError: naming the fields whose headings are lacking.
    """
    best: dict[str, int] = {}
    required = [name for name, accepted in release.headings.items() if "-" not in accepted]
    for sheet in sheets:
        for number, row in enumerate(sheet.rows[:HEADER_ROWS]):
            column = _columns(row, release)
            if all(name in column for name in required):
                return Fields(sheet, number, column)
            best = max(best, column, key=len)
    if release.order and sheets and len(best) < 3:  # a word or two may stand in a cell of a row
        column = {name: k for k, name in enumerate(release.order) if name}
        frames = [column["onset"], column["offset"]]
        for row in sheets[0].rows[:HEADER_ROWS]:
            if len(row) >= len(release.order) and all(row[k].isdecimal() for k in frames):
                return Fields(sheets[0], -1, column)
    lacking = [name for name in required if name not in best]
    raise ValueError(
        f"{path}: no row of the first {HEADER_ROWS} has a heading for {', '.join(lacking)}; say "
        f"which it is with columns={{{lacking[0]!r}: 'heading in the file'}} "
        f"(--columns {lacking[0]}=HEADING)"
    )


def _columns(row: list[str], release: Release) -> dict[str, int]:
    """The column of each field that has one of its headings in this row."""
    column, headings = {}, [normalise(cell) for cell in row]
    for name, accepted in release.headings.items():
        present = [heading for heading in accepted.split() if heading in headings]
        if present:
            column[name] = headings.index(present[0])
    return column
