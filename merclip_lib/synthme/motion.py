"""How action units move a drawn face.

An action unit is a sum of Gaussian bumps of displacement anchored at the subject's own landmarks,
plus folds that darken with intensity, plus, where moving skin cannot say it, a reveal: parted lips
(25, 26) or a lid over the eye (7 and blinks). "Outward" is away from the middle of the face, so
that one table serves both sides. Left is LEFT IN THE PICTURE everywhere in the synthetic sets:
after a horizontal flip an `L12` is an `R12`.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from merclip_lib.synthme.face import Face
from merclip_lib.synthme.paint import axes, bump, stroke

SIDED = (1, 2, 4, 6, 7, 9, 10, 12, 14, 15)  # action units that also occur on one side only


# action unit -> bumps (landmark, sigma x, sigma y, outward, down): displacement at intensity 1
MOVES = {
    1: (("forehead_inner", 0.050, 0.046, 0.0, -0.058),),
    2: (("forehead_outer", 0.065, 0.046, 0.004, -0.058),),
    4: (("brow_inner", 0.055, 0.055, -0.026, 0.040), ("brow_mid", 0.060, 0.050, -0.010, 0.030)),
    5: (("lid_upper", 0.065, 0.022, 0.0, -0.023),),
    6: (("cheek", 0.085, 0.060, 0.0, -0.050), ("eye_outer", 0.045, 0.035, -0.020, 0.008)),
    7: (("lid_lower", 0.065, 0.024, 0.0, -0.026), ("lid_upper", 0.065, 0.020, 0.0, 0.012)),
    9: (
        ("nose_wing", 0.045, 0.065, 0.006, -0.048),
        ("nose_root", 0.050, 0.045, 0.0, 0.028),
        ("brow_inner", 0.04, 0.04, -0.010, 0.014),
    ),
    10: (("lip_upper", 0.055, 0.042, 0.004, -0.052), ("nasolabial", 0.045, 0.050, 0.006, -0.022)),
    12: (("corner", 0.056, 0.055, 0.042, -0.058), ("cheek", 0.070, 0.060, 0.006, -0.020)),
    14: (("corner", 0.040, 0.036, 0.040, -0.004), ("dimple", 0.030, 0.040, -0.022, 0.0)),
    15: (("corner", 0.055, 0.050, 0.004, 0.052),),
    17: (("chin", 0.100, 0.055, 0.0, -0.058), ("lip_lower", 0.080, 0.032, 0.0, -0.026)),
    20: (("corner", 0.062, 0.055, 0.052, 0.016), ("jaw", 0.07, 0.06, 0.018, 0.012)),
    23: (
        ("corner", 0.050, 0.040, -0.036, 0.0),
        ("lip_top", 0.070, 0.022, 0.0, 0.016),
        ("lip_lower", 0.070, 0.026, 0.0, -0.016),
    ),
    24: (("lip_top", 0.095, 0.024, 0.0, 0.028), ("lip_lower", 0.095, 0.028, 0.0, -0.030)),
    25: (("lip_top", 0.080, 0.028, 0.0, -0.016), ("lip_lower", 0.080, 0.036, 0.0, 0.034)),
    26: (
        ("chin", 0.150, 0.060, 0.0, 0.066),
        ("lip_lower", 0.085, 0.030, 0.0, 0.030),
        ("corner", 0.050, 0.045, -0.014, 0.016),
    ),
}


# action unit -> folds (landmark, outward, down, length, width, degrees, darkness at intensity 1);
# degrees turn from outward to down
FOLDS = {
    1: (
        ("brow_inner", -0.02, -0.075, 0.055, 0.011, -6, 0.27),
        ("brow_inner", -0.02, -0.110, 0.050, 0.011, -6, 0.22),
    ),
    2: (
        ("brow_outer", -0.02, -0.080, 0.055, 0.011, 12, 0.27),
        ("brow_outer", -0.03, -0.112, 0.050, 0.011, 12, 0.2),
    ),
    4: (
        ("brow_inner", -0.034, -0.005, 0.040, 0.012, 82, 0.43),
        ("brow_inner", -0.012, 0.024, 0.022, 0.014, 30, 0.23),
    ),
    5: (),
    6: (
        ("eye_outer", 0.036, -0.022, 0.030, 0.008, -28, 0.33),
        ("eye_outer", 0.040, 0.002, 0.030, 0.008, 4, 0.33),
        ("eye_outer", 0.034, 0.026, 0.030, 0.008, 34, 0.33),
        ("lid_lower", 0.01, 0.034, 0.055, 0.011, -8, 0.23),
    ),
    7: (("lid_lower", 0.0, 0.016, 0.050, 0.009, 0, 0.33),),
    9: (
        ("nose_root", 0.016, -0.012, 0.022, 0.008, -24, 0.39),
        ("nose_root", 0.018, 0.012, 0.024, 0.008, -24, 0.39),
        ("nose_root", 0.030, 0.055, 0.030, 0.009, 60, 0.3),
        ("nose_wing", 0.020, -0.006, 0.034, 0.011, 55, 0.27),
    ),
    10: (
        ("nasolabial", 0.0, -0.012, 0.050, 0.014, 52, 0.39),
        ("nose_wing", 0.012, 0.0, 0.026, 0.012, 75, 0.23),
    ),
    12: (
        ("nasolabial", 0.028, 0.040, 0.058, 0.015, 62, 0.33),
        ("corner", 0.020, -0.006, 0.018, 0.011, 100, 0.23),
    ),
    14: (("corner", 0.030, 0.0, 0.026, 0.015, 92, 0.55),),
    15: (("corner", 0.012, 0.030, 0.030, 0.012, 60, 0.39),),
    17: (
        ("crease", 0.0, 0.0, 0.075, 0.015, 0, 0.72),
        ("chin", 0.026, -0.004, 0.024, 0.022, 30, 0.16),
        ("chin", 0.036, 0.026, 0.020, 0.019, -30, 0.14),
        ("chin", 0.0, 0.026, 0.020, 0.019, 0, 0.20),
    ),
    20: (
        ("corner", 0.040, 0.012, 0.040, 0.011, 84, 0.28),
        ("corner", 0.010, 0.0, 0.020, 0.011, 10, 0.23),
    ),
    23: (
        ("lip_top", 0.025, -0.022, 0.014, 0.007, 80, 0.23),
        ("lip_top", 0.050, -0.018, 0.013, 0.007, 65, 0.23),
        ("lip_lower", 0.030, 0.028, 0.014, 0.007, -75, 0.23),
        ("line", 0.0, 0.0, 0.070, 0.011, 0, 0.42),
    ),
    24: (("line", 0.0, 0.0, 0.110, 0.012, 0, 0.72), ("crease", 0.0, 0.006, 0.070, 0.019, 0, 0.34)),
    25: (),
    26: (),
}


GAPS = {25: 0.55, 26: 0.95}  # how far the lips part


CLOSURES = {7: 0.30, 5: -0.15}  # how far the upper lid covers the eye


@dataclass(frozen=True)
class Nuisance:
    """What changes in a clip of T frames without being an expression."""

    drift: np.ndarray  # (T, 4): shift x, shift y (fractions), rotation (radians), log scale
    light: np.ndarray  # (T,): brightness factor
    blink: np.ndarray  # (T,): 0 open, 1 shut
    noise: float  # standard deviation of sensor noise, grey levels


def still(frames: int) -> Nuisance:
    """No nuisance at all."""
    return Nuisance(np.zeros((frames, 4)), np.ones(frames), np.zeros(frames), 0.0)


def wander(frames: int, rng: np.random.Generator, drift: float, noise: float) -> Nuisance:
    """A slow random walk of the head, flickering light, a blink (unit 45) in one of eight clips."""
    walk = np.cumsum(rng.standard_normal((frames, 4)), axis=0) / np.sqrt(frames)
    walk = cv2.GaussianBlur(walk, (1, 0), 0.1, sigmaY=1.0, borderType=cv2.BORDER_REPLICATE)
    light = 1 + 0.010 * rng.standard_normal(frames)
    blink = np.zeros(frames)
    if rng.random() < 0.12:
        blink = np.exp(-(((np.linspace(0, 1, frames) - rng.uniform(0.1, 0.9)) / 0.10) ** 4))
    return Nuisance(drift * walk * (0.005, 0.005, 0.010, 0.005), light, blink, noise)


def profile(times: np.ndarray, apex: float, power: float, rest: float) -> np.ndarray:
    """Intensity at times 0 (onset) to 1 (offset): 0 at onset, 1 at the apex, `rest` at the offset;
    on both sides a raised cosine to a power."""
    up = (0.5 - 0.5 * np.cos(np.pi * np.clip(times / apex, 0, 1))) ** power
    down = (0.5 + 0.5 * np.cos(np.pi * np.clip((times - apex) / (1 - apex), 0, 1))) ** power
    return np.where(times <= apex, up, rest + (1 - rest) * down)


def sides_of(side: str) -> tuple[int, ...]:
    """-1 is left in the picture, 1 is right."""
    return {"": (-1, 1), "left": (-1,), "right": (1,)}[side]


def unit_field(face: Face, number: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """One side of a unit at intensity 1: displacement (S, S, 2) in fractions of the picture and
    darkening (S, S). What lies on the middle line is shared by the two sides."""
    key = (number, side)
    if key not in face.cache:
        x, y = axes(face.neutral.shape[0])
        move = np.zeros(face.neutral.shape[:2] + (2,), np.float32)
        fold = np.zeros(face.neutral.shape[:2], np.float32)
        for point, sx, sy, outward, down in MOVES[number]:
            px, py = face.points[point]
            strength = face.strength[key] * (0.5 if px == 0 else 1.0)
            shape = strength * bump(x, y, face.middle + side * px, py, sx, sy)
            move += shape[..., None] * np.float32((side * outward, down))
        for point, outward, down, length, width, degrees, dark in FOLDS[number]:
            px, py = face.points[point]
            cx, cy = face.middle + side * (px + outward), py + down
            depth = face.tone * dark * (0.5 if px + outward == 0 else 1.0)
            fold += depth * stroke(x, y, cx, cy, length, width, side * degrees)
            lit = stroke(x, y, cx, cy + 1.6 * width, length, width, side * degrees)
            fold -= 0.3 * depth * lit
        face.cache[key] = move, fold
    return face.cache[key]


def perform(face: Face, units, strengths, apex: float, nuisance: Nuisance, rng, grid: int = 8):
    """Draw a clip in which units rise to their strengths around `apex` (0..1) and fall again."""
    times = np.linspace(0, 1, len(nuisance.light))
    power, rest = rng.uniform(0.8, 1.5), rng.uniform(0.0, 0.3)
    apexes = np.clip(apex + rng.normal(0, 0.03, len(units)), 0.2, 0.75)  # not quite together
    rises = [v * profile(times, a, power, rest) for v, a in zip(strengths, apexes, strict=True)]
    return animate(face, units, np.stack(rises, axis=1), nuisance, rng, grid)


def animate(face: Face, units, amounts: np.ndarray, nuisance: Nuisance, rng, grid: int = 8):
    """Draw a clip of a face.

    `units` are K pairs (number, side as "", "left" or "right"), `amounts` (T, K) their intensities
    over time, 0 = neutral. Returns frames uint8 (T, H, W, 3) and motion float32 (T, grid, grid, 2):
    mean displacement (x, y) of each patch relative to the neutral face in fractions of the
    picture, the expression alone, without head drift or blinks.
    """
    size, s = face.size, face.neutral.shape[0]
    fields = [[unit_field(face, number, side) for side in sides_of(name)] for number, name in units]
    amounts32 = amounts.astype(np.float32)
    moves = np.stack([sum(move for move, _ in sides) for sides in fields])  # (K, S, S, 2)
    folds = np.stack([sum(fold for _, fold in sides) for sides in fields])  # (K, S, S)
    patches = moves.reshape(-1, grid, s // grid, grid, s // grid, 2).mean((2, 4))
    moved, dark = np.tensordot(amounts32, moves, 1), np.tensordot(amounts32, folds, 1)
    parted = amounts @ [GAPS.get(number, 0.0) for number, _ in units]
    closing = [
        [CLOSURES.get(number, 0.0) * (side in sides_of(name)) for number, name in units]
        for side in (-1, 1)
    ]
    lids = amounts @ np.transpose(closing) + 1.25 * nuisance.blink[:, None]  # (T, 2)
    frames = np.empty((len(amounts), size, size, 3), np.uint8)
    for i in range(len(amounts)):
        skin = _reveal(face, *map(float, lids[i]), float(parted[i]))
        skin = skin * (1.0 - np.clip(dark[i], -0.3, 0.8))[..., None]
        head_x, head_y = _head(s, *map(float, nuisance.drift[i]))
        # The field is smooth, so that 1/32 of a pixel is near enough (see `_look_up`).
        here = s * cv2.remap(
            moved[i], head_x, head_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        picture = _look_up(skin, head_x - here[..., 0], head_y - here[..., 1])
        if face.glasses is not None:  # they ride on the head, not on the skin
            worn = _look_up(face.glasses, head_x, head_y)[..., None]
            picture += worn * (np.float32(0.08) - picture)
        picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        picture *= np.float32(255 * nuisance.light[i])
        if nuisance.noise:
            grain = rng.standard_normal(picture.shape, dtype=np.float32)
            picture += np.float32(nuisance.noise) * grain
        frames[i] = np.clip(picture + 0.5, 0, 255)
    return frames, np.tensordot(amounts32, patches, 1)


def _reveal(face: Face, left_lid: float, right_lid: float, parted: float) -> np.ndarray:
    """The face with lids lowered (0 open, 1 shut) and lips parted, before the skin moves."""
    skin = face.neutral
    if max(left_lid, right_lid) > 0.01:
        middle = round(face.middle * skin.shape[1])
        cover = np.full(skin.shape[1], max(left_lid, 0.0), np.float32)
        cover[middle:] = max(right_lid, 0.0)
        shut = np.clip((cover - face.lid) * 4.0 + 0.5, 0, 1) * np.minimum(1, 8 * cover)
        skin = skin + (shut * face.opening)[..., None] * (face.shut - skin)
    if parted > 0.01:
        apart = np.clip((parted - face.gap) * 5.0 + 0.5, 0, 1) * min(1.0, 6 * parted)
        skin = skin + apart[..., None] * (face.inside - skin)
    return skin


def _head(s: int, dx: float, dy: float, turn: float, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel comes from when the head has drifted, in pixels."""
    x, y = axes(s)
    x, y = x - (0.5 + dx), y - (0.55 + dy)
    c, sn = math.cos(turn) * math.exp(-zoom), math.sin(turn) * math.exp(-zoom)
    return s * (0.5 + c * x + sn * y) - 0.5, s * (0.55 - sn * x + c * y) - 0.5


def _look_up(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of a picture at pixel coordinates, bilinear; outside it those of its edge.

    Written out, since `cv2.remap` of OpenCV 4 takes places in a picture to 1/32 of a pixel only,
    coarse for micro motion, and OpenCV 5 does not: the drawn clips would depend on the version.
    """
    height, width = picture.shape[:2]
    flat = picture.reshape(height * width, -1)
    left, top = np.floor(x), np.floor(y)
    columns = [np.clip(left.astype(int) + k, 0, width - 1) for k in (0, 1)]
    rows = [width * np.clip(top.astype(int) + k, 0, height - 1) for k in (0, 1)]
    right_share, low_share = np.float64((x - left)[..., None]), np.float64((y - top)[..., None])
    upper, lower = (
        _between(flat.take(row + columns[0], 0), flat.take(row + columns[1], 0), right_share)
        for row in rows
    )
    return _between(upper, lower, low_share).reshape(*x.shape, *picture.shape[2:])


def _between(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """a + share (b - a), product and sum rounded to float32 together."""
    return (a + share * (b - a)).astype(np.float32)
