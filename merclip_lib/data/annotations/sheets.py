"""Spreadsheets as they come: xlsx or csv, any sheet, any encoding, headings in any row.

Everything is read as text, so that `01` stays `01`. Headings are compared without case, blanks and
signs ("Onset Frame" is "onsetframe") and are looked for in the first rows of every sheet.
"""

import io
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import openpyxl
from openpyxl.utils.cell import get_column_letter
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.worksheet._reader import FORMULA_TAG, WorkSheetParser

from merclip_lib.data.annotations.releases import Release
from merclip_lib.data.limits import check_limits
from merclip_lib.data.text_table import OLE, ZIP, read_bytes, read_text_table
from merclip_lib.files import did_you_mean

HEADER_ROWS = 40  # SAMM has a dozen lines of text above its header
ENCODINGS = ("gb18030", "latin-1")  # of csv files that are not Unicode


class Sheet(NamedTuple):
    """One sheet as text: `rows[0]` is row 1 of the file, and all rows are of one length.

    Attributes:
        name: of the sheet, or of a csv file.
        rows: the texts of all cells.
        cells: of a csv file, how many cells each row had before it was filled up.
        guessed: the encoding of a csv file that is not Unicode.
        formulas: of a workbook, by row and column from 1.
    """

    name: str
    rows: list[list[str]]
    cells: Sequence[int] = ()
    guessed: str = ""
    formulas: Mapping[tuple[int, int], str] = {}


class Fields(NamedTuple):
    """Where the fields of an annotation file are.

    Attributes:
        sheet: the sheet that has them.
        header: its header row, 0 the first; -1 where there is none.
        column: the column of each field.
        notes: columns and sheets that could have been meant as well, and further sheets.
    """

    sheet: Sheet
    header: int
    column: dict[str, int]
    notes: Sequence[str] = ()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, numbered as in the file."""
        yield from enumerate(self.sheet.rows[self.header + 1 :], start=self.header + 2)

    def shifted(self, number: int) -> bool:
        """Whether a row of a csv file holds something beyond the cells that its header has."""
        row = self.sheet.rows[number - 1]
        headings = self.sheet.cells[max(0, self.header - 1) : self.header + 1]
        return any(row[max(headings, default=len(row)) :])

    def refuse_formulas(self, number: int, path: Path) -> None:
        """ValueError for a formula among the texts of a row: of `=4+7` the value is 11."""
        for name in ("subject", "clip", "action_units", "emotion"):
            at = number, self.column.get(name, -1) + 1
            if formula := self.sheet.formulas.get(at):
                raise ValueError(
                    f"{path}, sheet {self.sheet.name!r}, cell {get_column_letter(at[1])}{number}: "
                    f"{name} is the formula {formula[:80]!r}; write what is meant as text, with ' "
                    "before it"
                )


def read_sheets(path: str | Path) -> list[Sheet]:
    """Read all sheets of an annotation file; its content says what it is, not its ending.

    Raises:
        ValueError: for a file that is missing, cannot be read or is larger than a limit.
    """
    path = Path(path)
    if not os.path.isfile(path):  # False for names too long, too
        raise ValueError(f"{path}: no such file; name the annotation file of your own copy")
    content = read_bytes(path)
    if content.startswith(ZIP):
        return _workbook(io.BytesIO(content), path)
    if content.startswith(OLE):
        remedy = "open it in a spreadsheet program and save it as xlsx without a password"
        raise ValueError(f"{path}: is an old xls or protected by a password; {remedy}")
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise ValueError(f"{path}: cannot be read as xlsx or csv; save it again as xlsx")
    table = read_text_table(path, ENCODINGS)
    cells = [len(row) for row in table.rows]
    return [_sheet(path.name, table.rows, path)._replace(cells=cells, guessed=table.guessed)]


def _workbook(content: io.BytesIO, path: Path) -> list[Sheet]:
    """All sheets of an xlsx; nothing but the cells that the file has is kept."""
    try:
        with zipfile.ZipFile(content) as archive:
            parts = [p for p in archive.infolist() if not p.filename.startswith("xl/media/")]
        check_limits(str(path), unpacked_bytes=sum(part.file_size for part in parts))
        book = openpyxl.load_workbook(content, read_only=True, data_only=True)
        return [_worksheet(sheet, path) for sheet in book.worksheets]
    except Exception as problem:  # whatever a damaged file provokes in the readers
        if isinstance(problem, ValueError) and str(problem).startswith(str(path)):
            raise
        why = " ".join(str(problem).split()) or type(problem).__name__
        raise ValueError(f"{path}: cannot be read as xlsx ({why}); save it again") from problem


class _Parser(WorkSheetParser):
    """openpyxl's reader of one sheet; formulas are kept, and show themselves without a value."""

    formulas: dict[tuple[int, int], str]

    def parse_cell(self, element):
        cell = super().parse_cell(element)
        if (formula := element.find(FORMULA_TAG)) is not None:
            text = self.formulas[cell["row"], cell["column"]] = f"={formula.text or ''}"
            cell["value"] = text if cell["value"] is None else cell["value"]
        return cell


def _worksheet(sheet: ReadOnlyWorksheet, path: Path) -> Sheet:
    """One sheet of a workbook; a merged cell fills the rows below.

    openpyxl itself would fill rows and columns up to a cell far away, so its parser is asked.
    """
    where, book = f"{path}, sheet {sheet.title!r}", sheet.parent
    cells: dict[tuple[int, int], object] = {}  # by row and column, from 1
    looked_at = 0
    with sheet._get_source() as source:
        formats = book.epoch, book._date_formats, book._timedelta_formats
        parser = _Parser(source, sheet._shared_strings, book.data_only, *formats)
        parser.formulas = {}
        for number, row in parser.parse():
            looked_at += len(row)
            check_limits(where, workbook_cells=looked_at)
            filled = [cell for cell in row if cell["value"] is not None]
            cells |= {(number, cell["column"]): cell["value"] for cell in filled}
    last = max((row for row, _ in cells), default=0)
    check_limits(where, rows=last, columns=max((column for _, column in cells), default=0))
    merged = parser.merged_cells.mergeCell if parser.merged_cells else []
    check_limits(f"{where}, merged cells", rows=len(merged))
    for left, top, _, bottom in (area.bounds for area in merged):
        looked_at += min(bottom, last) - top
        check_limits(where, workbook_cells=looked_at)
        if (top, left) in cells:
            cells |= {(row, left): cells[top, left] for row in range(top, min(bottom, last) + 1)}
    rows: list[list] = [[] for _ in range(last)]
    for (number, column), cell in sorted(cells.items()):
        rows[number - 1] += [None] * (column - 1 - len(rows[number - 1])) + [cell]
    return _sheet(sheet.title, rows, path)._replace(formulas=parser.formulas)


def _sheet(name: str, rows: list[list], path: Path) -> Sheet:
    """A sheet of rows that may differ in length."""
    width = max(map(len, rows), default=0)
    characters = sum(len(cell) for row in rows for cell in row if isinstance(cell, str))
    check_limits(f"{path}, sheet {name!r}", cells=len(rows) * width, characters=characters)
    return Sheet(name, [[*map(_cell_text, row), *[""] * (width - len(row))] for row in rows])


def _cell_text(cell: object) -> str:
    """A cell as text; whole numbers without a decimal point ("12.0" from a csv too)."""
    if cell is None or cell != cell:
        return ""
    text = " ".join(str(cell).split())  # line breaks within a cell, blanks of every kind
    if not text.isprintable():
        text = "".join(filter(str.isprintable, text))
    return text.split(".")[0] if text[-1:] == "0" and re.fullmatch(r"-?[0-9]+\.0+", text) else text


def normalise(heading: str) -> str:
    """A heading without case, blanks and signs."""
    return "".join(filter(str.isalnum, str(heading).lower()))


def find_fields(sheets: list[Sheet], release: Release, path: Path) -> Fields:
    """Find the first row of any sheet that has a heading for every field of a release.

    A heading may stand in two rows ("Frames" above "Onset", or "Onset" above "Frame").

    Args:
        sheets: of the annotation file.
        release: its `headings`, and `order` for a file without header.
        path: the file, for messages.

    Raises:
        ValueError: naming the fields whose headings are lacking, or two columns of one heading
            that do not agree.
    """
    found = [fields for sheet in sheets if (fields := _below_header(sheet, release, path))]
    rows = [row for sheet in sheets for row in sheet.rows[:HEADER_ROWS]]
    best = max((_columns(row, release) for row in rows), key=len, default={})
    if not found and release.order and sheets and len(best) < 3:  # words may stand in a cell
        column = {name: k for k, name in enumerate(release.order) if name}
        frames = [column["onset"], column["offset"]]
        wide = [row for row in sheets[0].rows[:HEADER_ROWS] if len(row) >= len(release.order)]
        if any(all(row[k].isdecimal() for k in frames) for row in wide):
            found = [Fields(sheets[0], -1, column)]
    if found:
        names = [fields.sheet.name for fields in found]
        notes = [f"sheet {name!r} has the headings too and is NOT read" for name in names[1:]]
        others = [sheet.name for sheet in sheets if sheet.name not in names]
        notes += [f"sheets read for names at most: {', '.join(others)}"] * bool(others)
        return found[0]._replace(notes=[*found[0].notes, *notes])
    lacking = [name for name in _required(release) if name not in best]
    guessed = sheets[0].guessed if sheets else ""
    doubt = f" (read as {guessed}; better save it as CSV UTF-8)" if guessed else ""
    wrong = f"no row of the first {HEADER_ROWS} has a heading for {', '.join(lacking)}"
    remedy = f"say which it is with columns={{{lacking[0]!r}: 'heading in the file'}}"
    raise ValueError(f"{path}{doubt}: {wrong}; {remedy} (--columns {lacking[0]}=HEADING)")


def with_headings(release: Release, columns: Mapping[str, str], where: str) -> Release:
    """The release with the given headings in place of those it accepts.

    Args:
        release: of a set.
        columns: heading by field.
        where: they are given, for messages.

    Raises:
        ValueError: for an unknown field, and for headings that name no column or one twice.
    """
    headings = dict(release.headings)
    for name, heading in columns.items():
        if name not in headings:
            raise ValueError(f"{where} names {name!r}{did_you_mean(name, headings)}")
        headings[name] = normalise(heading)
        if not headings[name]:
            raise ValueError(f"{where} gives {name} the heading {heading!r}, which has no letters")
    if len({headings[name] for name in columns}) < len(columns):
        raise ValueError(f"{where} gives two fields the same heading; each has its own")
    return release._replace(headings=headings)


def _required(release: Release) -> list[str]:
    """The fields that every annotation file of a release has."""
    return [name for name, accepted in release.headings.items() if "-" not in accepted]


def _below_header(sheet: Sheet, release: Release, path: Path) -> Fields | None:
    """The fields of a sheet, None where no row has all headings."""
    above = [""] * len(sheet.rows[0]) if sheet.rows else []
    for number, row in enumerate(sheet.rows[:HEADER_ROWS]):
        pairs = list(zip(above, row, strict=True))
        for headings in (row, [low or high for high, low in pairs], [f"{a}{b}" for a, b in pairs]):
            column = _columns(headings, release)
            if all(name in column for name in _required(release)):
                fields = Fields(sheet, number, column)
                return fields._replace(notes=_other_columns(fields, headings, release, path))
        above = row
    return None


def _other_columns(fields: Fields, headings: list[str], release: Release, path: Path) -> list[str]:
    """Notes on columns whose heading fits as well; ValueError where it is the same and differs."""
    notes, plain = [], [normalise(heading) for heading in headings]
    for name, taken in fields.column.items():
        for other, heading in enumerate(plain):
            if other == taken or heading not in release.headings[name].split():
                continue
            letters = f"columns {get_column_letter(taken + 1)} and {get_column_letter(other + 1)}"
            if heading != plain[taken]:
                both = f"{headings[taken]!r} and {headings[other]!r}"
                notes.append(f"{letters}, {both}, could be the {name}: the first is read")
                continue
            for number, row in fields.rows():
                if row[other] not in ("", row[taken]):
                    place = f"{path}, sheet {fields.sheet.name!r}, row {number}: {letters}"
                    wrong = f"have the heading {headings[taken]!r} and differ"
                    raise ValueError(f"{place} {wrong}; rename the one that is not meant")
    return notes


def _columns(row: list[str], release: Release) -> dict[str, int]:
    """The column of each field that has one of its headings in this row, the first listed."""
    headings = [normalise(cell) for cell in row]
    return {
        name: headings.index(heading)
        for name, accepted in release.headings.items()
        for heading in reversed(accepted.split())
        if heading in headings
    }
