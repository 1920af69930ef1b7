"""The neutral face of a procedural subject: a seed becomes traits, traits become a picture.

A subject's traits (skin, proportions, hair, beard, glasses, light) are drawn from its seed in one
fixed order; face_parts paints them with soft masks, so that a face can be drawn at any size.
Coordinates are fractions of the picture, x to the right and y down. Landmarks are kept as
(outward, y), outward being the distance from the middle line, so that one table of action units
serves both sides of the face.
"""

from dataclasses import dataclass, field

import numpy as np

from merclip_lib.synthme import paint as parts

# Action units that a face can show.
UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)


SKINS = [[240, 208, 188], [233, 190, 160], [205, 152, 116], [156, 104, 74], [98, 64, 48]]


HAIRS = [[22, 19, 20], [52, 35, 26], [92, 60, 38], [128, 70, 38], [196, 156, 100], [150, 148, 146]]


IRISES = [[58, 36, 22], [88, 58, 32], [96, 100, 58], [74, 104, 128], [96, 110, 116]]


BACKDROPS = [[196, 202, 208], [150, 160, 170], [206, 198, 184], [110, 122, 134], [168, 180, 168]]


@dataclass(frozen=True)
class Traits:
    """What makes a subject; lengths are fractions of the picture, colours RGB in 0..1."""

    male: bool
    age: float
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    backdrop: np.ndarray
    middle: float
    half: float  # half width of the head
    chin: float
    square: float  # how square the jaw is
    taper: float
    eye_y: float
    eye_x: float
    eye_w: float
    eye_h: float
    tilt: float
    brow_y: float
    brow_w: float
    brow_t: float
    arch: float
    nose_y: float
    nose_w: float
    mouth_y: float
    mouth_w: float
    lip_top: float
    lip_bottom: float
    bow: float
    makeup: float
    light: float  # -1 from the left, 1 from the right
    style: float  # of the hair, 0..1
    hair_y: float
    beard: float
    glasses: bool
    freckles: float
    strength: dict  # (action unit, side) -> this subject's factor: left and right differ

    @property
    def long_hair(self) -> bool:
        return (not self.male and self.style < 0.75) or self.style < 0.08

    @property
    def bald(self) -> bool:
        return self.male and self.style > 0.88


@dataclass
class Face:
    """A drawn subject. Pictures are float32 (S, S, 3) in 0..1 and masks (S, S), S = 2 * size."""

    size: int
    points: dict  # landmark -> (outward, y)
    middle: float
    neutral: np.ndarray
    shut: np.ndarray  # the same with closed eyes
    lid: np.ndarray  # how far down the eye opening a pixel lies (0 upper lid, 1 lower lid)
    opening: np.ndarray  # mask of the eye opening
    gap: np.ndarray  # distance from the lip line, 1 at the edge of the widest gap
    inside: np.ndarray  # picture of the teeth and the dark of the mouth
    glasses: np.ndarray | None  # opacity of a frame, or None
    strength: dict
    tone: float  # how strongly folds show on this skin
    cache: dict = field(default_factory=dict, repr=False)


def palette(colours: list, position: float) -> np.ndarray:
    """Colour at a fractional position of a table."""
    table = np.array(colours).T / 255
    return np.array([np.interp(position, np.arange(len(colours)), channel) for channel in table])


def draw_traits(rng: np.random.Generator) -> Traits:
    """Draw a subject."""
    u, n = rng.uniform, rng.normal
    male, age, skin_at = bool(u() < 0.5), u(), u(0, 4)
    dark = skin_at > 2.2
    hair_at = u(4.8, 5) if age > 0.9 else u(0, 1) if dark else u(0, 4.5)
    eye_y, chin = 0.405 + n(0, 0.008), 0.962 + n(0, 0.008) + 0.008 * male
    return Traits(
        male=male,
        age=age,
        skin=palette(SKINS, skin_at) * (1 + n(0, 0.012, 3)),
        hair=palette(HAIRS, hair_at),
        iris=palette(IRISES, u(0, 1) if dark else u(0, 4)),
        backdrop=palette(BACKDROPS, u(0, 4)) * u(0.85, 1.05),
        middle=0.5 + n(0, 0.004),
        half=0.392 + n(0, 0.012),
        chin=chin,
        square=u(2.1, 2.7) + 0.35 * male,
        taper=u(0.10, 0.24) - 0.06 * male,
        eye_y=eye_y,
        eye_x=0.178 + n(0, 0.007),
        eye_w=0.071 + n(0, 0.004),
        eye_h=float(np.clip(0.031 + n(0, 0.004), 0.022, 0.04)),
        tilt=n(0.004, 0.005),
        brow_y=eye_y - 0.098 + n(0, 0.007),
        brow_w=0.088 + n(0, 0.006),
        brow_t=(0.0135 if male else 0.0095) + u(0, 0.005),
        arch=u(0.008, 0.028),
        nose_y=0.610 + n(0, 0.010),
        nose_w=0.066 + n(0, 0.006) + 0.005 * dark,
        mouth_y=0.765 + n(0, 0.008),
        mouth_w=0.130 + n(0, 0.009),
        lip_top=0.022 + u(0, 0.010),
        lip_bottom=0.030 + u(0, 0.012),
        bow=u(0.003, 0.010),
        makeup=u() * (not male),
        light=u(-1, 1),
        style=u(),
        hair_y=0.115 + n(0, 0.018),
        beard=u(0.25, 1.0) * (male and u() < 0.45),
        glasses=bool(u() < 0.16),
        freckles=u(0.4, 1) * (u() < 0.2),
        strength={
            (unit, side): float(np.clip(n(1.0, 0.10), 0.75, 1.25))
            for unit in UNITS
            for side in (-1, 1)
        },
    )


def landmarks(t: Traits) -> dict[str, tuple[float, float]]:
    """Where action units pull: name -> (outward, y); outward 0 is the middle line."""
    return {
        "forehead_inner": (t.eye_x - 0.70 * t.brow_w, t.brow_y - 0.024),
        "forehead_outer": (t.eye_x + 0.62 * t.brow_w, t.brow_y - 0.024),
        "brow_inner": (t.eye_x - 0.78 * t.brow_w, t.brow_y + 0.006),
        "brow_mid": (t.eye_x, t.brow_y - 0.4 * t.arch),
        "brow_outer": (t.eye_x + 0.72 * t.brow_w, t.brow_y),
        "lid_upper": (t.eye_x, t.eye_y - t.eye_h),
        "lid_lower": (t.eye_x, t.eye_y + 0.8 * t.eye_h),
        "eye_outer": (t.eye_x + t.eye_w, t.eye_y - t.tilt),
        "cheek": (t.eye_x + 0.035, t.eye_y + 0.155),
        "nose_root": (0.0, t.eye_y + 0.005),
        "nose_wing": (t.nose_w, t.nose_y - 0.008),
        "nasolabial": (t.nose_w + 0.045, t.nose_y + 0.045),
        "lip_upper": (0.55 * t.mouth_w, t.mouth_y - t.lip_top),
        "lip_top": (0.0, t.mouth_y - t.lip_top),
        "lip_lower": (0.0, t.mouth_y + t.lip_bottom),
        "line": (0.0, t.mouth_y),
        "corner": (t.mouth_w, t.mouth_y),
        "dimple": (t.mouth_w + 0.055, t.mouth_y),
        "crease": (0.0, t.mouth_y + t.lip_bottom + 0.030),
        "jaw": (t.mouth_w + 0.07, t.mouth_y + 0.06),
        "chin": (0.0, t.chin - 0.070),
    }


def draw_face(seed: int, subject: int, size: int = 64) -> Face:
    """Draw subject `subject` of seed space `seed` for clips of `size` pixels."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, subject, 1]))
    t = draw_traits(rng)
    x, y = parts.axes(2 * size)
    locks = parts.hair_colours(t, x, y, rng)
    behind = parts.draw_backdrop(t, x, y, locks)
    head, shade, flesh = parts.draw_skin(t, x, y, rng)
    parts.draw_nose(t, x, y, flesh)
    gap, inside = parts.draw_mouth(t, x, y, shade, flesh)
    shut, lid, opening = parts.draw_eyes(t, x, y, shade, flesh)
    parts.draw_brows(t, x, y, rng, (flesh, shut))
    front, shadow = parts.front_hair(t, x, y, rng)
    pictures = []
    for skin in (flesh, shut):
        picture = behind.copy()
        parts.paint(picture, head, skin)
        picture *= 1 - (0.22 * shadow * head)[..., None]
        parts.paint(picture, front, locks)
        pictures.append(np.clip(picture, 0, 1))
    glasses = parts.glasses_frame(t, x, y, head) if t.glasses else None
    single = [
        None if a is None else a.astype(np.float32)
        for a in (*pictures, lid, opening * (1 - front), gap, inside, glasses)
    ]
    return Face(size, landmarks(t), t.middle, *single, t.strength, 1.0 + 0.5 * t.age)
