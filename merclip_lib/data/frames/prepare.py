"""From folders of pictures to a clip store: your own copy of a set, decoded once.

Each row of a clip table names a folder of frames, or a video, below the data root. The frames
from onset to offset are sampled evenly, the face is moved to a fixed place if wished, and all is
written to one store. Every clip that cannot be read is listed; a store is written whole or not
at all. Clips that are read already wait in a folder beside it, so a run that was stopped goes on.
"""

import glob
import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from merclip_lib.data.frames import find
from merclip_lib.data.frames.decode import PictureSettings, read_clip
from merclip_lib.data.frames.find import Folders, Moments

FORMAT = 2  # raise it when the same files would give other bytes


LISTED = 20  # clips named in a message; the rest are counted


def prepare(
    table: pd.DataFrame,
    root: str | Path,
    folder: str | Path,
    settings: PictureSettings | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
):
    """Decode every clip of `table` once into a store (clips.ClipStore) at `folder`.

    Clips that cannot be found or read are listed together in one ValueError and no store is
    written; with `skip_bad` they are left out. The store's meta holds the settings, `dropped`
    and `notes` as pairs of clip and reason, `numbering` (how many clips were cut by frame
    number, how many by position), and a hash that changes with any setting, the table, and the
    names and sizes of the files. A store with the same hash is opened as it is: to decode files
    of the same names and sizes again, delete it.
    """
    from merclip_lib.data.store import (
        open_store,
        write_store,  # torch; the workers do without
    )

    settings = settings or PictureSettings()
    settings.check()
    root, folder = Path(root).resolve(), Path(folder)
    found, bad = _find(table, root, settings.length)
    source = _hash(settings, table, root, found)
    if (folder / "meta.json").is_file():
        meta = json.loads((folder / "meta.json").read_text())
        if meta.get("source") == source and (skip_bad or not meta["dropped"]):
            return open_store(folder)
    if not found:
        raise ValueError(_list(bad, len(table)))
    waiting = folder.with_name(f".{folder.name}.{source}.clips")
    waiting.mkdir(parents=True, exist_ok=True)
    bad |= _decode(found, waiting, settings, workers)
    bad = {name: bad[name] for name in table["clip_id"] if name in bad}
    if bad and not (skip_bad and len(bad) < len(table)):
        raise ValueError(_list(bad, len(table)))
    kept = table[~table["clip_id"].isin(list(bad))].reset_index(drop=True)
    good = {name: found[name] for name in kept["clip_id"]}
    items = _Waiting(waiting, good)
    meta = asdict(settings) | {
        "name": "+".join(sorted(set(kept["dataset"]))),
        "synthetic": False,
        "source": source,
        "hash": _hash(settings, kept, root, good),
        "frames": settings.length,
        "dropped": [list(pair) for pair in bad.items()],
        "notes": items.notes(),
        "numbering": {
            how: sum(one.numbering == how for one in good.values())
            for how in ("number", "position")
        },
    }
    meta["landmark_model"] = Path(settings.landmark_model).name
    shape = (settings.length, settings.size, settings.size, 3)
    store = write_store(folder, kept, items, meta, shape)
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.clips"):
        shutil.rmtree(left)
    return store


def _find(
    table: pd.DataFrame, root: Path, length: int
) -> tuple[dict[str, Moments], dict[str, str]]:
    """Clip id -> its moments, and clip id -> why it has none."""
    folders, found, bad = Folders(root), {}, {}
    for row in table.to_dict("records"):
        name = row["clip_id"]
        where = f"clip {name}"
        try:
            path = folders.find(row["frames"], where)
            found[name] = find.moments(path, row["onset"], row["offset"], length, where)
            for file in found[name].files:
                if file.is_symlink() and not file.resolve().is_relative_to(root):
                    raise ValueError(
                        f"{where}: {file.name} is a link that leads out of the data "
                        "root; copy the frames instead"
                    )
        except (ValueError, OSError) as problem:
            found.pop(name, None)
            bad[name] = str(problem) if where in str(problem) else f"{where}: {problem}"
    return found, bad


def _hash(settings: PictureSettings, table: pd.DataFrame, root: Path, found: dict) -> str:
    """12 hex digits of the settings, the table, and each file's name and size."""
    content = hashlib.sha256(f"{FORMAT} {asdict(settings) | {'landmark_model': ''}}".encode())
    if settings.align == "mediapipe":
        content.update(Path(settings.landmark_model).read_bytes())
    content.update(table.to_csv(index=False).encode())
    for name, one in found.items():
        content.update(f"{name} {one.positions} {one.numbering}".encode())
        for path in one.files:
            size = path.stat().st_size
            content.update(f"{path.relative_to(root).as_posix()} {size}\n".encode())
    return content.hexdigest()[:12]


def _decode(
    found: dict[str, Moments], waiting: Path, settings: PictureSettings, workers: int | None
) -> dict[str, str]:
    """Write each clip that is not there yet into `waiting`; clip id -> why it cannot be read."""
    todo = [name for name in found if not _file(waiting, name).is_file()]
    bar = tqdm(
        total=len(found), initial=len(found) - len(todo), desc="clips", unit="clip", disable=None
    )
    bad = {}
    workers = min(workers or os.cpu_count() or 1, max(1, len(todo)))
    if workers == 1:
        for name in todo:
            problem = _store_clip(_file(waiting, name), found[name], settings)
            bad |= {name: f"clip {name}: {problem}"} if problem else {}
            bar.update()
        bar.close()
        return bad
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        jobs = {
            pool.submit(_store_clip, _file(waiting, name), found[name], settings): name
            for name in todo
        }
        for job in as_completed(jobs):
            name, problem = jobs[job], job.result()
            bad |= {name: f"clip {name}: {problem}"} if problem else {}
            bar.update()
    finally:
        pool.shutdown(cancel_futures=True)
        bar.close()
    return bad


def _file(waiting: Path, name: str) -> Path:
    """Where a clip waits; ids may hold slashes."""
    return waiting / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"


def _store_clip(file: Path, moments: Moments, settings: PictureSettings) -> str:
    """Read one clip and put it down, whole or not at all; the reason where it cannot be read."""
    cv2.setNumThreads(1)  # the clips are shared out among processes already
    try:
        clip, note = read_clip(moments, settings)
    except ValueError as problem:
        return str(problem)
    temporary = file.with_name(f".{file.stem}.{os.getpid()}.part.npz")
    np.savez(temporary, clip=clip, note=note)
    os.replace(temporary, file)
    return ""


class _Waiting:
    """The clips that wait, in table order, as `write_store` takes them."""

    def __init__(self, folder: Path, found: dict[str, Moments]):
        self.folder, self.found = folder, found

    def __iter__(self) -> Iterator[tuple[np.ndarray, None]]:
        for name in self.found:
            with np.load(_file(self.folder, name)) as one:
                yield one["clip"], None

    def notes(self) -> list[list[str]]:
        """Pairs of clip and what is worth knowing: frames missing, frames not stabilised."""
        notes = []
        for name, one in self.found.items():
            with np.load(_file(self.folder, name)) as stored:
                text = str(stored["note"])
            if one.missing:
                notes.append([name, f"{one.missing} frames missing, the nearest taken"])
            if text:
                notes.append([name, text])
        return notes


def prepare_report(meta: dict) -> str:
    """What `prepare` did, in lines: how the clips were cut, what was left out, what to know."""
    how = meta["numbering"]
    lines = [f"cut by frame number: {how['number']}, the whole folder or video: {how['position']}"]
    dropped = [reason for _, reason in meta["dropped"]]
    notes = [f"clip {name}: {text}" for name, text in meta["notes"]]
    for title, items in (("left out", dropped), ("noted", notes)):
        if items:
            lines += [f"{title}: {len(items)}", *_first(items)]
    return "\n".join(lines)


def _list(bad: dict[str, str], clips: int) -> str:
    rest = "nothing is written; leave them out with --skip-bad"
    title = f"{len(bad)} of {clips} clips cannot be read, {rest}:"
    return "\n".join([title, *_first(list(bad.values()))])


def _first(items: list[str]) -> list[str]:
    more = [f"... and {len(items) - LISTED} more"] if len(items) > LISTED else []
    return [*items[:LISTED], *more]
