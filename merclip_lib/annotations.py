"""From a dataset's own annotation file to a clip table, with an account of every row.

Each licensed set comes with a spreadsheet of its own make. A layout names its columns; one reader
does the rest. No row disappears in silence: the report says of each whether it was kept, repaired
(an impossible apex is emptied) or dropped, and why. Next step: `manifests.compare_totals`.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from merclip_lib import facs, manifests

MISSING = frozenset({"", "/", "-", "?", "-1", "nan", "n/a", "none"})
# The two codings of CASME II in circulation differ in the counts of sadness and surprise.
CASME2_CODINGS = {(7, 25): "2014", (4, 28): "2019"}
_HEADER_ROWS = 40  # SAMM has a dozen lines of licence above its header


@dataclass(frozen=True)
class Layout:
    """How one dataset writes its annotations.

    columns: field -> accepted headings, compared without case, blanks and signs; "" among them
    marks a field that may be absent. subject: format of the subject's number, "" keeps the text.
    frames: where a clip's pictures lie below the data root.
    """

    columns: Mapping[str, tuple[str, ...]]
    fps: int
    subject: str = ""
    frames: str = "{subject}/{clip}"
    several_per_clip: bool = False  # several expressions in one video: the id needs the onset too


@dataclass(frozen=True)
class Reading:
    """A checked clip table, the report (row, outcome, reason) and, for CASME II, the coding."""

    table: pd.DataFrame
    report: pd.DataFrame
    coding: str = ""

    def counts(self) -> dict[str, int]:
        """Rows read, kept, repaired (a part of the kept) and dropped."""
        outcome = self.report["outcome"].value_counts()
        repaired, dropped = int(outcome.get("repaired", 0)), int(outcome.get("dropped", 0))
        read = len(self.report)
        return {"read": read, "kept": read - dropped, "repaired": repaired, "dropped": dropped}


_FRAMES = {
    "onset": ("onsetframe", "onset", "onsetf", "firstframe", "firstf"),
    "apex": ("apexframe", "apex", "apexf", ""),
    "offset": ("offsetframe", "offset", "offsetf", "lastframe", "lastf"),
}
_COMMON = _FRAMES | {
    "subject": ("subject", "subjectid", "sub"),
    "clip": ("filename", "clip", "file", "video"),
    "action_units": ("actionunits", "actionunit", "aus", "au"),
    "emotion": ("estimatedemotion", "emotion", "label"),
}

LAYOUTS = {
    "casme2": Layout(_COMMON, 200, "{:02d}", "sub{subject}/{clip}"),
    "samm": Layout(_COMMON, 200, "{:03d}"),
    "smic": Layout(_COMMON | {"action_units": ("",)}, 100, "s{:d}",
                   "{subject}/micro/{emotion}/{clip}"),
    "casme3": Layout(_COMMON, 30, several_per_clip=True),
    "dfme": Layout(_COMMON, 200, frames="{clip}"),
}

_EMOTIONS = {"happy": "happiness", "sad": "sadness", "angry": "anger", "disgusted": "disgust",
             "surprised": "surprise", "feared": "fear"}


def read_annotations(path: str | Path, dataset: str, columns: Mapping[str, str] | None = None,
                     split: str = "") -> Reading:
    """Read the official annotation file (xlsx or csv) of one dataset.

    columns: heading of a field where your release names it otherwise, such as
    {"emotion": "Objective class"}. split: adds a column `split` with this value (DFME comes as
    three files). Rows in the report are those of the file. Raises ValueError for an unknown
    dataset, a file that cannot be read, a missing heading, or a file without a usable row.
    """
    if dataset not in LAYOUTS:
        raise ValueError(f"dataset {dataset!r} is unknown; use one of {', '.join(LAYOUTS)}")
    layout, path = LAYOUTS[dataset], Path(path)
    wanted = dict(layout.columns)
    for field, heading in (columns or {}).items():
        if field not in wanted:
            raise ValueError(f"columns= names {field!r}; fields are {', '.join(wanted)}")
        wanted[field] = (_plain(heading),)
    cells = _cells(path)
    header, place = _find_header(cells, wanted, path)
    rows, report = [], []
    seen: dict[str, int] = {}
    for position in range(header + 1, len(cells)):
        values = {field: cells[position][column] for field, column in place.items()}
        if not any(values.values()):
            continue
        number = position + 1
        try:
            row, repair = _clip(values, layout, dataset)
            if row["clip_id"] in seen:
                raise ValueError(f"same clip as row {seen[row['clip_id']]}")
        except ValueError as problem:
            report.append((number, "dropped", str(problem)))
            continue
        seen[row["clip_id"]] = number
        rows.append(row)
        report.append((number, "repaired" if repair else "kept", repair))
    if not rows:
        reason = f"; row {report[0][0]}: {report[0][2]}" if report else ""
        raise ValueError(f"{path}: no row under the header in row {header + 1} is usable{reason}")
    table = pd.DataFrame(rows, columns=manifests.COLUMNS)
    if split:
        table["split"] = split
    table = manifests.check_table(table, str(path))
    coding = ""
    if dataset == "casme2":
        pair = tuple(int((table["emotion"] == name).sum()) for name in ("sadness", "surprise"))
        coding = CASME2_CODINGS.get(pair, "unknown")
    return Reading(table, pd.DataFrame(report, columns=["row", "outcome", "reason"]), coding)


def _cells(path: Path) -> list[list[str]]:
    """All cells of the first sheet as text; whole numbers without a decimal point."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; name the annotation file of your own copy")
    try:
        if path.suffix.lower() in (".xlsx", ".xlsm"):
            frame = pd.read_excel(path, header=None, dtype=object)
        else:
            with path.open(newline="", encoding="utf-8-sig") as file:
                frame = pd.DataFrame(list(csv.reader(file)), dtype=object)
    except Exception as problem:  # whatever a damaged file provokes in the readers
        raise ValueError(f"{path}: cannot be read as xlsx or csv ({problem}); save it again as "
                         "one of the two") from problem
    return [[_text(value) for value in row] for row in frame.itertuples(index=False)]


def _text(value) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _plain(heading: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(heading).lower())


def _find_header(cells: list[list[str]], wanted: Mapping[str, tuple[str, ...]],
                 path: Path) -> tuple[int, dict[str, int]]:
    """The first row with a heading for every field, and the column of each field."""
    best: dict[str, int] = {}
    for position, row in enumerate(cells[:_HEADER_ROWS]):
        headings = [_plain(value) for value in row]
        place = {}
        for field, names in wanted.items():
            found = [headings.index(name) for name in names if name and name in headings]
            if found:
                place[field] = found[0]
        if all(field in place or "" in names for field, names in wanted.items()):
            return position, place
        best = max(best, place, key=len)
    lacking = [field for field in wanted if field not in best and "" not in wanted[field]]
    raise ValueError(f"{path}: no row of the first {_HEADER_ROWS} has a heading for "
                     f"{', '.join(lacking)}; say which it is with "
                     f"columns={{{lacking[0]!r}: 'heading in the file'}}")


def _clip(values: dict[str, str], layout: Layout, dataset: str) -> tuple[dict, str]:
    """One row of the clip table and what was repaired ("" if nothing); ValueError drops it."""
    if not values["clip"]:
        raise ValueError("no clip name")
    subject = _subject(values["subject"], layout.subject)
    onset, offset = _frame(values, "onset"), _frame(values, "offset")
    if onset is None or offset is None:
        raise ValueError("no onset" if onset is None else "no offset")
    if offset < onset:
        raise ValueError(f"offset {offset} is before onset {onset}")
    repairs = []
    apex = _frame(values, "apex")
    if apex is None and "apex" in values:
        repairs.append("no apex given")
    elif apex is not None and not onset <= apex <= offset:
        repairs.append(f"apex {apex} outside {onset}-{offset}, left empty")
        apex = None
    emotion = values["emotion"].lower()
    emotion = _EMOTIONS.get(emotion, emotion)
    if emotion in MISSING:
        raise ValueError("no emotion")
    annotation = values.get("action_units", "")
    if annotation.lower() in MISSING:
        annotation = ""
    facs.parse(annotation)
    clip = values["clip"]
    clip_id = f"{dataset}_{subject}_{clip}" + (f"_{onset}" if layout.several_per_clip else "")
    frames = layout.frames.format(subject=subject, clip=clip, emotion=emotion)
    return dict(zip(manifests.COLUMNS, (
        clip_id, dataset, subject, clip, onset, apex, offset, layout.fps, annotation, emotion,
        frames), strict=True)), "; ".join(repairs)


def _subject(text: str, form: str) -> str:
    """The subject in the layout's form: 5, "5", "05" and "sub05" are one person."""
    if not text:
        raise ValueError("no subject")
    if not form:
        return text
    number = re.search(r"([0-9]+)$", text)
    if number is None:
        raise ValueError(f"subject {text!r} has no number")
    return form.format(int(number[1]))


def _frame(values: dict[str, str], field: str) -> int | None:
    """A frame number, None where the cell says that there is none."""
    text = values.get(field, "")
    if text.lower() in MISSING:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{field} {text!r} is not a frame number")
    return int(text)
