"""The tables of a study, scored from its archive once all of it is there."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from merclip_lib.files import write_csv
from merclip_lib.scores.bootstrap import pooled, resampled
from merclip_lib.scores.families import Finding, judge_family, two_way_interval
from merclip_lib.scores.metrics import confusion_by_subject
from merclip_lib.study.archive import predictions_of, read_blocks
from merclip_lib.study.blocks import plan_blocks
from merclip_lib.study.design import Cell, Comparison, Entry, Study, cells_of

PARTS = {"use_text": "text", "use_eim": "eim", "mix": "mix"}
DIFFERENCES = ["family", "preset", "start", "change", "difference", "low", "high", "p_holm"]
DIFFERENCES += ["smallest_findable", "equivalent"]
CONTROLS = ["control", "kind", "preset", "start", "difference", "low", "high", "passed"]
WHEN = ["factor", "level", "part", "difference", "low", "high"]


def write_tables(study: Study, archive: Path, figures: Path) -> list[Path]:
    """Score the archive and write `parts`, `differences`, `controls` and `when` as CSV.

    Raises:
        ValueError: blocks are missing (then nothing is scored), or one is damaged.
    """
    number = len(plan_blocks(study))
    rows = read_blocks(study, archive, number)
    if missing := sorted(set(range(1, number + 1)) - set(rows["block"])):
        raise ValueError(
            f"{archive}: block {', '.join(map(str, missing))} of {number} is missing; nothing is "
            "scored before all are there: `merclip study run --block N`"
        )
    uf1 = _resampled_uf1(study, rows, archive)
    tables = {"parts": _parts(study, uf1), **_judged(study, uf1)}
    for name, table in tables.items():
        write_csv(table, figures / f"{name}.csv", "%.7g")
    return [figures / f"{name}.csv" for name in tables]


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


def _parts(study: Study, uf1: dict[Cell, np.ndarray]) -> pd.DataFrame:
    """UF1 of every entry that leaves out parts of the method and changes nothing else."""
    rows = []
    for (entry, preset, start), number in sorted(Counter(cell[:3] for cell in uf1).items()):
        made = study.design.entries[entry]
        if set(made.config) - set(PARTS) or made != Entry(made.config, made.budget):
            continue
        config = study.design.config | made.config
        present = {name: bool(config.get(key, True)) for key, name in PARTS.items()}
        interval = two_way_interval(_at(uf1, entry, (preset, start), number), study.design.rules)
        score = dict(zip(("uf1", "low", "high"), interval, strict=True))
        rows.append({"preset": preset, "start": start, **present, **score})
    return pd.DataFrame(rows)


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
    return {
        "differences": pd.DataFrame(differences, columns=DIFFERENCES),
        "controls": pd.DataFrame(controls, columns=CONTROLS),
        "when": pd.DataFrame(when, columns=WHEN),
    }


def passed(control: Comparison, finding: Finding) -> bool:
    """A positive control helps by Holm; the interval of a negative one lies within its bounds."""
    if control.control == "positive":
        return finding.verdict == "helps"
    low, high = control.within
    return low < finding.low and finding.high < high
