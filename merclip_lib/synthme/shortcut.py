"""Shortcuts for the controls: something that is no expression tells the emotion.

A network that learns the shortcut fails where it is broken; a method that is said to take
shortcuts away (the mix, masking) must then help.
"""

from dataclasses import replace

import cv2
import numpy as np

from merclip_lib.synthme.face import Face
from merclip_lib.synthme.paint import bump, pixels, soft
from merclip_lib.synthme.populations import Population

GREY = (0.5, 0.5, 0.5)


def colours(count: int) -> np.ndarray:
    """As many colours (count, 3) as there are classes, evenly around the circle of hues."""
    hues = np.linspace(0, 360, count, endpoint=False, dtype=np.float32)
    hsv = np.stack([hues, np.full(count, 0.55, np.float32), np.full(count, 0.75, np.float32)], 1)
    return cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0]


def with_shortcut(face: Face, population: Population, shown: int) -> Face:
    """The face with what its population's shortcut shows in a clip, and masked where it says so.

    Args:
        face: the person; it is not changed.
        population: which shortcut.
        shown: the class that the shortcut shows, a position in `population.classes`; -1 without.
    """
    opacity, colour = np.zeros_like(face.backdrop), np.array(GREY, np.float32)
    if shown >= 0:
        colour = colours(len(population.classes))[shown]
    if population.masked:
        opacity, colour = face.backdrop, np.array(GREY, np.float32)
    elif population.shortcut == "background":
        opacity = 0.6 * face.backdrop
    elif population.shortcut == "mark":
        opacity = _mark(face)
    if not opacity.any():
        return face
    cover = opacity[..., None].astype(np.float32)
    pictures = [picture + cover * (colour - picture) for picture in (face.neutral, face.shut)]
    return replace(face, neutral=pictures[0], shut=pictures[1])


def _mark(face: Face) -> np.ndarray:
    """Opacity of a disc on the cheek on the left in the picture, as wide as an eye."""
    outward, down = face.points["cheek"]
    at = pixels(face.neutral.shape[0])
    disc = bump(at, face.traits.middle - outward - 0.03, down, 0.055, 0.055)
    return 0.9 * soft(disc - 0.6, 0.08)
