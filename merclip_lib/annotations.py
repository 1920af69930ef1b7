"""From a dataset's own annotation file to a clip table, with an account of every row.

Each licensed set comes with a spreadsheet of its own make. A layout names its columns; one reader
does the rest. No row disappears in silence: the report says of each whether it was kept, repaired
(an impossible apex is emptied, a missing offset taken from the pictures) or dropped, and why.
Next step: `report.describe_table` and `tasks.compare_totals`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from merclip_lib import facs, manifests, sheets
from merclip_lib.releases import EMOTIONS, LAYOUTS, SMIC_EMOTIONS, Layout

MISSING = frozenset({"", "/", "-", "?", "-1", "nan", "n/a", "na", "none", "null", "#n/a"})
# The two codings of CASME II in circulation differ in the counts of sadness and surprise.
CASME2_CODINGS = {(7, 25): "2014", (4, 28): "2019"}
PICTURES = (".jpg", ".jpeg", ".png", ".bmp")


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
    layout, path = _layout(dataset), Path(path)
    wanted = dict(layout.columns)
    for name, heading in (columns or {}).items():
        if name not in wanted:
            raise ValueError(f"columns= names {name!r}; fields are {', '.join(wanted)}")
        if not sheets.plain(heading):
            raise ValueError(f"columns= gives {name} the heading {heading!r}, which has no letters")
        wanted[name] = (sheets.plain(heading),)
    found = sheets.read_sheets(path)
    place = sheets.find(found, wanted, path, layout.order)
    people = _folders_of_people(found) if dataset == "casme2sq" else {}
    further = _further_spans(place) if dataset == "smic" else []
    gathered = _Gathered(layout, dataset, data_root)
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
        split = split or _split(path.stem)
    return gathered.reading(str(path), split, notes)


def read_folders(root: str | Path, dataset: str) -> Reading:
    """SMIC-HS without an annotation file: subject/micro/emotion/clip/pictures, below any folder.

    The folders say all that a task needs; onset and offset are the numbers of the first and last
    picture. "Rows" in the report count the clip folders in order. Raises ValueError where there
    are none, or for another dataset.
    """
    layout, root = _layout(dataset), Path(root)
    if dataset != "smic":
        raise ValueError(
            f"{dataset} needs its annotation file (--annotations); folders say too little"
        )
    gathered = _Gathered(layout, dataset, None)
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
    return Reading(
        manifests.check_table(table, "the files together"), report, readings[0].coding, notes
    )


def picture_span(folder: Path) -> tuple[int, int] | None:
    """Numbers of the first and last picture (the last number in a file's name), None if none."""
    numbers = [
        int(found[-1])
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in PICTURES and (found := re.findall(r"[0-9]{1,9}", path.stem))
    ]
    return (min(numbers), max(numbers)) if numbers else None


def _layout(dataset: str) -> Layout:
    if dataset not in LAYOUTS:
        raise ValueError(f"dataset {dataset!r} is unknown; use one of {', '.join(LAYOUTS)}")
    return LAYOUTS[dataset]


class _Gathered:
    """Rows so far and what became of each."""

    def __init__(self, layout: Layout, dataset: str, root: str | Path | None):
        self.layout, self.dataset, self.root = layout, dataset, root
        self.rows: list[dict] = []
        self.report: list[tuple[int, str, str]] = []
        self.seen: dict[str, int] = {}

    def add(self, number: int, values: dict[str, str], frames: str = "") -> None:
        try:
            row, repair = _clip(values, self.layout, self.dataset, self.root)
            if row["clip_id"] in self.seen:
                raise ValueError(f"same clip as row {self.seen[row['clip_id']]}")
        except ValueError as problem:
            self.report.append((number, "dropped", str(problem)))
            return
        self.seen[row["clip_id"]] = number
        self.rows.append(row | ({"frames": frames} if frames else {}))
        self.report.append((number, "repaired" if repair else "kept", repair))

    def reading(self, where: str, split: str, notes: list[str]) -> Reading:
        if not self.rows:
            first = self.report[0] if self.report else None
            reason = f"; row {first[0]}: {first[2]}" if first else ""
            raise ValueError(f"{where}: no row under the header is usable{reason}")
        names = [*manifests.COLUMNS, *(["split"] if "split" in self.rows[0] else [])]
        table = pd.DataFrame(self.rows, columns=names)
        if split:
            table["split"] = split
        table = manifests.check_table(table, where)
        coding = ""
        if self.dataset == "casme2":
            pair = tuple(int((table["emotion"] == name).sum()) for name in ("sadness", "surprise"))
            coding = CASME2_CODINGS.get(pair, "unknown")
        report = pd.DataFrame(self.report, columns=["row", "outcome", "reason"])
        return Reading(table, report, coding, tuple(notes))


def _clip(
    values: dict[str, str], layout: Layout, dataset: str, root: str | Path | None
) -> tuple[dict, str]:
    """One row of the clip table and what was repaired ("" if nothing); ValueError drops it."""
    clip = values.get("clip", "")
    if not clip:
        raise ValueError("no clip name")
    if values.get("kind", "").lower().startswith("macro"):
        raise ValueError("a macro-expression")
    subject = _subject(values.get("subject", ""), layout.subject)
    written = _emotion_written(values, dataset)
    emotion = EMOTIONS.get(written, written)
    emotion = layout.emotions.get(emotion, emotion)
    frames = layout.frames.format(subject=subject, clip=clip, emotion=written)
    folder = Path(root) / frames if root and layout.own_folder else None
    onset, apex, offset, repairs = _frame_numbers(values, layout, folder)
    annotation = values.get("action_units", "")
    if annotation.lower() in MISSING:
        annotation = ""
    facs.parse(annotation)
    clip_id = f"{dataset}_{subject}_{clip}_{onset}"
    row = dict(
        zip(
            manifests.COLUMNS,
            (
                clip_id,
                dataset,
                subject,
                clip,
                onset,
                apex,
                offset,
                layout.fps,
                annotation,
                emotion,
                frames,
            ),
            strict=True,
        )
    )
    if "split" in values:
        row["split"] = _split(values["split"]) or values["split"]
    return row, "; ".join(repairs)


def _subject(text: str, form: str) -> str:
    """The subject in the layout's form: 5, "5", "05" and "sub05" are one person."""
    if text.lower() in MISSING:
        raise ValueError("no subject")
    if not form:
        return text
    number = re.search(r"([0-9]{1,9})$", text)
    if number is None:
        raise ValueError(f"subject {text!r} has no number")
    return form.format(int(number[1]))


def _emotion_written(values: dict[str, str], dataset: str) -> str:
    """The emotion as the file has it, in lower case; SMIC's may be in the clip's name alone."""
    written = values.get("emotion", "").lower()
    if written in MISSING and dataset == "smic":
        part = re.search(r"_(ne|po|sur)_", values["clip"].lower())
        written = SMIC_EMOTIONS[part[1]] if part else ""
    if written in MISSING:
        raise ValueError("no emotion")
    return written


def _frame_numbers(
    values: dict[str, str], layout: Layout, folder: Path | None
) -> tuple[int, int | None, int, list[str]]:
    """Onset, apex (None if there is none), offset, and what was repaired."""
    onset, apex, offset = (_frame(values, name) for name in ("onset", "apex", "offset"))
    repairs = []
    if onset is not None and onset < layout.first_frame:
        repairs.append(f"onset {onset} becomes {layout.first_frame}, the first picture")
        apex = layout.first_frame if apex == onset else apex
        onset = layout.first_frame
    wrong = "no onset" if onset is None else "no offset" if offset is None else ""
    if not wrong and offset < onset:
        wrong = f"offset {offset} is before onset {onset}"
    if wrong:
        span = picture_span(folder) if folder else None
        if span is None:
            raise ValueError(wrong)
        onset, offset = span
        repairs.append(f"{wrong}: onset {onset} and offset {offset} from the pictures")
    if apex is None and "apex" in values:
        repairs.append("no apex given")
    elif apex is not None and not onset <= apex <= offset:
        repairs.append(f"apex {apex} outside {onset}-{offset}, left empty")
        apex = None
    return onset, apex, offset, repairs


def _frame(values: dict[str, str], name: str) -> int | None:
    """A frame number, None where the cell says that there is none."""
    text = values.get(name, "")
    if text.lower() in MISSING:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{name} {text!r} is not a frame number")
    return int(text)


def _split(text: str) -> str:
    """`train`, `test_a` or `test_b` where the text says so ("testA", "DFME_test_B"), else ""."""
    name = sheets.plain(text)
    return next(
        (split for split in ("test_a", "test_b", "train") if split.replace("_", "") in name), ""
    )


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
