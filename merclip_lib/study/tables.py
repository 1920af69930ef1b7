"""The tables of a study, scored from its archive once all of it is there."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from merclip_lib.files import write_csv
from merclip_lib.scores.bootstrap import pooled, resampled
from merclip_lib.scores.families import Finding, judge_family, two_way_interval
from merclip_lib.scores.metrics import confusion_by_subject
from merclip_lib.study.archive import MADE_BY, predictions_of, read_blocks
from merclip_lib.study.blocks import plan_blocks
from merclip_lib.study.design import (
    Cell,
    Comparison,
    Design,
    Entry,
    Study,
    cells_of,
    read_study,
)

PARTS = {"use_text": "text", "use_eim": "eim", "mix": "mix"}
ESTIMATE = ["difference", "low", "high"]
COLUMNS = {
    "parts": ["preset", "start", *PARTS.values(), "uf1", "low", "high"],
    "differences": ["family", "preset", "start", "change", *ESTIMATE]
    + ["p_holm", "smallest_findable", "equivalent"],
    "controls": ["control", "kind", "preset", "start", *ESTIMATE, "passed"],
    "when": ["factor", "level", "part", *ESTIMATE],
}  # of the files
HELD = COLUMNS | {
    "differences": [*COLUMNS["differences"], "verdict"],
    "controls": [*COLUMNS["controls"], "verdict"],
    "when": [*COLUMNS["when"], "family", "verdict"],
}  # of the tables


class Results(NamedTuple):
    """What a study has to say.

    Attributes:
        tables: `parts`, `differences`, `controls` and `when`, as `score_archive` makes them;
            without rows where nothing may be scored yet.
        sentence: what made them, or what is missing and how to make it.
    """

    tables: dict[str, pd.DataFrame]
    sentence: str


def archive_of(design: Path) -> Path:
    """The folder of a design's blocks: `study` beside design.yaml, else one of the same name."""
    return design.resolve().parent / ("study" if design.stem == "design" else design.stem)


def read_results(design: str | Path) -> Results:
    """The tables of a study if all its blocks are there, and a sentence about it in any case.

    Raises:
        ValueError: the design is at fault, or a block is damaged.
    """
    design, empty = Path(design), {name: pd.DataFrame(columns=c) for name, c in HELD.items()}
    if not design.is_file():
        return Results(empty, f"There is no {design.name} here, so this part has nothing to show.")
    study, archive = read_study(design), archive_of(design)
    rows, number = _read_all(study, archive)
    if missing := _missing(rows, number):
        return Results(
            empty,
            f"{len(missing)} of {number} blocks of {design.name} are not in {archive.name}/ yet, "
            "and nothing is scored before all are there. For each of them: `merclip study run "
            f"--design notebooks/{design.name} --block N`.",
        )
    made = [f"{name} {', '.join(sorted(set(rows[name])))}" for name in MADE_BY]
    return Results(
        score_archive(study, archive),
        f"{len(rows)} trainings in {number} blocks, made by: {'; '.join(made)}.",
    )


def score_archive(study: Study, archive: Path) -> dict[str, pd.DataFrame]:
    """Score the archive: the columns of COLUMNS, and the `verdict` of every difference.

    Raises:
        ValueError: blocks are missing (then nothing is scored), or one is damaged.
    """
    rows, number = _read_all(study, archive)
    if missing := _missing(rows, number):
        raise ValueError(
            f"{archive}: block {', '.join(map(str, missing))} of {number} is missing; nothing is "
            "scored before all are there: `merclip study run --block N`"
        )
    uf1 = _resampled_uf1(study, rows, archive)
    return {"parts": _parts(study, uf1), **_judged(study, uf1)}


def write_tables(tables: dict[str, pd.DataFrame], figures: Path) -> list[Path]:
    """Write the tables of `score_archive` as CSV."""
    for name, table in tables.items():
        write_csv(table[COLUMNS[name]], figures / f"{name}.csv", "%.7g")
    return [figures / f"{name}.csv" for name in tables]


def _read_all(study: Study, archive: Path) -> tuple[pd.DataFrame, int]:
    """All archived trainings, and how many blocks there must be."""
    number = len(plan_blocks(study))
    return read_blocks(study, archive, number), number


def _missing(rows: pd.DataFrame, number: int) -> list[int]:
    return sorted(set(range(1, number + 1)) - set(rows["block"]))


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
    config = design.config | entry.config
    return {name: bool(config.get(key, True)) for key, name in PARTS.items()}


def _parts(study: Study, uf1: dict[Cell, np.ndarray]) -> pd.DataFrame:
    """UF1 of every entry that leaves out parts of the method and changes nothing else."""
    rows, design = [], study.design
    places = Counter(cell[:3] for cell in uf1)
    presets, starts = list(design.presets), list(design.starts)
    for entry, preset, start in sorted(
        places, key=lambda at: (presets.index(at[1]), starts.index(at[2]), at[0])
    ):
        made = design.entries[entry]
        if set(made.config) - set(PARTS) or made != Entry(made.config, made.budget):
            continue
        values = _at(uf1, entry, (preset, start), places[entry, preset, start])
        score = dict(zip(("uf1", "low", "high"), two_way_interval(values, design.rules)))
        rows.append({"preset": preset, "start": start, **parts_of(design, made), **score})
    return pd.DataFrame(rows, columns=HELD["parts"])


def _judged(study: Study, uf1: dict[Cell, np.ndarray]) -> dict[str, pd.DataFrame]:
    """Tables of all differences, of the controls, and of those that lie on curves."""
    differences, controls, when = [], [], []
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
            row |= asdict(finding)
            differences.append(row)
            if c.control:
                kind = {"control": c.change, "kind": c.control, "passed": passed(c, finding)}
                controls.append(row | kind)
            for factor, level in c.points.items():
                when.append(row | {"factor": factor, "level": level, "part": c.part})
    made = {"differences": differences, "controls": controls, "when": when}
    return {name: pd.DataFrame(rows, columns=HELD[name]) for name, rows in made.items()}


def passed(control: Comparison, finding: Finding) -> bool:
    """A positive control helps by Holm; the interval of a negative one lies within its bounds."""
    if control.control == "positive":
        return finding.verdict == "helps"
    low, high = control.within
    return low < finding.low and finding.high < high
