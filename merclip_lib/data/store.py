"""Clips as one memory-mapped array of bytes.

Decoding a video costs far more than looking at it. A clip store is a folder made once, holding
`clips.npy` (N, T, H, W, 3) uint8, `table.csv` (the clip table, one row per clip, same order),
`meta.json` (what the set is, with a hash) and, for synthetic sets, `motion.npy`
(N, T, G, G, 2) float16: the true displacement of each patch. Reading a batch is a slice.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from merclip_lib.data.table import read_table, write_table
from merclip_lib.files import Kind, replacing_folder

META = "meta.json"
STORE = Kind(files=("clips.npy", "table.csv", META), more=("motion.npy",))


@dataclass(frozen=True)
class ClipStore:
    """An opened store.

    Attributes:
        folder: where it is.
        table: the clip table; row k describes clip k.
        frames: (N, T, H, W, 3) uint8, memory-mapped.
        motion: (N, T, G, G, 2) float16, displacement (x, y) of each patch since the onset as a
            fraction of the picture, or None.
        meta: what the set is; its `hash` is a part of every run's.
        version: tells these clips from others that take their place in the folder; "" = unknown.
    """

    folder: Path
    table: pd.DataFrame
    frames: np.ndarray
    motion: np.ndarray | None
    meta: dict
    version: str = ""

    def __len__(self) -> int:
        return len(self.table)

    def __reduce__(self):
        """A pickled store carries no frames: it maps them again, as in the workers that read."""
        return _map_again, (self.folder, self.table, self.meta, self.version)

    def check_unchanged(self) -> None:
        """Raise ValueError when the folder holds other clips than when it was opened."""
        if self.version and self.version != _version(self.folder):
            raise ValueError(
                f"{self.folder}: its clips or their table were replaced after they had been "
                "opened; start again, with what is there now"
            )


def write_store(
    folder: str | Path,
    table: pd.DataFrame,
    items: Iterable[tuple[np.ndarray, np.ndarray | None]],
    meta: dict,
    shape: tuple[int, int, int, int],
    motion_shape: tuple[int, int, int, int] | None = None,
) -> ClipStore:
    """Write clips in table order, so that the store is either whole or absent.

    Args:
        folder: the store to write; an older store there is replaced.
        table: the clip table.
        items: (frames (T, H, W, 3) uint8, motion (T, G, G, 2) or None) for each row of `table`.
        meta: plain values that say what the set is.
        shape: (T, H, W, 3) of one clip.
        motion_shape: (T, G, G, 2) of one clip's motion, for a set that has it.

    Returns:
        The opened store.

    Raises:
        ValueError: when an item has another shape than promised, their number differs from the
            rows, `folder` holds something else than a store, or the disk does not let us.
    """
    folder = Path(folder)
    with replacing_folder(folder, STORE) as new:
        frames = open_memmap(new / "clips.npy", "w+", np.uint8, (len(table), *shape))
        motion = None
        if motion_shape is not None:
            motion = open_memmap(new / "motion.npy", "w+", np.float16, (len(table), *motion_shape))
        count = 0
        for clip, field in items:
            if count == len(table) or clip.shape != tuple(shape):
                raise ValueError(
                    f"{folder}: item {count} has shape {clip.shape}, but {len(table)} clips of "
                    f"shape {tuple(shape)} were promised; check the reader that yields them"
                )
            frames[count] = clip
            if motion is not None:
                motion[count] = field
            count += 1
        if count != len(table):
            raise ValueError(f"{folder}: {count} clips for {len(table)} rows of the table")
        del frames, motion  # flushes the memory maps
        write_table(table, new / "table.csv")
        (new / META).write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")
    return open_store(folder)


def open_store(folder: str | Path) -> ClipStore:
    """Open a store read-only.

    Raises:
        ValueError: naming what is missing, damaged or does not agree.
    """
    folder = Path(folder)
    for name in ("clips.npy", "table.csv", META):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder}: no clip store here ({name} is missing); "
                "draw SynthME with `merclip synth`, or name the folder of a prepared set"
            )
    version = _version(folder)
    return _map(folder, read_table(folder / "table.csv"), read_meta(folder), version)


def read_meta(folder: Path) -> dict:
    """What a store is; {} where there is none; ValueError for a damaged file."""
    path = folder / META
    if not path.is_file():
        return {}
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _broken(folder, f"{META} is damaged ({error})") from None
    if not isinstance(meta, dict):
        raise _broken(folder, f"{META} is damaged (no names and values)")
    return meta


def _version(folder: Path) -> str:
    """A digest of the table and of meta.json, which knows the pixels; not of the pixels again."""
    files = filter(Path.is_file, (folder / "table.csv", folder / META))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _map_again(folder: Path, table: pd.DataFrame, meta: dict, version: str) -> ClipStore:
    """A store that was pickled; what cannot be mapped any more refuses in `check_unchanged`."""
    with contextlib.suppress(ValueError):  # which here would end the worker, and say nothing
        return _map(folder, table, meta, version)
    return ClipStore(folder, table, np.empty(0), None, meta, "replaced")


def _map(folder: Path, table: pd.DataFrame, meta: dict, version: str) -> ClipStore:
    """The store with its arrays memory-mapped; ValueError where they do not fit the table."""
    motion_file = folder / "motion.npy"
    frames = _open_array(folder / "clips.npy")
    motion = _open_array(motion_file) if motion_file.is_file() else None
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
        held = f"{frames.dtype} {frames.shape}"
        raise _broken(folder, f"clips.npy holds {held}, not uint8 (N, T, H, W, 3)")
    for name, array in (("clips.npy", frames), ("motion.npy", motion)):
        if array is not None and len(array) != len(table):
            what = f"{name} holds {len(array)} clips but table.csv {len(table)} rows"
            raise _broken(folder, what)
    return ClipStore(folder, table, frames, motion, meta, version)


def _open_array(path: Path) -> np.ndarray:
    """A memory-mapped array; never a pickled one, which could run code."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _broken(path, f"is damaged or no plain array ({error})") from None


def _broken(path: Path, what: str) -> ValueError:
    return ValueError(f"{path}: {what}; delete the folder and prepare it again")
