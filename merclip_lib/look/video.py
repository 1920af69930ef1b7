"""Frames with their times from whatever a student has: a video, a folder, a clip store, SynthME.

Videos are read and written by PyAV. A rotation mark is obeyed, times are the file's own (so a
variable frame rate does no harm), and large pictures are made smaller while they are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from merclip_lib.data.frames.decode import read_picture, used_bits
from merclip_lib.data.frames.find import list_pictures, without_strays
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
    """

    name: str
    frames: Frames
    cropped: bool = False
    people: str = ""
    truth: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_footage(source: str, fps: float = 30.0) -> Footage:
    """Open a video, a folder of pictures, `STORE:CLIP` or `synthme:PERSON/CLIP`.

    Args:
        source: what the student names.
        fps: of a folder of pictures, which does not say.

    Raises:
        ValueError: there is no such thing, or it cannot be read.
    """
    path = Path(source)
    if source.startswith("synthme:"):
        return _drawn(source.removeprefix("synthme:"))
    if path.is_dir() and not (path / META).is_file():
        return _folder(path, fps)
    if path.is_file():
        footage = Footage(path.stem, iter(()))
        footage.frames = _decoded(path, footage.notes)
        return footage
    store, _, clip = source.rpartition(":")
    if path.is_dir() or (Path(store) / META).is_file():
        return _stored(Path(store or source), clip if store else "")
    raise ValueError(f"{source}: no such video or folder; STORE:CLIP and synthme:s001/c01 do too")


def _folder(path: Path, fps: float) -> Footage:
    files, strays = without_strays(list_pictures(path))
    if not files:
        raise ValueError(f"{path}: holds no pictures; name a video or a folder of frames")
    footage = Footage(path.name, iter(()), notes=[f"{fps:g} frames per second, as given (--fps)"])
    if strays:
        names = ", ".join(stray.name for stray in strays[:3])
        footage.notes.append(f"{len(strays)} pictures are no frames and left aside: {names}")
    files, bits = files[:MOST_FRAMES], used_bits(files[:MOST_FRAMES])
    pictures = (_smaller(read_picture(file, bits), footage.notes) for file in files)
    footage.frames = ((k / fps, picture) for k, picture in enumerate(pictures))
    return footage


def _decoded(path: Path, notes: list[str]) -> Frames:
    """The frames of a video; what was chosen is noted."""
    for count, frame in enumerate(read_frames(path, notes)):
        if count == MOST_FRAMES:
            notes.append(f"looked at up to frame {MOST_FRAMES}")
            return
        if frame.rotation and not count:
            notes.append(f"turned by {frame.rotation} degrees, as the file says")
        yield float(frame.time or 0), _smaller(upright(frame), notes)


def _smaller(picture: np.ndarray, notes: list[str]) -> np.ndarray:
    """The picture with its long side at most LONGEST_SIDE."""
    height, width = picture.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = round(width * scale), round(height * scale)
    note = f"pictures of {width} x {height} pixels made smaller: {size[0]} x {size[1]}"
    if note not in notes:
        notes.append(note)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _stored(folder: Path, clip: str) -> Footage:
    store = open_store(folder)
    ids = store.table["clip_id"].tolist()
    if clip not in ids:
        raise ValueError(f"{folder}: no clip {clip!r}{did_you_mean(clip, ids[:20])}")
    row = store.table.iloc[ids.index(clip)]
    frames = store.frames[ids.index(clip)]
    return _known(clip, frames, row)


def _drawn(name: str) -> Footage:
    plan = plan_population(EXAMPLE)
    names = (plan["subject"].str[-4:] + "/" + plan["clip"]).tolist()  # "p001/c01"
    if name not in names:
        raise ValueError(f"synthme:{name}: no such clip{did_you_mean(name, names)}")
    row = plan.iloc[names.index(name)]
    return _known(f"{EXAMPLE.name}-{name}", draw_clip(replace(EXAMPLE, size=DRAWN), row)[0], row)


def _known(name: str, frames: np.ndarray, row) -> Footage:
    """A clip of a table: sampled evenly from onset to offset, so its times are known."""
    moments = [float((row[key] - row["onset"]) / row["fps"]) for key in ("onset", "apex", "offset")]
    times = np.linspace(0, moments[2], len(frames))
    truth = {"action_units": row["action_units"], "emotion": row["emotion"]}
    truth |= dict(zip(("onset", "apex", "offset"), moments, strict=True))
    who = f"{row['dataset']}/{row['subject']}"
    name = name.replace("/", "-")
    return Footage(name, iter(zip(times.tolist(), frames, strict=True)), True, who, truth)


def write_video(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write frames (T, H, W, 3) uint8 as MP4 (H.264), whole or not at all; sides are made even."""
    high, wide = (side // 2 * 2 for side in frames.shape[1:3])
    with replacing(path) as temporary:
        with av.open(str(temporary), "w", format="mp4") as container:
            stream = container.add_stream("libx264", Fraction(fps).limit_denominator(1000))
            stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
            stream.options = {"crf": "16"}
            for frame in frames:
                picture = np.ascontiguousarray(frame[:high, :wide])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            container.mux(stream.encode())
