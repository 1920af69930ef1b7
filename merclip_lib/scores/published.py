"""The ledger: published figures beside ours, under the reference protocol and the honest one.

Published figures are facts copied into data/cards/published.yaml with the place where each was
read. Ours come from finished runs over the whole set, tested as the paper tests it. A set that is
not on this machine leaves words in its cell, never a number.
"""

import dataclasses
import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from merclip_lib.data.store import open_store
from merclip_lib.data.tasks import CARDS, TASKS, database, read_card, task_named
from merclip_lib.scores.bootstrap import mean_and_interval

PUBLISHED = CARDS / "published.yaml"
SELECTIONS = ("last", "best_on_test", "unknown")
NOT_HERE = "not run here: needs the licensed set"
NOT_TRAINED = "not run here: the set is present, train it with notebook 05"
COLUMNS = "task part method protocol selection uf1 uf1_low uf1_high uar seeds note source".split()


def read_published(path: str | Path = PUBLISHED) -> pd.DataFrame:
    """Published figures: task, part, method, selection, uf1, uar, source.

    A part is "all", or a database or a test set that the card of the task has totals of.

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
            known = ["all", *_parts(task_named(task).name)]
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


def comparable_runs(runs: Sequence, data: Container[str], task: str, protocol: str) -> list:
    """Runs that may stand in the ledger beside published figures.

    Wanted are runs of the task over the whole set, tested as the paper tests it: on the set's own
    split where its card has one (DFME), else one subject left out. The epoch was not chosen on
    those who are tested, unless the protocol is "reference".

    Args:
        runs: what `runs.read_runs` gives.
        data: hashes of the clip stores that hold the set.
        task: name of the task.
        protocol: "honest" or "reference".
    """
    held_out = "split" if "split" in _parts(task).values() else "subject"
    wanted = {"task": task, "protocol": protocol, "held_out": held_out, "subjects": 0, "folds": 0}
    whole = [run for run in runs if wanted.items() <= vars(run.config).items()]
    trap = "best_on_test" if protocol == "honest" else ""
    return [run for run in whole if run.config.selection != trap and _data(run) in data]


def of_one_setting(runs: Sequence) -> list[list]:
    """Runs that differ in the seed alone, together; a run that comes twice counts once."""
    groups: dict[tuple, list] = {}
    for run in {run.hash: run for run in runs}.values():
        record = _record(run)
        key = _data(run), record.get("code"), record.get("weights")
        groups.setdefault((dataclasses.replace(run.config, seed=0), *key), []).append(run)
    return list(groups.values())


def our_rows(runs: Sequence, task: str) -> list[dict]:
    """Ledger rows of runs that differ in the seed alone: the whole set, then each of its parts.

    Figures are means over seeds; the interval is of the mean over the same drawn subjects.

    Args:
        runs: a list that `of_one_setting` gives.
        task: name of the task.

    Returns:
        A dictionary per row, keys as in COLUMNS.
    """
    classes, config = task_named(task).classes, runs[0].config
    tables, names = [run.predictions for run in runs], ", ".join(run.hash for run in runs)
    parts = {"all": tables}
    for part, column in _parts(task).items():
        parts[part] = [t[database(t[column]) == part] for t in tables if column in t]
    rows = []
    for part, of_seeds in parts.items():
        if not of_seeds or of_seeds[0].empty:
            continue
        uf1, low, high = mean_and_interval(of_seeds, classes, "uf1")
        uar = mean_and_interval(of_seeds, classes, "uar").value
        settings = (task, part, "ours", config.protocol, config.selection)
        values = (*settings, uf1, low, high, uar, len(runs), "", f"run {names}")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def licensed_rows(
    published: pd.DataFrame, stores: Mapping[str, str], runs: Sequence, made: Sequence = ()
) -> list[dict]:
    """Ledger rows of ours, under both protocols.

    Args:
        published: what `read_published` gives; each of its tasks has rows.
        stores: clip stores by the name that begins their tasks, such as {"casme3": folder}.
        runs: what `runs.read_runs` gives; of these, what is comparable.
        made: runs made on the spot, which may be among `runs` as well. Where there are such, runs
            of other settings (ablations) are left out. Of tasks that nobody has published figures
            of, such as SynthME's, they stand here whatever they left out.

    Returns:
        Dictionaries with keys of COLUMNS: figures where runs are there, else words.
    """
    rows, known = [], set(published["task"])
    for task in dict.fromkeys([*TASKS, *(run.config.task for run in made)]):
        here = [run for run in made if run.config.task == task]
        data, names = {_data(run) for run in here}, {run.hash for run in here}
        if store := stores.get(task.rsplit("-", 1)[0]):
            data.add(open_store(store).meta["hash"])
        words = {"part": "all", "method": "ours", "note": NOT_TRAINED if data else NOT_HERE}
        for protocol in ("honest", "reference"):
            free = [run for run in here if run.config.protocol == protocol and task not in known]
            groups = of_one_setting([*free, *comparable_runs([*here, *runs], data, task, protocol)])
            chosen = [group for group in groups if {r.hash for r in group} & names]
            rows += [each for group in chosen or groups for each in our_rows(group, task)]
            if not groups and (store or task in known):
                rows.append({"task": task, "protocol": protocol} | words)
    return rows


def ledger(published: pd.DataFrame, rows: Sequence[dict]) -> pd.DataFrame:
    """The ledger (columns COLUMNS): published figures and our rows by task, published first."""
    published = published.assign(protocol="as published", note="")
    table = pd.concat([published, pd.DataFrame(list(rows), columns=COLUMNS)], ignore_index=True)
    order = {name: k for k, name in enumerate(TASKS)}
    table = table.sort_values("task", key=lambda names: names.map(order), kind="stable")
    return table[COLUMNS].reset_index(drop=True)


def ledger_of_task(table: pd.DataFrame, task: str) -> pd.DataFrame:
    """One task of the ledger for reading: a row per method, `UF1 / UAR` of each part."""
    rows = table[table["task"] == task]
    both = rows[["uf1", "uar"]].map(lambda value: "–" if pd.isna(value) else f"{value:.4f}")
    text = (both["uf1"] + " / " + both["uar"]).where(rows["note"] == "", rows["note"])
    # ours may stand there several times: runs of other settings are told apart by their source
    keys = ["method", "protocol", "selection", "source"]
    named = rows[keys].fillna("")
    wide = named.assign(part=rows["part"], text=text).set_index([*keys, "part"])["text"]
    wide = wide.unstack(sort=False, fill_value="")
    parts = [name for name in ("all", *_parts(task)) if name in wide]
    return wide.reset_index("source")[[*parts, "source"]].rename_axis(columns="")


def _parts(task: str) -> dict[str, str]:
    """The parts of a task that are tested, as its card says, with the column that tells them."""
    name = task.rsplit("-", 1)[0]
    card = read_card(name) if (CARDS / f"{name}.yaml").is_file() else {}
    parts = card.get("tasks", {}).get(task, {}).get("parts", {})
    return {part: column for column in parts for part in parts[column] if part != "train"}


def _record(run: Any) -> dict:
    """The run.json of a run."""
    return json.loads((run.folder / "run.json").read_text(encoding="utf-8"))


def _data(run: Any) -> str:
    """The hash of a run's clips."""
    return _record(run)["data"]["hash"]


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
