"""Where a clip's frames lie in a copy of a set: its folder or video found, frames chosen.

A clip table names a folder such as `sub01/EP02_01f`. In a student's copy it may lie deeper
(`CASME2/Cropped/sub01/EP02_01f`), be written otherwise (`Sub1/ep02_01f`), hold pictures of
another type, or be a video. `DataRoot` finds it; `choose_frames` picks frames from onset to offset.
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
class ChosenFrames:
    """What is read of one clip: pictures in order of time, or one video and positions in it.

    Attributes:
        files: the pictures (repeated where a clip is shorter than wanted), or the video alone.
        positions: places in the video, 0 the first; empty for pictures.
        numbering: "number" where the frame numbers of the table were found, "position" where all
            of the folder or video is taken for the clip.
        missing: frames between onset and offset that are not there.
    """

    files: tuple[Path, ...]
    positions: tuple[int, ...]
    numbering: str
    missing: int


class DataRoot:
    """A copy of a set, in which clips are found by the names that a clip table uses.

    Args:
        root: the folder that holds the copy.

    Raises:
        ValueError: if there is no such folder.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root).resolve()
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
        names = Path(frames).parts
        if not names:
            raise ValueError(f"{where}: no frames named; write its folder in the column `frames`")
        if ".." in names or Path(frames).is_absolute():
            raise ValueError(f"{where}: {frames!r} lies outside the data root; name one in it")
        direct = self.root / frames
        candidates = [direct] if direct.exists() else self._search(names)
        if not candidates:
            raise ValueError(f"{where}: no folder {frames!r} below the data root; check `frames`")
        if len(candidates) > 1:
            places = " and ".join(p.relative_to(self.root).as_posix() for p in candidates[:3])
            raise ValueError(f"{where}: {frames!r} may be {places}; name a data root with one")
        path = _folder_of_frames(candidates[0], where, frames)
        if not path.resolve().is_relative_to(self.root):
            raise ValueError(f"{where}: {frames!r} links out of the data root; copy it")
        return path

    def _search(self, names: tuple[str, ...]) -> list[Path]:
        """The paths whose last folders have these names; spelt exactly so, if there are such."""
        names = names[:-1] if len(names) > 1 and names[-1].lower() == "color" else names
        wanted = [_folder_key(name) for name in names[:-1]]
        ending, below_subject = [], []
        for path in self._by_name.get(names[-1].lower(), []):
            above = [_folder_key(part) for part in path.relative_to(self.root).parts[:-1]]
            if above[len(above) - len(wanted) :] == wanted:
                ending.append(path)
            elif wanted and wanted[0] in above:
                below_subject.append(path)
        candidates = ending or below_subject
        exact = [path for path in candidates if path.parts[-len(names) :] == names]
        return exact or candidates

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Last name in lower case -> folders and videos; links to folders are not followed."""
        by_name = defaultdict(list)
        for folder, inner, files in os.walk(self.root):
            inner.sort()  # and so the order in which they are walked
            for name in inner:
                by_name[name.lower()].append(Path(folder, name))
            for name in sorted(files):
                if name.lower().endswith(VIDEOS):
                    by_name[name.lower()].append(Path(folder, name))
                    by_name[Path(name).stem.lower()].append(Path(folder, name))
        return by_name


def _folder_key(name: str) -> str:
    """How the folders above a clip are compared: `sub01`, `s1`, `spNO.1` and `1` are the same."""
    name = name.lower()
    number = re.fullmatch(r"(?:subject|sub|spno\.?|s)?_?0*([0-9]+)", name)
    return number[1] if number else name


def _folder_of_frames(path: Path, where: str, frames: str) -> Path:
    """A folder without pictures may hold `color` (CAS(ME)^3) or a single video."""
    if path.is_file() and path.suffix.lower() not in VIDEOS:
        raise ValueError(f"{where}: {frames!r} is neither a folder nor a video {VIDEOS}")
    if path.is_file() or list_pictures(path):
        return path
    inner = [p for p in path.iterdir() if p.is_dir() and p.name.lower() == "color"]
    inner += [p for p in path.iterdir() if p.suffix.lower() in VIDEOS]
    if len(inner) != 1 or (inner[0].is_dir() and not list_pictures(inner[0])):
        raise ValueError(f"{where}: folder {frames!r} holds no frames {(*PICTURES, *VIDEOS)}")
    return inner[0]


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order: "img2" before "img10"."""
    pictures = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES]
    visible = [path for path in pictures if not path.name.startswith(".")]
    return sorted(visible, key=lambda path: (_natural(path.stem), path.name))


def _natural(text: str) -> list[int | str]:
    """ "img10" -> ["img", 10, ""]."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", text)]


def frame_numbers(files: list[Path], where: str) -> list[int] | None:
    """Read the frame number of each picture: the last number in the names that tells all apart.

    Returns:
        One number per picture, or None where the names carry none or there is no picture.

    Raises:
        ValueError: for two pictures of the same number; `where` names the clip.
    """
    numbers = [re.findall(r"[0-9]+", path.stem) for path in files]
    columns = min(map(len, numbers), default=0)
    for k in range(1, columns + 1):
        column = [int(row[-k]) for row in numbers]
        if len(set(column)) == len(column):
            return column
    if columns == 0:
        return None
    last = [int(row[-1]) for row in numbers]
    first, second = [p.name for p, n in zip(files, last, strict=True) if last.count(n) > 1][:2]
    raise ValueError(f"{where}: {first} and {second} have the same frame number; keep one of them")


def choose_frames(path: Path, onset: int, offset: int, length: int, where: str) -> ChosenFrames:
    """Choose `length` frames spread evenly from onset to offset, both included.

    Where frame numbers in file names cover at least half of onset..offset, they are used, and
    the nearest frame stands in for a missing one (CAS(ME)^3 has such gaps). Where none lies there,
    or as many pictures as frames are there under other numbers, the folder is the clip. Frames of
    a video count from 1.

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
    video = path.is_file() and path.suffix.lower() in VIDEOS
    files = [path] if video else list_pictures(path)
    count = _count_frames(path, where) if video else len(files)
    numbers = list(range(1, count + 1)) if video else frame_numbers(files, where) or []
    inside = [k for k, number in enumerate(numbers) if onset <= number <= offset]
    span = offset - onset + 1
    if 2 * len(inside) >= span:
        numbering, missing = "number", span - len(inside)
        inside.sort(key=numbers.__getitem__)
        times, first, last = [numbers[k] for k in inside], onset, offset
    elif not inside or count == span:
        numbering, missing = "position", 0
        inside = times = list(range(count))
        first, last = 0, count - 1
    else:
        raise ValueError(
            f"{where}: only {len(inside)} of the {span} frames {onset}-{offset} are there; copy "
            "the others, or correct the table"
        )
    wanted = np.linspace(first, last, length).round()
    nearest = np.abs(np.array(times)[None, :] - wanted[:, None]).argmin(1)  # the earlier of two
    chosen = tuple(inside[k] for k in nearest)
    if video:
        return ChosenFrames((path,), chosen, numbering, missing)
    return ChosenFrames(tuple(files[k] for k in chosen), (), numbering, missing)


def _count_frames(path: Path, where: str) -> int:
    video = cv2.VideoCapture(str(path))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    video.release()
    if count < 1:
        raise ValueError(f"{where}: {path.name} cannot be read as a video; copy it again")
    return count
