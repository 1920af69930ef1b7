"""What a clip table holds, what became of each row of its source, and whether totals are right.

A report is a plain dict (`merclip manifest --json` prints it) and `manifest_text` puts it into
lines. The expected totals are those of the cards in data/cards/; where a table differs, figures
from it cannot be compared with published ones, and the report says by how much.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from merclip_lib.data import tasks
from merclip_lib.data.annotations.read import Reading
from merclip_lib.data.annotations.releases import RELEASES
from merclip_lib.data.frames.find import DataRoot
from merclip_lib.data.table import hash_ids
from merclip_lib.files import Kind
from merclip_lib.text import facs
from merclip_lib.text.sentences import Phrases, describe, is_mentioned

SENTENCES = Kind(("clip_id", "action_units", "sentence"))


def describe_table(table: pd.DataFrame) -> dict:
    """Clips, people, emotions, action units, sentences without words, and lengths of a table.

    Each number of an action unit counts the clips that have it; `action_units_unsaid` are those
    that no sentence mentions, and `ids` stands for the set of clips.
    """
    annotations = [facs.parse(annotation) for annotation in table["action_units"]]
    numbers = _counts(number for units in annotations for number in {u.number for u in units})
    unsaid = [{_code(u) for u in units if not is_mentioned(u)} for units in annotations]
    wordless = [bool(units) and not any(map(is_mentioned, units)) for units in annotations]
    length = table["offset"] - table["onset"] + 1
    shortest, median, longest = int(length.min()), float(length.median()), int(length.max())
    return {
        **tasks.size(table),
        "emotions": _counts(table["emotion"]),
        "action_units": {str(number): clips for number, clips in numbers.items()},
        "action_units_unsaid": _counts(chain.from_iterable(unsaid)),
        "clips_without_action_units": sum(not units for units in annotations),
        "clips_with_unsaid_units_alone": sum(wordless),
        "apex_missing": int(table["apex"].isna().sum()),
        "frames_per_clip": {"shortest": shortest, "median": median, "longest": longest},
        "ids": hash_ids(table["clip_id"]),
    }


def _code(unit: facs.ActionUnit) -> str:
    return f"{unit.number}(k)" if unit.marked_k else str(unit.number)


def _counts(values: Iterable[Any]) -> dict[Any, int]:
    return dict(sorted(Counter(values).items()))


def sentences_of(table: pd.DataFrame, style: str, where: str, phrases: Phrases) -> pd.DataFrame:
    """The sentence of every clip.

    Args:
        table: a clip table.
        style: one of `text.sentences.STYLES`.
        where: the table's file, for messages.
        phrases: what the style `phrases` says.

    Returns:
        Columns clip_id, action_units, sentence.

    Raises:
        ValueError: as `text.describe`, naming the row of the table.
    """
    rows = zip(table["action_units"], table["emotion"], strict=True)
    sentences = [
        describe(annotation, style, emotion, f"{where}, row {number}", phrases)
        for number, (annotation, emotion) in enumerate(rows, start=2)
    ]
    return table[["clip_id", "action_units"]].assign(sentence=sentences)


def unsaid_text(table: pd.DataFrame) -> str:
    """What the sentences of a table leave out, in lines."""
    return "\n".join(_unsaid_lines(describe_table(table))) or "every action unit is said"


def manifest_report(reading: Reading, dataset: str, data_root: Path | None = None) -> dict:
    """Account for one reading: rows that were not simply kept, the table, the totals.

    Args:
        reading: what `read_annotations` or `read_folders` returned.
        dataset: its name, and that of its card.
        data_root: the pictures; where given, the report counts the clips that have theirs.
    """
    report: dict[str, Any] = {
        "dataset": dataset,
        "notes": list(reading.notes),
        "rows": reading.counts(),
        "changes": reading.report[reading.report["outcome"] != "kept"].to_dict("records"),
        "table": describe_table(reading.table),
    }
    report |= _coding(reading.table)
    if data_root is not None:
        report["frames"] = _frames(reading.table, data_root)
    card = tasks.read_card(dataset) if dataset in RELEASES else {}
    report["expected"] = _table_totals(card.get("table", {}), report)
    for name in card.get("tasks", {}):
        report["expected"] += _task_totals(reading.table, name, report["notes"])
    return report


def task_report(table: pd.DataFrame, name: str) -> tuple[dict, pd.DataFrame]:
    """Account for what a task makes of a table.

    Returns:
        The report, and the rows that the task takes (with their class in `label`).

    Raises:
        ValueError: as `tasks.apply_task`.
    """
    chosen = tasks.apply_task(table, name)
    task, databases = tasks.task_named(name), tasks.database(table["dataset"])
    left_out = table[databases.isin(task.databases or databases)].drop(chosen.index)
    taken = chosen["dataset"] + chosen["emotion"]
    by_name = (left_out["dataset"] + left_out["emotion"]).isin(taken)
    report: dict[str, Any] = {
        "task": name,
        **tasks.size(chosen),
        "classes": {c: int((chosen["label"] == c).sum()) for c in task.classes},
        "databases": {
            str(part): tasks.size(rows) | {"classes": _counts(rows["label"])}
            for part, rows in chosen.groupby(databases[chosen.index])
        },
        "ids": hash_ids(chosen["clip_id"]),
        "notes": [],
        "left_out": _counts(left_out["emotion"]),
        "left_out_by_name": left_out.loc[by_name, "clip_id"].tolist(),
    }
    if "casme2" in report["databases"]:
        report |= _coding(table)
    unknown = name.startswith("synthme") or name in tasks.ANY
    report["expected"] = [] if unknown else _task_totals(table, name, report["notes"])
    return report, chosen


def differences(report: dict) -> list[str]:
    """The totals that are not as expected, one line each."""
    return [
        f"{line['part']}: {line['quantity']} expected {line['expected']}, found {line['found']}"
        for line in report["expected"]
        if line["expected"] != line["found"]
    ]


def _coding(table: pd.DataFrame) -> dict[str, Any]:
    """The coding of CASME II, and the clips on which the codings disagree, as far as known."""
    coding, names = tasks.casme2_coding(table), table.loc[tasks.relabelled(table), "clip_id"]
    return {"coding": coding, "relabelled": names.tolist()} if coding else {}


def _frames(table: pd.DataFrame, root: Path) -> dict:
    """How many clips have their pictures or video below the root, as `merclip prepare` looks."""
    data_root, missing = DataRoot(root), []
    for clip_id, frames in zip(table["clip_id"], table["frames"], strict=True):
        try:
            data_root.find(frames, f"clip {clip_id}")
        except ValueError as problem:
            missing.append(str(problem))
    return {"found": len(table) - len(missing), "missing": len(missing), "first": missing[:5]}


def _table_totals(expected: dict, report: dict) -> list[dict]:
    """Totals of the whole table; a card states those that are known."""
    found = report["table"] | {"rows": report["rows"]["read"]}
    known = {name: expected[name] for name in ("rows", "clips", "subjects") if name in expected}
    codings, held = expected.get("emotions_by_coding", {}), found["emotions"]
    of_coding = codings.get(report.get("coding"), codings.get("2019", {}))
    if emotions := expected.get("emotions") or of_coding:
        known |= {name: emotions.get(name, 0) for name in sorted({*emotions, *held})}
    return tasks.compare_counts("table", known, found | held)


def _task_totals(table: pd.DataFrame, name: str, notes: list[str]) -> list[dict]:
    """Totals of one task. Of a table with some of the splits, only these splits are compared."""
    try:
        lines = tasks.compare_totals(table, name)
    except ValueError as problem:
        notes.append(f"{name}: {problem}")
        return []
    parts = tasks.read_card(name.rsplit("-", 1)[0])["tasks"][name].get("parts", {})
    splits = parts.get("split", {}).keys()
    here = set(table["split"]) if splits else set()
    if splits - here:
        notes.append(f"{name}: only {', '.join(sorted(here & splits))} is in this table")
        lines = lines[lines["part"].isin(here)]
    return lines.assign(part=name + " " + lines["part"]).to_dict("records")


def manifest_text(report: dict) -> str:
    """Put a report of `manifest_report` or `task_report` into lines for a reader."""
    lines = [*report["notes"], *(_reading_lines if "rows" in report else _task_lines)(report)]
    if "coding" in report:
        clips = f"disagree on {', '.join(report['relabelled']) or 'clips not told here'}"
        codings = f"CASME II in the coding of {report['coding']}; the codings of 2014 and 2019"
        lines.append(f"{codings} {clips}")
    if "frames" in report:
        frames = report["frames"]
        lines.append(f"frames: {frames['found']} clips found, {frames['missing']} not")
        lines += [f"  {problem}" for problem in frames["first"]]
    wrong, total = differences(report), len(report["expected"])
    if total:
        lines.append(f"expected totals: {total - len(wrong)} of {total} agree")
    return "\n".join([*lines, *(f"  {line}" for line in wrong)])


def _reading_lines(report: dict) -> list[str]:
    rows, table = report["rows"], report["table"]
    span = table["frames_per_clip"]
    return [
        f"{report['dataset']}: {rows['read']} rows read, {rows['kept']} kept "
        f"({rows['repaired']} of them repaired), {rows['dropped']} dropped",
        *(f"  row {c['row']} {c['outcome']}: {c['reason']}" for c in report["changes"]),
        f"{_size(table)}, ids {table['ids']}",
        f"  emotions: {_list(table['emotions'])}",
        f"  frames a clip: {span['shortest']} to {span['longest']}, median {span['median']:g}",
        f"  clips without apex: {table['apex_missing']}",
        f"  action units: {_list(table['action_units']) or 'none'}",
        *(f"  {line}" for line in _unsaid_lines(table)),
    ]


def _task_lines(report: dict) -> list[str]:
    lines = [f"{report['task']}: {_size(report)}, ids {report['ids']}"]
    lines += [f"  classes: {_list(report['classes'])}"]
    for part, held in report["databases"].items():
        lines += [f"  {part}: {_size(held)}; {_list(held['classes'])}"]
    if report["left_out"]:
        lines += [f"  left out: {_list(report['left_out'])}"]
    if report["left_out_by_name"]:
        lines += [f"  of these by name: {', '.join(report['left_out_by_name'])}"]
    return lines


def _unsaid_lines(table: dict) -> list[str]:
    """What the sentences leave out, of what `describe_table` counted."""
    unsaid = _list(table["action_units_unsaid"])
    lines = [f"not said in sentences: {unsaid} (clips)"] if unsaid else []
    names = ("clips_without_action_units", "clips_with_unsaid_units_alone")
    return lines + [f"{name.replace('_', ' ')}: {table[name]}" for name in names if table[name]]


def _size(part: dict) -> str:
    return f"{part['clips']} clips, {part['subjects']} subjects"


def _list(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
