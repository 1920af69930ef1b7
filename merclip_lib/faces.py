"""The neutral face of a procedural subject.

Everything is a soft mask: a signed distance pushed through a sigmoid, painted in order from backdrop to hair, so that
a face can be drawn at any size. A subject is a seed. Coordinates are fractions of the picture, x to the right and
y down; landmarks are kept as (outward, y), outward being the distance from the middle line of the face.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

SKINS = np.array([[247, 219, 200], [233, 190, 160], [205, 152, 116], [156, 104, 74], [98, 64, 48]]) / 255
HAIRS = np.array([[22, 19, 20], [52, 35, 26], [92, 60, 38], [128, 70, 38], [196, 156, 100], [150, 148, 146]]) / 255
IRISES = np.array([[58, 36, 22], [88, 58, 32], [96, 100, 58], [74, 104, 128], [96, 110, 116]]) / 255
UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)  # action units a face can show
BACKDROPS = np.array([[196, 202, 208], [150, 160, 170], [206, 198, 184], [110, 122, 134], [168, 180, 168]]) / 255


@dataclass
class Face:
    """A drawn subject. `neutral` and `shut` (eyes closed) are float32 (S, S, 3) in 0..1 with S = 2 * size."""

    size: int
    points: dict  # landmark -> (outward, y)
    middle: float
    neutral: np.ndarray
    shut: np.ndarray
    lid: np.ndarray  # (S, S) how far down the eye opening a pixel lies (0 upper lid, 1 lower lid)
    opening: np.ndarray  # (S, S) mask of the eye opening
    gap: np.ndarray  # (S, S) distance from the lip line, 1 at the edge of the widest gap
    inside: np.ndarray  # (S, S, 3) teeth and dark of the mouth
    glasses: np.ndarray | None  # (S, S) opacity of a frame, or None
    strength: dict  # (action unit, side) -> this subject's factor
    tone: float  # how strongly folds show on this skin
    cache: dict = field(default_factory=dict, repr=False)


def axes(pixels):
    """Pixel centres as fractions: x (1, S) and y (S, 1), float32."""
    line = (np.arange(pixels, dtype=np.float32) + 0.5) / pixels
    return line[None, :], line[:, None]


def soft(distance, width):
    """Signed distance (positive inside) to opacity: a sigmoid of the given width."""
    return 1.0 / (1.0 + np.exp(np.clip(-distance / width, -30, 30)))


def bump(x, y, cx, cy, sx, sy):
    """Axis-aligned Gaussian, peak 1, as an outer product (S, S)."""
    return np.exp(-0.5 * ((y - cy) / sy) ** 2) * np.exp(-0.5 * ((x - cx) / sx) ** 2)


def stroke(x, y, cx, cy, length, width, degrees):
    """Rotated Gaussian line, peak 1."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along, across = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    return np.exp(-0.5 * ((along / (0.6 * length)) ** 2 + (across / (0.6 * width)) ** 2))


def paint(picture, mask, colour):
    """Blend a colour or a picture over `picture`, in place."""
    picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)


def pattern(rng, cells, pixels, blur=0.0):
    """Smooth noise of unit variance from a fixed grid of cells (rows, columns), so that it does not depend on size."""
    noise = rng.standard_normal(cells).astype(np.float32)
    if blur:
        noise = cv2.GaussianBlur(noise, (0, 0), blur)
    return cv2.resize(noise / noise.std(), (pixels, pixels), interpolation=cv2.INTER_CUBIC)


def palette(colours, position):
    """Colour at a fractional position of a table."""
    return np.array([np.interp(position, np.arange(len(colours)), channel) for channel in colours.T])


def draw_face(seed: int, subject: int, size: int = 64) -> Face:
    """Draw subject `subject` of seed space `seed` for pictures of `size` pixels."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, subject, 0]))
    u, n = rng.uniform, rng.normal
    s = 2 * size
    x, y = axes(s)
    px = 0.7 / s
    # ---- traits: everything drawn in one fixed order
    male, age = u() < 0.5, u()
    skin_at = u(0, 4)
    skin = palette(SKINS, skin_at) * (1 + n(0, 0.02, 3))
    hair = palette(HAIRS, u(4.8, 5) if age > 0.9 else min(u(0, 4.5), u(0, 1) if skin_at > 2.2 else 9))
    mid = 0.5 + n(0, 0.004)
    half, chin = 0.392 + n(0, 0.012), 0.962 + n(0, 0.008) + 0.008 * male
    taper = u(0.10, 0.24) - 0.06 * male
    square = u(2.1, 2.7) + 0.35 * male
    eye_y, eye_x = 0.405 + n(0, 0.008), 0.178 + n(0, 0.007)
    eye_w, eye_h = 0.071 + n(0, 0.004), np.clip(0.031 + n(0, 0.004), 0.022, 0.04)
    tilt = n(0.004, 0.005)
    iris = palette(IRISES, u(0, 1) if skin_at > 2.2 else u(0, 4))
    brow_y, brow_w = eye_y - 0.098 + n(0, 0.007), 0.088 + n(0, 0.006)
    brow_t, arch = (0.0135 if male else 0.0095) + u(0, 0.005), u(0.008, 0.028)
    nose_y, nose_w = 0.610 + n(0, 0.010), 0.066 + n(0, 0.006) + 0.005 * (skin_at > 2.5)
    mouth_y, mouth_w = 0.765 + n(0, 0.008), 0.130 + n(0, 0.009)
    top, bottom = 0.022 + u(0, 0.010), 0.030 + u(0, 0.012)
    bow, makeup = u(0.003, 0.010), (not male) * u(0, 1)
    light, style = u(-1, 1), u()
    hair_y = 0.115 + n(0, 0.018)
    beard = u(0.25, 1.0) if male and u() < 0.45 else 0.0
    glasses, freckles = u() < 0.16, (u() < 0.2) * u(0.4, 1)
    strength = {(au, side): float(np.clip(n(1.0, 0.10), 0.75, 1.25)) for au in UNITS for side in (-1, 1)}
    points = {
        "forehead_inner": (eye_x - 0.70 * brow_w, brow_y - 0.024),
        "forehead_outer": (eye_x + 0.62 * brow_w, brow_y - 0.024),
        "brow_inner": (eye_x - 0.78 * brow_w, brow_y + 0.006), "brow_mid": (eye_x, brow_y - 0.4 * arch),
        "brow_outer": (eye_x + 0.72 * brow_w, brow_y), "lid_upper": (eye_x, eye_y - eye_h),
        "lid_lower": (eye_x, eye_y + 0.8 * eye_h), "eye_outer": (eye_x + eye_w, eye_y - tilt),
        "cheek": (eye_x + 0.035, eye_y + 0.155), "nose_root": (0.0, eye_y + 0.005),
        "nose_wing": (nose_w, nose_y - 0.008), "nasolabial": (nose_w + 0.045, nose_y + 0.045),
        "lip_upper": (0.55 * mouth_w, mouth_y - top), "lip_top": (0.0, mouth_y - top),
        "corner": (mouth_w, mouth_y), "dimple": (mouth_w + 0.055, mouth_y), "line": (0.0, mouth_y),
        "lip_lower": (0.0, mouth_y + bottom), "crease": (0.0, mouth_y + bottom + 0.030),
        "jaw": (mouth_w + 0.07, mouth_y + 0.06), "chin": (0.0, chin - 0.070),
    }
    ax = np.abs(x - mid)  # outward, (1, S)
    # ---- backdrop, hair behind, neck, ears
    backdrop = palette(BACKDROPS, u(0, 4)) * u(0.85, 1.05)
    picture = np.empty((s, s, 3), np.float32)
    picture[:] = backdrop
    picture *= (1.05 - 0.22 * ((x - 0.5 - 0.3 * light) ** 2 + (y - 0.4) ** 2))[..., None]
    strands = 1 + 0.07 * pattern(rng, (4, 190), s) + 0.06 * pattern(rng, (5, 48), s)
    locks = hair * strands[..., None] * (1.0 + 0.35 * bump(x, y, mid + 0.1 * light, 0.02, 0.25, 0.05))[..., None]
    long_hair = (not male and style < 0.75) or style < 0.08
    bald = male and style > 0.88
    if long_hair:
        paint(picture, soft(half + 0.085 + 0.03 * y - ax, 3 * px) * np.ones_like(y), locks * 0.72)
    shade = (1 - 0.10 * light * (x - mid) / half - 0.20 * np.clip(ax / half, 0, 1.1) ** 3) * (1.04 - 0.10 * y)
    paint(picture, soft(0.23 + 0.5 * (y - 0.86) ** 2 - ax, 2 * px) * soft(y - 0.80, 0.01), (skin * (0.58, 0.52, 0.50)))
    ear = 1 - ((ax - half + 0.008) / 0.035) ** 2 - ((y - 0.475) / 0.075) ** 2
    paint(picture, soft(0.02 * ear, px) * (0.0 if long_hair else 1.0), (skin * (0.86, 0.80, 0.78)))
    # ---- head
    down = np.where(y > 0.45, np.abs(y - 0.45) / (chin - 0.45), np.abs(y - 0.45) / 0.47)
    jaw = half * (1 - taper * np.clip((y - 0.50) / (chin - 0.50), 0, 1) ** 1.5)
    oval = (1 - (ax / jaw) ** 2.2 - down ** square) * half / 2.2
    face = soft(oval, 1.5 * px)
    relief = (
        0.10 * bump(x, y, mid, 0.22, 0.17, 0.09) - 0.05 * bump(x, y, mid, 0.325, 0.03, 0.03)
        - 0.13 * (bump(x, y, mid - eye_x, eye_y - 0.022, 0.085, 0.038) + bump(x, y, mid + eye_x, eye_y - 0.022, 0.085, 0.038))
        - 0.07 * (bump(x, y, mid - eye_x, eye_y + 0.055, 0.06, 0.016) + bump(x, y, mid + eye_x, eye_y + 0.055, 0.06, 0.016)) * (0.5 + age)
        + 0.09 * (bump(x, y, mid - 0.21, 0.555, 0.08, 0.055) + bump(x, y, mid + 0.21, 0.555, 0.08, 0.055))
        + 0.09 * bump(x, y, mid, chin - 0.085, 0.06, 0.035) - 0.16 * bump(x, y, mid, mouth_y + bottom + 0.022, 0.07, 0.013)
        + 0.13 * bump(x, y, mid, nose_y - 0.10, 0.018, 0.09) + 0.13 * bump(x, y, mid, nose_y - 0.012, 0.024, 0.020)
        - 0.10 * bump(x, y, mid + (0.045 + 0.01 * light), nose_y - 0.08, 0.020, 0.09) * (1 + 0.5 * light)
        - 0.10 * bump(x, y, mid - (0.045 - 0.01 * light), nose_y - 0.08, 0.020, 0.09) * (1 - 0.5 * light)
        - 0.20 * bump(x, y, mid, nose_y + 0.036, 0.05, 0.012) - 0.05 * bump(x, y, mid, nose_y + 0.075, 0.012, 0.03)
        - 0.16 * soft(0.030 - oval, 0.014)
    )
    grain = 0.010 * pattern(rng, (150, 150), s, 0.8) + 0.014 * pattern(rng, (14, 14), s)
    flesh = skin * (shade * (1 + relief + grain))[..., None]
    rosy = bump(x, y, mid - 0.20, 0.60, 0.08, 0.06) + bump(x, y, mid + 0.20, 0.60, 0.08, 0.06) + bump(x, y, mid, nose_y, 0.05, 0.04)
    flesh *= 1 - rosy[..., None] * np.array([0.0, 0.085, 0.075])
    if freckles:
        spots = soft(pattern(rng, (110, 110), s, 0.6) - 2.0, 0.12) * bump(x, y, mid, 0.55, 0.2, 0.08)
        flesh *= 1 - freckles * spots[..., None] * np.array([0.12, 0.20, 0.24])
    if beard:
        cheek_line = nose_y + 0.10 + 0.25 * np.clip(0.55 - ax / half, -0.4, 0.3)
        region = soft(y - cheek_line, 0.015) + soft(0.028 - np.abs(y - mouth_y + 0.052), 0.008) * soft(0.12 - ax, 0.02)
        region = np.clip(region, 0, 1) * (1 - 0.9 * bump(x, y, mid, mouth_y + 0.6 * bottom, 0.10, 0.022))
        region = np.maximum(region, soft(ax - 0.93 * half + 0.05, 0.012) * soft(y - 0.40, 0.02))
        hairs = np.clip(0.70 + 0.22 * pattern(rng, (140, 190), s), 0, 1)
        paint(flesh, beard * 0.8 * region * hairs, hair * 0.75 + 0.08 * skin)
    for side in (-1, 1):  # nasolabial fold and nose wings
        nx, ny = mid + side * points["nasolabial"][0], points["nasolabial"][1]
        flesh *= 1 - ((0.04 + 0.10 * age) * stroke(x, y, nx + side * 0.01, ny + 0.02, 0.075, 0.012, side * 58))[..., None]
        wing = np.abs(np.hypot((x - mid - side * (nose_w - 0.024)) / 0.9, (y - nose_y + 0.004)) - 0.026)
        flesh *= 1 - 0.26 * (soft(0.004 - wing, 0.0025) * soft(side * (x - mid) - nose_w + 0.026, 0.008))[..., None]
        nostril = 1 - ((x - mid - side * (0.40 * nose_w)) / 0.016) ** 2 - ((y - nose_y - 0.017 + side * 0.2 * (x - mid - side * 0.4 * nose_w)) / 0.0085) ** 2
        paint(flesh, 0.72 * soft(0.006 * nostril, 0.8 * px), skin * 0.28)
    # ---- mouth
    t = np.clip((x - mid) / mouth_w, -1, 1)
    line = mouth_y + 0.006 * (1 - t ** 2) - 0.004 * np.cos(3 * np.pi * t) * (1 - t ** 2)
    upper = line - top * (1 - t ** 2) ** 0.8 - bow * (np.exp(-(((np.abs(t) - 0.22) / 0.16) ** 2)) - 0.6 * np.exp(-((t / 0.1) ** 2)))
    lower = line + bottom * (1 - np.abs(t) ** 2.4)
    lips = soft(np.minimum(y - upper, lower - y), 1.6 * px) * soft(mouth_w - ax, 2 * px)
    lip = skin * (0.90, 0.64, 0.62) * (1 - makeup * np.array([0.08, 0.34, 0.28]))
    lit = np.where(y < line, 0.86, 1.0 + 0.14 * bump(x, y, mid, mouth_y + 0.5 * bottom, 0.06, 0.010))
    paint(flesh, lips * (0.55 + 0.45 * makeup if male else 0.85), lip * (lit * shade)[..., None])
    seam = np.exp(-(((y - line) / 0.0045) ** 2)) * soft(mouth_w * 1.03 - ax, 0.004)
    paint(flesh, 0.75 * seam, skin * (0.34, 0.20, 0.19))
    corners = bump(x, y, mid - mouth_w, mouth_y + 0.001, 0.010, 0.008) + bump(x, y, mid + mouth_w, mouth_y + 0.001, 0.010, 0.008)
    flesh *= 1 - 0.35 * corners[..., None]
    reach = 0.034 * np.clip(1 - (t / 0.80) ** 2, 1e-3, 1)
    gap = np.abs(y - mouth_y - 0.010 - 0.5 * (line - mouth_y)) / reach
    teeth = soft(mouth_y + 0.006 - y, 0.003) * soft(0.55 - np.abs(t), 0.05)
    inside = np.array([0.17, 0.05, 0.05]) * np.ones((s, s, 1))
    paint(inside, 0.85 * teeth, (0.90, 0.87, 0.82))
    # ---- eyes and brows
    shut = flesh.copy()
    lid, opening = np.full((s, s), 9.0), np.zeros((s, s))
    for side in (-1, 1):
        ex = mid + side * eye_x
        e = side * (x - ex) / eye_w  # -1 inner corner, 1 outer corner
        lift = tilt * e
        hump = np.clip(1 - np.abs(e) ** 2.2, 0, 1)
        up, low = eye_y - lift - eye_h * hump ** 0.75, eye_y - lift + 0.78 * eye_h * hump
        near = soft(eye_w * 1.02 - np.abs(x - ex), 1.5 * px)
        eye = soft(np.minimum(y - up, low - y), px) * near
        white = np.array([0.93, 0.91, 0.89]) * (1 - 0.42 * np.exp(-np.clip(y - up, 0, 1) / 0.011) - 0.20 * e ** 4)[..., None]
        r = np.hypot(x - ex - 0.003 * light, (y - eye_y + 0.002))
        rim = 0.0335
        disc = soft(rim - r, px)
        ball = white.copy()
        paint(ball, disc, iris * (0.62 + 0.6 * np.clip(r / rim, 0, 1) * (r < 0.86 * rim))[..., None])
        paint(ball, soft(0.0145 - r, px), (0.03, 0.03, 0.04))
        paint(ball, 0.9 * soft(0.0065 - np.hypot(x - ex - 0.010 - 0.004 * light, y - eye_y + 0.012), px), (1, 1, 1))
        crease = np.exp(-(((y - up + 0.017) / 0.0045) ** 2)) * near
        socket = 0.24 * crease + 0.18 * np.exp(-(((y - low - 0.004) / 0.005) ** 2)) * near
        for target in (flesh, shut):
            target *= 1 - socket[..., None]
        paint(flesh, eye, ball * np.clip(shade, 0.75, 1.1)[..., None])
        thick = 0.0060 + 0.0035 * makeup
        lash = np.exp(-(((y - up) / thick) ** 2)) * near * (0.75 + 0.25 * np.clip(e, -1, 1))
        paint(flesh, (0.80 if male else 0.95) * np.clip(lash, 0, 1), hair * 0.18 + 0.03)
        paint(shut, 0.85 * np.exp(-(((y - low) / thick) ** 2)) * near, hair * 0.2 + 0.05)
        lid = np.where(np.abs(e) < 1, (y - up) / np.maximum(low - up, 0.006), lid)
        opening = np.maximum(opening, soft(np.minimum(y - up + 0.010, low - y + 0.008), 1.5 * px) * near)
        b = side * (x - ex) / brow_w
        ridge = brow_y - arch * (1 - (b - 0.25) ** 2) + 0.010 * b ** 2 * (b > 0) + 0.4 * arch
        width = brow_t * np.clip(1.0 - 0.55 * np.clip(b, 0, 1.2), 0.3, 1)
        brow = soft(width - np.abs(y - ridge), 0.0035) * soft(1 - np.abs(b), 0.07)
        tufts = np.clip(0.84 + 0.12 * pattern(rng, (70, 150), s), 0, 1)
        for target in (flesh, shut):
            paint(target, 0.88 * brow * tufts, hair * 0.65 + 0.10 * skin)
    # ---- put the head on, then the hair in front
    locks_in_front = np.zeros((s, s))
    if not bald:
        v = (x - mid) / half
        part = 0.03 * np.sin(3 * v + 6 * style) + 0.006 * pattern(rng, (1, 26), s)[:1]
        edge = hair_y + part + (0.10 if long_hair else 0.17) * np.abs(v) ** 5 + (0.05 if style < 0.3 else 0.0)
        sides = soft(ax - half + (0.03 if long_hair else 0.012), 0.012) * soft((1.1 if long_hair else 0.40) - y, 0.02)
        dome = soft(1.12 - np.hypot((x - mid) / (half + 0.05), (y - 0.47) / 0.52), 0.01)
        locks_in_front = np.clip(soft(edge - y, 0.010) + sides, 0, 1)
        if not long_hair:
            locks_in_front = locks_in_front * dome * soft(half + 0.060 - 0.14 * y - ax, 0.005)
    for target in (flesh, shut):
        canvas = picture.copy()
        paint(canvas, face, target)
        if not bald:
            shadow = soft(edge + 0.022 - y, 0.014) * face
            canvas *= 1 - 0.22 * shadow[..., None]
            paint(canvas, locks_in_front, locks)
        target[:] = canvas
    frame = None
    if glasses:
        frame = np.zeros((s, s))
        for side in (-1, 1):
            ring = np.abs(((np.abs(x - mid - side * eye_x) / 0.120) ** 3 + (np.abs(y - eye_y - 0.015) / 0.085) ** 3) ** (1 / 3) - 1)
            frame = np.maximum(frame, soft(0.055 - ring, 0.03))
        bridge = soft(0.006 - np.abs(y - eye_y + 0.012), 0.002)
        frame = 0.9 * np.maximum(frame, bridge * (soft(0.062 - ax, 0.004) + soft(ax - eye_x - 0.118, 0.004) * face))
    as32 = np.float32
    return Face(size, points, mid, np.clip(flesh, 0, 1).astype(as32), np.clip(shut, 0, 1).astype(as32), lid.astype(as32),
                (opening * (1 - locks_in_front)).astype(as32), gap.astype(as32), inside.astype(as32),
                None if frame is None else frame.astype(as32), strength, 1.0 + 0.5 * age)
