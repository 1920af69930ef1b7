"""A face in its place: one alignment for all frames, then the head's rigid motion taken out.

The face is looked for once, so that the detector's jitter does not become motion. What the head
does afterwards is found by ECC in what moves with the head alone, see `align.still_mask`.
"""

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from merclip_lib.data.frames import align, mesh
from merclip_lib.look.video import Footage

SIZE = 224  # pixels of both sides of a crop
MARGIN = 0.15  # share of the crop around the face
LOOKED = 60  # frames in which a face is looked for
FEWEST = 5  # frames that a motion can be measured in
SLOWEST = 0.07  # seconds between frames; half a second would have fewer than seven


@dataclass(frozen=True)
class Aligned:
    """A clip of T frames with the face in one place.

    Attributes:
        frames: (T, S, S, 3) uint8.
        times: (T,) seconds.
        eyes: (2, 2) middles of both eyes in the crop, as x and y in pixels.
        marks: (468, 2) landmarks in the crop, or None without them.
        scale: pixels of the crop in a pixel of the video.
        notes: choices that were made.
    """

    frames: np.ndarray
    times: np.ndarray
    eyes: np.ndarray
    marks: np.ndarray | None
    scale: float
    notes: tuple[str, ...]

    @property
    def eye_distance(self) -> float:
        """In pixels of the crop."""
        return float(np.linalg.norm(self.eyes[1] - self.eyes[0]))

    @property
    def fps(self) -> float:
        """Frames per second, by the median time between frames."""
        return float(1 / np.median(np.diff(self.times)))


def align_footage(footage: Footage, method: str = "") -> Aligned:
    """Read footage and move its face into place.

    Args:
        footage: its frames are read to the end, one by one.
        method: `mesh`, or `none` for pictures that are cropped faces already (centre crop);
            "" chooses.

    Raises:
        ValueError: no face, too few frames, frames of several sizes, or the landmark nets are
            missing and needed.
    """
    method = method or ("none" if footage.cropped else "mesh")
    align.check_method(method)
    frames, before = iter(footage.frames), 0
    for frame in itertools.islice(frames, LOOKED):
        if (matrix := _placed(frame[1], method, footage.notes)) is not None:
            break
        before += 1
    else:
        raise ValueError(f"{footage.name}: no face found in the first {before} frames")
    time, picture = frame
    if before:
        footage.notes.append(f"no face on the first {before} frames, which are left out")
    first, shape = align.warp(picture, matrix, SIZE), picture.shape
    marks = _marks(first)
    mask = None if marks is None else align.still_mask(marks, SIZE)
    crops, times, motion, lost = [first], [time], np.eye(3), 0
    for time, picture in frames:
        if picture.shape != shape:
            raise ValueError(f"{footage.name}: frames differ in size; copy them again")
        moved = align.head_motion(first, align.warp(picture, matrix, SIZE), mask, motion)
        motion, lost = (motion, lost + 1) if moved is None else (moved, lost)
        whole = np.linalg.inv(motion) @ np.vstack([matrix, [0, 0, 1]])
        crops.append(align.warp(picture, whole[:2], SIZE))
        times.append(time)
    if len(crops) < FEWEST:
        raise ValueError(f"{footage.name}: {len(crops)} frames with a face; film at least {FEWEST}")
    if lost:
        gone = "the head not found where it was (ECC)"
        footage.notes.append(f"{lost} of {len(crops)} frames: {gone}")
    gaps = np.diff(times)
    if gaps.max() > 1.5 * np.median(gaps) and not footage.cropped:
        footage.notes.append("the frame rate varies; each frame counts at its own time")
    if np.median(gaps) > SLOWEST:
        footage.notes.append(f"{1 / np.median(gaps):.3g} frames per second miss what is short")
    eyes = align.eye_places(SIZE, MARGIN) if marks is None else align.eyes_of(marks)
    clip, scale = np.stack(crops), float(np.hypot(*matrix[:, 0]))
    return Aligned(clip, np.array(times), eyes, marks, scale, tuple(footage.notes))


def _placed(picture: np.ndarray, method: str, notes: list[str]) -> np.ndarray | None:
    """The transform (2, 3) of all frames, or None where no face is found."""
    if method == "none":
        height, width = picture.shape[:2]
        scale = SIZE / min(height, width)
        corner = (SIZE - scale * np.array([width, height])) / 2 + (scale - 1) / 2
        return np.column_stack([scale * np.eye(2), corner])
    if (marks := _marks(picture)) is None:
        return None
    if len(faces := mesh.find_faces(picture)) > 1:
        notes.append(f"{len(faces)} faces; the largest is looked at")
    return align.similarity_transform(align.eyes_of(marks), SIZE, MARGIN)


def _marks(crop: np.ndarray) -> np.ndarray | None:
    """Landmarks of a crop, or None where there is no face or the nets are missing."""
    try:
        return align.find_face(crop)
    except ValueError:
        return None


def show_marks(aligned: Aligned) -> np.ndarray:
    """The first frame with its landmarks, (S, S, 3) uint8."""
    picture = aligned.frames[0].copy()
    for x, y in aligned.eyes if aligned.marks is None else aligned.marks:
        cv2.circle(picture, (round(x), round(y)), 1, (0, 200, 90), -1, cv2.LINE_AA)
    return picture
