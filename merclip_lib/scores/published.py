"""The ledger: published figures beside ours, under the reference protocol and the honest one.

Published figures are facts copied into data/cards/published.yaml with the place where each was
read. Ours come from finished runs of the run store, leave one subject out over the whole set. A
set that is not on this machine leaves words in its cell, never a number.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from merclip_lib.data.store import open_store
from merclip_lib.data.tasks import CARDS, TASKS, database, task_named
from merclip_lib.scores.bootstrap import mean_and_interval

PUBLISHED = CARDS / "published.yaml"
SELECTIONS = ("last", "best_on_test", "unknown")
NOT_HERE = "not run here: needs the licensed set"
NOT_TRAINED = "not run here: the set is present, train it with notebook 05"
COLUMNS = "task part method protocol selection uf1 uf1_low uf1_high uar seeds note source".split()


def read_published(path: str | Path = PUBLISHED) -> pd.DataFrame:
    """Published figures: task, part ("all" or a database), method, selection, uf1, uar, source.

    A figure that was read nowhere is NaN, and such a row has no source: every task of the paper
    has its row, whether something is known or not.

    Raises:
        ValueError: naming the method, for a figure outside [0, 1], an unknown task, source or
            selection, and for a missing file.
    """
    content, rows = _content(path), []
    for entry in content["methods"]:
        where = f"{path}, {entry['method']}"
        if entry["selection"] not in SELECTIONS:
            raise ValueError(f"{where}: selection is one of {', '.join(SELECTIONS)}")
        for task, parts in entry["figures"].items():
            known = ("all", *task_named(task).databases)
            for part, (uf1, uar) in parts.items():
                if part not in known:
                    raise ValueError(f"{where}: {task} has no part {part!r}")
                source = _source(content, entry, where, (uf1, uar))
                rows.append((task, part, entry["method"], entry["selection"], uf1, uar, source))
    columns = "task part method selection uf1 uar source".split()
    return pd.DataFrame(rows, columns=columns).astype({"uf1": float, "uar": float})


def read_published_traps(path: str | Path = PUBLISHED) -> pd.DataFrame:
    """What traps did to published numbers: trap, what, metric, honest, trapped, change, source.

    Raises:
        ValueError: as `read_published`.
    """
    content, rows = _content(path), []
    for entry in content["traps"]:
        figures = entry["honest"], entry["trapped"]
        source = _source(content, entry, f"{path}, {entry['trap']}", figures)
        rows.append(entry | {"source": source})
    table = pd.DataFrame(rows)
    table.insert(5, "change", (table["trapped"] - table["honest"]).round(4))
    return table


def comparable_runs(runs: Sequence, data_hash: str, task: str, protocol: str) -> list[list]:
    """Runs that may stand in the ledger, those that differ in the seed alone together.

    Wanted are runs of the task over the whole set, one subject left out, the epoch not chosen on
    it unless the protocol is "reference".

    Args:
        runs: what `runs.read_runs` gives.
        data_hash: that of the clip store.
        task: name of the task.
        protocol: "honest" or "reference".
    """
    groups: dict[object, list] = {}
    for run in runs:
        config = run.config
        trapped = config.selection == "best_on_test" and protocol == "honest"
        if (config.task, config.protocol, config.subjects, config.folds) != (task, protocol, 0, 0):
            continue
        data = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))["data"]
        if trapped or config.held_out != "subject" or data["hash"] != data_hash:
            continue
        groups.setdefault(dataclasses.replace(config, seed=0), []).append(run)
    return list(groups.values())


def our_rows(runs: Sequence, task: str) -> list[dict]:
    """Ledger rows of runs that differ in the seed alone: the whole set, then each database.

    Figures are means over seeds; the interval is of the mean over the same drawn subjects.

    Args:
        runs: a list that `comparable_runs` gives.
        task: name of the task.

    Returns:
        A dictionary per row, keys as in COLUMNS.
    """
    classes, config = task_named(task).classes, runs[0].config
    tables, names = [run.predictions for run in runs], ", ".join(run.hash for run in runs)
    parts = {"all": tables}
    if len(task_named(task).databases) > 1:
        for name in task_named(task).databases:
            parts[name] = [table[database(table["database"]) == name] for table in tables]
    rows = []
    for part, of_seeds in parts.items():
        uf1, low, high = mean_and_interval(of_seeds, classes, "uf1")
        uar = mean_and_interval(of_seeds, classes, "uar").value
        settings = (task, part, "ours", config.protocol, config.selection)
        values = (*settings, uf1, low, high, uar, len(runs), "", f"run {names}")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def licensed_rows(published: pd.DataFrame, stores: Mapping[str, str], runs: Sequence) -> list[dict]:
    """Ledger rows of ours for licensed sets, under both protocols.

    Args:
        published: what `read_published` gives; each of its tasks has rows.
        stores: clip stores by the name that begins their tasks, such as {"casme3": folder}.
        runs: what `runs.read_runs` gives.

    Returns:
        Dictionaries with keys of COLUMNS: figures where comparable runs are there, else words.
    """
    rows = []
    for task in TASKS:
        store = stores.get(task.rsplit("-", 1)[0])
        if not store and task not in set(published["task"]):
            continue
        data = open_store(store).meta["hash"] if store else ""
        row = {"task": task, "part": "all", "method": "ours"}
        row["note"] = NOT_TRAINED if store else NOT_HERE
        for protocol in ("honest", "reference"):
            groups = comparable_runs(runs, data, task, protocol)
            found = [each for group in groups for each in our_rows(group, task)]
            rows += found or [row | {"protocol": protocol}]
    return rows


def ledger(published: pd.DataFrame, rows: Sequence[dict]) -> pd.DataFrame:
    """The ledger (columns COLUMNS): published figures and our rows by task, published first.

    Runs that are given twice stand there once.
    """
    published = published.assign(protocol="as published", note="")
    table = pd.concat([published, pd.DataFrame(list(rows), columns=COLUMNS)], ignore_index=True)
    order = {name: k for k, name in enumerate(TASKS)}
    table = table.sort_values("task", key=lambda names: names.map(order), kind="stable")
    return table[COLUMNS].drop_duplicates(ignore_index=True)


def ledger_of_task(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """One task of the ledger for reading: a row per method, `UF1 / UAR` of each part."""
    rows = table[table["task"] == task]
    text = [
        note or " / ".join("–" if pd.isna(value) else f"{value:.4f}" for value in (uf1, uar))
        for uf1, uar, note in zip(rows["uf1"], rows["uar"], rows["note"], strict=True)
    ]
    # ours may stand there several times: runs of other settings are told apart by their source
    keys = ["method", "protocol", "selection", "source"]
    named = rows[keys].fillna("")
    wide = named.assign(part=rows["part"], text=text).set_index([*keys, "part"])["text"]
    wide = wide.unstack(sort=False, fill_value="")
    parts = [name for name in ("all", *task_named(task).databases) if name in wide]
    return wide.reset_index("source")[[*parts, "source"]].rename_axis(columns="")


def _content(path: str | Path) -> dict:
    """What the file of published figures holds."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; published figures are in {PUBLISHED.name}")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _source(content: dict, entry: dict, where: str, figures: Sequence[float | None]) -> str:
    """Where figures were read, in words; "" if none (None) was published.

    Raises:
        ValueError: a figure outside [0, 1], or an unknown source.
    """
    given = [value for value in figures if value is not None]
    for value in given:
        if not 0 <= value <= 1:
            raise ValueError(f"{where}: {value} is no share of 1; write 78.3 % as 0.783")
    if given and entry.get("source") not in content["sources"]:
        unknown = f"{where}: source {entry.get('source')!r} is not among the sources"
        raise ValueError(f"{unknown}; a figure without a source is left out")
    return content["sources"][entry["source"]] if given else ""
