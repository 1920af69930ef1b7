"""Frames with their times from whatever a student has: a video, a folder, a clip store, SynthME.

Videos are read and written by PyAV. A rotation mark is obeyed, times are the file's own (so a
variable frame rate does no harm), and large pictures are made smaller while they are read.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd

from merclip_lib.data.frames.decode import read_picture, used_bits
from merclip_lib.data.frames.find import list_pictures, stray_note, without_strays
from merclip_lib.data.frames.video import read_frames, upright
from merclip_lib.data.store import META, open_store
from merclip_lib.files import did_you_mean, replacing
from merclip_lib.synthme.draw import draw_clip
from merclip_lib.synthme.plan import plan_population
from merclip_lib.synthme.populations import EXAMPLE

LONGEST_SIDE = 1280  # pixels; larger pictures are made smaller: faces need no more
MOST_FRAMES = 3000  # a longer video is looked at up to here
DRAWN = 160  # pixels at which a SynthME clip is drawn to be looked at
Frames = Iterator[tuple[float, np.ndarray]]  # seconds, RGB uint8 (H, W, 3)


@dataclass
class Footage:
    """What is looked at.

    Attributes:
        name: for titles and file names.
        frames: time in seconds and picture, one after the other; read once.
        cropped: the pictures are faces in their places already.
        people: who is seen, as "dataset/subject"; "" where that is not known.
        truth: what is known of a clip: action_units, emotion, and onset, apex, offset in seconds.
        notes: choices that were made; more come while frames are read.
        source: the video or folder that is read; None for a clip of a store.
    """

    name: str
    frames: Frames
    cropped: bool = False
    people: str = ""
    truth: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    source: Path | None = None


def open_footage(source: str, fps: float = 30.0) -> Footage:
    """Open a video, a folder of pictures, `STORE:CLIP` or `synthme:PERSON/CLIP`.

    Args:
        source: what the student names.
        fps: of a folder of pictures, which does not say.

    Raises:
        ValueError: there is no such thing, or it cannot be read.
    """
    path, notes = Path(source), list[str]()
    if source.startswith("synthme:"):
        return _drawn(source.removeprefix("synthme:"))
    store, _, clip = source.rpartition(":")
    if path.is_dir() and not (path / META).is_file():
        frames = _pictures(path, fps, notes)
    elif path.is_file():
        frames = _decoded(path, notes)
    elif path.is_dir() or (Path(store) / META).is_file():
        return _stored(Path(store or source), clip if store else "")
    else:
        raise ValueError(f"{source}: no such video or folder; STORE:CLIP, synthme:p001/c01 do too")
    return Footage(path.stem, _limited(frames, notes), notes=notes, source=path)


def _pictures(path: Path, fps: float, notes: list[str]) -> Frames:
    """The pictures of a folder."""
    files, strays = without_strays(list_pictures(path))
    if not files:
        raise ValueError(f"{path}: holds no pictures; name a video or a folder of frames")
    notes.append(f"{fps:g} frames per second, as given (--fps)")
    notes += filter(None, [stray_note([stray.name for stray in strays])])
    bits = used_bits(files[:MOST_FRAMES])
    return ((k / fps, read_picture(file, bits)) for k, file in enumerate(files))


def _decoded(path: Path, notes: list[str]) -> Frames:
    """The frames of a video."""
    for count, frame in enumerate(read_frames(path, notes)):
        if frame.rotation and not count:
            notes.append(f"turned by {frame.rotation} degrees, as the file says")
        if frame.time is None and count:
            raise ValueError(f"{path}: its frames have no times; save it as MP4")
        yield float(frame.time or 0), upright(frame)


def _limited(frames: Frames, notes: list[str]) -> Frames:
    """The first MOST_FRAMES, their long sides at most LONGEST_SIDE; what is done is noted."""
    for count, (time, picture) in enumerate(frames):
        if count == MOST_FRAMES:
            notes.append(f"looked at up to frame {MOST_FRAMES}")
            return
        height, width = picture.shape[:2]
        if (scale := LONGEST_SIDE / max(height, width)) < 1:
            size = round(width * scale), round(height * scale)
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            if not count:
                smaller = f"made smaller: {size[0]} x {size[1]}"
                notes.append(f"pictures of {width} x {height} pixels {smaller}")
        yield time, picture


def _stored(folder: Path, clip: str) -> Footage:
    """A clip of a store."""
    store = open_store(folder)
    at = _position(clip, store.table["clip_id"].tolist(), f"{folder}: no clip {clip!r}")
    return _known(clip, store.frames[at], store.table.iloc[at])


def _drawn(name: str) -> Footage:
    """A clip of SynthME, drawn now."""
    plan = plan_population(EXAMPLE)
    names = (plan["subject"].str[-4:] + "/" + plan["clip"]).tolist()  # "p001/c01"
    row = plan.iloc[_position(name, names, f"synthme:{name}: no such clip")]
    return _known(f"{EXAMPLE.name}-{name}", draw_clip(replace(EXAMPLE, size=DRAWN), row)[0], row)


def _position(name: str, names: list[str], wrong: str) -> int:
    """Where a name stands among names; ValueError with the words `wrong` and the nearest."""
    if name not in names:
        raise ValueError(wrong + textwrap.shorten(did_you_mean(name, names), 80))
    return names.index(name)


def _known(name: str, frames: np.ndarray, row: pd.Series) -> Footage:
    """A clip of a table: sampled evenly from onset to offset, so its times are known."""
    marked = row[["onset", "apex", "offset"]].dropna()
    moments = ((marked - row["onset"]) / row["fps"]).astype(float)
    if not moments["offset"]:
        raise ValueError(f"{name}: onset and offset are the same frame, so nothing can move")
    times = np.linspace(0, moments["offset"], len(frames)).tolist()
    truth = row[["action_units", "emotion"]].to_dict() | moments.to_dict()
    timed, who = iter(zip(times, frames, strict=True)), f"{row['dataset']}/{row['subject']}"
    return Footage(name.replace("/", "-"), timed, True, who, truth)


def write_video(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write frames (T, H, W, 3) uint8 as MP4 (H.264), whole or not at all; sides are made even."""
    high, wide = (side // 2 * 2 for side in frames.shape[1:3])
    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
        # without mbtree, with which the same frames are not the same bytes each time
        stream.options = {"crf": "16", "x264-params": "mbtree=0"}
        for frame in frames:
            picture = np.ascontiguousarray(frame[:high, :wide])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
