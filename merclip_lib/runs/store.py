"""The run store: what each fold predicted, written so that a killed process leaves no half truth.

    runs/<hash>/run.json                   configuration, data, weights, folds, stamp
    runs/<hash>/<fold>/                    a finished fold; that it bears this name is the mark
        predictions.csv  history.csv  epochs.csv  seconds.json  environment.json
        network.safetensors                the trained network, only where asked for
    runs/<hash>/.<fold>.part/              a fold in training, with its last epoch's checkpoint
    runs/<hash>/.locks/<fold>              locked by the process that trains the fold
    runs/<hash>/{predictions,history}.csv  all folds together, once the last is there

Files are written beside their place and renamed into it, and so are the folders of folds. The
operating system drops the lock of a killed process, so the next one resumes at once.
"""

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from merclip_lib.config import Config, config_from
from merclip_lib.files import remove, write_text, writing
from merclip_lib.progress import say
from merclip_lib.scores.metrics import read_predictions

WHOLE = ".run"  # name of the lock on the files of the run itself
DIGITS = "%.7g"  # of the numbers in the tables of a run


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        hash: its name, see `RunPlan.hash`.
        folder: where it is kept.
        config: every setting.
        predictions: clip_id, subject, truth, prediction, p_<class>: a row per clip.
        history: fold, epoch, loss, align, emotion, accuracy, weight, lr: a row per epoch.
        seconds: of all folds' training together.
    """

    hash: str
    folder: Path
    config: Config
    predictions: pd.DataFrame
    history: pd.DataFrame
    seconds: float


def read_run(folder: str | Path) -> Run:
    """A finished run from its folder.

    Raises:
        ValueError: it is not finished, or damaged.
    """
    folder = Path(folder)
    if not (folder / "predictions.csv").is_file():
        raise ValueError(f"{folder}: no finished run here; start it again and it resumes")
    record = read_record(folder)
    try:
        if why := damage(folder, whole=True):
            raise ValueError(why)
        seconds = sum(seconds_of(folder / fold) for fold in record["folds"])
        tables = read_predictions(folder / "predictions.csv"), pd.read_csv(folder / "history.csv")
        return Run(folder.name, folder, config_from(record["config"]), *tables, seconds)
    except (OSError, ValueError) as error:
        remedy = "see `merclip runs clean`, then start the run again"
        raise ValueError(f"{folder}: damaged ({error}); {remedy}") from None


def read_runs(runs_dir: str | Path) -> list[Run]:
    """All finished runs of a run store, in order of their hashes."""
    return [read_run(path.parent) for path in sorted(Path(runs_dir).glob("*/predictions.csv"))]


def read_json(path: Path, kind: type | tuple[type, ...]) -> Any:
    """A value of the kind that a file of the run store should hold; ValueError with its name."""
    try:
        if not path.is_file():  # a pipe would be waited for
            raise OSError("not there, or no file")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error})") from None
    if not isinstance(value, kind):
        raise ValueError(f"{path} holds {str(value)[:40]!r}, which was not written there")
    return value


def seconds_of(fold_folder: Path) -> float:
    """How long a finished fold was trained; ValueError where that cannot be read."""
    return float(read_json(fold_folder / "seconds.json", (int, float)))


def read_record(folder: Path) -> dict:
    """run.json of a run.

    Raises:
        ValueError: it is absent or damaged.
    """
    try:
        record = read_json(folder / "run.json", dict)
        config_from(record["config"])
        folds, data = [str(name) for name in record["folds"]], {*record["data"]}
        sound = isinstance(record["folds"], list) and isinstance(record.get("loading"), dict | None)
        inside = all(name[:1] not in ("", ".") and Path(name).name == name for name in folds)
        if not (sound and inside and {"name", "hash"} <= data):
            raise ValueError("folds, data or loading are not what was written there")
        return {**record, "folds": folds}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "start the run again and it is written anew, finished folds stay"
        raise ValueError(f"{folder / 'run.json'}: cannot be read ({error}); {remedy}") from None


def is_done(folder: Path, fold: str, network: bool = False) -> bool:
    """Whether a fold is finished (with its trained network, if that is wanted)."""
    return (folder / fold / ("network.safetensors" if network else "predictions.csv")).is_file()


def damage(folder: Path, whole: bool = False) -> str:
    """What is wrong with the files of a finished fold (or a whole run), "" if nothing."""
    try:
        if read_predictions(folder / "predictions.csv").isna().any(axis=None):
            return "predictions.csv breaks off"
        if "loss" not in pd.read_csv(folder / "history.csv"):
            return "history.csv has no losses"
        if whole:
            clips = read_record(folder).get("clips")
            if clips not in (None, len(read_predictions(folder / "predictions.csv"))):
                return f"predictions.csv does not hold all {clips} clips"
        else:
            seconds_of(folder)
    except (OSError, ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def is_whole(folder: Path) -> bool:
    """Whether the files of the whole run are there and can be read."""
    return not damage(folder, whole=True)


def set_aside(path: Path, why: str) -> ValueError:
    """Move what is damaged out of the way.

    Args:
        path: the damaged file or folder.
        why: what is wrong with it.

    Returns:
        The error to raise.
    """
    aside = path.with_name(f".{path.name.lstrip('.')}.damaged")
    with writing(aside):
        remove(aside)
        os.replace(path, aside)
    remedy = "Start again: this part is trained anew, everything else is kept"
    return ValueError(f"{path}: damaged ({why}); it is now {aside.name}. {remedy}")


def environment() -> dict:
    """Where and how a fold was trained: versions, machine, threads, arithmetic."""
    import torch

    from merclip_lib.model.arithmetic import current

    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("merclip", "torch", "numpy", "pandas")},
        "system": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "arithmetic": current(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_initialized() else "",
    }


@contextlib.contextmanager
def hold(folder: Path, name: str, wait: bool = False) -> Iterator[bool]:
    """Lock a fold for this process.

    Args:
        folder: of the run.
        name: of the fold, or WHOLE.
        wait: wait until the lock is free.

    Yields:
        Whether this process has it; without `wait` False, at once, when another one has.
    """
    path, note = folder / ".locks" / name, folder / ".locks" / f"{name}.holder"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
        if wait and not lock.is_locked:
            say(f"waiting for {path}, {holder(folder, name)}")
            lock.acquire()
    try:
        if lock.is_locked:
            write_text(note, f"{os.getpid()} on {platform.node()} since {time.ctime()}")
        yield lock.is_locked
    finally:
        if lock.is_locked:
            with contextlib.suppress(OSError):
                remove(note)
        lock.release()


def holder(folder: Path, name: str) -> str:
    """Who has a lock, as far as known."""
    with contextlib.suppress(OSError):
        return f"held by process {(folder / '.locks' / f'{name}.holder').read_text()}"
    return "held by another process"


def is_held(folder: Path, name: str) -> bool:
    """Whether a process is training this fold right now."""
    with hold(folder, name) as mine:
        return not mine


def open_part(folder: Path, fold: str) -> Path:
    """The folder of a fold in training, freed of files that a killed process was writing.

    Only for the holder of the fold's lock.
    """
    part = folder / f".{fold}.part"
    with writing(part):
        part.mkdir(exist_ok=True)
        for path in part.glob(".*"):
            remove(path)
    return part


def finish_part(folder: Path, fold: str) -> None:
    """Give a fold's folder its final name, then drop the checkpoint."""
    part, final, old = folder / f".{fold}.part", folder / fold, folder / f".{fold}.old.part"
    with writing(final):
        if final.exists():  # trained again for its network
            remove(old)
            os.replace(final, old)
        os.replace(part, final)
        remove(old)
    drop_checkpoint(final)


def drop_checkpoint(fold_folder: Path) -> None:
    """Delete the checkpoint of a finished fold; also one that a killed process could not."""
    with writing(fold_folder):
        for path in (*fold_folder.glob("checkpoint*"), *fold_folder.glob(".*")):
            remove(path)
