"""What a run store holds, for reading and for tidying up (`merclip runs`)."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path

import pandas as pd

from merclip_lib.config import Config, config_from
from merclip_lib.data.tasks import task_named
from merclip_lib.files import remove, writing
from merclip_lib.runs import store
from merclip_lib.runs.code import fingerprint
from merclip_lib.scores.metrics import Score, read_predictions, score

COLUMNS = "run date task seed stamp code arithmetic folds uf1 seconds differs".split()
HASH = "[0-9a-f]" * 12  # the names of all runs; a folder of another name is not ours to tidy up
BEGUN = {"run.json", "start.safetensors"}  # what a run shows before its first fold is finished
REMOVED = ".removed"  # how the name of a run ends that is being deleted
ORDERS = {"date": ["date"], "uf1": ["task", "uf1"], "task": ["task", "date"]}


def list_runs(runs_dir: str | Path, order: str = "date") -> pd.DataFrame:
    """The runs of a store.

    Args:
        runs_dir: the run store.
        order: "date", the newest last; "uf1", by task and then the best last; or "task".

    Returns:
        A row per run: run, date (when it was finished, or else begun), task, seed, stamp (what to
        know before believing the number), code ("other" where other code made it than is here
        now), arithmetic (see `runs.arithmetic`; runs that differ in it differ by rounding), folds
        (finished ones / all), uf1, seconds, differs (from the defaults). A run that cannot be
        read has its error in the column `differs`.
    """
    rows = []
    for path in sorted(Path(runs_dir).glob("[!.]*/run.json")):
        try:
            rows.append(_row(path.parent))
        except (OSError, ValueError, TypeError, KeyError) as error:
            rows.append({"run": path.parent.name, "differs": f"damaged: {error}"})
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(ORDERS[order], na_position="first")


def _row(folder: Path) -> dict:
    """The row of one run."""
    record = store.read_record(folder)
    config = config_from(record["config"])
    done = [fold for fold in record["folds"] if store.is_done(folder, fold)]
    pooled = _pooled(folder, config.task)
    return {
        "run": folder.name,
        "date": _date(folder),
        "task": config.task,
        "seed": config.seed,
        "stamp": record.get("stamp", ""),
        "code": "" if record.get("code") == fingerprint() else "other",
        "arithmetic": record.get("arithmetic", ""),
        "folds": f"{len(done)}/{len(record['folds'])}",
        "uf1": pooled.uf1 if pooled else float("nan"),
        "seconds": sum(store.seconds_of(folder / fold) for fold in done),
        "differs": differs(config),
    }


def _pooled(folder: Path, task: str) -> Score | None:
    """The figures of a finished run; ValueError where its tables are damaged or lost rows."""
    path = folder / "predictions.csv"
    if path.is_file() and (why := store.damage(folder, whole=True)):
        raise ValueError(f"{folder}: {why}; start the run again, finished folds stay")
    return score(read_predictions(path), task_named(task).classes) if path.is_file() else None


def _date(folder: Path) -> str:
    """When the predictions of a run, or else its beginning, were written."""
    path = folder / "predictions.csv"
    written = (path if path.is_file() else folder / "run.json").stat().st_mtime
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(written))


def differs(config: Config) -> str:
    """The fields whose values are not the defaults, as `key=value`; task and seed left out."""
    default = dataclasses.asdict(Config(task=config.task, seed=config.seed))
    values = dataclasses.asdict(config)
    return " ".join(f"{key}={value}" for key, value in values.items() if value != default[key])


def runs_text(runs: pd.DataFrame) -> str:
    """A table of runs for the terminal."""
    if runs.empty:
        return "no runs here"
    shown = runs.assign(
        uf1=runs["uf1"].map("{:.4f}".format), seconds=runs["seconds"].map("{:.0f}".format)
    )
    shown = shown.astype(object).where(runs.notna(), "").astype(str)
    shown = shown.apply(lambda column: column.str.ljust(column.str.len().max()))
    lines = shown.to_string(index=False, justify="left").splitlines()
    return "\n".join(line.strip() for line in lines)


def find_run(runs_dir: str | Path, name: str) -> Path:
    """The folder of the run whose name begins with `name`.

    Raises:
        ValueError: unless there is just one.
    """
    paths = Path(runs_dir).glob("*/run.json")
    folders = [path.parent for path in paths if path.parent.name.startswith(name)]
    if len(folders) != 1:
        many = f"{len(folders)} runs in {runs_dir} begin with {name!r}"
        raise ValueError(f"{many}; `merclip runs list` names them")
    return folders[0]


def run_text(folder: Path) -> str:
    """Configuration, environment and folds of a run, for the terminal."""
    record = store.read_record(folder)
    lines = [f"run {folder.name} on {record['data']['name']} ({record['data']['hash']})"]
    lines += [f"NOTE: {stamp}" for stamp in [record.get("stamp")] if stamp]
    if loading := record.get("loading"):
        counts = [f"{count} {what}" for what, count in loading.items() if type(count) is int]
        lines.append(f"weights {loading['source']}: {', '.join(counts)}")
    default = dataclasses.asdict(Config())
    for key, value in record["config"].items():
        changed = "" if value == default.get(key) else f"   (default {default.get(key)!r})"
        lines.append(f"  {key} = {value!r}{changed}")
    places = [folder / fold / "environment.json" for fold in record["folds"]]
    lines += dict.fromkeys(_environment(path) for path in places if path.is_file())
    folds = [_fold_row(folder, fold) for fold in record["folds"]]
    lines.append(pd.DataFrame(folds).to_string(index=False))
    if pooled := _pooled(folder, config_from(record["config"]).task):
        lines.append(f"UF1 {pooled.uf1:.4f}, UAR {pooled.uar:.4f}, accuracy {pooled.accuracy:.4f}")
    return "\n".join(lines)


def _environment(path: Path) -> str:
    """Where a fold was trained, in a line."""
    try:
        return ", ".join(f"{key} {value}" for key, value in store.read_json(path, dict).items())
    except (OSError, ValueError) as error:
        return f"damaged: {error}"


def _fold_row(folder: Path, fold: str) -> dict:
    """What became of one fold: clips, right predictions, seconds."""
    row: dict[str, object] = {"fold": fold, "clips": "", "right": "", "seconds": ""}
    if store.is_done(folder, fold):
        try:
            seconds = store.seconds_of(folder / fold)
            predictions = read_predictions(folder / fold / "predictions.csv")
            right = int((predictions["truth"] == predictions["prediction"]).sum())
            row |= {"clips": len(predictions), "right": right, "seconds": seconds}
        except (OSError, ValueError) as error:
            row["seconds"] = f"damaged: {error}"
    elif store.is_held(folder, fold):
        row["seconds"] = "in training"
    return row


def leftovers(runs_dir: str | Path) -> list[tuple[Path, str]]:
    """What could be removed, each with the reason; nothing that a process is working on.

    Checkpoints of interrupted folds, files half written, what is damaged, and runs without one
    finished fold. Finished folds of an unfinished run stay, and so does a run.json that cannot be
    read: it may be of another version, or another program's.
    """
    folders = sorted(path.parent for path in Path(runs_dir).glob(f"{HASH}/run.json"))
    removed = sorted(Path(runs_dir).glob(f".{HASH}{REMOVED}"))
    left = [(path, "left by a `clean` that was interrupted") for path in removed]
    return left + [item for folder in folders for item in _leftovers_of(folder)]


def _leftovers_of(folder: Path) -> list[tuple[Path, str]]:
    """The leftovers of one run."""
    parts = sorted(folder.glob(".*.part"))
    idle = [path for path in parts if not store.is_held(folder, _lock_of(path))]
    left = [(path, "left by a process that was interrupted") for path in idle]
    left += [(path, "damaged, set aside") for path in sorted(folder.glob(".*.damaged"))]
    try:
        folds = store.read_record(folder)["folds"]
    except ValueError as error:
        return [*left, (folder / "run.json", f"damaged: {error}")]
    done = [fold for fold in folds if (folder / fold).is_dir()]
    if _has_only_begun(folder) and idle == parts and not store.is_held(folder, store.WHOLE):
        return [(folder, "a run without a finished fold")]
    bad = [(folder / fold, why) for fold in done if (why := store.damage(folder / fold))]
    if (folder / "predictions.csv").is_file() and (why := store.damage(folder, whole=True)):
        bad.append((folder / "predictions.csv", why))
    return left + [(path, f"damaged: {why}") for path, why in bad]


def _has_only_begun(folder: Path) -> bool:
    """Whether a run has no finished fold, and nothing that we did not write."""
    return {path.name for path in folder.glob("[!.]*")} <= BEGUN


def clean(runs_dir: str | Path, yes: bool = False) -> str:
    """Say what `leftovers` finds, and with `yes` remove it."""
    items = leftovers(runs_dir)
    if not items:
        return "nothing to remove"
    lines = [f"{path}: {why}" for path, why in items]
    if not yes:
        return "\n".join([*lines, "nothing was removed; add --yes to remove these"])
    done = ["removed" if remove_leftover(path) else "kept" for path, _ in items]
    return "\n".join(f"{line}: {what}" for line, what in zip(lines, done, strict=True))


def remove_leftover(path: Path) -> bool:
    """Delete what `leftovers` named; False for a run.json, for what a process has begun to work
    on meanwhile, and what is sound by now."""
    if path.name.endswith(REMOVED):
        remove(path)
        return True
    if (path / "run.json").is_file():
        return _remove_run(path)
    with store.hold(path.parent, _lock_of(path)) as mine:
        folder, whole = (path.parent, True) if path.is_file() else (path, False)
        if mine and (path.name[0] == "." or path.name not in BEGUN and store.damage(folder, whole)):
            remove(path)
        return not path.exists()


def _remove_run(folder: Path) -> bool:
    """Delete a run without a finished fold, under all its locks; False when one is in use."""
    folds = store.read_record(folder)["folds"]
    with contextlib.ExitStack() as locks:
        mine = [locks.enter_context(store.hold(folder, name)) for name in (store.WHOLE, *folds)]
        if not all(mine) or not _has_only_begun(folder):
            return False
        aside = folder.with_name(f".{folder.name}{REMOVED}")
        with writing(folder):
            remove(aside)  # left by a kill
            os.replace(folder, aside)  # at once, so that nobody finds half a run
            remove(aside)
    return True


def _lock_of(path: Path) -> str:
    """The lock that guards a path of a run folder: its fold's, or that of the whole run."""
    name = path.name.removeprefix(".").removesuffix(".part").removesuffix(".damaged")
    return name if path.is_dir() else store.WHOLE
