"""Traps that can be seen in a file of predictions.

Each check takes the table that `predictions_file.read_file` gives (text, probabilities as
numbers, the index is the row in the file) and the classes of the task, and yields what it sees;
warnings.yaml says what each trap means.
A warning is a reason to look, not a proof; and a file cannot show every trap.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd
import yaml

from merclip_lib.data.tasks import TASKS, read_card
from merclip_lib.scores.metrics import LABELS, person_of

ROUNDING = 0.01  # of a probability in a file
ENOUGH = 5  # clips of a subject from which one and the same answer to all is remarkable

MEANING = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class VisibleTrap:
    """A warning: the name of the trap, and what was seen with what it means."""

    trap: str
    message: str


Classes = tuple[str, ...]
Seen = Iterator[tuple[str, str]]  # the name of a trap and what was seen


def find_traps(table: pd.DataFrame, classes: Classes) -> list[VisibleTrap]:
    """All traps that show in the table of a file, in the order of the checks below."""
    checks = (check(table, classes) for check in (_of_probabilities, _of_rows, _of_labels))
    return [VisibleTrap(name, what + MEANING[name]) for name, what in chain(*checks)]


def probabilities(table: pd.DataFrame) -> list[str]:
    """The columns p_<class>."""
    return [name for name in table if name.startswith("p_")]


def clip_of(table: pd.DataFrame) -> pd.Series:
    """Clip of every row (N,); some sets number the clips of each subject anew."""
    return person_of(table) + "/" + table["clip_id"]


def _of_probabilities(table: pd.DataFrame, classes: Classes) -> Seen:
    """Sums and highest classes of the probabilities; where there are none, the class counts."""
    if not (columns := probabilities(table)):
        truth, prediction = (_counts(table[column], classes) for column in LABELS)
        for name, total in _known_totals(classes):
            if prediction == total != truth:
                seen = f"`prediction` has exactly the class counts of the list of {name}"
                yield "swapped columns", f"{seen} and `truth` has not"
        return
    total = table[columns].sum(axis=1)
    off = total[(total - 1).abs() > ROUNDING * len(columns)]
    if len(off):
        rows = f"{len(off)} of {len(table)} rows do not sum to 1"
        such = f"such as {off.iloc[0]:.3g} in row {off.index[0]}"
        yield "no probabilities", f"the p_ columns of {rows}, {such}"
    highest = table[columns].eq(table[columns].max(axis=1), axis=0)  # (rows, classes), bool
    of_truth, of_prediction = (
        [highest.at[row, f"p_{label}"] for row, label in table[column].items()] for column in LABELS
    )
    other = of_prediction.count(False)
    if other and all(of_truth):
        seen = f"is always that of `truth`, in {other} rows not that of `prediction`"
        yield "swapped columns", f"the highest probability {seen}"
    elif other:
        seen = "the prediction is not the class of the highest probability"
        yield "row order", f"in {other} of {len(table)} rows {seen}"


def _of_rows(table: pd.DataFrame, classes: Classes) -> Seen:
    """Clips and ids that repeat, what a run stamped into its file, folds and number of people."""
    ids, people, clips = table["clip_id"], person_of(table), clip_of(table)
    if (again := clips.duplicated()).any():
        such = f"such as {ids[again].iloc[0]!r} in row {ids[again].index[0]}"
        yield "duplicate clips", f"{again.sum()} row(s) repeat a clip, {such}"
    several = ids[~again][ids[~again].duplicated()]
    if len(several):
        such = f"such as {several.iloc[0]!r}"
        yield "clip ids", f"{len(several)} clip id(s), {such}, occur with several subjects"
    stamps, says = ("selection", "protocol", "held_out"), "the file says that"
    selection, protocol, held_out = (set(table.get(name, ())) for name in stamps)
    if "best_on_test" in selection or "reference" in protocol:
        yield "epoch chosen on the test", f"{says} the epoch was chosen on the held-out subject"
    if "clip" in held_out:
        yield "subject in both parts", f"{says} clips, not subjects, were held out"
    folds = table.get("fold", people).groupby(people).nunique()
    split = folds.index[folds > 1]
    if len(split):
        seen = f"the clips of {len(split)} subject(s), such as {split[0]}, lie in several folds"
        yield "subject in both parts", seen
    if people.nunique() == 1:
        yield "one subject", "all clips are of one subject"
    elif people.nunique() == clips.nunique():
        yield "clip as subject", f"each of the {clips.nunique()} clips has a subject of its own"


def _of_labels(table: pd.DataFrame, classes: Classes) -> Seen:
    """Classes that are never true, subjects with one answer, no error, totals of another list."""
    truth, prediction = table["truth"], table["prediction"]
    if absent := [name for name in classes if not (truth == name).any()]:
        predicted = [name for name in absent if (prediction == name).any()]
        also = f"; predicted all the same: {', '.join(predicted)}" if predicted else ""
        most = 1 - len(absent) / len(classes)
        seen = f"never true in this file: {', '.join(absent)}{also}"
        yield "absent class", f"{seen}; UF1 and UAR can be at most {most:.3f}"
    of_people = table.groupby(person_of(table))
    clips, kinds = of_people.size(), of_people[["truth", "prediction"]].nunique()
    uniform = clips.index[(clips >= ENOUGH) & (kinds.truth > 1) & (kinds.prediction == 1)]
    if len(uniform):
        person, answers = uniform[0], of_people["prediction"].first()
        of_person = f"{clips[person]} clips of {kinds.truth[person]} classes, all {answers[person]}"
        seen = f"{len(uniform)} of {len(clips)} subjects got one answer to all clips"
        yield "one answer", f"{seen}, such as {person} ({of_person})"
    if (truth == prediction).all() and len(table) >= ENOUGH:
        yield "no error", "every prediction is right"
    here = _counts(truth[~clip_of(table).duplicated()], classes)
    databases = {database_of(name) for name in set(table.get("database", ()))}
    for name, total in _known_totals(classes):
        if databases == set(TASKS[name].databases) and here != total:
            parts = ", ".join(f"{label} {here[label]} ({total[label]})" for label in classes)
            yield "other clips", f"not the clips of the list of {name}: {parts}"


def _counts(labels: pd.Series, classes: Classes) -> dict[str, int]:
    """Clips of each class."""
    return labels.value_counts().reindex(classes, fill_value=0).to_dict()


def _known_totals(classes: Classes) -> Iterator[tuple[str, dict[str, int]]]:
    """Task name and clips per class of the published lists with exactly these classes."""
    for name, task in TASKS.items():
        if set(task.classes) == set(classes) and not name.startswith("synthme"):
            card = read_card(name.rsplit("-", 1)[0])
            if total := card.get("tasks", {}).get(name, {}).get("classes"):
                yield name, {label: total[label] for label in classes}


def database_of(name: str) -> str:
    """ "CASME II" -> casme2, "CAS(ME)3" -> casme3, "SMIC-HS" -> smic."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return re.sub(r"hs$", "", plain.replace("iii", "3").replace("ii", "2"))
