"""From a dataset's own annotation file to a clip table, with an account of every row.

Each licensed set comes with a spreadsheet of its own make. A release names its columns; one reader
does the rest. No row disappears in silence: the report says of each whether it was kept, repaired
(an impossible apex is emptied, a missing offset taken from the pictures) or dropped, and why.
Next step: `report.describe_table` and `tasks.compare_totals`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from merclip_lib.data.annotations.clip_row import clip_row, sound_values, split_named, subject_key
from merclip_lib.data.annotations.releases import KNOWN_EMOTIONS, NAMES, RELEASES, Release
from merclip_lib.data.annotations.sheets import (
    ENCODINGS,
    Fields,
    Sheet,
    find_fields,
    normalise,
    read_sheets,
    with_headings,
)
from merclip_lib.data.frames.find import DataRoot, picture_span
from merclip_lib.data.table import COLUMNS, check_table
from merclip_lib.data.tasks import casme2_coding
from merclip_lib.files import did_you_mean

MOST_NOTES = 20  # of one kind, in a report


@dataclass(frozen=True)
class Reading:
    """What was read of an annotation file.

    Attributes:
        table: the checked clip table.
        report: columns row, outcome (kept, repaired, dropped) and reason.
        coding: for CASME II "2014", "2019" or "unknown".
        notes: which sheet was read, which header row, what was left unread.
    """

    table: pd.DataFrame
    report: pd.DataFrame
    coding: str = ""
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Rows read, kept, repaired (a part of the kept) and dropped."""
        read, outcomes = len(self.report), self.report["outcome"].tolist()
        repaired, dropped = outcomes.count("repaired"), outcomes.count("dropped")
        return {"read": read, "kept": read - dropped, "repaired": repaired, "dropped": dropped}


def read_annotations(
    path: str | Path,
    dataset: str | Release,
    columns: Mapping[str, str] | None = None,
    split: str = "",
    data_root: str | Path | None = None,
) -> Reading:
    """Read the official annotation file of one dataset.

    Args:
        path: xlsx or csv.
        dataset: a key of RELEASES, or a release of your own.
        columns: heading of a field where your release names it otherwise, such as
            {"emotion": "Objective class"}.
        split: adds a column `split` with this value (DFME comes as three files; its own column and
            the file's name are looked at first).
        data_root: the pictures; they mend an onset or offset that cannot be right.

    Returns:
        The clip table and what became of each row; rows are numbered as in the file.

    Raises:
        ValueError: for an unknown dataset, a file that cannot be read or is another set's, a
            missing heading, a formula in a column of text, or a file without a usable row.
    """
    release = dataset if isinstance(dataset, Release) else _release(dataset)
    release, path = with_headings(release, columns or {}, "columns="), Path(path)
    sheets = read_sheets(path)
    fields = find_fields(sheets, release, path)
    if release.dataset in RELEASES:
        _refuse_other_set(fields, release.dataset, path)
    subject_folders = _subject_folders(sheets) if release.dataset == "casme2sq" else {}
    further_spans = _further_spans(fields) if release.dataset == "smic" else []
    collected = _CollectedRows(release, data_root)
    for number, row in fields.rows():
        values = {name: row[column] for name, column in fields.column.items()}
        if not any(values.values()):
            continue
        if fields.shifted(number):
            collected.drop(number, "more cells than headings; quote those with the delimiter in it")
            continue
        if values["clip"]:  # there may be counts below the table
            fields.refuse_formulas(number, path)
        values["subject"] = subject_folders.get(values["subject"], values["subject"])
        collected.add(number, values)
        for onset, offset in further_spans:
            if row[onset] and row[offset]:
                collected.add(number, values | {"onset": row[onset], "offset": row[offset]})
    if "split" in release.headings and "split" not in fields.column:
        split = split or split_named(path.stem)
    return collected.reading(str(path), split, _notes(path, fields, sheets))


def read_folders(root: str | Path, dataset: str) -> Reading:
    """Read SMIC-HS without an annotation file: subject/micro/emotion/clip, below any folder.

    The folders say all that a task needs; onset and offset are the numbers of the first and last
    picture.

    Returns:
        As `read_annotations`; rows of the report count the clip folders in order.

    Raises:
        ValueError: where there are no such folders, or for another dataset.
    """
    release, root = _release(dataset), Path(root)
    if dataset != "smic":
        raise ValueError(f"{dataset}: folders say too little; give its file with --annotations")
    collected = _CollectedRows(release, None)
    folders = [path for path in root.glob("**/micro/*/*") if path.is_dir()]
    for number, folder in enumerate(sorted(folders), start=1):
        subject, _, emotion, clip = folder.relative_to(root.parent).parts[-4:]
        onset, offset = picture_span(folder) or ("", "")
        values = {"subject": subject, "clip": clip, "emotion": emotion}
        values |= {"onset": str(onset), "offset": str(offset)}
        collected.add(number, values, frames=folder.relative_to(root).as_posix())
    if not collected.report:
        raise ValueError(f"{root}: no folder subject/micro/emotion/clip; name that of SMIC-HS")
    return collected.reading(str(root), "", [f"{root}: read from its folders, no annotation file"])


def join(readings: Sequence[Reading]) -> Reading:
    """Make one reading of several files of the same set (DFME's three).

    Raises:
        ValueError: if a clip is in two of them.
    """
    table = pd.concat([reading.table for reading in readings], ignore_index=True)
    report = pd.concat([reading.report for reading in readings], ignore_index=True)
    notes = tuple(note for reading in readings for note in reading.notes)
    return Reading(check_table(table, "the files together"), report, readings[0].coding, notes)


def _release(dataset: str) -> Release:
    if dataset not in RELEASES:
        raise ValueError(f"dataset {dataset!r} is unknown{did_you_mean(dataset, RELEASES)}")
    return RELEASES[dataset]


def _notes(path: Path, fields: Fields, sheets: list[Sheet]) -> list[str]:
    """How the file was read."""
    header = "no header, columns taken in the official order"
    header = header if fields.header < 0 else f"header in row {fields.header + 1}"
    notes = [f"{path.name}, sheet {fields.sheet.name!r}: {header}", *fields.notes]
    if fields.sheet.encoding in ENCODINGS:
        notes.append(f"read as {fields.sheet.encoding}, as it is not Unicode: check the names")
    others = [sheet.name for sheet in sheets if sheet is not fields.sheet]
    others = [name for name in others if f"sheet {name!r}" not in " ".join(fields.notes)]
    if others:
        notes.append(f"sheets read for names at most: {', '.join(others)}")
    return notes


def _refuse_other_set(fields: Fields, dataset: str, path: Path) -> None:
    """ValueError where clips or subjects bear another set's names and none this set's."""
    columns = (fields.column["clip"], fields.column["subject"])
    shown = [row[column] for _, row in fields.rows() for column in columns]
    fits = {
        name: [text for text in shown if re.fullmatch(pattern, text, re.IGNORECASE)]
        for name, pattern in NAMES.items()
    }
    for name, texts in fits.items():
        if texts and 4 * len(texts) >= len(shown) and not fits.get(dataset):  # half of the rows
            raise ValueError(
                f"{path}, sheet {fields.sheet.name!r}: {texts[0]!r} is a name of {name}, not of "
                f"{dataset}; give the annotation file of {dataset}, or `merclip manifest {name}`"
            )


class _CollectedRows:
    """Rows of the clip table so far, and what became of each row of the file."""

    def __init__(self, release: Release, data_root: str | Path | None):
        self.release = release
        self.data_root = DataRoot(data_root) if data_root else None
        self.rows: list[dict] = []
        self.report: list[tuple[int, str, str]] = []
        self.row_of_clip: dict[str, int] = {}
        self.first_spelling: dict[str, tuple[str, int]] = {}  # subject -> its text, its row

    def add(self, number: int, values: dict[str, str], frames: str = "") -> None:
        """Take a row of the file, or drop it; either way it is reported."""
        try:
            values = sound_values(values)
            text = values["subject"]
            key = subject_key(text, self.release.subject)
            first, first_row = self.first_spelling.setdefault(key, (text, number))
            row, repair = clip_row(values | {"subject": first}, self.release, self.data_root)
            if same := self.row_of_clip.get(row["clip_id"].casefold()):
                raise ValueError(f"same clip as row {same}")
        except ValueError as problem:
            self.drop(number, str(problem))
            return
        spelling = "" if first == text else f"subject {text!r} is the {first!r} of row {first_row}"
        self.row_of_clip[row["clip_id"].casefold()] = number
        self.rows.append(row | ({"frames": frames} if frames else {}))
        reason = "; ".join(filter(None, [spelling, repair]))
        self.report.append((number, "repaired" if reason else "kept", reason))

    def drop(self, number: int, reason: str) -> None:
        """Leave a row of the file out."""
        self.report.append((number, "dropped", reason))

    def _unknown_emotions(self) -> list[str]:
        """A note for each emotion that no task knows, with its rows: most are misspelt."""
        rows: dict[str, list[str]] = {}
        for row in self.rows:
            if row["emotion"] not in KNOWN_EMOTIONS:
                number = self.row_of_clip[row["clip_id"].casefold()]
                rows.setdefault(row["emotion"], []).append(str(number))
        notes = [
            f"emotion {name!r} is unknown, no task takes it (row {', '.join(numbers[:MOST_NOTES])}"
            f"{', ...' * (len(numbers) > MOST_NOTES)}){did_you_mean(name, KNOWN_EMOTIONS)}"
            for name, numbers in list(rows.items())[:MOST_NOTES]
        ]
        more = len(rows) - len(notes)
        return [*notes, *[f"{more} more emotions are unknown"] * (more > 0)]

    def reading(self, where: str, split: str, notes: list[str]) -> Reading:
        """All rows as a checked table; ValueError if there are none."""
        if not self.rows:
            first = self.report[0] if self.report else None
            reason = f"; row {first[0]}: {first[2]}" if first else ""
            raise ValueError(f"{where}: no row under the header is usable{reason}")
        further = ["split"] if "split" in self.rows[0] else []
        table = pd.DataFrame(self.rows, columns=[*COLUMNS, *further])
        if split:
            table["split"] = split
        table = check_table(table, where)
        report = pd.DataFrame(self.report, columns=["row", "outcome", "reason"])
        is_casme2 = self.release.dataset == "casme2"
        coding = (casme2_coding(table) or "unknown") if is_casme2 else ""
        return Reading(table, report, coding, (*notes, *self._unknown_emotions()))


def _subject_folders(sheets: list[Sheet]) -> dict[str, str]:
    """CAS(ME)^2 counts subjects 1 to 22; a further sheet names their folders s15, s16, ..."""
    rows = [row for sheet in sheets[1:] for row in sheet.rows if len(row) >= 3]
    return {row[2]: row[1] for row in rows if re.fullmatch(r"s[0-9]+", row[1])}


def _further_spans(fields: Fields) -> list[tuple[int, int]]:
    """Columns of the second and later expressions of a SMIC video: `OnsetF2`, `OffsetF2`, ..."""
    headings = fields.sheet.rows[fields.header]
    stems = [re.sub(r"[0-9]+$", "", normalise(heading)) for heading in headings]
    onset, offset = fields.column["onset"], fields.column["offset"]
    onsets = [k for k, stem in enumerate(stems) if k > onset and stem == stems[onset]]
    offsets = [k for k, stem in enumerate(stems) if k > offset and stem == stems[offset]]
    return list(zip(onsets, offsets, strict=False))
