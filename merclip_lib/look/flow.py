"""Motion of the skin since the first frame, without any learnt weights.

Dense optical flow (DIS; Kroeger et al., ECCV 2016) from the first frame to every other; what is
left of the head's motion is taken out by a similarity transform fitted where the face is still.
This holds for real faces as for drawn ones. Left is left in the picture.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from merclip_lib.data.frames import align
from merclip_lib.look.face import Aligned

_TABLE = yaml.safe_load(Path(__file__).with_name("regions.yaml").read_text(encoding="utf-8"))
REGIONS = tuple(_TABLE)
LIDS = ("left lids", "right lids")
RADIUS = 0.12  # standard deviation of a region's Gaussian weights, in eye distances
_STRIDE = 2  # pixels of the crop in a step of the kept fields
_FAR = 3.0  # a residual of so many medians is no motion of the head


@dataclass(frozen=True)
class Motion:
    """How a face has moved since the first of T frames.

    Attributes:
        fields: (T, S/2, S/2, 2) float16, displacement (x, y) of the skin in pixels of the crop,
            at every second pixel of the first frame.
        regions: (T, R, 2) its mean over each of REGIONS, in eye distances.
        times: (T,) seconds.
        eye_pixels: pixels of the video in an eye distance.
    """

    fields: np.ndarray
    regions: np.ndarray
    times: np.ndarray
    eye_pixels: float

    @property
    def strength(self) -> np.ndarray:
        """How far each region has moved, (T, R), in eye distances."""
        return np.linalg.norm(self.regions, axis=-1)


def measure(aligned: Aligned) -> Motion:
    """Measure the motion of an aligned clip."""
    size, marks = len(aligned.frames[0]), aligned.marks
    first, *others = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in aligned.frames)
    still = np.ones((size, size)) if marks is None else align.still_mask(marks, size)
    still = still[::_STRIDE, ::_STRIDE].astype(bool)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    fields = np.zeros((1 + len(others), *still.shape, 2), np.float16)
    for t, grey in enumerate(others, 1):
        field = dis.calc(first, grey, None)  # type: ignore[call-overload]
        field = cv2.blur(field, (_STRIDE + 1, _STRIDE + 1))[::_STRIDE, ::_STRIDE]
        fields[t] = field - _of_the_head(field, still)
    weights = region_weights(aligned)[:, ::_STRIDE, ::_STRIDE]
    weights = weights / weights.sum((1, 2), keepdims=True)
    regions = np.einsum("tyxc,ryx->trc", fields.astype(np.float32), weights)
    distance = aligned.eye_distance
    return Motion(fields, regions / distance, aligned.times, distance / aligned.scale)


def _of_the_head(field: np.ndarray, still: np.ndarray) -> np.ndarray:
    """The similarity motion (shift, turn, scale) that fits a field (G, G, 2) where it is still."""
    y, x = (np.mgrid[: len(field), : len(field)] - len(field) / 2) / len(field)
    one, none = np.ones_like(x), np.zeros_like(x)
    right, down = np.stack([one, none, x, -y], -1), np.stack([none, one, y, x], -1)
    chosen = still
    for _ in range(2):
        system = np.concatenate([right[chosen], down[chosen]])
        wanted = np.concatenate([field[chosen, 0], field[chosen, 1]])
        answer = np.linalg.lstsq(system, wanted, rcond=None)[0]
        head = np.stack([right @ answer, down @ answer], -1)
        rest = np.linalg.norm(field - head, axis=-1)
        chosen = still & (rest <= _FAR * np.median(rest[still]) + 1e-6)
    return head


def region_weights(aligned: Aligned) -> np.ndarray:
    """Gaussian weights (R, S, S) of each region, 1 in its middle."""
    size, distance = len(aligned.frames[0]), aligned.eye_distance
    y, x = np.mgrid[:size, :size]
    apart = [np.hypot(x - left, y - top) for left, top in region_middles(aligned)]
    return np.exp(-0.5 * (np.stack(apart) / (RADIUS * distance)) ** 2)


def region_middles(aligned: Aligned) -> np.ndarray:
    """Middles (R, 2) of the regions in the crop, as x and y in pixels."""
    if aligned.marks is not None:
        return np.stack([aligned.marks[region["marks"]].mean(0) for region in _TABLE.values()])
    places = np.array([region["place"] for region in _TABLE.values()])
    return aligned.eyes.mean(0) + places * aligned.eye_distance
