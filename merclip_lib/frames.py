"""From folders of pictures to a clip store: your own copy of a set, decoded once.

Each row of a clip table names a folder of frames below the data root. The frames from onset to
offset are sampled evenly, resized on the short side (bilinear), centre cropped (the paper: 224
pixels) and written to a store. Missing folders and files that are no pictures are listed
together, and a store is written whole or not at all. Faces are taken as they are: use the cropped
version of a set, or crop beforehand.
"""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from merclip_lib.clips import ClipStore, write_store
from merclip_lib.manifests import hash_ids

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


def frame_files(root: Path, frames: str, onset: int, offset: int, where: str) -> list[Path]:
    """Pictures of one clip, onset to offset, in natural order ("img2" before "img10").

    A frame's number is the last number in its file name; where files carry none in
    [onset, offset], all of the folder is the clip. Raises ValueError for a folder that is
    missing, holds no pictures or lies outside the data root.
    """
    root = Path(root).resolve()
    folder = (root / frames).resolve()
    if not folder.is_relative_to(root):
        raise ValueError(f"{where}: frames {frames!r} lie outside the data root; name a path in it")
    if not frames or not folder.is_dir():
        raise ValueError(f"{where}: no folder {frames!r} below the data root; check its `frames`")
    found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES]
    if not found:
        raise ValueError(f"{where}: folder {frames!r} holds no frames ({', '.join(SUFFIXES)})")
    found.sort(key=natural)
    numbers = [int(re.findall(r"\d+", path.stem)[-1]) if re.search(r"\d", path.stem) else -1
               for path in found]  # fmt: skip
    inside = [path for path, n in zip(found, numbers, strict=True) if onset <= n <= offset]
    return inside or found


def natural(path: Path) -> list:
    """Sort key that reads runs of digits as numbers."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)]


def read_frame(path: Path, size: int, where: str) -> np.ndarray:
    """One picture as RGB uint8 (size, size, 3): short side resized, centre cropped."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{where}: {path.name} cannot be read as a picture; copy it again")
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    wide, high = max(size, round(width * scale)), max(size, round(height * scale))
    picture = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_LINEAR)
    top, left = (high - size) // 2, (wide - size) // 2
    return cv2.cvtColor(picture[top : top + size, left : left + size], cv2.COLOR_BGR2RGB)


def read_clip(root: Path, row: dict, size: int, length: int) -> np.ndarray | str:
    """Frames (length, size, size, 3) of one row, sampled evenly; or the error as text."""
    where = f"clip {row['clip_id']}"
    try:
        files = frame_files(root, row["frames"], row["onset"], row["offset"], where)
        chosen = np.linspace(0, len(files) - 1, length).round().astype(int)
        read = {k: read_frame(files[k], size, where) for k in sorted(set(chosen))}
    except ValueError as error:
        return str(error)
    return np.stack([read[k] for k in chosen])


def prepare(
    table: pd.DataFrame,
    root: str | Path,
    folder: str | Path,
    size: int = 224,
    length: int = 32,
    workers: int | None = None,
    skip_bad: bool = False,
) -> ClipStore:
    """Decode every clip of `table` once into a store at `folder`.

    `length` frames are kept of each clip; training samples from them. Rows that cannot be read
    are listed together in one ValueError, before anything is written; with `skip_bad` they are
    left out and listed on the screen. A picture that has a sound beginning but cannot be decoded
    is found only on reading: it stops the run, with or without `skip_bad`, and no store is left.
    """
    rows = table.to_dict("records")
    errors = [_check(root, row) for row in rows]
    bad = [error for error in errors if error]
    good = [row for row, error in zip(rows, errors, strict=True) if not error]
    if bad and not (skip_bad and good):
        raise ValueError(_list(bad))
    kept = table[table["clip_id"].isin([row["clip_id"] for row in good])].reset_index(drop=True)
    content = hashlib.sha256(f"{hash_ids(kept['clip_id'])} {size} {length}".encode())
    meta = {
        "name": "+".join(sorted(set(kept["dataset"]))), "hash": content.hexdigest()[:12],
        "size": size, "frames": length, "synthetic": False,
    }  # fmt: skip
    if bad:
        print(_list(bad))
    clips = _decode(root, good, size, length, workers)
    return write_store(folder, kept, clips, meta, (length, size, size, 3))


def _check(root: str | Path, row: dict) -> str:
    where = f"clip {row['clip_id']}"
    try:
        files = frame_files(Path(root), row["frames"], row["onset"], row["offset"], where)
    except ValueError as error:
        return str(error)
    unreadable = [path.name for path in files if not cv2.haveImageReader(str(path))]
    if unreadable:
        return f"{where}: {unreadable[0]} is not a picture; copy it again"
    return ""


def _decode(root, rows, size, length, workers) -> Iterator[tuple[np.ndarray, None]]:
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(read_clip, Path(root), row, size, length) for row in rows]
        for job in tqdm(jobs, desc="clips", unit="clip"):
            clip = job.result()
            if isinstance(clip, str):
                pool.shutdown(cancel_futures=True)
                raise ValueError(clip)
            yield clip, None


def _list(problems: list[str]) -> str:
    return "\n".join([f"{len(problems)} clips cannot be read:", *problems[:50]])
