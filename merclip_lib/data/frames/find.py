"""Where a clip's frames lie in a copy of a set: folders found, moments chosen.

A clip table names a folder such as `sub01/EP02_01f`. In a student's copy it may lie deeper
(`CASME2/Cropped/sub01/EP02_01f`), be written otherwise (`Sub1/ep02_01f`), hold pictures of
another type, or be a video. `Folders` finds it; `moments` picks frames from onset to offset.
"""

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")


VIDEOS = (".avi", ".mp4", ".mov", ".mkv")


@dataclass(frozen=True)
class Moments:
    """What is read of one clip: pictures in order of time, or one video and positions in it.

    files: the pictures (repeated where a clip is shorter than wanted), or the video alone.
    positions: places in the video, 0 the first; empty for pictures. numbering: "number" where the
    frame numbers of the table were found, "position" where all of the folder or video is taken
    for the clip. missing: frames between onset and offset that are not there.
    """

    files: tuple[Path, ...]
    positions: tuple[int, ...]
    numbering: str
    missing: int


class Folders:
    """The folders and videos below a data root, found by the names a clip table uses."""

    def __init__(self, root: str | Path):
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise ValueError(f"{root}: no such folder; name the one that holds your copy")

    def find(self, frames: str, where: str) -> Path:
        """The folder of pictures, or the video, that a table's `frames` means.

        Tried in order: the very path; a path below any folder that ends so, whatever the case of
        letters, zeros before a number and `sub`, `s` or `spNO.` before a subject's number; a
        folder of the clip's name somewhere below the subject's. Raises ValueError where nothing
        or more than one place fits, or the place lies outside the root.
        """
        names = Path(frames).parts
        if not names or ".." in names or Path(frames).is_absolute():
            raise ValueError(
                f"{where}: frames {frames!r} lie outside the data root; name a path in it"
                if names
                else f"{where}: no frames are named; write its folder in the column `frames`"
            )
        direct = self.root / frames
        found = [direct] if direct.exists() else self._search(names)
        if not found:
            raise ValueError(
                f"{where}: no folder {frames!r} below the data root; check its `frames`"
            )
        if len(found) > 1:
            places = " and ".join(path.relative_to(self.root).as_posix() for path in found[:3])
            raise ValueError(
                f"{where}: frames {frames!r} may be {places}; name a data root that has one"
            )
        path = _inner(found[0], where, frames)
        if not path.resolve().is_relative_to(self.root):
            raise ValueError(
                f"{where}: {frames!r} lies outside the data root; a link leads out of it, so copy "
                "the frames instead"
            )
        return path

    def _search(self, names: tuple[str, ...]) -> list[Path]:
        names = names[:-1] if len(names) > 1 and names[-1].lower() == "color" else names
        there = self._below.get(names[-1].lower(), [])
        above = [[_key(part) for part in path.relative_to(self.root).parts[:-1]] for path in there]
        wanted = [_key(name) for name in names[:-1]]
        pairs = list(zip(there, above, strict=True))
        ends = [path for path, keys in pairs if keys[len(keys) - len(wanted) :] == wanted]
        if wanted and not ends:
            ends = [path for path, keys in pairs if wanted[0] in keys]
        exact = [path for path in ends if path.parts[-len(names) :] == names]
        return exact or ends

    @cached_property
    def _below(self) -> dict[str, list[Path]]:
        """Last name in lower case -> folders and videos; links to folders are not followed."""
        below = defaultdict(list)
        for folder, inner, files in os.walk(self.root):
            inner.sort()
            for name in inner:
                below[name.lower()].append(Path(folder, name))
            for name in sorted(files):
                if name.lower().endswith(VIDEOS):
                    below[name.lower()].append(Path(folder, name))
                    below[Path(name).stem.lower()].append(Path(folder, name))
        return below


def _key(name: str) -> str:
    """How the folders above a clip are compared: `sub01`, `s1`, `spNO.1` and `1` are one."""
    name = name.lower()
    number = re.fullmatch(r"(?:subject|sub|spno\.?|s)?_?0*([0-9]+)", name)
    return number[1] if number else name


def _inner(path: Path, where: str, frames: str) -> Path:
    """A folder without pictures may hold `color` (CAS(ME)^3) or a single video."""
    if path.is_file() and path.suffix.lower() not in VIDEOS:
        raise ValueError(
            f"{where}: {frames!r} is neither a folder nor a video ({', '.join(VIDEOS)})"
        )
    if path.is_file() or pictures(path):
        return path
    inner = [p for p in path.iterdir() if p.is_dir() and p.name.lower() == "color"]
    inner += [p for p in path.iterdir() if p.suffix.lower() in VIDEOS]
    if len(inner) != 1 or (inner[0].is_dir() and not pictures(inner[0])):
        raise ValueError(
            f"{where}: folder {frames!r} holds no frames ({', '.join((*PICTURES, *VIDEOS))})"
        )
    return inner[0]


def pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order: "img2" before "img10"."""
    found = [
        p for p in folder.iterdir() if p.suffix.lower() in PICTURES and not p.name.startswith(".")
    ]
    return sorted(found, key=lambda path: (_natural(path.stem), path.name))


def _natural(text: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", text)]


def frame_numbers(files: list[Path], where: str) -> list[int] | None:
    """The frame number of each picture: the last number in the names that tells all apart.

    None where the names carry no numbers. Raises ValueError for two pictures of one number.
    """
    numbers = [re.findall(r"[0-9]+", path.stem) for path in files]
    columns = min(map(len, numbers))
    for k in range(1, columns + 1):
        column = [int(each[-k]) for each in numbers]
        if len(set(column)) == len(column):
            return column
    if columns == 0:
        return None
    last = [int(each[-1]) for each in numbers]
    first, second = [p.name for p, n in zip(files, last, strict=True) if last.count(n) > 1][:2]
    raise ValueError(f"{where}: {first} and {second} have the same frame number; keep one of them")


def moments(path: Path, onset: int, offset: int, length: int, where: str) -> Moments:
    """`length` moments spread evenly from onset to offset, both included.

    Where frame numbers in file names cover at least half of onset..offset, they are used, and
    the nearest frame stands in for a missing one (CAS(ME)^3 has such gaps). Where none lies there,
    or as many pictures as frames are there under other numbers, the folder is the clip. Frames of
    a video count from 1. Raises ValueError for a folder that holds a small part of the clip.
    """
    if path.suffix.lower() in VIDEOS and path.is_file():
        count = _count(path, where)
        numbers: list[int] | None = list(range(1, count + 1))
        files = [path]
    else:
        files = pictures(path)
        numbers = frame_numbers(files, where)
        count = len(files)
    inside, numbering = _inside(numbers, count, onset, offset, where)
    times = np.array([numbers[k] for k in inside] if numbering == "number" else inside)
    first, last = (onset, offset) if numbering == "number" else (times[0], times[-1])
    wanted = np.linspace(first, last, length).round()
    order = np.argsort(times)
    nearest = [int(inside[order[k]]) for k in _nearest(times[order], wanted)]
    missing = offset - onset + 1 - len(inside) if numbering == "number" else 0
    if files == [path]:
        return Moments((path,), tuple(nearest), numbering, missing)
    return Moments(tuple(files[k] for k in nearest), (), numbering, missing)


def _nearest(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the time nearest to each wanted one; the earlier of two."""
    return np.abs(times[None, :] - wanted[:, None]).argmin(1)


def _inside(numbers, count: int, onset: int, offset: int, where: str) -> tuple[list[int], str]:
    span = offset - onset + 1
    inside = [k for k, n in enumerate(numbers or []) if onset <= n <= offset]
    if 2 * len(inside) >= span:
        return inside, "number"
    if not inside or count == span:
        return list(range(count)), "position"
    raise ValueError(
        f"{where}: only {len(inside)} of the {span} frames {onset}-{offset} are there; copy the "
        "others, or correct the table"
    )


def _count(path: Path, where: str) -> int:
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    video.release()
    if count < 1:
        raise ValueError(f"{where}: {path.name} cannot be read as a video; copy it again")
    return count
