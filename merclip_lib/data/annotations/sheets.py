"""Spreadsheets as they come: xlsx, xls or csv, any sheet, any encoding, headings in any row.

Everything is read as text, so that `01` stays `01`. Headings are compared without case, blanks and
signs ("Onset Frame" is "onsetframe") and are looked for in the first rows of every sheet.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

HEADER_ROWS = 40  # SAMM has a dozen lines of text above its header


_ENCODINGS = ("utf-8-sig", "gb18030", "latin-1")


_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Sheet:
    """One sheet as text: `rows[0]` is row 1 of the file."""

    name: str
    rows: list[list[str]]


@dataclass(frozen=True)
class Place:
    """Where the fields are: the sheet, its header row (-1: none) and the column of each field."""

    sheet: Sheet
    header: int
    column: dict[str, int]

    def headings(self) -> list[str]:
        """The headings, plain; none where the sheet has no header."""
        return [plain(cell) for cell in self.sheet.rows[self.header]] if self.header >= 0 else []


def read_sheets(path: str | Path) -> list[Sheet]:
    """All sheets of a file; ValueError for a file that is missing or cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; name the annotation file of your own copy")
    suffix = path.suffix.lower()
    if suffix not in (".xlsx", ".xlsm", ".xls", ".csv", ".tsv", ".txt"):
        raise ValueError(f"{path}: {suffix or 'no'} ending; annotation files are xlsx, xls or csv")
    try:
        if suffix in (".csv", ".tsv", ".txt"):
            return [Sheet(path.name, _csv_rows(path))]
        frames = pd.read_excel(
            path, sheet_name=None, header=None, dtype=object, keep_default_na=False
        )
    except ImportError as problem:
        raise ValueError(
            f"{path}: no reader for {suffix} is installed; open it in a spreadsheet program and "
            "save it as xlsx"
        ) from problem
    except Exception as problem:  # whatever a damaged file provokes in the readers
        raise ValueError(
            f"{path}: cannot be read as xlsx, xls or csv ({problem}); save it again as xlsx"
        ) from problem
    return [
        Sheet(name, [[_text(cell) for cell in row] for row in frame.itertuples(index=False)])
        for name, frame in frames.items()
    ]


def _csv_rows(path: Path) -> list[list[str]]:
    """Rows of a csv whose encoding and delimiter (comma, semicolon, tab) are found out."""
    raw = path.read_bytes()
    encodings = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else _ENCODINGS
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise ValueError("neither UTF-8 nor UTF-16 text")
    head = text.splitlines()[:HEADER_ROWS]
    delimiter = max(_DELIMITERS, key=lambda sign: max([0, *(line.count(sign) for line in head)]))
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    return [[_text(cell) for cell in row] for row in rows]


def _text(cell) -> str:
    """A cell as text; whole numbers without a decimal point ("12.0" from a csv too)."""
    if cell is None or cell != cell:
        return ""
    text = " ".join(str(cell).split())  # line breaks within a cell, blanks of every kind
    text = "".join(sign for sign in text if sign.isprintable())
    return re.sub(r"\.0+$", "", text) if re.fullmatch(r"-?[0-9]+\.0+", text) else text


def plain(heading: str) -> str:
    """A heading without case, blanks and signs."""
    return "".join(sign for sign in str(heading).lower() if sign.isalnum())


def find(
    sheets: list[Sheet], wanted: Mapping[str, tuple[str, ...]], path: Path, order: tuple[str, ...]
) -> Place:
    """The first row of any sheet that has a heading for every field.

    wanted: field -> accepted headings, plain; "" among them marks a field that may be absent.
    order: the fields column by column, for a file without header ("" is skipped; () if there is
    none such). Raises ValueError naming the lacking headings.
    """
    best: dict[str, int] = {}
    for sheet in sheets:
        for number, row in enumerate(sheet.rows[:HEADER_ROWS]):
            headings = [plain(cell) for cell in row]
            place = {}
            for field, names in wanted.items():
                found = [headings.index(name) for name in names if name and name in headings]
                if found:
                    place[field] = found[0]
            if all(field in place or "" in names for field, names in wanted.items()):
                return Place(sheet, number, place)
            best = max(best, place, key=len)
    if order and sheets and len(best) < 3:  # a word or two may stand in a cell of a row
        columns = {field: column for column, field in enumerate(order) if field}
        numbers = [columns["onset"], columns["offset"]]
        for row in sheets[0].rows[:HEADER_ROWS]:
            if len(row) >= len(order) and all(row[column].isdecimal() for column in numbers):
                return Place(sheets[0], -1, columns)
    lacking = [field for field in wanted if field not in best and "" not in wanted[field]]
    raise ValueError(
        f"{path}: no row of the first {HEADER_ROWS} has a heading for {', '.join(lacking)}; say "
        f"which it is with columns={{{lacking[0]!r}: 'heading in the file'}} "
        f"(--columns {lacking[0]}=HEADING)"
    )
