"""Score a file of predictions, and say which traps can be seen in it.

The file is a CSV with a row per clip: clip_id, subject, truth, prediction, and where there are
several databases `database`. Further columns are looked at for signs: `p_<class>` (probabilities,
which also name the classes of the task), `fold`, and the stamps `selection`, `protocol` and
`held_out`. A file cannot show every trap; what it does show is said.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from merclip_lib.scores import metrics
from merclip_lib.scores.bootstrap import bootstrap_interval
from merclip_lib.scores.metrics import COLUMNS, METRICS
from merclip_lib.scores.warnings import Sign, clip_of, find_signs, person_of, probabilities

NAMES = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy"}


@dataclass(frozen=True)
class Report:
    """What `merclip score` says about a file; `parts` has one entry per database, if several."""

    file: str
    classes: tuple[str, ...]
    classes_from: str
    clips: int
    subjects: int
    values: dict[str, tuple[float, float, float]]  # metric -> value, low, high
    macro_precision: float
    per_class: pd.DataFrame
    parts: dict[str, dict[str, tuple[float, float, float]]]
    signs: list[Sign]


def score_file(path: str | Path, classes: Sequence[str] = (), samples: int = 1000) -> Report:
    """Read, check and score a file. Raises ValueError, naming the row, for what cannot be scored.

    A clip that occurs twice is scored once, by its first row, and a sign says so.
    """
    table = read_file(path)
    classes, origin = _classes(table, classes, str(path))
    found = find_signs(table, classes)
    table = _unique(table)
    result = metrics.score(table, classes)
    parts = {}
    if "database" in table and table["database"].nunique() > 1:
        for name, rows in table.groupby("database", sort=True):
            parts[name] = _values(rows, classes, samples)
    return Report(
        str(path),
        classes,
        origin,
        len(table),
        len(person_of(table).unique()),
        _values(table, classes, samples),
        float(result.per_class["precision"].mean()),
        result.per_class,
        parts,
        found,
    )


def read_file(path: str | Path) -> pd.DataFrame:
    """The rows of the file as text, probabilities as numbers; the index is the row in the file.

    Row 1 is the header. Raises ValueError for a file that is missing, empty, not a UTF-8 CSV or
    ragged, a missing column, an empty cell in a needed column, a probability that is no number,
    and a clip with two truths.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a CSV of predictions")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader, rows = csv.DictReader(file, strict=True), {}
            header = reader.fieldnames or []
            for row in reader:
                rows[reader.line_num] = row
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV in UTF-8 ({error}); export it again") from None
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ValueError(
            f"{path}: no column {', '.join(missing)}; needed are "
            f"{', '.join(COLUMNS)}, separated by commas"
        )
    if len(set(header)) < len(header):
        raise ValueError(f"{path}: two columns have one name; keep one of them")
    if not rows:
        raise ValueError(f"{path}: no predictions below the header")
    needed = [*COLUMNS, *(["database"] if "database" in header else [])]
    for number, row in rows.items():
        if None in row or None in row.values():
            raise ValueError(f"{path}, row {number}: not as many cells as the header has")
        for name in needed:
            row[name] = row[name].strip()
            if not row[name]:
                raise ValueError(f"{path}, row {number}: {name} is empty; fill it in")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=header)
    for name in probabilities(table):
        numbers = pd.to_numeric(table[name], errors="coerce")
        for number in table.index[~numbers.between(0, 1)]:
            raise ValueError(
                f"{path}, row {number}: {name} {table[name][number]!r} is no probability in [0, 1]"
            )
        table[name] = numbers
    truths = table.groupby(clip_of(table))["truth"].transform("nunique")
    for number in table.index[truths > 1]:
        raise ValueError(
            f"{path}, row {number}: clip {table.clip_id[number]!r} has two different "
            "truths in this file; correct the labels"
        )
    return table


def _unique(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(clip_id=clip_of(table)).drop_duplicates("clip_id")


def _classes(table, given: Sequence[str], where: str) -> tuple[tuple[str, ...], str]:
    """The classes of the task and where they come from."""
    columns = tuple(name[2:] for name in probabilities(table))
    labels = pd.concat([table.truth, table.prediction])
    classes, origin = columns, "from the p_ columns"
    if given:
        classes, origin = tuple(given), "as given"
        if columns and set(columns) != set(classes):
            raise ValueError(
                f"{where}: the p_ columns name the classes {', '.join(columns)}, not "
                f"{', '.join(classes)}"
            )
    elif not columns:
        classes, origin = tuple(sorted(set(labels))), "the labels found in the file"
    plain = [name.strip().lower() for name in classes]
    for name in classes:
        if plain.count(name.strip().lower()) > 1:
            raise ValueError(
                f"{where}: the class {name!r} is written in two ways; write every class in one"
            )
    for row in labels.index[~labels.isin(classes)]:
        both = table.truth[row], table.prediction[row]
        label = next(name for name in both if name not in classes)
        raise ValueError(
            f"{where}, row {row}: {label!r} is no class of the task "
            f"({', '.join(classes)}; {origin}); correct the label or the classes"
        )
    return classes, origin


def _values(table, classes, samples) -> dict[str, tuple[float, float, float]]:
    score = metrics.score(table, classes)
    return {
        name: (getattr(score, name), *bootstrap_interval(table, classes, name, samples))
        for name in METRICS
    }


def as_text(found: Report) -> str:
    """The report as printed."""

    def block(values):
        return [
            f"{NAMES[name]:<9}{value:.4f}   {low:.4f} to {high:.4f}"
            for name, (value, low, high) in values.items()
        ]

    hint = "; a class that is neither true nor predicted is not known: give --classes"
    origin = found.classes_from + (hint if found.classes_from.startswith("the labels") else "")
    lines = [
        f"{found.file}: {found.clips} clips, {found.subjects} subjects",
        f"classes: {', '.join(found.classes)} ({origin})",
        "",
        "all folds pooled, 95 % interval over subjects",
        *block(found.values),
        f"(mean precision {found.macro_precision:.4f}: what is printed as UAR when truth and "
        "prediction are exchanged in the call)",
        "",
        found.per_class.round(4).to_string(index=False),
    ]
    for name, values in found.parts.items():
        lines += ["", name, *block(values)]
    lines.append("")
    for sign in found.signs:
        lines.append(f"warning, {sign.trap}: {sign.message}.")
    if not found.signs:
        lines.append(
            "No trap is visible in this file. It cannot show how the epoch was chosen, "
            "nor who was in the training."
        )
    return "\n".join(lines)


def as_json(found: Report) -> str:
    """The report as JSON; a metric is {value, low, high}."""

    def values(entries):
        return {
            name: dict(zip(("value", "low", "high"), three, strict=True))
            for name, three in entries.items()
        }

    return json.dumps(
        {
            "file": found.file,
            "classes": list(found.classes),
            "classes_from": found.classes_from,
            "clips": found.clips,
            "subjects": found.subjects,
            **values(found.values),
            "macro_precision": found.macro_precision,
            "per_class": found.per_class.to_dict("records"),
            "databases": {name: values(part) for name, part in found.parts.items()},
            "warnings": [asdict(sign) for sign in found.signs],
        },
        indent=1,
    )
