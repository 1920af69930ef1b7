"""Score a file of predictions, and warn of the traps that can be seen in it.

The file is a CSV with a row per clip: clip_id, subject, truth, prediction, and where there are
several databases `database`. Further columns are searched for traps: `p_<class>` (probabilities,
which also name the classes of the task), `fold`, and the stamps `selection`, `protocol` and
`held_out`. A file cannot show every trap.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from merclip_lib.data.table import person_key, plain
from merclip_lib.data.text_table import read_text_table
from merclip_lib.scores import metrics
from merclip_lib.scores.bootstrap import Estimate, Resampling, mean_and_interval
from merclip_lib.scores.metrics import COLUMNS, METRICS, person_of
from merclip_lib.scores.warnings import VisibleTrap, clip_of, database_of, find_traps, probabilities

NAMES = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy"}
OF_LABELS = "the labels found in the file"
# How programs and people write an empty cell.
MISSING = {"", "nan", "null", "na", "n/a", "#n/a", "<na>", "nat", "-", "/", "?"}
# Beyond these, memory and time would run away.
MOST_CLASSES = 30
MOST = {"subject": 1_500, "database": 30}


@dataclass(frozen=True)
class Report:
    """What `merclip score` says about a file.

    Attributes:
        file: its path.
        classes: the classes of the task.
        classes_from: where these come from, in words.
        clips: number of clips, each counted once.
        subjects: number of people.
        values: each metric of all clips together.
        macro_precision: mean over classes of precision.
        per_class: a row per class: class, count, precision, recall, f1.
        parts: each metric of each database, if there are several.
        warnings: the traps that show.
    """

    file: str
    classes: tuple[str, ...]
    classes_from: str
    clips: int
    subjects: int
    values: dict[str, Estimate]
    macro_precision: float
    per_class: pd.DataFrame
    parts: dict[str, dict[str, Estimate]]
    warnings: list[VisibleTrap]


def score_file(path: str | Path, classes: Sequence[str] = (), samples: int = 1000) -> Report:
    """Read, check and score a file; a clip that occurs twice is scored by its first row.

    Args:
        path: the CSV.
        classes: all classes of the task; else those of the p_ columns, else the labels.
        samples: resamples of the intervals.

    Raises:
        ValueError: naming the row, for what cannot be scored.
    """
    table = read_file(path)
    names, origin = _classes(table, classes, str(path))
    clips = table.assign(clip_id=clip_of(table)).drop_duplicates("clip_id")
    per_class = metrics.score(clips, names).per_class
    parts = clips.groupby("database") if "database" in clips else ()
    return Report(
        file=str(path),
        classes=names,
        classes_from=origin,
        clips=len(clips),
        subjects=person_of(clips).nunique(),
        values=_estimates(clips, names, samples),
        macro_precision=float(per_class["precision"].mean()),
        per_class=per_class,
        parts={str(k): _estimates(t, names, samples) for k, t in parts if len(parts) > 1},
        warnings=find_traps(table, names),
    )


def read_file(path: str | Path) -> pd.DataFrame:
    """The rows of a file as text, probabilities as numbers; the index is the row in the file.

    Row 1 is the header.

    Raises:
        ValueError: for a file that `text_table.read_text_table` cannot read, a missing column, a
            ragged row, an empty cell in a needed column, a probability that is no number, a clip
            with two truths, and a person or a database in two spellings.
    """
    table = _read_rows(Path(path))
    needed = table.filter([*COLUMNS, "database"]).apply(lambda cells: cells.str.strip())
    table[needed.columns] = needed
    for (row, column), cell in needed.stack().items():
        if cell.lower() in MISSING:
            raise ValueError(f"{path}, row {row}: {column} is empty or no value; fill it in")
    for column in probabilities(table):
        numbers = pd.to_numeric(table[column], errors="coerce")
        for row, cell in table[column][~numbers.between(0, 1)].items():
            raise ValueError(f"{path}, row {row}: {column} {cell!r} is no probability in [0, 1]")
        table[column] = numbers
    people = table["subject"].map(lambda name: person_key(_plain(name)))
    if "database" in table:
        _refuse_two_spellings(table["database"], table["database"].map(database_of), path)
        people = table["database"] + "/" + people
    _refuse_two_spellings(table["subject"], people, path)
    for name, values in (("subject", people), ("database", table.get("database", people[:1]))):
        if (count := values.nunique()) > MOST[name]:
            cells = f"{count:,} different cells under `{name}`, such as {values.iloc[0]!r}"
            most = f"at most {MOST[name]:,} are scored. Is it a column of something else?"
            raise ValueError(f"{path}: {cells}; {most}")
    truths = table.groupby(clip_of(table))["truth"].transform("nunique")
    for row, clip in table["clip_id"][truths > 1].items():
        wrong = f"clip {clip!r} has two different truths in this file; correct the labels"
        raise ValueError(f"{path}, row {row}: {wrong}")
    return table


def _plain(name: str) -> str:
    """What a name has in common with its other spellings: 01 and 1, others and Other, 1.0 and 1."""
    words = re.sub(r"[\W_]+", " ", re.sub(r"(?<=\d)\.0+$", "", plain(name))).strip()
    return re.sub(r"(?<!\d)0+(?=\d)", "", words).removesuffix("s") or name


def _refuse_two_spellings(names: pd.Series, meant: pd.Series, path: str | Path) -> None:
    """ValueError for the first row that writes what is meant otherwise than a row before it."""
    first = names.groupby(meant).transform("first")
    for row, name in names[names != first].items():
        before = f"{path}, row {row}: {names.name} {name!r} is {first[row]!r} in a row before"
        raise ValueError(f"{before}; write one in one way, or they count as two")


def _read_rows(path: Path) -> pd.DataFrame:
    """The cells as text; the index is the number of the row in the file."""
    rows = {number: row for number, row in enumerate(read_text_table(path).rows, 1) if row}
    header = [name.strip() for name in rows.pop(min(rows))]
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; needed are {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: two columns have one name; keep one of them")
    if not rows:
        raise ValueError(f"{path}: no predictions below the header")
    for number, row in rows.items():
        if len(row) != len(header):
            raise ValueError(f"{path}, row {number}: not as many cells as the header has")
    return pd.DataFrame.from_dict(rows, orient="index", columns=header)


def _classes(table: pd.DataFrame, given: Sequence[str], path: str) -> tuple[tuple[str, ...], str]:
    """The classes of the task, and where they come from in words."""
    columns = tuple(name[2:] for name in probabilities(table))
    labels = pd.concat([table["truth"], table["prediction"]])
    classes, origin = columns, "from the p_ columns"
    if given:
        classes, origin = tuple(given), "as given"
        if columns and set(columns) != set(classes):
            named = f"the p_ columns name the classes {', '.join(columns)}"
            raise ValueError(f"{path}: {named}, not {', '.join(classes)}")
    elif not columns:
        classes, origin = tuple(sorted(set(labels))), OF_LABELS
    if len(classes) > MOST_CLASSES:
        many = f"{len(classes):,} classes ({origin}), such as {classes[0]!r}"
        other = "Is `truth` or `prediction` a column of something else?"
        raise ValueError(f"{path}: {many}; at most {MOST_CLASSES} are scored. {other}")
    names = pd.Series(classes)
    for name in names[names.map(_plain).duplicated(keep=False)]:
        twice = f"the class {name!r} is written in two ways; write every class in one"
        raise ValueError(f"{path}: {twice}")
    truth, prediction = table["truth"], table["prediction"]
    if origin == OF_LABELS and not truth.isin(prediction).any():
        such = f"(such as {prediction.iloc[0]!r}) occurs in `truth` (such as {truth.iloc[0]!r})"
        alike = "write both alike, or give --classes if all are wrong"
        raise ValueError(f"{path}: no label of `prediction` {such}; {alike}")
    for row, label in labels[~labels.isin(classes)].items():
        task = f"the task ({', '.join(classes)}; {origin}); correct the label or the classes"
        raise ValueError(f"{path}, row {row}: {label!r} is no class of {task}")
    return classes, origin


def _estimates(table: pd.DataFrame, classes: Sequence[str], samples: int) -> dict[str, Estimate]:
    """Each metric with its interval."""
    drawn = Resampling(samples)
    values = {metric: mean_and_interval([table], classes, metric, drawn) for metric in METRICS}
    lone = person_of(table).nunique() < 2
    return {k: Estimate(v.value, math.nan, math.nan) if lone else v for k, v in values.items()}


def as_text(report: Report) -> str:
    """A report as printed."""

    def block(values: dict[str, Estimate]) -> list[str]:
        return [
            f"{NAMES[name]:<9}{value:.4f}   "
            + (f"{low:.4f} to {high:.4f}" if low <= high else "no interval: one subject")
            for name, (value, low, high) in values.items()
        ]

    hint = "; a class that is neither true nor predicted is not known: give --classes"
    origin = report.classes_from + (hint if report.classes_from == OF_LABELS else "")
    lines = [
        f"{report.file}: {report.clips} clips, {report.subjects} subjects",
        f"classes: {', '.join(report.classes)} ({origin})",
        "",
        "all folds pooled, 95 % interval over subjects",
        *block(report.values),
        f"(mean precision {report.macro_precision:.4f}: what is printed as UAR when truth and "
        "prediction are exchanged in the call)",
        "",
        report.per_class.round(4).to_string(index=False),
    ]
    for name, values in report.parts.items():
        lines += ["", name, *block(values)]
    unseen = "It cannot show how the epoch was chosen, nor who was in the training."
    told = [f"warning, {warning.trap}: {warning.message}." for warning in report.warnings]
    return "\n".join([*lines, "", *(told or [f"No trap is visible in this file. {unseen}"])])


def as_json(report: Report) -> str:
    """A report as JSON; a metric is {value, low, high}, null where there is no interval."""

    def values(estimates: dict[str, Estimate]) -> dict[str, dict]:
        table = pd.DataFrame(estimates, Estimate._fields, dtype=object)
        return table.where(table.notna(), None).to_dict()

    content = asdict(report) | values(report.values)
    del content["values"]
    content["per_class"] = report.per_class.to_dict("records")
    content["databases"] = {name: values(part) for name, part in content.pop("parts").items()}
    return json.dumps(content, indent=1)
