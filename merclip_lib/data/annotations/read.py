"""From a dataset's own annotation file to a clip table, with an account of every row.

Each licensed set comes with a spreadsheet of its own make. A release names its columns; one reader
does the rest. No row disappears in silence: the report says of each whether it was kept, repaired
(an impossible apex is emptied, a missing offset taken from the pictures) or dropped, and why.
Next step: `report.describe_table` and `tasks.compare_totals`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from merclip_lib.data.annotations import sheets
from merclip_lib.data.annotations.clip_row import clip_row, sound_values, split_named, subject_key
from merclip_lib.data.annotations.releases import KNOWN_EMOTIONS, NAMES, RELEASES, Release
from merclip_lib.data.frames.find import DataRoot, picture_span
from merclip_lib.data.table import check_table
from merclip_lib.data.tasks import casme2_coding
from merclip_lib.files import did_you_mean

MOST_NOTES = 20  # of one kind, in a report
Rows = Iterable[tuple[int, dict[str, str] | str]]  # number, and values or why they cannot be read


class Reading(NamedTuple):
    """What was read of an annotation file.

    Attributes:
        table: the checked clip table.
        report: columns row, outcome (kept, repaired, dropped) and reason.
        notes: which sheet was read, which header row, what was left unread.
    """

    table: pd.DataFrame
    report: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def coding(self) -> str:
        """Of CASME II "2014", "2019" or "unknown"; "" of another set."""
        return casme2_coding(self.table)

    def counts(self) -> dict[str, int]:
        """Rows read, kept, repaired (a part of the kept) and dropped."""
        counts = Counter(self.report["outcome"])
        kept = {"read": counts.total(), "kept": counts["kept"] + counts["repaired"]}
        return kept | {name: counts[name] for name in ("repaired", "dropped")}


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
    if isinstance(dataset, str) and dataset not in RELEASES:
        raise ValueError(f"dataset {dataset!r} is unknown{did_you_mean(dataset, RELEASES)}")
    release = RELEASES[dataset] if isinstance(dataset, str) else dataset
    release, path = sheets.with_headings(release, columns or {}, "columns="), Path(path)
    all_sheets = sheets.read_sheets(path)
    fields = sheets.find_fields(all_sheets, release, path)
    if release.dataset in RELEASES:
        _refuse_other_set(fields, release.dataset, path)
    if "split" in release.headings and "split" not in fields.column:
        split = split or split_named(path.stem)
    root = DataRoot(data_root) if data_root else None
    reading = _reading(_rows(fields, all_sheets, release.dataset, path), release, root, str(path))
    if split:
        reading.table["split"] = split
    header = "no header, columns taken in the official order"
    header = header if fields.header < 0 else f"header in row {fields.header + 1}"
    notes = [f"{path.name}, sheet {fields.sheet.name!r}: {header}", *fields.notes]
    if guessed := fields.sheet.guessed:
        notes.append(f"read as {guessed}, as it is not Unicode: check the names")
    return reading._replace(notes=(*notes, *reading.notes))


def read_folders(root: str | Path, dataset: str) -> Reading:
    """Read SMIC-HS without an annotation file: subject/micro/emotion/clip, below any folder.

    The folders say all that a task needs; onset and offset are the numbers of the first and last
    picture.

    Returns:
        As `read_annotations`; rows of the report count the clip folders in order.

    Raises:
        ValueError: where there are no such folders, or for another dataset.
    """
    if dataset != "smic":
        raise ValueError(f"{dataset}: folders say too little; give its file with --annotations")
    root, rows = Path(root), []
    folders = sorted(path for path in root.glob("**/micro/*/*") if path.is_dir())
    if not folders:
        raise ValueError(f"{root}: no folder subject/micro/emotion/clip; name that of SMIC-HS")
    for folder in folders:
        subject, _, emotion, clip = folder.relative_to(root.parent).parts[-4:]
        onset, offset = map(str, picture_span(folder) or ("", ""))
        values = {"subject": subject, "clip": clip, "emotion": emotion}
        rows.append(values | {"onset": onset, "offset": offset})
    reading = _reading(enumerate(rows, start=1), RELEASES[dataset], None, str(root))
    outcomes = zip(folders, reading.report["outcome"], strict=True)
    kept = [folder for folder, outcome in outcomes if outcome != "dropped"]
    reading.table["frames"] = [folder.relative_to(root).as_posix() for folder in kept]
    note = f"{root}: read from its folders, no annotation file"
    return reading._replace(notes=(note, *reading.notes))


def join(readings: Sequence[Reading]) -> Reading:
    """Make one reading of several files of the same set (DFME's three).

    Raises:
        ValueError: if a clip is in two of them.
    """
    table = pd.concat([reading.table for reading in readings], ignore_index=True)
    report = pd.concat([reading.report for reading in readings], ignore_index=True)
    notes = tuple(note for reading in readings for note in reading.notes)
    return Reading(check_table(table, "the files together"), report, notes)


def _refuse_other_set(fields: sheets.Fields, dataset: str, path: Path) -> None:
    """ValueError where clips or subjects bear another set's names and none this set's."""
    columns = (fields.column["clip"], fields.column["subject"])
    shown = [row[column] for _, row in fields.rows() for column in columns]
    fits = {name: [t for t in shown if re.fullmatch(names, t)] for name, names in NAMES.items()}
    for name, texts in fits.items():
        if texts and 4 * len(texts) >= len(shown) and not fits.get(dataset):  # half of the rows
            wrong = f"{texts[0]!r} is a name of {name}, not of {dataset}"
            remedy = f"give the annotation file of {dataset}, or `merclip manifest {name}`"
            raise ValueError(f"{path}, sheet {fields.sheet.name!r}: {wrong}; {remedy}")


def _rows(fields: sheets.Fields, all_sheets: list[sheets.Sheet], dataset: str, path: Path) -> Rows:
    """The rows below the header that are not empty."""
    subject_folders = _subject_folders(all_sheets) if dataset == "casme2sq" else {}
    further_spans = _further_spans(fields) if dataset == "smic" else []
    for number, row in fields.rows():
        values = {name: row[column] for name, column in fields.column.items()}
        if not any(values.values()):
            continue
        if fields.shifted(number):
            yield number, "more cells than headings; quote those with the delimiter in it"
            continue
        if values["clip"]:  # there may be counts below the table
            fields.refuse_formulas(number, path)
        values["subject"] = subject_folders.get(values["subject"], values["subject"])
        yield number, values
        for onset, offset in further_spans:
            if row[onset] and row[offset]:
                yield number, values | {"onset": row[onset], "offset": row[offset]}


def _reading(rows: Rows, release: Release, root: DataRoot | None, where: str) -> Reading:
    """Take or drop each row; ValueError where none is usable."""
    taken, report = [], []
    row_of_clip: dict[str, int] = {}
    spellings: dict[str, tuple[str, int]] = {}  # subject -> its first spelling and row
    unknown = defaultdict(list)  # emotion -> rows
    for number, values in rows:
        try:
            if isinstance(values, str):
                raise ValueError(values)
            values = sound_values(values)
            text = values["subject"]
            key = subject_key(text, release.subject)
            first, first_row = spellings.setdefault(key, (text, number))
            row, repair = clip_row(values | {"subject": first}, release, root)
            if same := row_of_clip.get(row["clip_id"].casefold()):
                raise ValueError(f"same clip as row {same}")
        except ValueError as problem:
            report.append((number, "dropped", str(problem)))
            continue
        row_of_clip[row["clip_id"].casefold()] = number
        taken.append(row)
        if row["emotion"] not in KNOWN_EMOTIONS:
            unknown[row["emotion"]].append(str(number))
        spelling = "" if first == text else f"subject {text!r} is the {first!r} of row {first_row}"
        reason = "; ".join(filter(None, [spelling, repair]))
        report.append((number, "repaired" if reason else "kept", reason))
    if not taken:
        reason = f"; row {report[0][0]}: {report[0][2]}" if report else ""
        raise ValueError(f"{where}: no row under the header is usable{reason}")
    table = check_table(pd.DataFrame(taken), where)
    outcomes = pd.DataFrame(report, columns=["row", "outcome", "reason"])
    return Reading(table, outcomes, tuple(_unknown_emotions(unknown)))


def _unknown_emotions(rows: Mapping[str, list[str]]) -> list[str]:
    """A note for each emotion that no task knows, with its rows: most are misspelt."""
    notes = [
        f"emotion {name!r} is unknown, no task takes it (row {', '.join(numbers[:MOST_NOTES])}"
        f"{', ...' * (len(numbers) > MOST_NOTES)}){did_you_mean(name, KNOWN_EMOTIONS)}"
        for name, numbers in list(rows.items())[:MOST_NOTES]
    ]
    more = len(rows) - len(notes)
    return [*notes, *[f"{more} more emotions are unknown"] * (more > 0)]


def _subject_folders(all_sheets: list[sheets.Sheet]) -> dict[str, str]:
    """CAS(ME)^2 counts subjects 1 to 22; a further sheet names their folders s15, s16, ..."""
    rows = [row for sheet in all_sheets[1:] for row in sheet.rows if len(row) >= 3]
    return {row[2]: row[1] for row in rows if re.fullmatch(r"s[0-9]+", row[1])}


def _further_spans(fields: sheets.Fields) -> list[tuple[int, int]]:
    """Columns of the second and later expressions of a SMIC video: `OnsetF2`, `OffsetF2`, ..."""
    headings = fields.sheet.rows[fields.header]
    stems = [re.sub(r"[0-9]+$", "", sheets.normalise(heading)) for heading in headings]
    onset, offset = fields.column["onset"], fields.column["offset"]
    onsets = [k for k, stem in enumerate(stems) if k > onset and stem == stems[onset]]
    offsets = [k for k, stem in enumerate(stems) if k > offset and stem == stems[offset]]
    return list(zip(onsets, offsets, strict=False))
