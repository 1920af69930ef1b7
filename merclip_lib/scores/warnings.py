"""Traps that can be seen in a file of predictions.

Each check takes the table that `predictions_file.read_file` gives (text, probabilities as
numbers, the index is the row in the file) and the classes of the task, and yields what it sees.
A warning is a reason to look, not a proof; and a file cannot show every trap.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from merclip_lib.data.tasks import TASKS, read_card
from merclip_lib.scores.metrics import person_of

ROUNDING = 0.01  # of a probability in a file
ENOUGH = 5  # clips of a subject from which one and the same answer to all is remarkable

Classes = tuple[str, ...]


@dataclass(frozen=True)
class VisibleTrap:
    """A warning: the name of the trap in a few words, and what was seen, with the remedy."""

    trap: str
    message: str


Warnings = Iterator[VisibleTrap]


def find_traps(table: pd.DataFrame, classes: Classes) -> list[VisibleTrap]:
    """All traps that show in the table of a file, in the order of the checks below."""
    of_columns = (_no_probabilities, _swapped_in_probabilities, _swapped_in_counts)
    of_rows = (_duplicates, _stamps, _split_subjects, _number_of_subjects)
    of_labels = (_absent_classes, _one_answer, _no_error, _other_totals)
    checks = (*of_columns, *of_rows, *of_labels)
    return [warning for check in checks for warning in check(table, classes)]


def probabilities(table: pd.DataFrame) -> list[str]:
    """The columns p_<class>."""
    return [name for name in table if name.startswith("p_")]


def clip_of(table: pd.DataFrame) -> pd.Series:
    """Clip of every row (N,); some sets number the clips of each subject anew."""
    return person_of(table) + "/" + table["clip_id"]


def _no_probabilities(table: pd.DataFrame, classes: Classes) -> Warnings:
    """The probabilities of a clip do not sum to 1."""
    columns = probabilities(table)
    total = table[columns].sum(axis=1)
    off = total[(total - 1).abs() > ROUNDING * len(columns)]
    if columns and len(off):
        yield VisibleTrap(
            "no probabilities",
            f"the p_ columns of {len(off)} of {len(table)} rows do not sum to 1, such as "
            f"{off.iloc[0]:.3g} in row {off.index[0]}: are they other scores, or is a class left "
            "out?",
        )


def _swapped_in_probabilities(table: pd.DataFrame, classes: Classes) -> Warnings:
    """The answer is not the class of the highest probability."""
    if not (columns := probabilities(table)):
        return
    highest = table[columns].eq(table[columns].max(axis=1), axis=0)  # (rows, classes), bool
    truth, prediction = (
        [highest.at[row, f"p_{label}"] for row, label in table[column].items()]
        for column in ("truth", "prediction")
    )
    other = prediction.count(False)
    if other and all(truth):
        yield VisibleTrap(
            "swapped columns",
            f"the highest probability is always that of `truth`, in {other} rows not that of "
            "`prediction`: the two columns seem exchanged. UF1 stays the same when they are put "
            "right, UAR does not",
        )
    elif other:
        yield VisibleTrap(
            "row order",
            f"in {other} of {len(table)} rows the prediction is not the class of the highest "
            "probability: the columns come from different epochs or were joined by row order; "
            "join them by clip_id",
        )


def _swapped_in_counts(table: pd.DataFrame, classes: Classes) -> Warnings:
    """Without probabilities: the predictions have the class counts of a published list."""
    if probabilities(table):
        return
    truth, prediction = (_counts(table[column], classes) for column in ("truth", "prediction"))
    for name, total in _known_totals(classes):
        if prediction == total != truth:
            yield VisibleTrap(
                "swapped columns",
                f"`prediction` has exactly the class counts of the list of {name} and `truth` "
                "has not: the two columns seem exchanged",
            )


def _duplicates(table: pd.DataFrame, classes: Classes) -> Warnings:
    """Clips that are there several times, and ids that several clips have."""
    again = clip_of(table).duplicated()
    if again.any():
        ids = table["clip_id"][again]
        yield VisibleTrap(
            "duplicate clips",
            f"{int(again.sum())} row(s) repeat a clip, such as {ids.iloc[0]!r} in row "
            f"{ids.index[0]}; only the first row of a clip is scored. Score each run (seed) by "
            "itself",
        )
    ids = table["clip_id"][~again]
    several = ids[ids.duplicated()]
    if len(several):
        yield VisibleTrap(
            "clip ids",
            f"{len(several)} clip id(s), such as {several.iloc[0]!r}, occur with several subjects "
            "and are taken as different clips; give every clip an id of its own",
        )


def _stamps(table: pd.DataFrame, classes: Classes) -> Warnings:
    """What a run of this library writes into its file about itself."""
    stamps = (set(table.get(name, ())) for name in ("selection", "protocol", "held_out"))
    selection, protocol, held_out = stamps
    if "best_on_test" in selection or "reference" in protocol:
        yield VisibleTrap(
            "epoch chosen on the test",
            "the file says that the epoch was chosen on the held-out subject; no figure from it "
            "says how well unseen subjects are recognised",
        )
    if "clip" in held_out:
        yield VisibleTrap(
            "subject in both parts",
            "the file says that clips, not subjects, were held out: other clips of the same "
            "people were in the training",
        )


def _split_subjects(table: pd.DataFrame, classes: Classes) -> Warnings:
    """Subjects whose clips lie in several folds."""
    people = person_of(table)
    folds = table.get("fold", people).groupby(people).nunique()
    split = folds.index[folds > 1]
    if len(split):
        yield VisibleTrap(
            "subject in both parts",
            f"the clips of {len(split)} subject(s), such as {split[0]}, lie in several folds: "
            "other clips of the same person were in the training. Make folds of whole subjects",
        )


def _number_of_subjects(table: pd.DataFrame, classes: Classes) -> Warnings:
    """One subject, or as many as clips."""
    people, clips = person_of(table).nunique(), clip_of(table).nunique()
    if people == 1:
        yield VisibleTrap("one subject", "all clips are of one subject: no interval can be given")
    elif people == clips:
        yield VisibleTrap(
            "clip as subject",
            f"each of the {clips} clips has a subject of its own: if `subject` was made of the "
            "clip, one clip was left out instead of one person",
        )


def _absent_classes(table: pd.DataFrame, classes: Classes) -> Warnings:
    """Classes that are never true."""
    absent = [name for name in classes if not (table["truth"] == name).any()]
    predicted = [name for name in absent if (table["prediction"] == name).any()]
    if absent:
        also = f"; predicted all the same: {', '.join(predicted)}" if predicted else ""
        yield VisibleTrap(
            "absent class",
            f"never true in this file: {', '.join(absent)}{also}. A class without a clip counts "
            f"as 0, so UF1 and UAR can be at most {1 - len(absent) / len(classes):.3f}; dropping "
            "it would be another measure",
        )


def _one_answer(table: pd.DataFrame, classes: Classes) -> Warnings:
    """Subjects who got the same answer to every clip."""
    of_people = table.groupby(person_of(table))
    clips, kinds = of_people.size(), of_people[["truth", "prediction"]].nunique()
    uniform = clips.index[(clips >= ENOUGH) & (kinds.truth > 1) & (kinds.prediction == 1)]
    if len(uniform):
        person, answers = uniform[0], of_people["prediction"].first()
        yield VisibleTrap(
            "one answer",
            f"{len(uniform)} of {len(clips)} subjects got one answer to all clips, such as "
            f"{person} ({clips[person]} clips of {kinds.truth[person]} classes, all "
            f"{answers[person]}); look at the training of these folds",
        )


def _no_error(table: pd.DataFrame, classes: Classes) -> Warnings:
    """Every prediction is right."""
    if (table["truth"] == table["prediction"]).all() and len(table) >= ENOUGH:
        copied = "every prediction is right; is `prediction` a copy of `truth`?"
        yield VisibleTrap("no error", copied)


def _other_totals(table: pd.DataFrame, classes: Classes) -> Warnings:
    """The databases of a published list, but not its clips."""
    here = _counts(table["truth"][~clip_of(table).duplicated()], classes)
    databases = {database_of(name) for name in set(table.get("database", ()))}
    for name, total in _known_totals(classes):
        if databases == set(TASKS[name].databases) and here != total:
            parts = ", ".join(f"{label} {here[label]} ({total[label]})" for label in classes)
            yield VisibleTrap(
                "other clips",
                f"not the clips of the list of {name}: {parts}, in brackets the list's. Published "
                "figures are of other clips",
            )


def _counts(labels: pd.Series, classes: Classes) -> dict[str, int]:
    """Clips of each class."""
    return labels.value_counts().reindex(classes, fill_value=0).to_dict()


def _known_totals(classes: Classes) -> Iterator[tuple[str, dict[str, int]]]:
    """Task name and clips per class of the published lists with exactly these classes."""
    for name, task in TASKS.items():
        if set(task.classes) == set(classes):
            card = read_card(name.rsplit("-", 1)[0])
            total = card.get("tasks", {}).get(name, {}).get("classes")
            if total:
                yield name, {label: total[label] for label in classes}


def database_of(name: str) -> str:
    """ "CASME II" -> casme2, "CAS(ME)3" -> casme3, "SMIC-HS" -> smic."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"hs$", "", plain.replace("iii", "3").replace("ii", "2"))
