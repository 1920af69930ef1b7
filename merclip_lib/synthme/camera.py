"""The session in which a person was filmed: light from a side, colours, framing, focus.

A session changes a picture in ways that carry no expression but tell people apart.
"""

from typing import NamedTuple

import cv2
import numpy as np


class Camera(NamedTuple):
    """Light and camera of a session."""

    gain: np.ndarray  # (3,) factor of each colour
    gamma: float
    slope: np.ndarray  # (2,) change of brightness across and down the picture
    blur: float  # standard deviation, share of the picture
    framing: np.ndarray  # (4,) shift x, shift y (fractions), rotation (radians), log scale


def draw_camera(rng: np.random.Generator, spread: float) -> Camera:
    """Draw a session; `spread` scales how much sessions differ (0 = not at all)."""
    return Camera(
        gain=np.exp(spread * rng.normal(0, (0.05, 0.035, 0.06))),
        gamma=float(np.exp(spread * rng.normal(0, 0.10))),
        slope=spread * rng.normal(0, (0.15, 0.08)),
        blur=float(spread * rng.uniform(0, 0.006)),
        framing=spread * rng.normal(0, (0.012, 0.012, 0.02, 0.02)),
    )


def expose(picture: np.ndarray, camera: Camera) -> np.ndarray:
    """A picture (S, S, 3) in 0..1 as the session's camera takes it."""
    line = (np.arange(len(picture), dtype=np.float32) + 0.5) / len(picture) - 0.5
    light = 1 + camera.slope[0] * line[None, :] + camera.slope[1] * line[:, None]
    lit = np.clip(picture * light[..., None] * camera.gain, 0, 1) ** camera.gamma
    if camera.blur * len(picture) > 0.1:
        lit = cv2.GaussianBlur(lit, (0, 0), camera.blur * len(picture))
    return lit.astype(np.float32)
