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

from merclip_lib.data.annotations import sheets
from merclip_lib.data.annotations.releases import RELEASES, Release
from merclip_lib.data.annotations.rows import clip_row, person_key, picture_span, split_named
from merclip_lib.data.frames.find import Folders
from merclip_lib.data.table import COLUMNS, check_table
from merclip_lib.data.tasks import casme2_coding


@dataclass(frozen=True)
class Reading:
    """A checked clip table, the report (row, outcome, reason), for CASME II the coding, and notes.

    The notes say how the file was read: which sheet, which header row, what was left unread.
    """

    table: pd.DataFrame
    report: pd.DataFrame
    coding: str = ""
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """Rows read, kept, repaired (a part of the kept) and dropped."""
        outcome = self.report["outcome"].value_counts()
        repaired, dropped = int(outcome.get("repaired", 0)), int(outcome.get("dropped", 0))
        read = len(self.report)
        return {"read": read, "kept": read - dropped, "repaired": repaired, "dropped": dropped}


def read_annotations(
    path: str | Path,
    dataset: str,
    columns: Mapping[str, str] | None = None,
    split: str = "",
    data_root: str | Path | None = None,
) -> Reading:
    """Read the official annotation file (xlsx, xls or csv) of one dataset.

    columns: heading of a field where your release names it otherwise, such as
    {"emotion": "Objective class"}. split: adds a column `split` with this value (DFME comes as
    three files; its own column and the file's name are looked at first). data_root: the pictures;
    they mend an onset or offset that cannot be right. Rows in the report are those of the file.
    Raises ValueError for an unknown dataset, a file that cannot be read, a missing heading, or a
    file without a usable row.
    """
    release, path = _release(dataset), Path(path)
    wanted = dict(release.columns)
    for name, heading in (columns or {}).items():
        if name not in wanted:
            raise ValueError(f"columns= names {name!r}; fields are {', '.join(wanted)}")
        if not sheets.plain(heading):
            raise ValueError(f"columns= gives {name} the heading {heading!r}, which has no letters")
        wanted[name] = (sheets.plain(heading),)
    found = sheets.read_sheets(path)
    place = sheets.find(found, wanted, path, release.order)
    people = _folders_of_people(found) if dataset == "casme2sq" else {}
    further = _further_spans(place) if dataset == "smic" else []
    gathered = _Gathered(release, dataset, data_root)
    _refuse_other_set(place, dataset, path)
    for number, row in enumerate(place.sheet.rows[place.header + 1 :], start=place.header + 2):
        values = {name: row[column] for name, column in place.column.items() if column < len(row)}
        if not any(values.values()):
            continue
        values["subject"] = people.get(values.get("subject", ""), values.get("subject", ""))
        gathered.add(number, values)
        for onset, offset in further:
            if onset < len(row) and offset < len(row) and row[onset] and row[offset]:
                gathered.add(number, values | {"onset": row[onset], "offset": row[offset]})
    notes = [
        f"{path.name}, sheet {place.sheet.name!r}: "
        + (
            f"header in row {place.header + 1}"
            if place.header >= 0
            else "no header, columns taken in the official order"
        )
    ]
    others = [sheet.name for sheet in found if sheet is not place.sheet]
    if others:
        notes.append(f"sheets read for names at most: {', '.join(others)}")
    if "split" in wanted and "split" not in place.column:
        split = split or split_named(path.stem)
    return gathered.reading(str(path), split, notes)


def read_folders(root: str | Path, dataset: str) -> Reading:
    """SMIC-HS without an annotation file: subject/micro/emotion/clip/pictures, below any folder.

    The folders say all that a task needs; onset and offset are the numbers of the first and last
    picture. "Rows" in the report count the clip folders in order. Raises ValueError where there
    are none, or for another dataset.
    """
    release, root = _release(dataset), Path(root)
    if dataset != "smic":
        raise ValueError(
            f"{dataset} needs its annotation file (--annotations); folders say too little"
        )
    gathered = _Gathered(release, dataset, None)
    folders = [path for path in root.glob("**/micro/*/*") if path.is_dir()]
    for number, folder in enumerate(sorted(folders), start=1):
        subject, _, emotion, clip = folder.relative_to(root.parent).parts[-4:]
        span = picture_span(folder)
        values = {"subject": subject, "clip": clip, "emotion": emotion, "onset": "", "offset": ""}
        if span:
            values |= {"onset": str(span[0]), "offset": str(span[1])}
        gathered.add(number, values, frames=folder.relative_to(root).as_posix())
    if not gathered.report:
        raise ValueError(
            f"{root}: no folder subject/micro/emotion/clip below it; name the folder that holds "
            "the subjects s1, s2, ... of SMIC-HS"
        )
    return gathered.reading(str(root), "", [f"{root}: read from its folders, no annotation file"])


def join(readings: Sequence[Reading]) -> Reading:
    """One reading of several files of the same set (DFME's three); ids must differ."""
    table = pd.concat([reading.table for reading in readings], ignore_index=True)
    report = pd.concat([reading.report for reading in readings], ignore_index=True)
    notes = tuple(note for reading in readings for note in reading.notes)
    return Reading(check_table(table, "the files together"), report, readings[0].coding, notes)


def _release(dataset: str) -> Release:
    if dataset not in RELEASES:
        raise ValueError(f"dataset {dataset!r} is unknown; use one of {', '.join(RELEASES)}")
    return RELEASES[dataset]


def _refuse_other_set(place: sheets.Place, dataset: str, path: Path) -> None:
    """ValueError where clips or subjects bear another set's names and none this set's."""
    shown = [
        row[place.column[name]]
        for row in place.sheet.rows[place.header + 1 :]
        for name in ("clip", "subject")
        if place.column.get(name, len(row)) < len(row)
    ]
    fits = {
        name: [text for text in shown if re.fullmatch(release.names, text, re.IGNORECASE)]
        for name, release in RELEASES.items()
        if release.names
    }
    for name, found in fits.items():
        if found and 4 * len(found) >= len(shown) and not fits.get(dataset):  # half of the rows
            raise ValueError(
                f"{path}, sheet {place.sheet.name!r}: {found[0]!r} is a name of {name}, not of "
                f"{dataset}; give the annotation file of {dataset}, or `merclip manifest {name}`"
            )


class _Gathered:
    """Rows so far and what became of each."""

    def __init__(self, release: Release, dataset: str, root: str | Path | None):
        self.release, self.dataset = release, dataset
        self.folders = Folders(root) if root else None
        self.rows: list[dict] = []
        self.report: list[tuple[int, str, str]] = []
        self.seen: dict[str, int] = {}
        self.people: dict[str, tuple[str, int]] = {}

    def add(self, number: int, values: dict[str, str], frames: str = "") -> None:
        text = values.get("subject", "")
        key = person_key(text, self.release.subject)
        first, where = self.people.setdefault(key, (text, number))
        spelt = "" if first == text else f"subject {text!r} is the {first!r} of row {where}"
        values = values | {"subject": first}
        try:
            row, repair = clip_row(values, self.release, self.dataset, self.folders)
            if row["clip_id"] in self.seen:
                raise ValueError(f"same clip as row {self.seen[row['clip_id']]}")
        except ValueError as problem:
            self.report.append((number, "dropped", str(problem)))
            return
        self.seen[row["clip_id"]] = number
        self.rows.append(row | ({"frames": frames} if frames else {}))
        repair = "; ".join(filter(None, [spelt, repair]))
        self.report.append((number, "repaired" if repair else "kept", repair))

    def reading(self, where: str, split: str, notes: list[str]) -> Reading:
        if not self.rows:
            first = self.report[0] if self.report else None
            reason = f"; row {first[0]}: {first[2]}" if first else ""
            raise ValueError(f"{where}: no row under the header is usable{reason}")
        names = [*COLUMNS, *(["split"] if "split" in self.rows[0] else [])]
        table = pd.DataFrame(self.rows, columns=names)
        if split:
            table["split"] = split
        table = check_table(table, where)
        coding = ""
        if self.dataset == "casme2":
            coding = casme2_coding(table) or "unknown"
        report = pd.DataFrame(self.report, columns=["row", "outcome", "reason"])
        return Reading(table, report, coding, tuple(notes))


def _folders_of_people(found: list[sheets.Sheet]) -> dict[str, str]:
    """CAS(ME)^2 counts subjects 1 to 22; a further sheet names their folders s15, s16, ..."""
    rows = [row for sheet in found[1:] for row in sheet.rows if len(row) >= 3]
    return {row[2]: row[1] for row in rows if re.fullmatch(r"s[0-9]+", row[1])}


def _further_spans(place: sheets.Place) -> list[tuple[int, int]]:
    """Columns of the second and later expressions of a SMIC video: `OnsetF2`, `OffsetF2`, ..."""
    stems = [re.sub(r"[0-9]+$", "", heading) for heading in place.headings()]
    columns = []
    for name in ("onset", "offset"):
        first = place.column[name]
        columns.append([k for k, stem in enumerate(stems) if k > first and stem == stems[first]])
    return list(zip(*columns, strict=False))
