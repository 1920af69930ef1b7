"""Painting one face: backdrop, skin, nose, mouth, eyes, brows, hair, glasses.

Every part is a soft mask (a signed distance pushed through a sigmoid) under which a colour or a
shading is blended. Functions take the traits `t` of a person and the places `at` of the pixels;
pictures are (S, S, 3) RGB in 0..1, painted in place, masks (S, S).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator

from merclip_lib.synthme.traits import Traits

Array = np.ndarray
Colour = Array | tuple[float, float, float]


class Pixels(NamedTuple):
    """Pixel centres as fractions of the picture, float32."""

    x: Array  # (1, S), to the right
    y: Array  # (S, 1), down

    @property
    def size(self) -> int:
        """S."""
        return self.x.size

    @property
    def edge(self) -> float:
        """Width of an anti-aliased edge."""
        return 0.7 / self.x.size


def pixels(size: int) -> Pixels:
    """Pixel centres of a picture of `size` x `size`."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    return Pixels(line[None, :], line[:, None])


def soft(distance: Array, width: float) -> Array:
    """Signed distance (positive inside) to opacity: a sigmoid of the given width."""
    return 1.0 / (1.0 + np.exp(np.clip(-distance / width, -30, 30)))


def bump(at: Pixels, cx: float, cy: float, sx: float, sy: float) -> Array:
    """Axis-aligned Gaussian about (cx, cy), peak 1."""
    return np.exp(-0.5 * ((at.y - cy) / sy) ** 2) * np.exp(-0.5 * ((at.x - cx) / sx) ** 2)


def stroke(at: Pixels, cx: float, cy: float, length: float, width: float, degrees: float) -> Array:
    """Gaussian line about (cx, cy), turned from right to down, peak 1."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = at.x - cx, at.y - cy
    along, across = x * c + y * s, y * c - x * s
    return np.exp(-0.5 * ((along / (0.6 * length)) ** 2 + (across / (0.6 * width)) ** 2))


def pair(t: Traits, at: Pixels, outward: float, cy: float, sx: float, sy: float) -> Array:
    """The same bump on both sides of the face."""
    return bump(Pixels(np.abs(at.x - t.middle), at.y), outward, cy, sx, sy)


def ridge(distance: Array, width: float) -> Array:
    """Gaussian line around distance 0."""
    return np.exp(-((distance / width) ** 2))


def blend(picture: Array, mask: Array, colour: Colour) -> None:
    """Blend a colour or a picture over `picture`, in place."""
    picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)


def pattern(rng: Generator, rows: int, columns: int, size: int, blur: float = 0.0) -> Array:
    """Smooth noise (S, S) of unit variance from a fixed grid: the same at every size."""
    noise: Array = rng.standard_normal((rows, columns)).astype(np.float32)
    if blur:
        noise = cv2.GaussianBlur(noise, (0, 0), blur)
    return cv2.resize(noise / noise.std(), (size, size), interpolation=cv2.INTER_CUBIC)


def hair_colours(t: Traits, at: Pixels, rng: Generator) -> Array:
    """Strands of hair, a picture."""
    strands = 1 + 0.07 * pattern(rng, 4, 190, at.size) + 0.06 * pattern(rng, 5, 48, at.size)
    shine = 1.0 + 0.35 * bump(at, t.middle + 0.1 * t.light, 0.02, 0.25, 0.05)
    return t.hair * (strands * shine)[..., None]


def draw_backdrop(t: Traits, at: Pixels, locks: Array) -> Array:
    """A picture of backdrop, long hair behind the head, neck and ears; `locks` are the strands."""
    x, y = at
    ax, px = np.abs(x - t.middle), at.edge
    falloff = 1.05 - 0.22 * ((x - 0.5 - 0.3 * t.light) ** 2 + (y - 0.4) ** 2)
    picture = t.backdrop * falloff[..., None]
    if t.long_hair:
        blend(picture, soft(t.half + 0.085 + 0.03 * y - ax, 3 * px), locks * 0.72)
    neck = soft(0.23 + 0.5 * (y - 0.86) ** 2 - ax, 2 * px) * soft(y - 0.80, 0.01)
    blend(picture, neck, t.skin * (0.58, 0.52, 0.50))
    if not t.long_hair:
        ear = 1 - ((ax - t.half + 0.008) / 0.035) ** 2 - ((y - 0.475) / 0.075) ** 2
        blend(picture, soft(0.02 * ear, px), t.skin * (0.86, 0.80, 0.78))
    return picture


class Skin(NamedTuple):
    """The head before eyes, nose and mouth are drawn."""

    head: Array  # mask
    shade: Array  # (S, S), its large shading
    flesh: Array  # picture of the bare skin, with freckles and beard


def draw_skin(t: Traits, at: Pixels, rng: Generator) -> Skin:
    """Head and skin."""
    x, y = at
    m, ax = t.middle, np.abs(x - t.middle)
    jaw = t.half * (1 - t.taper * np.clip((y - 0.50) / (t.chin - 0.50), 0, 1) ** 1.5)
    down = np.abs(y - 0.45) / np.where(y > 0.45, t.chin - 0.45, 0.47)
    oval = (1 - (ax / jaw) ** 2.2 - down**t.square) * t.half / 2.2
    sideways = 1 - 0.10 * t.light * (x - m) / t.half - 0.20 * np.clip(ax / t.half, 0, 1.1) ** 3
    shade = sideways * (1.04 - 0.10 * y)
    grain = 0.010 * pattern(rng, 150, 150, at.size, 0.8) + 0.014 * pattern(rng, 14, 14, at.size)
    flesh = t.skin * (shade * (1 + _relief(t, at, oval) + grain))[..., None]
    rosy = pair(t, at, 0.20, 0.60, 0.08, 0.06) + bump(at, m, t.nose_y, 0.05, 0.04)
    flesh *= 1 - rosy[..., None] * (0.0, 0.085, 0.075)
    if t.freckles:
        spots = soft(pattern(rng, 110, 110, at.size, 0.6) - 2.0, 0.12)
        spots = spots * bump(at, m, 0.55, 0.2, 0.08)
        flesh *= 1 - t.freckles * spots[..., None] * (0.12, 0.20, 0.24)
    if t.beard:
        _draw_beard(t, at, flesh, rng)
    return Skin(soft(oval, 1.5 * at.edge), shade, flesh)


def _relief(t: Traits, at: Pixels, oval: Array) -> Array:
    """Light and shadow of the face's forms, (S, S); `oval` is the distance from the head's edge."""
    m, nose_y, below = t.middle, t.nose_y, t.mouth_y + t.lip_bottom + 0.022
    flank = 0.5 * t.light * np.sign(at.x - m)
    return (
        0.10 * bump(at, m, 0.22, 0.17, 0.09)
        - 0.05 * bump(at, m, 0.325, 0.03, 0.03)
        - 0.13 * pair(t, at, t.eye_x, t.eye_y - 0.022, 0.085, 0.038)  # sockets
        - (0.035 + 0.07 * t.age) * pair(t, at, t.eye_x, t.eye_y + 0.055, 0.06, 0.016)
        + 0.09 * pair(t, at, 0.21, 0.555, 0.08, 0.055)  # cheekbones
        + 0.09 * bump(at, m, t.chin - 0.085, 0.06, 0.035)
        - 0.16 * bump(at, m, below, 0.07, 0.013)
        + 0.13 * bump(at, m, nose_y - 0.10, 0.018, 0.09)  # bridge and tip of the nose
        + 0.13 * bump(at, m, nose_y - 0.012, 0.024, 0.020)
        - 0.10 * pair(t, at, 0.045, nose_y - 0.08, 0.020, 0.09) * (1 + flank)
        - 0.20 * bump(at, m, nose_y + 0.036, 0.05, 0.012)
        - 0.05 * bump(at, m, nose_y + 0.075, 0.012, 0.03)
        - 0.16 * soft(0.030 - oval, 0.014)
    )


def _draw_beard(t: Traits, at: Pixels, flesh: Array, rng: Generator) -> None:
    """Beard and moustache over the skin."""
    x, y = at
    ax = np.abs(x - t.middle)
    cheek_line = t.nose_y + 0.10 + 0.25 * np.clip(0.55 - ax / t.half, -0.4, 0.3)
    moustache = soft(0.028 - np.abs(y - t.mouth_y + 0.052), 0.008) * soft(0.12 - ax, 0.02)
    region = np.clip(soft(y - cheek_line, 0.015) + moustache, 0, 1)
    region *= 1 - 0.9 * bump(at, t.middle, t.mouth_y + 0.6 * t.lip_bottom, 0.10, 0.022)
    region = np.maximum(region, soft(ax - 0.93 * t.half + 0.05, 0.012) * soft(y - 0.40, 0.02))
    hairs = np.clip(0.70 + 0.22 * pattern(rng, 140, 190, at.size), 0, 1)
    blend(flesh, t.beard * 0.8 * region * hairs, t.hair * 0.75 + 0.08 * t.skin)


def draw_nose(t: Traits, at: Pixels, flesh: Array) -> None:
    """Nasolabial folds, wings and nostrils over the skin."""
    x, y = at
    for side in (-1, 1):
        out, ny = side * (x - t.middle), t.nose_y
        fold = stroke(Pixels(out, y), t.nose_w + 0.055, ny + 0.065, 0.075, 0.012, 58)
        wing = np.abs(np.hypot((out - t.nose_w + 0.024) / 0.9, y - ny + 0.004) - 0.026)
        edge = soft(0.004 - wing, 0.0025) * soft(out - t.nose_w + 0.026, 0.008)
        flesh *= 1 - ((0.04 + 0.10 * t.age) * fold + 0.26 * edge)[..., None]
        ex, ey = out - 0.40 * t.nose_w, y - ny - 0.017
        nostril = 1 - (ex / 0.016) ** 2 - ((ey + 0.2 * ex) / 0.0085) ** 2
        blend(flesh, 0.72 * soft(0.006 * nostril, 0.8 * at.edge), t.skin * 0.28)


def draw_mouth(t: Traits, at: Pixels, skin: Skin) -> tuple[Array, Array]:
    """Lips over the skin.

    Returns:
        What shows when they part: distance (S, S) from the lip line, 1 at the edge of the widest
        gap, and a picture of the teeth and the dark.
    """
    x, y = at
    _, shade, flesh = skin
    ax, px, my = np.abs(x - t.middle), at.edge, t.mouth_y
    v = np.clip((x - t.middle) / t.mouth_w, -1, 1)
    line = my + (0.006 - 0.004 * np.cos(3 * np.pi * v)) * (1 - v**2)
    bow = ridge(np.abs(v) - 0.22, 0.16) - 0.6 * ridge(v, 0.1)
    upper = line - t.lip_top * (1 - v**2) ** 0.8 - t.bow * bow
    lower = line + t.lip_bottom * (1 - np.abs(v) ** 2.4)
    lips = soft(np.minimum(y - upper, lower - y), 1.6 * px) * soft(t.mouth_w - ax, 2 * px)
    colour = t.skin * (0.90, 0.64, 0.62) * (1 - t.makeup * np.array([0.08, 0.34, 0.28]))
    shine = 1.0 + 0.14 * bump(at, t.middle, my + 0.5 * t.lip_bottom, 0.06, 0.010)
    lit = np.where(y < line, 0.86, shine) * shade
    blend(flesh, lips * (0.60 if t.male else 0.85), colour * lit[..., None])
    seam = ridge(y - line, 0.0045) * soft(t.mouth_w * 1.03 - ax, 0.004)
    blend(flesh, 0.75 * seam, t.skin * (0.34, 0.20, 0.19))
    flesh *= 1 - 0.35 * pair(t, at, t.mouth_w, my + 0.001, 0.010, 0.008)[..., None]
    reach = 0.034 * np.clip(1 - (v / 0.80) ** 2, 1e-3, 1)
    away = y - 0.5 * (my + line) - 0.004
    gap = np.where(away < 0, -2.2 * away, 1.4 * away) / reach  # the lower lip gives way more
    inside = np.full((at.size, at.size, 3), (0.17, 0.05, 0.05))
    teeth = soft(my + 0.003 - y, 0.003) * soft(0.55 - np.abs(v), 0.05)
    blend(inside, 0.85 * teeth, (0.90, 0.87, 0.82))
    return gap, inside


class Eyes(NamedTuple):
    """What shows when the eyes close."""

    shut: Array  # picture of the skin with closed eyes
    lid: Array  # (S, S), how far down the opening a pixel lies: 0 upper lid, 1 lower lid
    opening: Array  # mask of the eye openings


def draw_eyes(t: Traits, at: Pixels, skin: Skin) -> Eyes:
    """Open eyes over the skin, closed ones over a copy."""
    x, y = at
    _, shade, flesh = skin
    px, s = at.edge, at.size
    shut, lid, opening = flesh.copy(), np.full((s, s), 9.0), np.zeros((s, s))
    for side in (-1, 1):
        cx = t.middle + side * t.eye_x
        e = side * (x - cx) / t.eye_w  # -1 inner corner, 1 outer corner
        hump = np.clip(1 - np.abs(e) ** 2.2, 0, 1)
        up = t.eye_y - t.tilt * e - t.eye_h * hump**0.75
        low = t.eye_y - t.tilt * e + 0.78 * t.eye_h * hump
        near = soft(t.eye_w * 1.02 - np.abs(x - cx), 1.5 * px)
        r = np.hypot(x - cx - 0.003 * t.light, y - t.eye_y + 0.002)
        dim = 1 - 0.42 * np.exp(-np.clip(y - up, 0, 1) / 0.011) - 0.20 * e**4
        ball = np.array([0.93, 0.91, 0.89]) * dim[..., None]
        glow = 0.62 + 0.6 * np.clip(r / 0.0335, 0, 1) * (r < 0.029)  # darker at the rim
        blend(ball, soft(0.0335 - r, px), t.iris * glow[..., None])
        blend(ball, soft(0.0145 - r, px), (0.03, 0.03, 0.04))
        glint = np.hypot(x - cx - 0.010 - 0.004 * t.light, y - t.eye_y + 0.012)
        blend(ball, 0.9 * soft(0.0065 - glint, px), (1, 1, 1))
        socket = 0.24 * ridge(y - up + 0.017, 0.0045) + 0.18 * ridge(y - low - 0.004, 0.005)
        for picture in (flesh, shut):
            picture *= 1 - (socket * near)[..., None]
        eye = soft(np.minimum(y - up, low - y), px) * near
        blend(flesh, eye, ball * np.clip(shade, 0.75, 1.1)[..., None])
        thick = 0.0060 + 0.0035 * t.makeup
        lash = ridge(y - up, thick) * near * (0.75 + 0.25 * np.clip(e, -1, 1))
        blend(flesh, (0.80 if t.male else 0.95) * lash, t.hair * 0.18 + 0.03)
        blend(shut, 0.85 * ridge(y - low, thick) * near, t.hair * 0.2 + 0.05)
        lid = np.where(np.abs(e) < 1, (y - up) / np.maximum(low - up, 0.006), lid)
        room = soft(np.minimum(y - up + 0.010, low - y + 0.008), 1.5 * px) * near
        opening = np.maximum(opening, room)
    return Eyes(shut, lid, opening)


def draw_brows(t: Traits, at: Pixels, rng: Generator, pictures: Sequence[Array]) -> None:
    """Brows, the same in each picture."""
    x, y = at
    for side in (-1, 1):
        b = side * (x - t.middle - side * t.eye_x) / t.brow_w  # -1 inner end, 1 outer end
        crest = t.brow_y - t.arch * (0.6 - (b - 0.25) ** 2) + 0.010 * np.clip(b, 0, None) ** 2
        width = t.brow_t * np.clip(1.0 - 0.55 * np.clip(b, 0, 1.2), 0.3, 1)
        brow = soft(width - np.abs(y - crest), 0.0035) * soft(1 - np.abs(b), 0.07)
        tufts = np.clip(0.84 + 0.12 * pattern(rng, 70, 150, at.size), 0, 1)
        for picture in pictures:
            blend(picture, 0.88 * brow * tufts, t.hair * 0.65 + 0.10 * t.skin)


def front_hair(t: Traits, at: Pixels, rng: Generator) -> tuple[Array, Array]:
    """Masks of the hair in front of the face and of its shadow on the forehead."""
    x, y = at
    v, ax = (x - t.middle) / t.half, np.abs(x - t.middle)
    if t.bald:
        return np.zeros((at.size, at.size)), np.zeros((at.size, at.size))
    parting = 0.03 * np.sin(3 * v + 6 * t.style) + 0.006 * pattern(rng, 1, 26, at.size)[:1]
    edge = t.hair_y + parting + (0.10 if t.long_hair else 0.17) * np.abs(v) ** 5
    edge = edge + (0.05 if t.style < 0.3 else 0.0)  # a fringe
    reach, inset = (1.1, 0.03) if t.long_hair else (0.40, 0.012)
    sides = soft(ax - t.half + inset, 0.012) * soft(reach - y, 0.02)
    front = np.clip(soft(edge - y, 0.010) + sides, 0, 1)
    if not t.long_hair:
        dome = soft(1.12 - np.hypot((x - t.middle) / (t.half + 0.05), (y - 0.47) / 0.52), 0.01)
        front = front * dome * soft(t.half + 0.060 - 0.14 * y - ax, 0.005)
    return front, soft(edge + 0.022 - y, 0.014)


def glasses_frame(t: Traits, at: Pixels, head: Array) -> Array:
    """Opacity (S, S) of a frame with its bridge and temples; `head` is the head's mask."""
    x, y = at
    ax = np.abs(x - t.middle)
    lens = (np.abs(ax - t.eye_x) / 0.120) ** 3 + (np.abs(y - t.eye_y - 0.015) / 0.085) ** 3
    ring = soft(0.055 - np.abs(lens ** (1 / 3) - 1), 0.03)
    bar = soft(0.006 - np.abs(y - t.eye_y + 0.012), 0.002)
    gaps = soft(0.062 - ax, 0.004) + soft(ax - t.eye_x - 0.118, 0.004) * head
    return 0.9 * np.maximum(ring, bar * gaps)
