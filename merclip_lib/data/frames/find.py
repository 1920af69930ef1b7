"""Where a clip's frames lie in a copy of a set: its folder or video found, frames chosen.

A clip table names a folder such as `sub01/EP02_01f`. In a student's copy it may lie deeper
(`CASME2/Cropped/sub01/EP02_01f`), be written otherwise (`Sub1/ep02_01f`), hold pictures of
another type, or be a video. `DataRoot` finds it; `choose_frames` picks frames from onset to offset.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np

from merclip_lib.data.frames.video import count_frames
from merclip_lib.data.limits import check_limits
from merclip_lib.data.table import person_key, plain

PICTURES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
VIDEOS = (".avi", ".mp4", ".mov", ".mkv", ".m4v", ".wmv", ".webm", ".mpg", ".mpeg")
_LEFT_BY_PROGRAMS = ("__macosx", "@eadir", "$recycle.bin")  # and names that begin with a dot
_ONE_IN = 4  # a stray picture for as many frames is left aside; more of them are refused


class ChosenFrames(NamedTuple):
    """What is read of one clip: pictures in order of time, or one video and positions in it.

    Attributes:
        files: the pictures (repeated where a clip is shorter than wanted), or the video alone.
        positions: places in the video, 0 the first; empty for pictures.
        numbering: "number" where the frame numbers of the table were found, "position" where all
            of the folder or video is taken for the clip.
        missing: frames between onset and offset that are not there.
        strays: names of pictures that are no frames, judging by the names of the others.
    """

    files: tuple[Path, ...]
    positions: tuple[int, ...]
    numbering: str
    missing: int
    strays: tuple[str, ...] = ()


class DataRoot:
    """A copy of a set, in which clips are found by the names that a clip table uses.

    Args:
        root: the folder that holds the copy.

    Raises:
        ValueError: if there is no such folder.
    """

    def __init__(self, root: str | Path):
        self.root, self._links = Path(root).resolve(), list[str]()
        if not self.root.is_dir():
            raise ValueError(f"{root}: no such folder; name the one that holds your copy")

    def find(self, frames: str, where: str) -> Path:
        """Find the folder of pictures, or the video, that a table's `frames` means.

        Tried in order: the very path; a path below any folder that ends so, whatever the case of
        letters, zeros before a number and `sub`, `s` or `spNO.` before a subject's number; a
        folder of the clip's name somewhere below the subject's.

        Args:
            frames: a relative path, such as `sub01/EP02_01f`.
            where: the clip, for messages.

        Raises:
            ValueError: where nothing or more than one place fits, it holds no frames, or it lies
                outside the root.
        """
        try:
            return self._find(frames, where)
        except OSError as error:
            name = frames[:100]
            raise ValueError(f"{where}: {name!r} cannot be looked for ({error.strerror})") from None

    def _find(self, frames: str, where: str) -> Path:
        """`find`, with errors of the disk as they come."""
        named = PureWindowsPath(frames)  # knows slashes of both kinds
        if not named.parts:
            raise ValueError(f"{where}: no frames named; write its folder in the column `frames`")
        if ".." in named.parts or named.anchor:
            raise ValueError(f"{where}: {frames!r} lies outside the data root; name one in it")
        direct = self.root / frames
        candidates = [direct] if direct.exists() else self._search(named.parts)
        if not candidates:
            remedy = "check `frames`"
            if self._links:
                remedy += f", or copy what {self._links[0]} links to: links are not followed"
            raise ValueError(f"{where}: no folder {frames!r} below the data root; {remedy}")
        if len(candidates) > 1:
            places = " and ".join(p.relative_to(self.root).as_posix() for p in candidates[:3])
            raise ValueError(f"{where}: {frames!r} may be {places}; name a data root with one")
        path = _folder_of_frames(candidates[0], where, frames)
        if not path.resolve().is_relative_to(self.root):
            remedy = "copy it, or name a data root that holds what it links to"
            raise ValueError(f"{where}: {frames!r} links out of the data root; {remedy}")
        return path

    def _search(self, names: tuple[str, ...]) -> list[Path]:
        """The paths whose last folders have these names; spelt exactly so, if there are such."""
        names = names[:-1] if len(names) > 1 and plain(names[-1]) == "color" else names
        wanted = [person_key(name) for name in names[:-1]]
        ending, below_subject = [], []
        for path in self._by_name.get(plain(names[-1]), []):
            above = [person_key(part) for part in path.relative_to(self.root).parts[:-1]]
            if above[len(above) - len(wanted) :] == wanted:
                ending.append(path)
            elif wanted and wanted[0] in above:
                below_subject.append(path)
        candidates = ending or below_subject
        return [path for path in candidates if path.parts[-len(names) :] == names] or candidates

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Last name, plain -> folders and videos; links to folders are not followed."""
        by_name = defaultdict(list)
        for folder, inner, files in os.walk(self.root):
            ours = (n for n in inner if n[0] != "." and n.lower() not in _LEFT_BY_PROGRAMS)
            inner[:] = sorted(ours)  # and so the order in which they are walked
            for name in inner:
                by_name[plain(name)].append(Path(folder, name))
            self._links += [name for name in inner if os.path.islink(Path(folder, name))]
            for name in sorted(files):
                path = Path(folder, name)
                if name[0] != "." and _is_video(path):
                    by_name[plain(name)].append(path)
                    by_name[plain(path.stem)].append(path)
        return by_name


def _folder_of_frames(path: Path, where: str, frames: str) -> Path:
    """A folder without pictures may hold `color` (CAS(ME)^3), itself again, or a single video."""
    if not _is_video(path) and not path.is_dir():
        raise ValueError(f"{where}: {frames!r} is neither a folder nor a video {VIDEOS}")
    if _has_frames(path):
        return path
    usual = ("color", "frames", "images", path.name.lower())  # the last is left by unzipping
    inner = [p for p in path.iterdir() if _is_video(p) or p.is_dir() and p.name.lower() in usual]
    if len(inner) != 1 or not _has_frames(inner[0]):
        raise ValueError(f"{where}: folder {frames!r} holds no frames {(*PICTURES, *VIDEOS)}")
    return inner[0]


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and path.is_file()


def _has_frames(path: Path) -> bool:
    return _is_video(path) or bool(list_pictures(path))


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order: "img2" before "img10".

    Regular files alone: reading from a pipe would never end.
    """
    pictures = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    visible = [path for path in pictures if not path.name.startswith(".") and path.is_file()]
    return sorted(visible, key=lambda path: (_natural(path), path.name))


def _natural(path: Path) -> list[str | int]:
    """ "img10.jpg" -> ["img", 10, ""]; digits of every script and form count."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFKC", path.stem))
    return [int(part) if part.isdecimal() else part for part in parts]


def without_strays(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Tell the frames, whose names differ in their digits alone, from a few other pictures.

    `apex.jpg`, `img3 (1).jpg` or `cover_1.png` are no frames of `img1.jpg` to `img99.jpg`.

    Returns:
        The frames and the others, both in the order given.
    """
    by_pattern = defaultdict(list)
    for path in files:
        parts = ["#" if isinstance(part, int) else part.casefold() for part in _natural(path)]
        by_pattern["".join(parts)].append(path)
    pattern, most = max(by_pattern.items(), key=lambda item: len(item[1]), default=("", []))
    frames = set(most)
    others = [path for path in files if path not in frames]
    few = "#" in pattern and _ONE_IN * len(others) <= len(most)
    return (most, others) if few else (files, [])


def stray_note(strays: Sequence[str]) -> str:
    """What is said of pictures that are no frames, "" where there are none."""
    count, names = len(strays), ", ".join(strays[:3])
    return f"{count} pictures are no frames and left aside: {names}" if strays else ""


def picture_span(folder: Path) -> tuple[int, int] | None:
    """Frame numbers of a folder's first and last picture, None where there are none."""
    numbers = frame_numbers(without_strays(list_pictures(folder))[0], folder.name)
    return (min(numbers), max(numbers)) if numbers else None


def frame_numbers(
    files: list[Path], where: str, onset: int = 0, offset: int = -1
) -> list[int] | None:
    """Read the frame number of each picture, out of all numbers in its name.

    Of those that tell all pictures apart it is the one that lies between onset and offset most
    often; then the one with the fewest gaps (scores, boxes and times have many); then the last.

    Returns:
        One number per picture, or None where the names carry none or there is no picture.

    Raises:
        ValueError: for two pictures of the same number, or one without among others that have
            one; `where` names the clip.
    """
    numbers = [[part for part in _natural(path) if isinstance(part, int)] for path in files]
    columns = [[*column] for column in zip(*map(reversed, numbers), strict=False)]  # the last first
    if apart := [column for column in columns if len(set(column)) == len(column)]:
        apart.sort(key=lambda column: max(column) - min(column))
        return max(apart, key=lambda column: sum(onset <= k <= offset for k in column))
    if not columns:
        if any(numbers):
            bare = next(p.name for p, row in zip(files, numbers, strict=True) if not row)
            raise ValueError(f"{where}: {bare} has no frame number as others do; move it elsewhere")
        return None
    last = columns[0]
    first, second = [p.name for p, n in zip(files, last, strict=True) if last.count(n) > 1][:2]
    raise ValueError(f"{where}: {first} and {second} have the same frame number; keep one of them")


def choose_frames(path: Path, onset: int, offset: int, length: int, where: str) -> ChosenFrames:
    """Choose `length` frames spread evenly from onset to offset, both included.

    Where frame numbers in file names cover at least half of onset..offset, they are used, and
    the nearest frame stands in for a missing one (CAS(ME)^3 has such gaps). Where none lies there,
    or as many pictures as frames are there under other numbers (or all of them counted anew from 0
    or 1), the folder is the clip. Frames of a video count from 1.

    Args:
        path: a folder of pictures, or a video, as `DataRoot.find` returns it.
        onset: first frame number.
        offset: last frame number.
        length: how many frames to choose.
        where: the clip, for messages.

    Raises:
        ValueError: for a folder that holds a small part of the clip, two pictures of the same
            number, or a video that cannot be read.
    """
    video = _is_video(path)
    files, strays = ([path], []) if video else without_strays(list_pictures(path))
    count = count_frames(path) if video else len(files)
    check_limits(where, frames=count)
    counted = [*range(1, count + 1)]
    numbers = counted if video else frame_numbers(files, where, onset, offset) or []
    inside = [k for k, number in enumerate(numbers) if onset <= number <= offset]
    span = offset - onset + 1
    recounted = count == span and sorted(numbers) in (counted, [*range(span)])
    if 2 * len(inside) >= span and not (recounted and len(inside) < span):
        numbering, missing = "number", span - len(inside)
        inside.sort(key=numbers.__getitem__)
        times, first, last = [numbers[k] for k in inside], onset, offset
    elif not inside or count == span:
        numbering, missing = "position", 0
        inside = times = list(range(count))
        first, last = 0, count - 1
    else:
        there = f"only {len(inside)} of the {span} frames {onset}-{offset} are there"
        raise ValueError(f"{where}: {there}; copy the others, or correct the table")
    wanted = np.linspace(first, last, length).round()
    nearest = [np.abs(np.array(times) - time).argmin() for time in wanted]  # the earlier of two
    chosen = tuple(inside[k] for k in nearest)
    if video:
        return ChosenFrames((path,), chosen, numbering, missing)
    frames, names = tuple(files[k] for k in chosen), tuple(stray.name for stray in strays)
    return ChosenFrames(frames, (), numbering, missing, names)
