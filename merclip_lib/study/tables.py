"""The tables of a study, scored from its archive once all of it is there."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from merclip_lib.files import Kind, output_place, write_csv
from merclip_lib.scores.bootstrap import pooled, resampled
from merclip_lib.scores.families import Finding, judge_family, two_way_interval
from merclip_lib.scores.metrics import confusion_by_subject
from merclip_lib.study.archive import MADE_BY, block_file, predictions_of, read_blocks
from merclip_lib.study.blocks import plan_blocks
from merclip_lib.study.design import Cell, Comparison, Design, Entry, Study, cells_of, read_study

PARTS = {"use_text": "text", "use_eim": "eim", "mix": "mix"}
ESTIMATE = ["difference", "low", "high"]
COLUMNS = {
    "parts": ["preset", "start", *PARTS.values(), "uf1", "low", "high", "populations"],
    "differences": ["family", "preset", "start", "change", "part", *ESTIMATE]
    + ["p_holm", "smallest_findable", "equivalent"],
    "controls": ["control", "kind", "preset", "start", "part", *ESTIMATE, "p_holm", "passed"],
    "when": ["factor", "level", "part", *ESTIMATE],
}  # of the files


class Results(NamedTuple):
    """What a study has to say.

    Attributes:
        tables: as `score_archive` makes them; without rows where nothing may be scored yet.
        sentence: what made them, or what is missing and how to make it.
    """

    tables: dict[str, pd.DataFrame]
    sentence: str


def read_results(design: str | Path) -> Results:
    """The tables of a study if all its blocks are there, and a sentence about it in any case.

    Raises:
        ValueError: the design is at fault, or a block is damaged.
    """
    design, empty = Path(design), {name: _table(name, []) for name in COLUMNS}
    if not design.is_file():
        how = "write one in the form of design.yaml, freeze it and run its blocks"
        command = f"merclip study run --design {design} --block N"
        return Results(empty, f"There is no {design}: {how}: `{command}`.")
    study = read_study(design)
    if missing := _missing(study, study.archive):
        return Results(empty, f"{missing}.")
    rows = read_blocks(study, study.archive, len(plan_blocks(study)))
    made = "; ".join(f"{name} {', '.join(sorted(set(rows[name])))}" for name in MADE_BY)
    return Results(score_archive(study, study.archive), f"{len(rows)} trainings, made by: {made}.")


def score_archive(study: Study, archive: Path) -> dict[str, pd.DataFrame]:
    """Score the archive: `parts`, `differences`, `controls` and `when`.

    Returns:
        Tables with the columns of COLUMNS and, for all differences, the `verdict`.

    Raises:
        ValueError: blocks are missing (then nothing is scored), or one is damaged.
    """
    if missing := _missing(study, archive):
        raise ValueError(missing)
    uf1 = _resampled_uf1(study, read_blocks(study, archive, len(plan_blocks(study))), archive)
    return {"parts": _parts(study, uf1), **_judged(study, uf1)}


def questions(design: Design) -> pd.DataFrame:
    """The families of a design: how many questions each asks at once, and about what."""
    rows = []
    for name, family in design.families.items():
        number = sum(len(cells_of(family, c)) for c in family.comparisons)
        about = ", ".join(dict.fromkeys(c.part or c.change for c in family.comparisons))
        factors = ", ".join(dict.fromkeys(at for c in family.comparisons for at in c.points))
        rows.append([name, number, about + f" against {factors}" * bool(factors)])
    return pd.DataFrame(rows, columns=["family", "questions", "about"])


def write_tables(tables: dict[str, pd.DataFrame], figures: Path) -> list[Path]:
    """Write the tables of `score_archive` as CSV; ValueError where another file is in the way."""
    paths = {name: figures / f"{name}.csv" for name in tables}
    for name, path in paths.items():
        output_place(path, Kind(tuple(COLUMNS[name][:2])))
    for name, path in paths.items():
        write_csv(tables[name][COLUMNS[name]], path, "%.7g")
    return list(paths.values())


def _table(name: str, rows: list) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[*COLUMNS[name], "verdict"])


def _missing(study: Study, archive: Path) -> str:
    """Which blocks are not in the archive, and how to make them; empty if all are there."""
    number = len(plan_blocks(study))
    gone = [str(k) for k in range(1, number + 1) if not block_file(archive, k).is_file()]
    command = f"merclip study run --design {study.path} --block N"
    text = f"{archive}: block {', '.join(gone)} of {number} is missing; nothing is scored before "
    return f"{text}all are there: `{command}`" if gone else ""


def _resampled_uf1(study: Study, rows: pd.DataFrame, archive: Path) -> dict[Cell, np.ndarray]:
    """UF1 of each training, (1 + samples,): as observed, and with test people drawn."""
    people, uf1 = study.design.rules.people, {}
    for _, row in rows.iterrows():
        counts = confusion_by_subject(predictions_of(row, archive), row["classes"].split())
        uf1[Cell(*row[list(Cell._fields)])] = resampled([counts], pooled("uf1"), people)
    return uf1


def _at(uf1: dict[Cell, np.ndarray], entry: str, place: tuple[str, str], number: int) -> np.ndarray:
    """UF1 of an entry at its first populations: (1 + samples, R)."""
    return np.column_stack([uf1[Cell(entry, *place, k)] for k in range(number)])


def parts_of(design: Design, entry: Entry) -> dict[str, bool]:
    """Which parts of the method an entry has."""
    return {name: bool((design.config | entry.config).get(k, True)) for k, name in PARTS.items()}


def changed_part(design: Design, comparison: Comparison) -> str:
    """The part that one of its entries has and the other has not; "" if they have the same."""
    a, b = (parts_of(design, design.entries[name]) for name in (comparison.a, comparison.b))
    return ", ".join(part for part in a if a[part] != b[part])


def changes_parts_alone(entry: Entry) -> bool:
    """Whether an entry leaves out parts of the method and changes nothing else."""
    return set(entry.config) <= set(PARTS) and entry == Entry(entry.config, entry.budget)


def _parts(study: Study, uf1: dict[Cell, np.ndarray]) -> pd.DataFrame:
    """UF1 of every entry that leaves out parts of the method and changes nothing else."""
    rows, design = [], study.design
    places = Counter(cell[:3] for cell in uf1)
    order = [*design.presets, *design.starts]
    for entry, preset, start in sorted(places, key=lambda at: [*map(order.index, at[1:]), at[0]]):
        if changes_parts_alone(made := design.entries[entry]):
            values = _at(uf1, entry, (preset, start), number := places[entry, preset, start])
            interval = two_way_interval(values, design.rules)
            rows.append([preset, start, *parts_of(design, made).values(), *interval, number, ""])
    return _table("parts", rows)


def _judged(study: Study, uf1: dict[Cell, np.ndarray]) -> dict[str, pd.DataFrame]:
    """Tables of all differences, of the controls, and of those that lie on curves."""
    differences, controls, when = list[dict](), list[dict](), list[dict]()
    for name, family in study.design.families.items():
        asked, values = [], []
        for c in family.comparisons:
            for (preset, start), number in cells_of(family, c).items():
                asked.append((c, preset, start))
                b = _at(uf1, c.b, (preset, c.b_start or start), number)
                values.append(_at(uf1, c.a, (preset, start), number) - b)
        findings = judge_family(values, study.design.rules)
        for (c, preset, start), finding in zip(asked, findings, strict=True):
            row = {"family": name, "preset": preset, "start": start, "change": c.change}
            row |= {"part": c.part or changed_part(study.design, c), **asdict(finding)}
            differences.append(row)
            if c.control:
                kind = {"control": c.change, "kind": c.control, "passed": passed(c, finding)}
                controls.append(row | kind)
            for factor, level in c.points.items():
                rank = np.inf if isinstance(level, str) else float(level)  # words as in the design
                point = {"factor": factor, "level": str(level), "part": c.part, "rank": rank}
                when.append(row | point)
    factors = [row["factor"] for row in when]
    when.sort(key=lambda row: (factors.index(row["factor"]), row["rank"]))
    made = {"differences": differences, "controls": controls, "when": when}
    return {name: _table(name, rows) for name, rows in made.items()}


def passed(control: Comparison, finding: Finding) -> bool:
    """A positive control helps by Holm; the interval of a negative one lies within its bounds."""
    if control.control == "positive":
        return finding.verdict == "helps"
    low, high = control.within
    return low < finding.low and finding.high < high
