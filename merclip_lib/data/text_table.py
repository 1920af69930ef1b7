"""Tables in text files as they come: any encoding of Unicode, comma, semicolon or tab.

A row that does not fit under the headings is an error with its number, never a shifted row.
"""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from merclip_lib.data.limits import check_limits

OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # how an old xls and an encrypted xlsx begin
ZIP = b"PK\3\4"  # how an xlsx begins
_DELIMITERS = ",;\t|"
_HEAD = 60  # rows by which the delimiter is chosen
_MARK = "\ufeff"  # the byte order mark that may stand before a text of Unicode
_MARKED = ("utf-8", "utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")  # 32 begins like 16


class TextTable(NamedTuple):
    """The rows of a text file, blank ones among them, and how they were read."""

    rows: list[list[str]]
    guessed: str  # the encoding, if it is none of Unicode


def read_bytes(path: Path) -> bytes:
    """A regular file of at most the limit; ValueError for what cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ValueError(f"{path}: no such file")
        check_limits(str(path), bytes=path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        why = f"{str(path)[:200]}: cannot be read ({error.strerror})"
        raise ValueError(f"{why}; check its name and its permissions") from None


def read_text_table(path: Path, further_encodings: tuple[str, ...] = ()) -> TextTable:
    """Read a csv file.

    Args:
        path: the file.
        further_encodings: tried in this order where the text is not Unicode.

    Raises:
        ValueError: for a file that cannot be read, is no text or empty, is larger than a limit, or
            has a quote that never ends.
    """
    raw = read_bytes(path)
    if raw.startswith((OLE, ZIP)):
        raise ValueError(f"{path}: is a workbook, not text; save it as `CSV UTF-8`")
    text, encoding = _decode(raw, path, further_encodings)
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # within cells, too
    if not text.strip():
        raise ValueError(f"{path}: is empty; write or copy it again")
    if "\0" in text:
        raise ValueError(f"{path}: is not a text file; save the table as `CSV UTF-8`")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    rows: list[list[str]] = []
    try:
        rows.extend(reader)
    except csv.Error as error:
        why = f"{error}; look for a quotation mark without its partner"
        raise ValueError(f"{path}, row {len(rows) + 1}: {why}") from None
    width = max(map(len, rows))
    check_limits(str(path), rows=len(rows), columns=width, cells=len(rows) * width)
    return TextTable(rows, encoding if encoding in further_encodings else "")


def _decode(raw: bytes, path: Path, further: tuple[str, ...]) -> tuple[str, str]:
    """The text and its encoding; UTF-16 is known by its zeros where it lacks a mark."""
    marked = next((name for name in _MARKED if raw.startswith(_MARK.encode(name))), "")
    if not marked and raw[:64].count(0) > 8:
        marked = "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
    for encoding in (marked,) if marked else ("utf-8", *further):
        try:
            return raw.decode(encoding).removeprefix(_MARK), encoding
        except UnicodeDecodeError:
            continue
    raise ValueError(f"{path}: its text is not Unicode (UTF-8); save it as `CSV UTF-8`")


def _delimiter(text: str) -> str:
    """The sign that divides the most rows in a row into equally many cells."""
    head = "\n".join(text.splitlines()[:_HEAD])

    def agreement(sign: str) -> tuple[int, int]:
        try:
            widths = [len(row) for row in csv.reader(io.StringIO(head, newline=""), delimiter=sign)]
        except csv.Error:
            return 0, 0
        pairs = sum(a == b > 1 for a, b in zip(widths, widths[1:], strict=False))
        return pairs, max(widths, default=0)

    return max(_DELIMITERS, key=agreement)
