"""Spreadsheets as they come: xlsx or csv, any sheet, any encoding, headings in any row.

Everything is read as text, so that `01` stays `01`. Headings are compared without case, blanks and
signs ("Onset Frame" is "onsetframe") and are looked for in the first rows of every sheet.
"""

import io
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import openpyxl
from openpyxl.utils.cell import coordinate_to_tuple, get_column_letter, range_boundaries
from openpyxl.worksheet._read_only import ReadOnlyWorksheet

from merclip_lib.data.annotations.releases import Release
from merclip_lib.data.limits import check_limit
from merclip_lib.data.text_table import OLE, ZIP, read_bytes, read_text_table
from merclip_lib.files import did_you_mean

_ROWS = 2**20  # of a spreadsheet program; a file may say that its row has a higher number
HEADER_ROWS = 40  # SAMM has a dozen lines of text above its header
ENCODINGS = ("gb18030", "latin-1")  # of csv files that are not Unicode
_MERGED = re.compile(r'<(?:\w+:)?mergeCell\s+ref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
_FORMULA = re.compile(  # a cell with a formula
    r"<(?:\w+:)?c\s[^<>]{0,200}?\br=[\"']([A-Z]+[0-9]+)[\"'][^<>]{0,200}>\s{0,99}"
    r"<(?:\w+:)?f\b(?:[^<>/]*/>|[^<>]*>([^<]*)</(?:\w+:)?f\s{0,9}>)"
)  # its repeats are limited, or a hostile file would be searched for hours


@dataclass(frozen=True)
class Sheet:
    """One sheet as text: `rows[0]` is row 1 of the file, and all rows are of one length.

    Attributes:
        name: of the sheet, or of a csv file.
        rows: the texts of all cells.
        encoding: of a csv file.
        cells: how many cells each row had before it was filled up.
        formulas: of a workbook, by row and column from 1.
    """

    name: str
    rows: list[list[str]]
    encoding: str = ""
    cells: list[int] = field(default_factory=list)
    formulas: dict[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fields:
    """Where the fields of an annotation file are.

    Attributes:
        sheet: the sheet that has them.
        header: its header row, 0 the first; -1 where there is none.
        column: the column of each field.
        notes: columns and sheets that could have been meant as well.
    """

    sheet: Sheet
    header: int
    column: dict[str, int]
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """The rows below the header, numbered as in the file."""
        yield from enumerate(self.sheet.rows[self.header + 1 :], start=self.header + 2)

    def shifted(self, number: int) -> bool:
        """Whether a row of a csv file holds something beyond the cells that its header has."""
        if self.header < 0 or not self.sheet.encoding:
            return False
        headings = max(self.sheet.cells[max(0, self.header - 1) : self.header + 1])
        return any(self.sheet.rows[number - 1][headings:])

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
    table = read_text_table(path, ENCODINGS)
    return [_sheet(path.name, dict(enumerate(table.rows)), path, table.encoding)]


def _workbook(path: Path) -> list[Sheet]:
    """All sheets of an xlsx, row by row, so that a cell far away costs nothing."""
    try:
        content = io.BytesIO(read_bytes(path))
        with zipfile.ZipFile(content) as archive:
            parts = [p for p in archive.infolist() if not p.filename.startswith("xl/media/")]
            check_limit("unpacked_bytes", sum(part.file_size for part in parts), str(path))
            book = openpyxl.load_workbook(content, read_only=True, data_only=True)
            texts = {s.title: archive.read(s._worksheet_path).decode() for s in book.worksheets}
        return [_worksheet(sheet, texts[sheet.title], path) for sheet in book.worksheets]
    except Exception as problem:  # whatever a damaged file provokes in the readers
        if isinstance(problem, ValueError) and str(problem).startswith(str(path)):
            raise
        why = " ".join(str(problem).split()) or type(problem).__name__
        raise ValueError(f"{path}: cannot be read as xlsx ({why}); save it again") from problem


def _worksheet(sheet: ReadOnlyWorksheet, text: str, path: Path) -> Sheet:
    """One sheet; a merged cell fills the rows below, a formula without a value shows itself.

    Args:
        sheet: as openpyxl reads it.
        text: its XML, for what openpyxl leaves out when it reads row by row.
        path: of the file, for messages.
    """
    where = f"{path}, sheet {sheet.title!r}"
    sheet.reset_dimensions()  # what the file says of its size may be wrong
    cells: dict[tuple[int, int], object] = {}  # by row and column, from 1
    looked_at = 0
    for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        if not row and number <= _ROWS:
            continue
        looked_at += len(row)
        check_limit("workbook_cells", looked_at, where)
        here = {(number, k): cell for k, cell in enumerate(row, 1) if cell is not None}
        if here or number > _ROWS:
            check_limit("rows", number, where)
            check_limit("columns", max(here, default=(0, 0))[1], where)
            cells |= here
    formulas = {coordinate_to_tuple(at): f"={formula}" for at, formula in _FORMULA.findall(text)}
    cells = formulas | cells
    last = max((row for row, _ in cells), default=0)
    check_limit("rows", last, where)
    merged = _MERGED.findall(text)
    check_limit("rows", len(merged), f"{where}, merged cells")
    for left, top, _, bottom in map(range_boundaries, merged):
        looked_at += min(bottom, last) - top
        check_limit("workbook_cells", looked_at, where)
        if (top, left) in cells:
            cells |= {(row, left): cells[top, left] for row in range(top, min(bottom, last) + 1)}
    rows: dict[int, list] = {}
    for (number, column), cell in sorted(cells.items()):
        row_ = rows.setdefault(number - 1, [])
        row_ += [None] * (column - 1 - len(row_)) + [cell]
    return replace(_sheet(sheet.title, rows, path), formulas=formulas)


def _sheet(name: str, rows: dict[int, list], path: Path, encoding: str = "") -> Sheet:
    """A sheet of the rows that are there, numbered from 0; the others are empty."""
    height, width = max(rows, default=-1) + 1, max(map(len, rows.values()), default=0)
    characters = sum(len(cell) for row in rows.values() for cell in row if isinstance(cell, str))
    for what, count in (("cells", height * width), ("characters", characters)):
        check_limit(what, count, f"{path}, sheet {name!r}")
    texts = [[_cell_text(cell) for cell in rows.get(number, [])] for number in range(height)]
    padded = [[*row, *[""] * (width - len(row))] for row in texts]
    return Sheet(name, padded, encoding, [len(row) for row in texts])


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
    return "".join(sign for sign in str(heading).lower() if sign.isalnum())


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
    if found:
        others = [fields.sheet.name for fields in found[1:]]
        notes = [f"sheet {name!r} has the headings too and is NOT read" for name in others]
        return replace(found[0], notes=(*found[0].notes, *notes))
    rows = [row for sheet in sheets for row in sheet.rows[:HEADER_ROWS]]
    best = max((_columns(row, release) for row in rows), key=len, default={})
    if release.order and sheets and len(best) < 3:  # a word or two may stand in a cell of a row
        column = {name: k for k, name in enumerate(release.order) if name}
        frames = [column["onset"], column["offset"]]
        for row in sheets[0].rows[:HEADER_ROWS]:
            if len(row) >= len(release.order) and all(row[k].isdecimal() for k in frames):
                return Fields(sheets[0], -1, column)
    lacking = [name for name in _required(release) if name not in best]
    encoding = sheets[0].encoding if sheets else ""
    doubt = f" (read as {encoding}; better save it as CSV UTF-8)" if encoding in ENCODINGS else ""
    raise ValueError(
        f"{path}{doubt}: no row of the first {HEADER_ROWS} has a heading for {', '.join(lacking)}; "
        f"say which it is with columns={{{lacking[0]!r}: 'heading in the file'}} "
        f"(--columns {lacking[0]}=HEADING)"
    )


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
    return replace(release, headings=headings)


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
                return replace(fields, notes=_other_columns(fields, headings, release, path))
        above = row
    return None


def _other_columns(
    fields: Fields, headings: list[str], release: Release, path: Path
) -> tuple[str, ...]:
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
                    raise ValueError(
                        f"{path}, sheet {fields.sheet.name!r}, row {number}: {letters} have the "
                        f"heading {headings[taken]!r} and differ; rename the one that is not meant"
                    )
    return tuple(notes)


def _columns(row: list[str], release: Release) -> dict[str, int]:
    """The column of each field that has one of its headings in this row."""
    headings, column = [normalise(cell) for cell in row], {}
    for name, accepted in release.headings.items():
        if present := [heading for heading in accepted.split() if heading in headings]:
            column[name] = headings.index(present[0])
    return column
