"""Tasks: which clips of which databases take part, and which emotion makes which class.

`negative` is anger + disgust + ... in one task and disgust + repression in another; the cards in
data/cards/ hold the totals that the paper's lists have, so a table built from one's own copy
of a licensed set can be checked against them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from merclip_lib.data.table import people, person_key
from merclip_lib.files import did_you_mean

# The two codings of CASME II in circulation, by their counts of sadness and surprise.
CASME2_CODINGS = {(7, 25): "2014", (4, 28): "2019"}
CARDS = Path(__file__).parent / "cards"


class Task(NamedTuple):
    """A classification task: which emotions of which databases make which class.

    Attributes:
        name: database and number of classes, such as "casme2-5".
        classes: their names; the network's outputs are in this order.
        label_map: emotion -> class, or `database/emotion` -> class where a rule holds for one
            database only.
        databases: whose clips take part; () is any.
        left_out: single clips as (database, subject, clip).
        without_relabelled: leaves out the clips that `relabelled` finds in a table of the 2019
            coding.
    """

    name: str
    classes: tuple[str, ...]
    label_map: dict[str, str]
    databases: tuple[str, ...]
    left_out: tuple[tuple[str, str, str], ...] = ()
    without_relabelled: bool = False


def _task(name: str, classes: str, label_map: dict[str, str] | None = None) -> Task:
    """A task on one database; without a map each class is the emotion of that name."""
    names = tuple(classes.split())
    return Task(name, names, label_map or {c: c for c in names}, (name.split("-")[0],))


def _negative(emotions: str) -> dict[str, str]:
    return dict.fromkeys(emotions.split(), "negative")


_POLAR = "negative positive surprise"
_SEVEN = "anger disgust fear happiness others sadness surprise"
_REST = {"happiness": "positive", "surprise": "surprise"}
_THREE = _negative("anger disgust fear sadness") | _REST
_FOUR = _THREE | {"others": "others"}
# Class counts are in the cards; MEGC2019 takes SAMM's fear and sadness as negative but not
# CASME II's, hence the keys with a database.
_SAMM = _negative("samm/anger samm/contempt samm/disgust samm/fear samm/sadness")
_CASME2 = _negative("casme2/disgust casme2/repression")
_MEGC2019 = _SAMM | _CASME2 | _negative("smic/negative") | {"smic/positive": "positive"} | _REST
_MEGC2019_WITHOUT = (("casme2", "05", "EP09_05f"), ("casme2", "04", "EP12_01f"))
_BASES = ("casme2", "samm", "smic")
_ANY = _THREE | _negative("contempt negative repression") | {"positive": "positive"}
TASKS = {
    task.name: task
    for task in (
        _task("synthme-2", "first second"),
        _task("synthme-3", _POLAR, _THREE | _negative("contempt repression")),
        _task("synthme-4", _POLAR + " others", _FOUR | _negative("contempt repression")),
        _task("synthme-5", "disgust happiness others repression surprise"),
        _task("synthme-7", _SEVEN),
        _task("synthme-dfme-7", "anger contempt disgust fear happiness sadness surprise"),
        _task("casme2-3", _POLAR, _negative("disgust repression") | _REST),
        _task("casme2-5", "disgust happiness others repression surprise"),
        _task("samm-3", _POLAR, _negative("anger contempt") | _REST),
        _task("samm-5", "anger contempt happiness other surprise"),
        _task("casme3-3", _POLAR, _THREE),
        _task("casme3-4", _POLAR + " others", _FOUR),
        _task("casme3-7", _SEVEN),
        _task("dfme-7", "anger contempt disgust fear happiness sadness surprise"),
        Task("megc2019-3", tuple(_POLAR.split()), _MEGC2019, _BASES, _MEGC2019_WITHOUT, True),
    )
}

# Tasks on a set of your own, or on several sets together: the emotions of whatever is in the table.
ANY = {
    "any-3": Task("any-3", tuple(_POLAR.split()), _ANY, ()),
    "any-4": Task("any-4", (*_POLAR.split(), "others"), _ANY | {"others": "others"}, ()),
    "any-7": Task("any-7", tuple(_SEVEN.split()), {c: c for c in _SEVEN.split()}, ()),
}


def task_named(name: str) -> Task:
    """The task of that name, of TASKS or of ANY.

    Raises:
        ValueError: if there is none; it names the nearest.
    """
    known = TASKS | ANY
    if name not in known:
        raise ValueError(f"task {name!r} is unknown{did_you_mean(name, known)}")
    return known[name]


def database(dataset: pd.Series) -> pd.Series:
    """The database of each row: "SynthME-casme2-like-7" is of `synthme`."""
    return dataset.str.lower().str.split("-").str[0]


def casme2_coding(table: pd.DataFrame) -> str:
    """The coding of CASME II by its sadness and surprise, else "unknown"; "" without CASME II."""
    emotion = table.loc[database(table["dataset"]) == "casme2", "emotion"]
    counts = ((emotion == "sadness").sum(), (emotion == "surprise").sum())
    return CASME2_CODINGS.get(counts, "unknown") if len(emotion) else ""


def relabelled(table: pd.DataFrame) -> pd.Series:
    """Mark the clips of CASME II whose emotion the two codings disagree on.

    They are three of subject 24, sadness in 2014 and surprise in 2019. Which three is read off the
    table: all that the subject has of that emotion, if that makes three. Nothing is marked where
    it makes another number, or where a part of a table does not tell its coding: more surprise
    than 2014 has, or sadness of this subject.

    Returns:
        One bool per row.
    """
    casme2 = database(table["dataset"]) == "casme2"
    subject_24 = casme2 & (table["subject"].map(person_key) == "24")
    sadness, surprise = table["emotion"] == "sadness", table["emotion"] == "surprise"
    coding = casme2_coding(table)
    if coding == "unknown" and (subject_24 & sadness).any():
        coding = "2014"
    elif coding == "unknown" and (casme2 & surprise).sum() > 25:
        coding = "2019"
    marked = subject_24 & {"2014": sadness, "2019": surprise}.get(coding, False)
    return marked if marked.sum() == 3 else marked & False


def apply_task(table: pd.DataFrame, task_name: str, every_class: bool = True) -> pd.DataFrame:
    """Choose the rows of a clip table that belong to a task.

    Args:
        table: see `data.table`.
        task_name: of TASKS or ANY.
        every_class: whether each class of the task must have a clip. A small drawn population may
            lack one, as a small real set may.

    Returns:
        These rows with their class in a new column `label`. The index is kept, so after
        `open_store` it is still the position of the clip in the store.

    Raises:
        ValueError: for an unknown task, or when a class of the task is left without a clip.
    """
    task = task_named(task_name)
    base = database(table["dataset"])
    special = (base + "/" + table["emotion"]).map(task.label_map)
    label = special.where(special.notna(), table["emotion"].map(task.label_map))
    keep = label.notna() & (base.isin(task.databases) if task.databases else True)
    for origin, subject, clip in task.left_out:
        same_subject = table["subject"].map(person_key) == person_key(subject)
        keep &= ~((base == origin) & same_subject & (table["clip"] == clip))
    if task.without_relabelled:
        keep &= ~(relabelled(table) & (table["emotion"] == "surprise"))
    chosen = table[keep].assign(label=label[keep])
    empty = [c for c in task.classes if c not in set(chosen["label"])]
    if empty and (every_class or len(empty) == len(task.classes)):
        known = {key.split("/")[-1] for one in TASKS.values() for key in one.label_map}
        left = sorted({*table["emotion"][base.isin(task.databases)]} - known)
        unused = f" (no task knows the emotions {', '.join(left[:9])})" if left else ""
        datasets = ", ".join(sorted(set(table["dataset"])))
        wrong = f"task {task_name!r} has no clip of class {', '.join(empty)} in this table"
        remedy = f"use the table of {', '.join(task.databases) or 'a set that has it'}"
        raise ValueError(f"{wrong} ({datasets}){unused}; {remedy}, or another task")
    return chosen


def read_card(dataset: str) -> dict:
    """The card of a dataset, data/cards/<dataset>.yaml: what it is and the totals it should have.

    Raises:
        ValueError: if there is none.
    """
    path = CARDS / f"{dataset}.yaml"
    if not path.is_file():
        known = sorted(card.stem for card in CARDS.glob("*.yaml"))
        raise ValueError(f"{path}: no such card{did_you_mean(dataset, known)}")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def compare_totals(table: pd.DataFrame, task_name: str) -> pd.DataFrame:
    """Compare what the paper's list of a task holds with what a table holds.

    Equal numbers mean that the table is the one the published figures are about.

    Returns:
        Columns part ("all", or a database or split), quantity ("clips", "subjects" or a class),
        expected, found.

    Raises:
        ValueError: if the card states no totals for the task, the table lacks a column that the
            totals are split by, or as `apply_task`.
    """
    dataset = task_name.rsplit("-", 1)[0]
    expected = read_card(dataset).get("tasks", {}).get(task_name)
    if not expected:
        raise ValueError(f"the card of {dataset!r} states no totals for task {task_name!r}")
    chosen = apply_task(table, task_name)
    chosen = chosen.assign(database=database(chosen["dataset"]))
    rows = _compare("all", expected, chosen)
    for column, parts in expected.get("parts", {}).items():
        if column not in chosen:
            raise ValueError(f"the table has no column {column!r}, as the totals have; add it")
        for part, totals in parts.items():
            rows += _compare(part, totals, chosen[chosen[column] == part])
    return pd.DataFrame(rows)


def size(table: pd.DataFrame) -> dict[str, int]:
    """`clips` and `subjects` of a table."""
    return {"clips": len(table), "subjects": people(table).nunique()}


def compare_counts(part: str, expected: Mapping[str, int], found: Mapping[str, int]) -> list[dict]:
    """Compare counts, one line for each that is expected.

    Args:
        part: what of the table they are about.
        expected: count by quantity.
        found: the same; a quantity that it lacks counts 0.

    Returns:
        Lines with the keys part, quantity, expected, found.
    """
    return [
        {"part": part, "quantity": name, "expected": count, "found": found.get(name, 0)}
        for name, count in expected.items()
    ]


def _compare(part: str, expected: dict, chosen: pd.DataFrame) -> list[dict]:
    """The totals that a card states of a part of a task."""
    wanted = {name: expected[name] for name in ("clips", "subjects")} | expected.get("classes", {})
    return compare_counts(part, wanted, size(chosen) | chosen["label"].value_counts().to_dict())
