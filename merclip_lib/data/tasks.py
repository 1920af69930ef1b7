"""Tasks: which clips of which databases take part, and which emotion makes which class.

`negative` is anger + disgust + ... in one task and disgust + repression in another; the cards in
data/cards/ hold the totals that the paper's lists have, so a table built from one's own copy
of a licensed set can be checked against them.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from merclip_lib.files import did_you_mean

# The two codings of CASME II in circulation, by their counts of sadness and surprise.
CASME2_CODINGS = {(7, 25): "2014", (4, 28): "2019"}


CARDS = Path(__file__).resolve().parent / "cards"


@dataclass(frozen=True)
class Task:
    """A classification task: which emotions of which databases make which class.

    A key of `label_map` is an emotion, or `database/emotion` where a rule holds for one database
    only. `left_out` names single clips as (database, subject, clip). `without_relabelled`
    leaves out the clips that `relabelled` finds in a table of the 2019 coding.
    """

    name: str
    classes: tuple[str, ...]
    label_map: dict[str, str]
    databases: tuple[str, ...]
    left_out: tuple[tuple[str, str, str], ...] = field(default=())
    without_relabelled: bool = False


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
TASKS = {
    task.name: task
    for task in (
        Task("synthme-7", _SEVEN, _same(*_SEVEN), ("synthme",)),
        Task("synthme-4", (*_POLAR, "others"), _NEGATIVE | _THREE | _same("others"), ("synthme",)),
        Task("synthme-3", _POLAR, _NEGATIVE | _THREE, ("synthme",)),
        Task(
            "casme2-3",
            _POLAR,
            {"disgust": "negative", "repression": "negative"} | _THREE,
            ("casme2",),
        ),
        Task(
            "casme2-5",
            ("disgust", "happiness", "others", "repression", "surprise"),
            _same("disgust", "happiness", "others", "repression", "surprise"),
            ("casme2",),
        ),
        Task("samm-3", _POLAR, {"anger": "negative", "contempt": "negative"} | _THREE, ("samm",)),
        Task(
            "samm-5",
            ("anger", "contempt", "happiness", "other", "surprise"),
            _same("anger", "contempt", "happiness", "other", "surprise"),
            ("samm",),
        ),
        Task("casme3-3", _POLAR, _NEGATIVE | _THREE, ("casme3",)),
        Task("casme3-4", (*_POLAR, "others"), _NEGATIVE | _THREE | _same("others"), ("casme3",)),
        Task("casme3-7", _SEVEN, _same(*_SEVEN), ("casme3",)),
        Task("dfme-7", _DFME, _same(*_DFME), ("dfme",)),
        Task(
            "megc2019-3",
            _POLAR,
            {
                "casme2/disgust": "negative",
                "casme2/repression": "negative",
                "samm/anger": "negative",
                "samm/contempt": "negative",
                "samm/disgust": "negative",
                "samm/fear": "negative",
                "samm/sadness": "negative",
                "smic/negative": "negative",
                "smic/positive": "positive",
            }
            | _THREE,
            ("casme2", "samm", "smic"),
            left_out=(("casme2", "05", "EP09_05f"), ("casme2", "04", "EP12_01f")),
            without_relabelled=True,
        ),
    )
}


def task_named(name: str) -> Task:
    """The task of that name; ValueError with the nearest name otherwise."""
    if name not in TASKS:
        raise ValueError(f"task {name!r} is unknown{did_you_mean(name, TASKS)}")
    return TASKS[name]


def database(dataset: pd.Series) -> pd.Series:
    """The database of each row: "SynthME-macro" is of `synthme`."""
    return dataset.str.lower().str.split("-").str[0]


def casme2_coding(table: pd.DataFrame) -> str:
    """ "2014" or "2019" where the counts of sadness and surprise are those of a coding, else ""."""
    emotion = table.loc[database(table["dataset"]) == "casme2", "emotion"]
    pair = (int((emotion == "sadness").sum()), int((emotion == "surprise").sum()))
    return CASME2_CODINGS.get(pair, "")


def relabelled(table: pd.DataFrame) -> pd.Series:
    """Marks the clips of CASME II whose emotion the two codings disagree on.

    They are three of subject 24, sadness in 2014 and surprise in 2019. Which three is read off the
    table: all that the subject has of that emotion, if that makes three. Nothing is marked where
    it makes another number, or where a part of a table does not tell its coding: more surprise
    than 2014 has, or sadness of this subject.
    """
    subject = table["subject"].str.extract(r"(\d+)\s*$")[0].str.lstrip("0")
    casme2 = database(table["dataset"]) == "casme2"
    theirs = casme2 & (subject == "24")
    sadness, surprise = table["emotion"] == "sadness", table["emotion"] == "surprise"
    coding = casme2_coding(table)
    if not coding and (theirs & sadness).any():
        coding = "2014"
    elif not coding and (casme2 & surprise).sum() > 25:
        coding = "2019"
    marked = theirs & {"2014": sadness, "2019": surprise}.get(coding, False)
    return marked if marked.sum() == 3 else marked & False


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
    if task.without_relabelled:
        keep &= ~(relabelled(table) & (table["emotion"] == "surprise"))
    chosen = table[keep].assign(label=label[keep])
    empty = [c for c in task.classes if c not in set(chosen["label"])]
    if empty:
        raise ValueError(
            f"task {task_name!r} has no clip of class {', '.join(empty)} in this "
            f"table ({', '.join(sorted(set(table['dataset'])))}); use the table of "
            f"{', '.join(task.databases)}, or another task"
        )
    return chosen


def read_card(dataset: str, cards: str | Path = CARDS) -> dict:
    """The card of a dataset, data/cards/<dataset>.yaml, as a dict."""
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
            raise ValueError(
                f"the card of {dataset!r} has totals per {column}, but the table has "
                f"no column {column!r}; add it"
            )
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
