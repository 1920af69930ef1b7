"""Clips as one memory-mapped array of bytes, and the torch dataset that reads it.

Decoding a video costs far more than looking at it. A clip store is a folder made once, holding
`clips.npy` (N, T, H, W, 3) uint8, `table.csv` (the clip table, one row per clip, same order),
`meta.json` (what the set is, with a hash) and, for synthetic sets, `motion.npy`
(N, T, G, G, 2) float16: the true displacement of each patch. Reading a batch is a slice.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from merclip_lib.data.table import read_table, write_table


@dataclass(frozen=True)
class ClipStore:
    """An opened store: `frames` (N, T, H, W, 3) uint8 and `motion` (N, T, G, G, 2) or None."""

    folder: Path
    table: pd.DataFrame
    frames: np.ndarray
    motion: np.ndarray | None
    meta: dict

    def __len__(self) -> int:
        return len(self.table)


def write_store(
    folder: str | Path,
    table: pd.DataFrame,
    items: Iterable[tuple[np.ndarray, np.ndarray | None]],
    meta: dict,
    shape: tuple[int, int, int, int],
    motion_shape: tuple[int, int, int, int] | None = None,
) -> ClipStore:
    """Write clips in table order and return the opened store.

    `items` yields (frames (T, H, W, 3) uint8, motion (T, G, G, 2) or None) for each row of
    `table`; `shape` is that of one clip. Everything goes to a temporary folder that is renamed
    at the end, so a store is either whole or absent. Raises ValueError when an item has another
    shape than promised or their number differs from the rows.
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        frames = _new_array(temporary / "clips.npy", (len(table), *shape), np.uint8)
        motion = None
        if motion_shape is not None:
            motion = _new_array(temporary / "motion.npy", (len(table), *motion_shape), np.float16)
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
        write_table(table, temporary / "table.csv")
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_store(folder)


def _new_array(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def open_store(folder: str | Path) -> ClipStore:
    """Open a store read-only. Raises ValueError naming what is missing or does not agree."""
    folder = Path(folder)
    for name in ("clips.npy", "table.csv", "meta.json"):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder}: no clip store here ({name} is missing); "
                "draw SynthME with `merclip synth`, or name the folder of a prepared set"
            )
    table, motion_file = read_table(folder / "table.csv"), folder / "motion.npy"
    frames = _open_array(folder / "clips.npy")
    if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
        raise ValueError(
            f"{folder}: clips.npy holds {frames.dtype} {frames.shape}, not uint8 (N, T, H, W, 3); "
            "delete the folder and prepare it again"
        )
    motion = _open_array(motion_file) if motion_file.is_file() else None
    for name, array in (("clips.npy", frames), ("motion.npy", motion)):
        if array is not None and len(array) != len(table):
            raise ValueError(
                f"{folder}: {name} holds {len(array)} clips but table.csv {len(table)} rows; "
                "delete the folder and prepare it again"
            )
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{folder}: meta.json is damaged ({error}); delete the folder and prepare it again"
        ) from None
    return ClipStore(folder, table, frames, motion, meta)


def _open_array(path: Path) -> np.ndarray:
    """A memory-mapped array; never a pickled one, which could run code."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path}: is damaged or no plain array ({error}); delete the folder and prepare it "
            "again"
        ) from None
