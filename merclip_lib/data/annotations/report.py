"""What a clip table holds, what became of each row of its source, and whether totals are right.

A report is a plain dict (`merclip manifest --json` prints it) and `manifest_text` says it in
lines. The expected totals are those of the cards in data/cards/; where a table differs, figures from it
cannot be compared with published ones, and the report says by how much.
"""

from collections import Counter
from pathlib import Path

import pandas as pd

from merclip_lib.data.annotations.read import Reading
from merclip_lib.data.frames.find import Folders
from merclip_lib.data.table import hash_ids
from merclip_lib.data.tasks import (
    TASKS,
    apply_task,
    casme2_coding,
    compare_totals,
    database,
    read_card,
    relabelled,
)
from merclip_lib.text import facs
from merclip_lib.text.facs import ActionUnit
from merclip_lib.text.sentences import describe, is_mentioned


def describe_table(table: pd.DataFrame) -> dict:
    """Clips, people, emotions, action units, sentences without words, and lengths of a table."""
    units: Counter = Counter()
    unsaid: Counter = Counter()
    wordless = uncoded = 0
    for annotation in table["action_units"]:
        parsed = facs.parse(annotation)
        said = [unit for unit in parsed if is_mentioned(unit)]
        units.update({unit.number for unit in parsed})
        unsaid.update({_code(unit) for unit in parsed if not is_mentioned(unit)})
        uncoded += not parsed
        wordless += bool(parsed) and not said
    length = table["offset"] - table["onset"] + 1
    return {
        "clips": len(table),
        "subjects": len(table[["dataset", "subject"]].drop_duplicates()),
        "emotions": _counts(table["emotion"]),
        "action_units": {str(number): units[number] for number in sorted(units)},
        "action_units_unsaid": {code: unsaid[code] for code in sorted(unsaid)},
        "clips_without_action_units": uncoded,
        "clips_with_unsaid_units_alone": wordless,
        "apex_missing": int(table["apex"].isna().sum()),
        "frames_per_clip": {
            "shortest": int(length.min()),
            "median": float(length.median()),
            "longest": int(length.max()),
        },
        "ids": hash_ids(table["clip_id"]),
    }


def _code(unit: ActionUnit) -> str:
    return f"{unit.number}(k)" if unit.marked_k else str(unit.number)


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in sorted(values.value_counts().items())}


def sentences(table: pd.DataFrame, style: str = "phrases", where: str = "") -> pd.DataFrame:
    """The sentence of every clip: columns clip_id, action_units, sentence.

    Raises ValueError as `describe` does, naming the row of the table.
    """
    rows = zip(table["action_units"], table["emotion"], strict=True)
    said = [
        describe(annotation, style, emotion, f"{where}, row {number}")
        for number, (annotation, emotion) in enumerate(rows, start=2)
    ]
    return table[["clip_id", "action_units"]].assign(sentence=said)


def sentences_said(table: pd.DataFrame) -> str:
    """What the sentences leave unsaid, in lines."""
    held = describe_table(table)
    return "\n".join(_unsaid(held)) or "every action unit is said"


def manifest_report(reading: Reading, dataset: str, data_root: Path | None = None) -> dict:
    """The account of one reading: every row that was not simply kept, the table, the totals."""
    notable = reading.report[reading.report["outcome"] != "kept"]
    report = {
        "dataset": dataset,
        "notes": list(reading.notes),
        "rows": reading.counts(),
        "changes": notable.to_dict("records"),
        "table": describe_table(reading.table),
    }
    if reading.coding:
        report["coding"] = reading.coding
        report["relabelled"] = _relabelled(reading.table)
    if data_root is not None:
        report["frames"] = _frames(reading.table, Path(data_root))
    card = read_card(dataset)
    report["expected"] = _table_totals(card.get("table", {}), report)
    for name in card.get("tasks", {}):
        report["expected"] += _task_totals(reading.table, name, report["notes"])
    return report


def task_report(table: pd.DataFrame, name: str) -> tuple[dict, pd.DataFrame]:
    """What a task makes of a table, and the rows it takes (with their class in `label`)."""
    chosen = apply_task(table, name)
    report = {
        "task": name,
        "clips": len(chosen),
        "subjects": len(chosen[["dataset", "subject"]].drop_duplicates()),
        "classes": {c: int((chosen["label"] == c).sum()) for c in TASKS[name].classes},
        "databases": {
            str(part): {
                "clips": len(rows),
                "subjects": int(rows["subject"].nunique()),
                "classes": _counts(rows["label"]),
            }
            for part, rows in chosen.groupby(database(chosen["dataset"]))
        },
        "ids": hash_ids(chosen["clip_id"]),
        "notes": [],
    }
    own = table[database(table["dataset"]).isin(TASKS[name].databases)]
    out = own[~own.index.isin(chosen.index)]
    alike = (out["dataset"] + out["emotion"]).isin(set(chosen["dataset"] + chosen["emotion"]))
    report["left_out"] = _counts(out["emotion"])
    report["left_out_by_name"] = out.loc[alike, "clip_id"].tolist()
    if "casme2" in report["databases"]:
        report["coding"] = casme2_coding(table) or "unknown"
        report["relabelled"] = _relabelled(table)
    report["expected"] = []
    if not name.startswith("synthme"):
        report["expected"] = _task_totals(table, name, report["notes"])
    return report, chosen


def differences(report: dict) -> list[str]:
    """The totals that are not as expected, one line each."""
    return [
        f"{line['part']}: {line['quantity']} expected {line['expected']}, found {line['found']}"
        for line in report["expected"]
        if line["expected"] != line["found"]
    ]


def _relabelled(table: pd.DataFrame) -> list[str]:
    """Names of the three clips on which the codings of CASME II disagree, as far as told."""
    return table.loc[relabelled(table), "clip_id"].tolist()


def _frames(table: pd.DataFrame, root: Path) -> dict:
    """How many clips have their pictures or video below the root, as `merclip prepare` looks."""
    folders, missing = Folders(root), []
    for clip_id, frames in zip(table["clip_id"], table["frames"], strict=True):
        try:
            folders.find(frames, f"clip {clip_id}")
        except ValueError as problem:
            missing.append(str(problem))
    return {"found": len(table) - len(missing), "missing": len(missing), "first": missing[:5]}


def _table_totals(expected: dict, report: dict) -> list[dict]:
    """Totals of the whole table; a card states those that are known."""
    found = report["table"]
    lines = [("rows", expected["rows"], report["rows"]["read"])] if "rows" in expected else []
    lines += [
        (name, expected[name], found[name]) for name in ("clips", "subjects") if name in expected
    ]
    codings = expected.get("emotions_by_coding", {})
    emotions = expected.get("emotions") or codings.get(
        report.get("coding"), codings.get("2019", {})
    )
    if emotions:
        names = sorted({*emotions, *found["emotions"]})
        lines += [(name, emotions.get(name, 0), found["emotions"].get(name, 0)) for name in names]
    return [
        {"part": "table", "quantity": name, "expected": wanted, "found": is_now}
        for name, wanted, is_now in lines
    ]


def _task_totals(table: pd.DataFrame, name: str, notes: list[str]) -> list[dict]:
    """Totals of one task. Of a table with some of the splits, only these splits are compared."""
    try:
        lines = compare_totals(table, name)
    except ValueError as problem:
        notes.append(f"{name}: {problem}")
        return []
    parts = read_card(name.rsplit("-", 1)[0])["tasks"][name].get("parts", {})
    splits = set(parts.get("split", {}))
    here = set(table["split"]) if splits else set()
    if splits - here:
        notes.append(f"{name}: only {', '.join(sorted(here & splits))} is in this table")
        lines = lines[lines["part"].isin(here)]
    return lines.assign(part=name + " " + lines["part"]).to_dict("records")


def manifest_text(report: dict) -> str:
    """The report in lines for a reader."""
    lines = list(report["notes"])
    if "rows" in report:
        rows = report["rows"]
        lines.append(
            f"{report['dataset']}: {rows['read']} rows read, {rows['kept']} kept "
            f"({rows['repaired']} of them repaired), {rows['dropped']} dropped"
        )
        lines += [f"  row {c['row']} {c['outcome']}: {c['reason']}" for c in report["changes"]]
        lines += _said(report["table"])
    else:
        lines.append(
            f"{report['task']}: {report['clips']} clips, {report['subjects']} subjects, "
            f"ids {report['ids']}"
        )
        lines.append(f"  classes: {_list(report['classes'])}")
        for part, held in report["databases"].items():
            lines.append(
                f"  {part}: {held['clips']} clips, {held['subjects']} subjects; "
                f"{_list(held['classes'])}"
            )
        if report["left_out"]:
            lines.append(f"  left out: {_list(report['left_out'])}")
        if report["left_out_by_name"]:
            lines.append(f"  of these by name: {', '.join(report['left_out_by_name'])}")
    if "coding" in report:
        lines.append(
            f"CASME II in the coding of {report['coding']}; the codings of 2014 and 2019 "
            f"disagree on {', '.join(report['relabelled']) or 'clips not told here'}"
        )
    if "frames" in report:
        frames = report["frames"]
        lines.append(f"frames: {frames['found']} clips found, {frames['missing']} not")
        lines += [f"  {problem}" for problem in frames["first"]]
    wrong = differences(report)
    if report["expected"]:
        lines.append(
            f"expected totals: {len(report['expected']) - len(wrong)} of "
            f"{len(report['expected'])} agree"
        )
    return "\n".join([*lines, *(f"  {line}" for line in wrong)])


def _said(table: dict) -> list[str]:
    frames = table["frames_per_clip"]
    lines = [
        f"{table['clips']} clips, {table['subjects']} subjects, ids {table['ids']}",
        f"  emotions: {_list(table['emotions'])}",
        "  frames a clip: {shortest} to {longest}, median {median:g}".format(**frames),
        f"  clips without apex: {table['apex_missing']}",
        f"  action units: {_list(table['action_units']) or 'none'}",
    ]
    return lines + [f"  {line}" for line in _unsaid(table)]


def _unsaid(table: dict) -> list[str]:
    lines = []
    if table["action_units_unsaid"]:
        lines.append(f"not said in sentences: {_list(table['action_units_unsaid'])} (clips)")
    for name in ("clips_without_action_units", "clips_with_unsaid_units_alone"):
        if table[name]:
            lines.append(f"{name.replace('_', ' ')}: {table[name]}")
    return lines


def _list(counts: dict) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
