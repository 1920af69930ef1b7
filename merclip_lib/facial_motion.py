"""How action units move a drawn face.

An action unit is a sum of Gaussian bumps of displacement anchored at the subject's own landmarks, plus folds that
darken with intensity, plus, where skin cannot say it, a reveal: parted lips (25, 26) or a lid over the eye (7, 45).
"Outward" is away from the middle of the face, so that one table serves both sides. Left is LEFT IN THE PICTURE
everywhere in the synthetic sets: after a horizontal flip an `L12` is an `R12`.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .faces import Face, axes, bump, stroke

SIDED = (1, 2, 4, 6, 7, 9, 10, 12, 14, 15)  # action units that also occur on one side only

# action unit -> bumps (landmark, sigma x, sigma y, outward, down): displacement at intensity 1
MOVES = {
    1: (("forehead_inner", 0.050, 0.046, 0.0, -0.058),),
    2: (("forehead_outer", 0.065, 0.046, 0.004, -0.058),),
    4: (("brow_inner", 0.055, 0.055, -0.026, 0.040), ("brow_mid", 0.060, 0.050, -0.010, 0.030)),
    5: (("lid_upper", 0.065, 0.022, 0.0, -0.023),),
    6: (("cheek", 0.085, 0.060, 0.0, -0.050), ("eye_outer", 0.045, 0.035, -0.020, 0.008)),
    7: (("lid_lower", 0.065, 0.024, 0.0, -0.026), ("lid_upper", 0.065, 0.020, 0.0, 0.012)),
    9: (("nose_wing", 0.045, 0.065, 0.006, -0.048), ("nose_root", 0.050, 0.045, 0.0, 0.028),
        ("brow_inner", 0.04, 0.04, -0.010, 0.014)),
    10: (("lip_upper", 0.055, 0.042, 0.004, -0.052), ("nasolabial", 0.045, 0.050, 0.006, -0.022)),
    12: (("corner", 0.056, 0.055, 0.042, -0.058), ("cheek", 0.070, 0.060, 0.006, -0.020)),
    14: (("corner", 0.040, 0.036, 0.040, -0.004), ("dimple", 0.030, 0.040, -0.022, 0.0)),
    15: (("corner", 0.055, 0.050, 0.004, 0.052),),
    17: (("chin", 0.100, 0.055, 0.0, -0.058), ("lip_lower", 0.080, 0.032, 0.0, -0.026)),
    20: (("corner", 0.062, 0.055, 0.052, 0.016), ("jaw", 0.07, 0.06, 0.018, 0.012)),
    23: (("corner", 0.050, 0.040, -0.036, 0.0), ("lip_top", 0.070, 0.022, 0.0, 0.016),
         ("lip_lower", 0.070, 0.026, 0.0, -0.016)),
    24: (("lip_top", 0.095, 0.024, 0.0, 0.028), ("lip_lower", 0.095, 0.028, 0.0, -0.030)),
    25: (("lip_top", 0.080, 0.028, 0.0, -0.016), ("lip_lower", 0.080, 0.036, 0.0, 0.034)),
    26: (("chin", 0.150, 0.060, 0.0, 0.066), ("lip_lower", 0.085, 0.032, 0.0, 0.034), ("lip_top", 0.085, 0.036, 0.0, -0.024),
         ("corner", 0.050, 0.045, -0.014, 0.010)),
}

# action unit -> folds (landmark, outward, down, length, width, degrees (outward and down), darkness at intensity 1)
FOLDS = {
    1: (("brow_inner", -0.02, -0.075, 0.055, 0.011, -6, 0.27), ("brow_inner", -0.02, -0.110, 0.050, 0.011, -6, 0.22)),
    2: (("brow_outer", -0.02, -0.080, 0.055, 0.011, 12, 0.27), ("brow_outer", -0.03, -0.112, 0.050, 0.011, 12, 0.2)),
    4: (("brow_inner", -0.034, -0.005, 0.040, 0.012, 82, 0.43), ("brow_inner", -0.012, 0.024, 0.022, 0.014, 30, 0.23)),
    5: (),
    6: (("eye_outer", 0.036, -0.022, 0.030, 0.008, -28, 0.33), ("eye_outer", 0.040, 0.002, 0.030, 0.008, 4, 0.33),
        ("eye_outer", 0.034, 0.026, 0.030, 0.008, 34, 0.33), ("lid_lower", 0.01, 0.034, 0.055, 0.011, -8, 0.23)),
    7: (("lid_lower", 0.0, 0.016, 0.050, 0.009, 0, 0.33),),
    9: (("nose_root", 0.016, -0.012, 0.022, 0.008, -24, 0.39), ("nose_root", 0.018, 0.012, 0.024, 0.008, -24, 0.39),
        ("nose_root", 0.030, 0.055, 0.030, 0.009, 60, 0.3), ("nose_wing", 0.020, -0.006, 0.034, 0.011, 55, 0.27)),
    10: (("nasolabial", 0.0, -0.012, 0.050, 0.014, 52, 0.39), ("nose_wing", 0.012, 0.0, 0.026, 0.012, 75, 0.23)),
    12: (("nasolabial", 0.028, 0.040, 0.058, 0.015, 62, 0.33), ("corner", 0.020, -0.006, 0.018, 0.011, 100, 0.23)),
    14: (("corner", 0.030, 0.0, 0.026, 0.015, 92, 0.55),),
    15: (("corner", 0.012, 0.030, 0.030, 0.012, 60, 0.39),),
    17: (("crease", 0.0, 0.0, 0.075, 0.015, 0, 0.43), ("chin", 0.026, -0.004, 0.024, 0.022, 30, 0.16),
         ("chin", 0.036, 0.026, 0.020, 0.019, -30, 0.14), ("chin", 0.0, 0.026, 0.020, 0.019, 0, 0.12)),
    20: (("corner", 0.040, 0.012, 0.040, 0.011, 84, 0.28), ("corner", 0.010, 0.0, 0.020, 0.011, 10, 0.23)),
    23: (("lip_top", 0.025, -0.022, 0.014, 0.007, 80, 0.23), ("lip_top", 0.050, -0.018, 0.013, 0.007, 65, 0.23),
         ("lip_lower", 0.030, 0.028, 0.014, 0.007, -75, 0.23), ("line", 0.0, 0.0, 0.070, 0.011, 0, 0.23)),
    24: (("line", 0.0, 0.0, 0.110, 0.012, 0, 0.43), ("crease", 0.0, 0.006, 0.070, 0.019, 0, 0.19)),
    25: (), 26: (),
}
GAPS = {25: 0.55, 26: 0.95}  # how far the lips part
CLOSURES = {7: 0.30, 5: -0.15, 45: 1.15}  # how far the upper lid covers the eye


@dataclass(frozen=True)
class Nuisance:
    """What moves or changes in a clip without being an expression, one row per frame."""

    drift: np.ndarray  # (T, 4): shift x, shift y (fractions), rotation (radians), log scale
    light: np.ndarray  # (T,): brightness factor
    blink: np.ndarray  # (T,): 0 open, 1 shut
    noise: float  # standard deviation of sensor noise, grey levels


def sides_of(side: str) -> tuple[int, ...]:
    """-1 is left in the picture, 1 is right."""
    return {"": (-1, 1), "left": (-1,), "right": (1,)}[side]


def unit_field(face: Face, number: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Displacement (S, S, 2) in fractions of the picture and darkening (S, S) of one side of a unit at intensity 1."""
    key = (number, side)
    if key not in face.cache:
        x, y = axes(face.neutral.shape[0])
        move = np.zeros(face.neutral.shape[:2] + (2,), np.float32)
        fold = np.zeros(face.neutral.shape[:2], np.float32)
        for point, sx, sy, outward, down in MOVES[number]:
            px, py = face.points[point]
            half = 0.5 if px == 0 else 1.0  # a bump on the middle line is shared by the two sides
            shape = half * face.strength[key] * bump(x, y, face.middle + side * px, py, sx, sy)
            move[..., 0] += shape * (side * outward)
            move[..., 1] += shape * down
        for point, outward, down, length, width, degrees, dark in FOLDS[number]:
            px, py = face.points[point]
            cx, cy = face.middle + side * (px + outward), py + down
            fold += face.tone * dark * stroke(x, y, cx, cy, length, width, side * degrees)
            fold -= 0.3 * face.tone * dark * stroke(x, y, cx, cy + 1.6 * width, length, width, side * degrees)
        face.cache[key] = move, fold
    return face.cache[key]


def _look_up(picture, x, y):
    """Values of a picture at pixel coordinates, bilinear."""
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def animate(face: Face, units, amounts, nuisance: Nuisance, rng, grid: int = 8):
    """Draw a clip of a face.

    units: K pairs (number, side as "", "left" or "right"); amounts: (T, K) intensities over time, 0 = neutral.
    Returns frames uint8 (T, H, W, 3) and motion float32 (T, grid, grid, 2): mean displacement (x, y) of each patch
    relative to the neutral face in fractions of the picture, the expression alone, without head drift or blinks.
    """
    size, s = face.size, face.neutral.shape[0]
    x, y = axes(s)
    fields = [[unit_field(face, number, side) for side in sides_of(name)] for number, name in units]
    moves = np.stack([sum(move for move, _ in pair) for pair in fields])  # (K, S, S, 2)
    folds = np.stack([sum(fold for _, fold in pair) for pair in fields])
    moved = np.tensordot(amounts.astype(np.float32), moves, 1)  # (T, S, S, 2)
    darkened = np.tensordot(amounts.astype(np.float32), folds, 1)
    cell = s // grid
    patches = moves.reshape(-1, grid, cell, grid, cell, 2).mean((2, 4))
    motion = np.tensordot(amounts.astype(np.float32), patches, 1)
    numbers = [number for number, _ in units]
    parted = amounts @ np.array([GAPS.get(n, 0.0) for n in numbers])
    lidded = np.zeros((len(amounts), 2))
    for k, (number, name) in enumerate(units):
        for side in sides_of(name):
            lidded[:, (side + 1) // 2] += CLOSURES.get(number, 0.0) * amounts[:, k]
    frames = np.empty((len(amounts), size, size, 3), np.uint8)
    right = x > face.middle
    for i in range(len(amounts)):
        skin = face.neutral
        left_lid, right_lid = (float(v) for v in lidded[i] + 1.25 * nuisance.blink[i])
        if max(left_lid, right_lid) > 0.01:
            cover = np.maximum(np.where(right, np.float32(right_lid), np.float32(left_lid)), 0)
            closed = np.clip((cover - face.lid) * 4.0 + 0.5, 0, 1) * face.opening * np.minimum(1, 8 * cover)
            skin = skin + closed[..., None] * (face.shut - skin)
        wide = float(parted[i])
        if wide > 0.01:
            apart = np.clip((wide - face.gap) * 5.0 + 0.5, 0, 1) * min(1.0, 6 * wide)
            skin = skin + apart[..., None] * (face.inside - skin)
        skin = skin * (1.0 - np.clip(darkened[i], -0.3, 0.8))[..., None]
        dx, dy, turn, zoom = map(float, nuisance.drift[i])
        c, sn = math.cos(turn) * math.exp(-zoom), math.sin(turn) * math.exp(-zoom)
        head_x = s * (0.5 + c * (x - 0.5 - dx) + sn * (y - 0.55 - dy)) - 0.5
        head_y = s * (0.55 - sn * (x - 0.5 - dx) + c * (y - 0.55 - dy)) - 0.5
        here = s * _look_up(moved[i], head_x, head_y)
        picture = _look_up(skin, head_x - here[..., 0], head_y - here[..., 1])
        if face.glasses is not None:
            picture += _look_up(face.glasses, head_x, head_y)[..., None] * (np.float32(0.08) - picture)
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) * np.float32(255 * nuisance.light[i])
        if nuisance.noise:
            picture = picture + np.float32(nuisance.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
        frames[i] = np.clip(picture + 0.5, 0, 255)
    return frames, motion
