"""From folders of pictures to a clip store: your own copy of a set, decoded once.

Each row of a clip table names a folder of frames, or a video, below the data root. The frames
from onset to offset are sampled evenly, the face is moved to a fixed place if wished, and all is
written to one store. Every clip that cannot be read is listed; a store is written whole or not
at all. Decoded clips wait in a folder beside it, so a run that was stopped resumes.
"""

import contextlib
import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import repeat
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from merclip_lib.data.frames import align
from merclip_lib.data.frames.decode import ONE_SHADE, PictureSettings, crop_pictures, read_pictures
from merclip_lib.data.frames.find import ChosenFrames, DataRoot, choose_frames, stray_note
from merclip_lib.data.store import STORE, ClipStore, open_store, read_meta, write_store
from merclip_lib.files import output_place, remove, replacing, writing
from merclip_lib.progress import track
from merclip_lib.workers import pool

FORMAT = 4  # raise it when the same files would give other bytes
STILL = "nothing moves: all its frames are the same"
LISTED = 20  # clips named in a message; the rest are counted
Chosen = dict[str, ChosenFrames]  # clip id -> its frames


def prepare(
    table: pd.DataFrame,
    root: str | Path,
    folder: str | Path,
    settings: PictureSettings | None = None,
    workers: int | None = None,
    skip_bad: bool = False,
) -> ClipStore:
    """Decode every clip of a table once into a store.

    The store's meta holds the settings, `dropped` and `notes` as pairs of clip and reason,
    `numbering` (how many clips were cut by frame number, how many by position), `hash`, which
    changes with any setting, the table and the pixels, and `source`, which changes with the names,
    sizes and times of the files instead of the pixels: of the same source a store is opened as it
    is.

    Args:
        table: the clip table; its `frames` are looked for below `root`.
        root: the folder that holds the pictures.
        folder: the store to write.
        settings: what is made of each clip.
        workers: processes (default: one per core).
        skip_bad: leave out clips that cannot be found or read.

    Returns:
        The opened store.

    Raises:
        ValueError: listing all clips that cannot be found or read; then no store is written. Also
            for settings that make no clip, and a `folder` that holds something else.
    """
    settings = settings or PictureSettings()
    settings.check()
    root = Path(root).resolve()
    folder = output_place(folder, STORE, root=root)
    chosen, problems = _choose(table, root, settings.length)
    source = _hash(settings, table, _about_files(chosen, root))
    meta = read_meta(folder)
    if meta.get("source") == source and (skip_bad or not meta["dropped"]):
        return open_store(folder)
    if not chosen:
        raise ValueError(_list_problems(problems, len(table)))
    waiting = folder.with_name(f".{folder.name}.{source}.clips")
    with writing(folder):
        waiting.mkdir(parents=True, exist_ok=True)
    problems |= _decode(chosen, waiting, settings, workers)
    problems = {name: problems[name] for name in table["clip_id"] if name in problems}
    if problems and not (skip_bad and len(problems) < len(table)):
        raise ValueError(_list_problems(problems, len(table)))
    readable = table[~table["clip_id"].isin(list(problems))].reset_index(drop=True)
    chosen = {name: chosen[name] for name in readable["clip_id"]}
    numbering = [frames.numbering for frames in chosen.values()]
    notes, facts = _told(waiting, chosen)
    meta = asdict(settings) | {
        "name": "+".join(sorted(set(readable["dataset"]))),
        "synthetic": False,
        "source": source,
        "hash": _hash(settings, readable, facts["pixels"]),
        "frames": settings.length,
        "dropped": [list(pair) for pair in problems.items()],
        "notes": notes,
        "numbering": {how: numbering.count(how) for how in ("number", "position")},
        "advice": align.advice(facts["face"], settings.align),
    }
    shape = (settings.length, settings.size, settings.size, 3)
    decoded = ((np.load(_file(waiting, name))["clip"], None) for name in chosen)
    store = write_store(folder, readable, decoded, meta, shape)
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.{'[0-9a-f]' * 12}.clips"):
        remove(left)
    return store


def _choose(table: pd.DataFrame, root: Path, length: int) -> tuple[Chosen, dict[str, str]]:
    """The frames of each clip, and clip id -> why it has none."""
    data_root, chosen, problems = DataRoot(root), {}, {}
    for row in table.to_dict("records"):
        where = f"clip {row['clip_id']}"
        try:
            path = data_root.find(row["frames"], where)
            frames = choose_frames(path, row["onset"], row["offset"], length, where)
            for file in frames.files:
                if file.is_symlink() and not file.resolve().is_relative_to(root):
                    raise ValueError(f"{where}: {file.name} links out of the data root; copy it")
            chosen[row["clip_id"]] = frames
        except (ValueError, OSError) as problem:
            reason = str(problem).removeprefix(f"{where}: ")
            problems[row["clip_id"]] = _one_line(f"{where}: {reason}")
    return chosen, problems


def _hash(settings: PictureSettings, table: pd.DataFrame, further: Iterable[str]) -> str:
    """12 hex digits of the settings, the table, and what is known of the clips besides."""
    what = [f"{FORMAT} {asdict(settings)}", table.to_csv(index=False), *further]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()[:12]


def _about_files(chosen: Chosen, root: Path) -> Iterator[str]:
    """How each clip is read, and each file's name, size and time."""
    for name, frames in chosen.items():
        yield f"{name} {frames.positions} {frames.numbering}"
        for path in frames.files:
            about = path.stat()
            yield f"{path.relative_to(root).as_posix()} {about.st_size} {about.st_mtime_ns}"


def _decode(
    chosen: Chosen, waiting: Path, settings: PictureSettings, workers: int | None
) -> dict[str, str]:
    """Write each clip that is not there yet into `waiting`; clip id -> why it cannot be read."""
    todo = [name for name in chosen if not _file(waiting, name).is_file()]
    arguments = ([_file(waiting, k) for k in todo], [chosen[k] for k in todo], repeat(settings))
    workers = min(workers or os.cpu_count() or 1, max(1, len(todo)))
    with contextlib.nullcontext() if workers == 1 else pool(workers) as processes:
        reasons = (processes.map if processes else map)(_store_clip, *arguments)
        pairs = zip(todo, track(reasons, "clips decoded", len(todo)), strict=True)
        return {name: f"clip {name}: {_one_line(reason)}" for name, reason in pairs if reason}


def _one_line(text: str) -> str:
    """A text in one line, whatever stands in the names of files."""
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _file(waiting: Path, name: str) -> Path:
    """Where a decoded clip waits; ids may hold slashes."""
    return waiting / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.npz"


def _store_clip(file: Path, chosen: ChosenFrames, settings: PictureSettings) -> str:
    """Decode one clip and put it down, whole or not at all; the reason where it cannot be read."""
    cv2.setNumThreads(1)  # the clips are shared out among processes already
    try:
        pictures, depth = read_pictures(chosen)
        clip, note = crop_pictures(pictures, settings)
        if int(clip.max()) - int(clip.min()) <= ONE_SHADE:
            raise ValueError("all its pixels are of one shade; look at its pictures")
    except ValueError as problem:
        return str(problem)
    with replacing(file) as temporary, open(temporary, "wb") as out:
        told = "; ".join(filter(None, [depth, note, STILL * bool((clip == clip[0]).all())]))
        face, pixels = align.face_size(pictures[0]), hashlib.sha256(clip.tobytes()).hexdigest()
        np.savez(out, clip=clip, note=told, face=face, pixels=pixels)
    return ""


def _told(waiting: Path, chosen: Chosen) -> tuple[list[list[str]], dict[str, list]]:
    """Pairs of clip and what is worth knowing of it; `face` (see `align`) and `pixels` of each."""
    notes, facts, first = [], dict[str, list](face=[], pixels=[]), dict[str, str]()
    for name, frames in chosen.items():
        with np.load(_file(waiting, name)) as stored:
            text = str(stored["note"])
            for fact, values in facts.items():
                values.append(stored[fact].item())
        other = first.setdefault(facts["pixels"][-1], name)
        again = f"the same pictures as clip {other}" if other != name else ""
        missing = f"{frames.missing} frames missing, the nearest taken" if frames.missing else ""
        told = (missing, again, stray_note(frames.strays), text)
        notes += [[name, note] for note in told if note]
    return notes, facts


def prepare_report(meta: dict) -> str:
    """Say in lines what `prepare` did, from its store's meta.

    How the clips were cut, alignment and crop, which were left out and why, and what to know of
    the others.
    """
    how, crop = meta["numbering"], "not aligned: short side resized, centre cropped"
    if meta["align"] != "none":
        crop = f"aligned by {meta['align']} on the onset frame, margin {meta['margin']:g}"
    crop = ", ".join([crop, *(name for name in ("stabilise", "grey") if meta[name])])
    lines = [meta["advice"]] if meta.get("advice") else []
    lines += [f"cut by frame number: {how['number']}, the whole folder or video: {how['position']}"]
    lines += [f"{crop}; {meta['frames']} frames of {meta['size']} pixels a clip"]
    dropped = [reason for _, reason in meta["dropped"]]
    notes = [f"clip {name}: {text}" for name, text in meta["notes"]]
    for title, items in (("left out", dropped), ("noted", notes)):
        if items:
            lines += [f"{title}: {len(items)}", *_first(items)]
    return "\n".join(lines)


def _list_problems(problems: dict[str, str], clips: int) -> str:
    rest = "nothing is written; leave them out with --skip-bad"
    title = f"{len(problems)} of {clips} clips cannot be read, {rest}:"
    return "\n".join([title, *_first(list(problems.values()))])


def _first(items: list[str]) -> list[str]:
    more = [f"... and {len(items) - LISTED} more"] if len(items) > LISTED else []
    return [*items[:LISTED], *more]
