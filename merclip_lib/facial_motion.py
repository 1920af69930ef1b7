"""How action units move a drawn face.

An action unit is a sum of Gaussian bumps of displacement anchored at the subject's own landmarks, plus folds that
darken with intensity, plus, where skin cannot say it, a reveal: parted lips (25, 26) or a lid over the eye (7, 45).
"Outward" is away from the middle of the face, so that one table serves both sides. Left is LEFT IN THE PICTURE
everywhere in the synthetic sets: after a horizontal flip an `L12` is an `R12`.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .faces import Face, axes, bump, stroke

SIDED = (1, 2, 4, 6, 7, 9, 10, 12, 14, 15)  # action units that also occur on one side only

# action unit -> bumps (landmark, sigma x, sigma y, outward, down): displacement at intensity 1
MOVES = {
    1: (("brow_inner", 0.050, 0.060, 0.0, -0.058),),
    2: (("brow_outer", 0.060, 0.060, 0.0, -0.058), ("brow_mid", 0.04, 0.05, 0.0, -0.018)),
    4: (("brow_inner", 0.055, 0.055, -0.026, 0.040), ("brow_mid", 0.060, 0.050, -0.010, 0.030)),
    5: (("lid_upper", 0.065, 0.022, 0.0, -0.028),),
    6: (("cheek", 0.085, 0.060, 0.0, -0.050), ("eye_outer", 0.045, 0.035, -0.020, 0.008)),
    7: (("lid_lower", 0.065, 0.024, 0.0, -0.026), ("lid_upper", 0.065, 0.020, 0.0, 0.012)),
    9: (("nose_wing", 0.045, 0.065, 0.006, -0.048), ("nose_root", 0.050, 0.045, 0.0, 0.028),
        ("brow_inner", 0.04, 0.04, -0.010, 0.014)),
    10: (("lip_upper", 0.055, 0.042, 0.004, -0.052), ("nasolabial", 0.045, 0.050, 0.006, -0.022)),
    12: (("corner", 0.062, 0.055, 0.040, -0.048), ("cheek", 0.070, 0.060, 0.006, -0.020)),
    14: (("corner", 0.040, 0.036, 0.040, -0.004), ("dimple", 0.030, 0.040, -0.022, 0.0)),
    15: (("corner", 0.055, 0.050, 0.004, 0.052),),
    17: (("chin", 0.100, 0.055, 0.0, -0.058), ("lip_lower", 0.080, 0.032, 0.0, -0.026)),
    20: (("corner", 0.062, 0.055, 0.052, 0.016), ("jaw", 0.07, 0.06, 0.018, 0.012)),
    23: (("corner", 0.050, 0.040, -0.036, 0.0), ("lip_top", 0.070, 0.022, 0.0, 0.016),
         ("lip_lower", 0.070, 0.026, 0.0, -0.016)),
    24: (("lip_top", 0.095, 0.024, 0.0, 0.028), ("lip_lower", 0.095, 0.028, 0.0, -0.030)),
    25: (("lip_top", 0.080, 0.028, 0.0, -0.016), ("lip_lower", 0.080, 0.036, 0.0, 0.034)),
    26: (("chin", 0.150, 0.075, 0.0, 0.062), ("lip_lower", 0.090, 0.050, 0.0, 0.046)),
}

# action unit -> folds (landmark, outward, down, length, width, degrees (outward and down), darkness at intensity 1)
FOLDS = {
    1: (("brow_inner", -0.02, -0.075, 0.055, 0.008, -6, 0.34), ("brow_inner", -0.02, -0.110, 0.050, 0.008, -6, 0.28)),
    2: (("brow_outer", -0.02, -0.080, 0.055, 0.008, 12, 0.34), ("brow_outer", -0.03, -0.112, 0.050, 0.008, 12, 0.26)),
    4: (("brow_inner", -0.034, -0.005, 0.040, 0.009, 82, 0.55), ("brow_inner", -0.012, 0.024, 0.022, 0.010, 30, 0.30)),
    5: (),
    6: (("eye_outer", 0.036, -0.022, 0.030, 0.006, -28, 0.42), ("eye_outer", 0.040, 0.002, 0.030, 0.006, 4, 0.42),
        ("eye_outer", 0.034, 0.026, 0.030, 0.006, 34, 0.42), ("lid_lower", 0.01, 0.034, 0.055, 0.008, -8, 0.30)),
    7: (("lid_lower", 0.0, 0.016, 0.050, 0.007, 0, 0.42),),
    9: (("nose_root", 0.016, -0.012, 0.022, 0.006, -24, 0.5), ("nose_root", 0.018, 0.012, 0.024, 0.006, -24, 0.5),
        ("nose_root", 0.030, 0.055, 0.030, 0.007, 60, 0.38), ("nose_wing", 0.020, -0.006, 0.034, 0.008, 55, 0.34)),
    10: (("nasolabial", 0.0, -0.012, 0.050, 0.010, 52, 0.50), ("nose_wing", 0.012, 0.0, 0.026, 0.009, 75, 0.30)),
    12: (("nasolabial", 0.028, 0.040, 0.058, 0.011, 62, 0.42), ("corner", 0.020, -0.006, 0.018, 0.008, 100, 0.30)),
    14: (("corner", 0.030, 0.0, 0.026, 0.011, 92, 0.70),),
    15: (("corner", 0.012, 0.030, 0.030, 0.009, 60, 0.50),),
    17: (("crease", 0.0, 0.0, 0.075, 0.011, 0, 0.55), ("chin", 0.020, 0.0, 0.013, 0.011, 40, 0.34),
         ("chin", 0.030, 0.024, 0.012, 0.010, -30, 0.30), ("chin", 0.004, 0.028, 0.012, 0.010, 0, 0.26)),
    20: (("corner", 0.040, 0.012, 0.040, 0.008, 84, 0.36), ("corner", 0.010, 0.0, 0.020, 0.008, 10, 0.30)),
    23: (("lip_top", 0.025, -0.022, 0.014, 0.005, 80, 0.30), ("lip_top", 0.050, -0.018, 0.013, 0.005, 65, 0.30),
         ("lip_lower", 0.030, 0.028, 0.014, 0.005, -75, 0.30), ("line", 0.0, 0.0, 0.070, 0.008, 0, 0.30)),
    24: (("line", 0.0, 0.0, 0.110, 0.009, 0, 0.55), ("lip_top", 0.02, -0.026, 0.060, 0.010, 4, -0.16),
         ("crease", 0.0, 0.006, 0.070, 0.010, 0, 0.22)),
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
    motion = moved.reshape(len(amounts), grid, cell, grid, cell, 2).mean((2, 4))
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
        cover = np.where(right, lidded[i, 1], lidded[i, 0]) + 1.25 * nuisance.blink[i]
        if np.any(cover > 0.01):
            closed = np.clip((cover - face.lid) * 4.0 + 0.5, 0, 1) * face.opening * np.minimum(1, 8 * cover)
            skin = skin + closed[..., None] * (face.shut - skin)
        if parted[i] > 0.01:
            apart = np.clip((parted[i] - face.gap) * 5.0 + 0.5, 0, 1) * min(1.0, 6 * parted[i])
            skin = skin + apart[..., None] * (face.inside - skin)
        skin = skin * (1.0 - np.clip(darkened[i], -0.3, 0.8))[..., None]
        dx, dy, turn, zoom = nuisance.drift[i]
        c, sn = np.cos(turn) * np.exp(-zoom), np.sin(turn) * np.exp(-zoom)
        head_x = (0.5 + c * (x - 0.5 - dx) + sn * (y - 0.55 - dy)).astype(np.float32)
        head_y = (0.55 - sn * (x - 0.5 - dx) + c * (y - 0.55 - dy)).astype(np.float32)
        here = cv2.remap(moved[i], s * head_x - 0.5, s * head_y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        map_x, map_y = s * (head_x - here[..., 0]) - 0.5, s * (head_y - here[..., 1]) - 0.5
        picture = cv2.remap(skin.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if face.glasses is not None:
            worn = cv2.remap(face.glasses, s * head_x - 0.5, s * head_y - 0.5, cv2.INTER_LINEAR)
            picture += worn[..., None] * (np.float32(0.08) - picture)
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA) * np.float32(255 * nuisance.light[i])
        if nuisance.noise:
            picture = picture + np.float32(nuisance.noise) * rng.standard_normal(picture.shape, dtype=np.float32)
        frames[i] = np.clip(picture + 0.5, 0, 255)
    return frames, motion
