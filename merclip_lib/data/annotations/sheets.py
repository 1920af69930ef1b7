"""Spreadsheets as they come: xlsx or csv, any sheet, any encoding, headings in any row.

Everything is read as text, so that `01` stays `01`. Headings are compared without case, blanks and
signs ("Onset Frame" is "onsetframe") and are looked for in the first rows of every sheet.
"""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import openpyxl
from openpyxl.utils.cell import coordinate_to_tuple, range_boundaries
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from merclip_lib.data.annotations.releases import Release
from merclip_lib.data.limits import check_limit
from merclip_lib.data.text_table import OLE, ZIP, read_bytes, read_text_table

HEADER_ROWS = 40  # SAMM has a dozen lines of text above its header
_ENCODINGS = ("gb18030", "latin-1")  # of csv files that are not Unicode
_MERGED = re.compile(r'<(?:\w+:)?mergeCell\s+ref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
_FORMULA = re.compile(  # a cell with a formula and no value that was stored with it
    r'<(?:\w+:)?c\s+r="([A-Z]+[0-9]+)"[^>]*>\s*<(?:\w+:)?f[^>]*>([^<]*)</(?:\w+:)?f>'
    r"\s*(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>"
)


@dataclass(frozen=True)
class Sheet:
    """One sheet as text: `rows[0]` is row 1 of the file, and all rows are of one length.

    Attributes:
        name: of the sheet, or of a csv file.
        rows: the texts of all cells.
        encoding: of a csv file.
        cells: how many cells each row had before it was filled up.
    """

    name: str
    rows: list[list[str]]
    encoding: str = ""
    cells: list[int] = field(default_factory=list)


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
    """Read all sheets of an annotation file; its content says what it is, not its ending.

    Raises:
        ValueError: for a file that is missing, cannot be read or is larger than a limit.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; name the annotation file of your own copy")
    start = read_bytes(path)[:8]
    if start.startswith(ZIP):
        return _workbook(path)
    if start == OLE:
        raise ValueError(
            f"{path}: is an old xls or protected by a password; open it in a spreadsheet program "
            "and save it as xlsx without a password"
        )
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise ValueError(f"{path}: cannot be read as xlsx or csv; save it again as xlsx")
    table = read_text_table(path, _ENCODINGS)
    return [_sheet(path.name, dict(enumerate(table.rows)), path, table.encoding)]


def _workbook(path: Path) -> list[Sheet]:
    """All sheets of an xlsx, row by row, so that a cell far away costs nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_limit("unpacked_bytes", sum(p.file_size for p in archive.infolist()), str(path))
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            texts = {s.title: archive.read(s._worksheet_path).decode() for s in book.worksheets}
        return [_worksheet(sheet, texts[sheet.title], path) for sheet in book.worksheets]
    except Exception as problem:  # whatever a damaged file provokes in the readers
        if isinstance(problem, ValueError) and str(problem).startswith(str(path)):
            raise
        raise ValueError(f"{path}: cannot be read as xlsx ({problem}); save it again") from problem


def _worksheet(sheet: ReadOnlyWorksheet, text: str, path: Path) -> Sheet:
    """One sheet; a merged cell fills all its place, a formula without a value shows itself.

    Args:
        sheet: as openpyxl reads it.
        text: its XML, for what openpyxl leaves out when it reads row by row.
        path: of the file, for messages.
    """
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    rows = {}
    for number, row in enumerate(sheet.iter_rows(values_only=True)):
        if any(cell is not None for cell in row):
            check_limit("rows", number + 1, f"{path}, sheet {sheet.title!r}")
            while row[-1] is None:
                row = row[:-1]
            rows[number] = list(row)
    formulas = {
        coordinate_to_tuple(place): f"={formula}" for place, formula in _FORMULA.findall(text)
    }
    result = _sheet(sheet.title, rows, path)
    width = len(result.rows[0]) if result.rows else 0
    for (row, column), formula in formulas.items():
        if row <= len(result.rows) and column <= width:
            result.rows[row - 1][column - 1] = formula
    for left, top, right, bottom in map(range_boundaries, _MERGED.findall(text)):
        for row in range(top, min(bottom, len(result.rows)) + 1):
            for column in range(left, min(right, width) + 1):
                result.rows[row - 1][column - 1] = result.rows[top - 1][left - 1]
    return result


def _sheet(name: str, rows: dict[int, list], path: Path, encoding: str = "") -> Sheet:
    """A sheet of the rows that are there, numbered from 0; the others are empty."""
    height, width = max(rows, default=-1) + 1, max(map(len, rows.values()), default=0)
    for what, count in (("columns", width), ("cells", height * width)):
        check_limit(what, count, f"{path}, sheet {name!r}")
    texts = [[_cell_text(cell) for cell in rows.get(number, [])] for number in range(height)]
    padded = [[*row, *[""] * (width - len(row))] for row in texts]
    return Sheet(name, padded, encoding, [len(row) for row in texts])


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
