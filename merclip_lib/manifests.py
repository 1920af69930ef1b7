"""The clip table: one row per clip, the same columns for every dataset.

A task turns emotions into classes (`negative` = anger + disgust + ...) and says which rows take
part; the cards in data_manifests/ hold the totals that the paper's lists have, so a table built
from one's own copy of a licensed set can be checked against them. Tables are plain CSV; every
check names the file, the row as a spreadsheet numbers it, and the remedy.
"""

import difflib
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from merclip_lib import facs

# onset, apex and offset are frame numbers, fps frames per second; action_units is FACS notation;
# frames is where the pictures are (folder or video below the data root), "" for drawn clips.
COLUMNS = ["clip_id", "dataset", "subject", "clip", "onset", "apex", "offset", "fps",
           "action_units", "emotion", "frames"]
CARDS = Path(__file__).resolve().parents[1] / "data_manifests"
_TEXT = ["clip_id", "dataset", "subject", "clip", "action_units", "emotion", "frames"]
_REQUIRED = ["clip_id", "dataset", "subject"]
_FRAME_NUMBERS = ["onset", "apex", "offset"]


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a clip table; further columns are kept as they are.

    Ids and annotations are text ("01" stays "01", an empty cell is ""), frame numbers int64;
    apex alone may be empty (then it is a nullable integer). Raises ValueError for a missing file
    or column, an empty table, a repeated clip_id, frame numbers out of order, or an annotation
    that `facs.parse` cannot read.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such clip table; build it from your copy of the dataset, or "
                         "draw SynthME with `merclip synth`")
    numbers = dict.fromkeys([*_FRAME_NUMBERS, "fps"], str)
    table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str) | numbers, keep_default_na=False)
    return check_table(table, str(path))


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Check a clip table and write it (atomically; the index is not written)."""
    path = Path(path)
    table = check_table(table, str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        table.to_csv(temporary, index=False, lineterminator="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_table(table: pd.DataFrame, where: str = "clip table") -> pd.DataFrame:
    """A copy of the table with checked columns and types; ValueError as in `read_table`."""
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{where}: column(s) {', '.join(missing)} are missing; a clip table has "
                         f"{', '.join(COLUMNS)}")
    if table.empty:
        raise ValueError(f"{where}: the table has no rows; did the filter before it keep any?")
    table = table.copy()
    for name in _TEXT:
        table[name] = table[name].where(table[name].notna(), "").astype(str)
    for name in _REQUIRED:
        _refuse(table, table[name].str.strip() == "", name, where, "must not be empty")
    _refuse(table, table["clip_id"].duplicated(), "clip_id", where,
            "occurs before in the table; give every clip an id of its own")
    for name in _FRAME_NUMBERS:
        table[name] = _whole_numbers(table, name, where)
    table["fps"] = _numbers(table, "fps", where)
    _refuse(table, ~(table["fps"] > 0), "fps", where, "must be a number of frames per second")
    _refuse(table, table["onset"] < 0, "onset", where, "must not be negative")
    _refuse(table, table["offset"] < table["onset"], "offset", where,
            "is before the onset; correct the frame numbers")
    outside = (table["apex"] < table["onset"]) | (table["apex"] > table["offset"])
    _refuse(table, outside.fillna(False).astype(bool), "apex", where,
            "is not between onset and offset; correct it, or leave it empty")
    _refuse(table, table["emotion"] != table["emotion"].str.strip().str.lower(), "emotion", where,
            "must be written in lower case without blanks around")
    for row, annotation in enumerate(table["action_units"]):
        facs.parse(annotation, where=f"{where}, row {row + 2}")
    return table


def _refuse(table: pd.DataFrame, bad: pd.Series, column: str, where: str, remedy: str) -> None:
    """ValueError for the first bad row; row 1 of the file is the header."""
    rows = bad.to_numpy().nonzero()[0]
    if len(rows):
        value = table[column].iloc[rows[0]]
        text = repr(value) if isinstance(value, str) else str(value)
        raise ValueError(f"{where}, row {rows[0] + 2}: {column} {text} {remedy}")


def _numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    written = table[column].astype(object).where(table[column].notna(), "")
    empty = written.astype(str).str.strip() == ""
    numbers = pd.to_numeric(written.mask(empty), errors="coerce").astype(float)
    finite = numbers.abs() < 2**53
    _refuse(table, ~finite & ~empty, column, where, "is not a number; correct the cell")
    return numbers


def _whole_numbers(table: pd.DataFrame, column: str, where: str) -> pd.Series:
    numbers = _numbers(table, column, where)
    if column != "apex":
        _refuse(table, numbers.isna(), column, where, "is missing; fill in the frame number")
    _refuse(table, numbers.notna() & (numbers % 1 != 0), column, where,
            "is not a whole frame number; correct the cell")
    return numbers.astype("Int64" if numbers.isna().any() else "int64")


def hash_ids(clip_ids: Iterable[str]) -> str:
    """12 hex digits that stand for a set of clips, whatever their order."""
    return hashlib.sha256("\n".join(sorted(map(str, clip_ids))).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Task:
    """A classification task: which emotions of which databases make which class.

    A key of `label_map` is an emotion, or `database/emotion` where a rule holds for one database
    only. `left_out` names single clips as (database, subject, clip).
    """

    name: str
    classes: tuple[str, ...]
    label_map: dict[str, str]
    databases: tuple[str, ...]
    left_out: tuple[tuple[str, str, str], ...] = field(default=())


def _same(*names: str) -> dict[str, str]:
    """Emotions that are classes of their own."""
    return {name: name for name in names}


_NEGATIVE = {name: "negative" for name in ("anger", "disgust", "fear", "sadness")}
_THREE = {"happiness": "positive", "surprise": "surprise"}
_SEVEN = ("anger", "disgust", "fear", "happiness", "others", "sadness", "surprise")
_DFME = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_POLAR = ("negative", "positive", "surprise")

# Class counts are in METHOD section 1 and in the cards; MEGC2019 takes SAMM's fear and sadness
# as negative but not CASME II's, hence the keys with a database.
TASKS = {task.name: task for task in (
    Task("synthme-7", _SEVEN, _same(*_SEVEN), ("synthme",)),
    Task("synthme-4", (*_POLAR, "others"), _NEGATIVE | _THREE | _same("others"), ("synthme",)),
    Task("synthme-3", _POLAR, _NEGATIVE | _THREE, ("synthme",)),
    Task("casme2-3", _POLAR, {"disgust": "negative", "repression": "negative"} | _THREE,
         ("casme2",)),
    Task("casme2-5", ("disgust", "happiness", "others", "repression", "surprise"),
         _same("disgust", "happiness", "others", "repression", "surprise"), ("casme2",)),
    Task("samm-3", _POLAR, {"anger": "negative", "contempt": "negative"} | _THREE, ("samm",)),
    Task("samm-5", ("anger", "contempt", "happiness", "other", "surprise"),
         _same("anger", "contempt", "happiness", "other", "surprise"), ("samm",)),
    Task("casme3-3", _POLAR, _NEGATIVE | _THREE, ("casme3",)),
    Task("casme3-4", (*_POLAR, "others"), _NEGATIVE | _THREE | _same("others"), ("casme3",)),
    Task("casme3-7", _SEVEN, _same(*_SEVEN), ("casme3",)),
    Task("dfme-7", _DFME, _same(*_DFME), ("dfme",)),
    Task("megc2019-3", _POLAR,
         {"casme2/disgust": "negative", "casme2/repression": "negative",
          "samm/anger": "negative", "samm/contempt": "negative", "samm/disgust": "negative",
          "samm/fear": "negative", "samm/sadness": "negative",
          "smic/negative": "negative", "smic/positive": "positive"} | _THREE,
         ("casme2", "samm", "smic"),
         left_out=(("casme2", "05", "EP09_05f"), ("casme2", "04", "EP12_01f"))),
)}


def task_named(name: str) -> Task:
    """The task of that name; ValueError with the nearest name otherwise."""
    if name not in TASKS:
        near = difflib.get_close_matches(str(name), TASKS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(TASKS)}"
        raise ValueError(f"task {name!r} is unknown; {hint}")
    return TASKS[name]


def database(dataset: pd.Series) -> pd.Series:
    """The database of each row: "SynthME-macro" is of `synthme`."""
    return dataset.str.lower().str.split("-").str[0]


def apply_task(table: pd.DataFrame, task_name: str) -> pd.DataFrame:
    """Rows of the table that belong to the task, with their class name in a new column `label`.

    The index is kept, so after `open_store` it is still the position of the clip in the store.
    Raises ValueError for an unknown task, or when a class of the task is left without a clip.
    """
    task = task_named(task_name)
    name = database(table["dataset"])
    special = (name + "/" + table["emotion"]).map(task.label_map)
    label = special.where(special.notna(), table["emotion"].map(task.label_map))
    keep = label.notna() & name.isin(task.databases)
    for origin, subject, clip in task.left_out:
        number = table["subject"].str.extract(r"(\d+)\s*$")[0].str.lstrip("0")
        keep &= ~((name == origin) & (number == subject.lstrip("0")) & (table["clip"] == clip))
    chosen = table[keep].assign(label=label[keep])
    empty = [c for c in task.classes if c not in set(chosen["label"])]
    if empty:
        raise ValueError(f"task {task_name!r} has no clip of class {', '.join(empty)} in this "
                         f"table ({', '.join(sorted(set(table['dataset'])))}); use the table of "
                         f"{', '.join(task.databases)}, or another task")
    return chosen


def read_card(dataset: str, cards: str | Path = CARDS) -> dict:
    """The card of a dataset, data_manifests/<dataset>.yaml, as a dict."""
    path = Path(cards) / f"{dataset}.yaml"
    if not path.is_file():
        known = sorted(card.stem for card in Path(cards).glob("*.yaml"))
        raise ValueError(f"{path}: no such card; there are {', '.join(known) or 'none'}")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def compare_totals(table: pd.DataFrame, task_name: str, cards: str | Path = CARDS) -> pd.DataFrame:
    """Validation report: what the paper's list of a task holds, and what this table holds.

    Columns: part ("all", or a database or split), quantity ("clips", "subjects" or a class),
    expected, found. Equal columns mean that the table is the one the published figures are about.
    """
    dataset = task_name.rsplit("-", 1)[0]
    expected = read_card(dataset, cards).get("tasks", {}).get(task_name)
    if not expected:
        raise ValueError(f"the card of {dataset!r} states no totals for task {task_name!r}")
    chosen = apply_task(table, task_name)
    rows = _compare("all", expected, chosen)
    for column, parts in expected.get("parts", {}).items():
        if column == "database":
            values = database(chosen["dataset"])
        elif column in chosen:
            values = chosen[column]
        else:
            raise ValueError(f"the card of {dataset!r} has totals per {column}, but the table has "
                             f"no column {column!r}; add it")
        for part, totals in parts.items():
            rows += _compare(part, totals, chosen[values == part])
    return pd.DataFrame(rows, columns=["part", "quantity", "expected", "found"])


def _compare(part: str, expected: dict, chosen: pd.DataFrame) -> list[tuple]:
    rows = [(part, "clips", expected["clips"], len(chosen))]
    people = chosen[["dataset", "subject"]].drop_duplicates()
    rows.append((part, "subjects", expected["subjects"], len(people)))
    for name, count in expected.get("classes", {}).items():
        rows.append((part, name, count, int((chosen["label"] == name).sum())))
    return rows
