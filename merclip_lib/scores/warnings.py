"""Signs of a trap that can be seen in a file of predictions.

Each check takes the table that `scoring.read_file` gives (text, probabilities as numbers, the
index is the row in the file) and the classes of the task, and yields what it sees. A sign is a
reason to look, not a proof; and a file cannot show every trap.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from merclip_lib.data.tasks import TASKS, read_card

ENOUGH = 5  # clips of a subject from which one and the same answer to all is remarkable


@dataclass(frozen=True)
class Sign:
    """A trap that is visible: its name in a few words, and what was seen, with the remedy."""

    trap: str
    message: str


def find_signs(table: pd.DataFrame, classes: Sequence[str]) -> list[Sign]:
    """All signs in a table, in the order of the checks below."""
    checks = (
        _swapped,
        _duplicates,
        _stamps,
        _split,
        _people,
        _absent,
        _one_answer,
        _perfect,
        _totals,
    )
    return [sign for check in checks for sign in check(table, tuple(classes))]


def _swapped(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    columns = probabilities(table)
    if columns:
        highest = table[columns].max(axis=1)
        chosen = {
            column: pd.Series(
                [
                    table.at[row, f"p_{label}"] == highest[row]
                    for row, label in table[column].items()
                ],
                table.index,
            )
            for column in ("truth", "prediction")
        }
        other = int((~chosen["prediction"]).sum())
        if other and chosen["truth"].all():
            yield Sign(
                "swapped columns",
                "the highest probability is always that of `truth`, in "
                f"{other} rows not that of `prediction`: the two columns seem exchanged. "
                "UF1 stays the same when they are put right, UAR does not",
            )
        elif other:
            yield Sign(
                "row order",
                f"in {other} of {len(table)} rows the prediction is not the "
                "class of the highest probability: the columns come from different epochs "
                "or were joined by row order; join them by clip_id",
            )
        return
    counts = {
        column: table[column].value_counts().reindex(classes, fill_value=0).to_dict()
        for column in ("truth", "prediction")
    }
    for name, total in _known_totals(classes):
        if counts["prediction"] == total != counts["truth"]:
            yield Sign(
                "swapped columns",
                "`prediction` has exactly the class counts of the list "
                f"of {name} and `truth` has not: the two columns seem exchanged",
            )


def _duplicates(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    again = clip_of(table).duplicated()
    if again.any():
        ids = table.clip_id[again]
        yield Sign(
            "duplicate clips",
            f"{int(again.sum())} row(s) repeat a clip, such as "
            f"{ids.iloc[0]!r} in row {ids.index[0]}; only the first row of a clip is scored."
            " Score each run (seed) by itself",
        )
    several = table.clip_id[~again].duplicated()
    if several.any():
        yield Sign(
            "clip ids",
            f"{int(several.sum())} clip id(s), such as "
            f"{table.clip_id[~again][several].iloc[0]!r}, occur with several subjects and "
            "are taken as different clips; give every clip an id of its own",
        )


def _stamps(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    stamp = {
        name: set(table[name]) for name in ("selection", "protocol", "held_out") if name in table
    }
    if "best_on_test" in stamp.get("selection", ()) or "reference" in stamp.get("protocol", ()):
        yield Sign(
            "epoch chosen on the test",
            "the file says that the epoch was chosen on the "
            "held-out subject; no figure from it says how well unseen subjects are "
            "recognised",
        )
    if "clip" in stamp.get("held_out", ()):
        yield Sign(
            "subject in both parts",
            "the file says that clips, not subjects, were held "
            "out: other clips of the same people were in the training",
        )


def _split(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    if "fold" in table:
        folds = table.groupby(person_of(table))["fold"].nunique()
        torn = folds.index[folds > 1]
        if len(torn):
            yield Sign(
                "subject in both parts",
                f"the clips of {len(torn)} subject(s), such as "
                f"{torn[0]}, lie in several folds: other clips of the same person were in "
                "the training. Make folds of whole subjects",
            )


def _people(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    people, clips = person_of(table).nunique(), clip_of(table).nunique()
    if people == 1:
        yield Sign("one subject", "all clips are of one subject: no interval can be given")
    elif people == clips:
        yield Sign(
            "clip as subject",
            f"each of the {clips} clips has a subject of its own: if "
            "`subject` was made of the clip, one clip was left out instead of one person",
        )


def _absent(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    absent = [name for name in classes if not (table.truth == name).any()]
    predicted = [name for name in absent if (table.prediction == name).any()]
    if absent:
        also = f"; predicted all the same: {', '.join(predicted)}" if predicted else ""
        yield Sign(
            "absent class",
            f"never true in this file: {', '.join(absent)}{also}. A class "
            "without a clip counts as 0, so UF1 and UAR can be at most "
            f"{1 - len(absent) / len(classes):.3f}; dropping it would be another measure",
        )


def _one_answer(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    groups = table.groupby(person_of(table))
    of_one = [
        (person, rows)
        for person, rows in groups
        if len(rows) >= ENOUGH and rows.truth.nunique() > 1 and rows.prediction.nunique() == 1
    ]
    if of_one:
        person, rows = of_one[0]
        yield Sign(
            "one answer",
            f"{len(of_one)} of {groups.ngroups} subjects got one answer to "
            f"all clips, such as {person} ({len(rows)} clips of {rows.truth.nunique()} "
            f"classes, all {rows.prediction.iloc[0]}); look at the training of these folds",
        )


def _perfect(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    if (table.truth == table.prediction).all() and len(table) >= ENOUGH:
        yield Sign("no error", "every prediction is right; is `prediction` a copy of `truth`?")


def _totals(table: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[Sign]:
    if "database" not in table:
        return
    found = table[~clip_of(table).duplicated()].truth.value_counts()
    found = found.reindex(classes, fill_value=0).to_dict()
    databases = {_database(name) for name in table["database"].unique()}
    for name, total in _known_totals(classes):
        if databases == set(TASKS[name].databases) and found != total:
            parts = ", ".join(f"{label} {found[label]} ({total[label]})" for label in classes)
            yield Sign(
                "other clips",
                f"not the clips of the list of {name}: {parts}, in brackets "
                "the list's. Published figures are of other clips",
            )


def _known_totals(classes: tuple[str, ...]) -> Iterator[tuple[str, dict[str, int]]]:
    """Task name and clips per class of the published lists with exactly these classes."""
    for name, task in TASKS.items():
        if set(task.classes) == set(classes):
            card = read_card(name.rsplit("-", 1)[0])
            total = card.get("tasks", {}).get(name, {}).get("classes")
            if total:
                yield name, {label: total[label] for label in classes}


def _database(name: str) -> str:
    """ "CASME II" -> casme2, "CAS(ME)3" -> casme3, "SMIC-HS" -> smic."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"hs$", "", plain.replace("iii", "3").replace("ii", "2"))


def probabilities(table: pd.DataFrame) -> list[str]:
    """The columns p_<class>."""
    return [name for name in table if name.startswith("p_")]


def person_of(table: pd.DataFrame) -> pd.Series:
    """Subject of every row; "s01" of two databases are two people."""
    return table["database"] + "/" + table["subject"] if "database" in table else table["subject"]


def clip_of(table: pd.DataFrame) -> pd.Series:
    """Clip of every row; some sets number the clips of each subject anew."""
    return person_of(table) + "/" + table["clip_id"]
