"""How action units move a drawn face.

An action unit is a sum of Gaussian bumps of displacement anchored at the person's own landmarks,
plus folds that darken with intensity, plus, where moving skin cannot say it, a reveal: parted lips
(25, 26) or a lid over the eye (7 and blinks). "Outward" is away from the middle of the face, so
that one table serves both sides. Left is LEFT IN THE PICTURE everywhere in the synthetic sets:
after a horizontal flip an `L12` is an `R12`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from merclip_lib.synthme.action_units import ACTION_UNITS
from merclip_lib.synthme.camera import Camera, expose
from merclip_lib.synthme.face import Face
from merclip_lib.synthme.paint import bump, pixels, stroke

Unit = tuple[int, str]  # number and side: "" (both), "left" or "right"


@dataclass(frozen=True)
class Nuisance:
    """What changes in a clip of T frames without being an expression."""

    drift: np.ndarray  # (T, 4): shift x, shift y (fractions), rotation (radians), log scale
    light: np.ndarray  # (T,): brightness factor
    blink: np.ndarray  # (T,): 0 open, 1 shut
    noise: float  # standard deviation of sensor noise, grey levels
    camera: Camera | None = None  # light and camera of the session


@dataclass(frozen=True)
class Expression:
    """What a clip shows: K units that rise and fall together."""

    units: Sequence[Unit]
    strengths: Sequence[float]  # of each unit at the apex, 1 = as strong as a face can
    apex: float  # where the apex lies between onset (0) and offset (1)


def still(frames: int) -> Nuisance:
    """No nuisance at all."""
    return Nuisance(np.zeros((frames, 4)), np.ones(frames), np.zeros(frames), 0.0)


def wander(frames: int, rng: np.random.Generator, drift: float, noise: float) -> Nuisance:
    """A slow random walk of the head, flickering light, a blink (unit 45) in one of eight clips.

    Args:
        frames: T.
        rng: the source of the draws.
        drift: factor of the walk.
        noise: standard deviation of sensor noise, grey levels.
    """
    walk = np.cumsum(rng.standard_normal((frames, 4)), axis=0) / np.sqrt(frames)
    walk = cv2.GaussianBlur(walk, (1, 0), 0.1, sigmaY=1.0, borderType=cv2.BORDER_REPLICATE)
    light = 1 + 0.010 * rng.standard_normal(frames)
    blink = np.zeros(frames)
    if rng.random() < 0.12:
        blink = np.exp(-(((np.linspace(0, 1, frames) - rng.uniform(0.1, 0.9)) / 0.10) ** 4))
    return Nuisance(drift * walk * (0.005, 0.005, 0.010, 0.005), light, blink, noise)


def profile(times: np.ndarray, apex: np.ndarray, power: float, rest: float) -> np.ndarray:
    """Intensity over time: a raised cosine to a power on both sides of the apex.

    Args:
        times: (T, 1) from 0 (onset) to 1 (offset).
        apex: (K,) times at which the intensity is 1; at the onset it is 0.
        power: above 1, the expression is shorter.
        rest: what is left at the offset.

    Returns:
        (T, K).
    """
    up = (0.5 - 0.5 * np.cos(np.pi * np.clip(times / apex, 0, 1))) ** power
    down = (0.5 + 0.5 * np.cos(np.pi * np.clip((times - apex) / (1 - apex), 0, 1))) ** power
    return np.where(times <= apex, up, rest + (1 - rest) * down)


def sides_of(side: str) -> tuple[int, ...]:
    """-1 is left in the picture, 1 is right."""
    return {"": (-1, 1), "left": (-1,), "right": (1,)}[side]


def unit_field(face: Face, number: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """One side of a unit at intensity 1; what lies on the middle line is shared by both sides.

    Args:
        face: it keeps the result for the next call.
        number: of the unit, a key of `ACTION_UNITS`.
        side: -1 left in the picture, 1 right.

    Returns:
        Displacement (S, S, 2) in fractions of the picture, and darkening (S, S).
    """
    key = (number, side)
    if key in face.cache:
        return face.cache[key]
    traits, unit, at = face.traits, ACTION_UNITS[number], pixels(face.neutral.shape[0])
    tone = 1.0 + 0.5 * traits.age  # how strongly folds show on this skin
    displacement = np.zeros(face.neutral.shape[:2] + (2,), np.float32)
    darkening = np.zeros(face.neutral.shape[:2], np.float32)
    for landmark, sigma_x, sigma_y, outward, down in unit["moves"]:
        x, y = face.points[landmark]
        strength = traits.strength[key] * (0.5 if x == 0 else 1.0)
        shape = strength * bump(at, traits.middle + side * x, y, sigma_x, sigma_y)
        displacement += shape[..., None] * np.array((side * outward, down), np.float32)
    for landmark, outward, down, length, width, degrees, darkness in unit.get("folds", ()):
        x, y = face.points[landmark]
        cx, cy = traits.middle + side * (x + outward), y + down
        depth = tone * darkness * (0.5 if x + outward == 0 else 1.0)
        darkening += depth * stroke(at, cx, cy, length, width, side * degrees)
        lit = stroke(at, cx, cy + 1.6 * width, length, width, side * degrees)
        darkening -= 0.3 * depth * lit
    face.cache[key] = displacement, darkening
    return face.cache[key]


def perform(
    face: Face, expression: Expression, nuisance: Nuisance, rng: np.random.Generator, grid: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a clip in which units rise to their strengths around the apex and fall again.

    Args:
        face: the person.
        expression: what it shows.
        nuisance: what else changes over the T frames.
        rng: the source of the draws.
        grid: G, patches along one side of the picture.

    Returns:
        Frames uint8 (T, H, W, 3), and motion float32 (T, G, G, 2): mean displacement (x, y) of
        each patch relative to the neutral face in fractions of the picture, the expression alone,
        without head drift or blinks.
    """
    size, units = face.neutral.shape[0], expression.units
    amounts = _amounts(expression, len(nuisance.light), rng)
    fields = [[unit_field(face, number, side) for side in sides_of(name)] for number, name in units]
    moves = np.stack([sum(move for move, _ in sides) for sides in fields])  # (K, S, S, 2)
    folds = np.stack([sum(fold for _, fold in sides) for sides in fields])  # (K, S, S)
    patches = moves.reshape(-1, grid, size // grid, grid, size // grid, 2).mean((2, 4))
    amounts32 = amounts.astype(np.float32)
    moved, dark = np.tensordot(amounts32, moves, 1), np.tensordot(amounts32, folds, 1)
    lids, parted = _reveals(units, amounts, nuisance)
    drift = nuisance.drift if nuisance.camera is None else nuisance.drift + nuisance.camera.framing
    frames = np.empty((len(amounts), face.size, face.size, 3), np.uint8)
    for i in range(len(amounts)):
        skin = _reveal(face, lids[i], float(parted[i]))
        skin = skin * (1.0 - np.clip(dark[i], -0.3, 0.8))[..., None]
        picture = _warp(face, skin, moved[i], drift[i])
        picture = cv2.resize(picture, (face.size, face.size), interpolation=cv2.INTER_AREA)
        if nuisance.camera is not None:
            picture = expose(picture, nuisance.camera)
        picture = picture * np.float32(255 * nuisance.light[i])
        if nuisance.noise:
            grain = rng.standard_normal(picture.shape, dtype=np.float32)
            picture += np.float32(nuisance.noise) * grain
        frames[i] = np.clip(picture + 0.5, 0, 255)
    return frames, np.tensordot(amounts32, patches, 1)


def _amounts(expression: Expression, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Intensities (T, K) of the units over time; they do not rise quite together."""
    times = np.linspace(0, 1, frames)[:, None]
    power, rest = rng.uniform(0.8, 1.5), rng.uniform(0.0, 0.3)
    apexes = expression.apex + rng.normal(0, 0.03, len(expression.units))
    rises = profile(times, np.clip(apexes, 0.2, 0.75), power, rest)
    return rises * np.array(expression.strengths)


def _reveals(
    units: Sequence[Unit], amounts: np.ndarray, nuisance: Nuisance
) -> tuple[np.ndarray, np.ndarray]:
    """How far the lids cover the eyes, left and right (T, 2), and the lips part (T,)."""
    covered, parted = (
        np.array([ACTION_UNITS[number].get(name, 0.0) for number, _ in units])
        for name in ("covered", "parted")
    )
    shown = np.array([[side in sides_of(name) for _, name in units] for side in (-1, 1)])
    lids = amounts @ (covered * shown).T + 1.25 * nuisance.blink[:, None]
    return lids, amounts @ parted


def _reveal(face: Face, lids: np.ndarray, parted: float) -> np.ndarray:
    """The face with lids lowered (0 open, 1 shut) and lips parted, before the skin moves."""
    skin, (left, right) = face.neutral, map(float, lids)
    if max(left, right) > 0.01:
        middle = round(face.traits.middle * skin.shape[1])
        cover = np.full(skin.shape[1], max(left, 0.0), np.float32)
        cover[middle:] = max(right, 0.0)
        shut = np.clip((cover - face.lid) * 4.0 + 0.5, 0, 1) * np.minimum(1, 8 * cover)
        skin = skin + (shut * face.opening)[..., None] * (face.shut - skin)
    if parted > 0.01:
        apart = np.clip((parted - face.gap) * 5.0 + 0.5, 0, 1) * min(1.0, 6 * parted)
        skin = skin + apart[..., None] * (face.inside - skin)
    return skin


def _warp(face: Face, skin: np.ndarray, moved: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """The picture (S, S, 3) of a skin that has moved on a head that has drifted."""
    size = skin.shape[0]
    head_x, head_y = _head(size, *map(float, drift))
    # The field is smooth, so that 1/32 of a pixel is near enough (see `_look_up`).
    here = size * cv2.remap(moved, head_x, head_y, cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    picture = _look_up(skin, head_x - here[..., 0], head_y - here[..., 1])
    if face.glasses is not None:  # they ride on the head, not on the skin
        worn = _look_up(face.glasses, head_x, head_y)[..., None]
        picture += worn * (np.float32(0.08) - picture)
    return picture


def _head(size: int, dx: float, dy: float, turn: float, zoom: float) -> tuple[np.ndarray, ...]:
    """Where each pixel comes from, x and y, when the head has drifted, in pixels."""
    at = pixels(size)
    x, y = at.x - (0.5 + dx), at.y - (0.55 + dy)
    c, s = math.cos(turn) * math.exp(-zoom), math.sin(turn) * math.exp(-zoom)
    return size * (0.5 + c * x + s * y) - 0.5, size * (0.55 - s * x + c * y) - 0.5


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
    right_share, low_share = np.stack([x - left, y - top])[..., None].astype(np.float64)
    upper, lower = (
        _between(flat.take(row + columns[0], 0), flat.take(row + columns[1], 0), right_share)
        for row in rows
    )
    return _between(upper, lower, low_share).reshape(*x.shape, *picture.shape[2:])


def _between(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """a + share (b - a), product and sum rounded to float32 together."""
    return (a + share * (b - a)).astype(np.float32)
