"""Motion made visible: every point of the skin carried on along its measured path.

As in Liu et al. (Motion magnification, SIGGRAPH 2005), but by the dense flow itself: a point that
has moved by v since the onset is drawn at factor * v.
"""

import cv2
import numpy as np

from merclip_lib.look.face import Aligned
from merclip_lib.look.flow import Motion
from merclip_lib.look.spotting import Interval

AROUND = 0.1  # seconds shown before onset and after offset
MOST_SHOWN = 48  # frames of an animation; of more every second, third ... is shown
_ROUNDS = 3  # of looking up which point comes to lie on a pixel
_EDGE = 0.1  # of the crop, where the magnification fades away
_BLUR = 0.06  # of the field, standard deviation in eye distances


def shown_frames(aligned: Aligned, interval: Interval | None) -> np.ndarray:
    """Numbers of the frames of an animation: about an expression, or of the whole clip."""
    times, first, last = aligned.times, -np.inf, np.inf
    if interval is not None:
        first, last = interval.onset - AROUND, interval.offset + AROUND
    chosen = np.flatnonzero((times >= first) & (times <= last))
    return chosen[:: -(-len(chosen) // MOST_SHOWN)]


def edge_fade(size: int) -> np.ndarray:
    """1 in a crop (S, S) but for its edges, over which points come and go: 0 there."""
    inwards = np.minimum(np.arange(size), np.arange(size)[::-1]) / (_EDGE * size)
    return np.minimum.outer(inwards, inwards).clip(0, 1).astype(np.float32)


def magnify(
    aligned: Aligned, motion: Motion, shown: np.ndarray, onset: int, factor: float
) -> np.ndarray:
    """Carry the motion since the onset on.

    Args:
        aligned: the clip.
        motion: its motion.
        shown: (M,) numbers of the frames to make.
        onset: number of the frame at which all points are where they belong.
        factor: 1 changes nothing, 8 makes eight times the way.

    Returns:
        (M, S, S, 3) uint8.
    """
    size = len(aligned.frames[0])
    at = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float32)
    start = motion.fields[onset].astype(np.float32)
    sigma, fade = _BLUR * aligned.eye_distance, edge_fade(size)
    made = []
    for k in shown:
        moved = cv2.resize(motion.fields[k].astype(np.float32) - start, (size, size))
        further = (factor - 1) * fade[..., None] * cv2.GaussianBlur(moved, (0, 0), sigma)
        source = at
        for _ in range(_ROUNDS):  # the point q with q + further(q) = here
            source = at - cv2.remap(further, source[..., 0], source[..., 1], cv2.INTER_LINEAR)
        x, y = source[..., 0], source[..., 1]
        made.append(cv2.remap(aligned.frames[k], x, y, cv2.INTER_CUBIC))
    return np.stack(made)
