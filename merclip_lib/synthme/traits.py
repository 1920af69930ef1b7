"""Who a synthetic person is: skin, proportions, hair, beard, glasses, light, drawn from a seed.

Coordinates are fractions of the picture, x to the right and y down; colours are RGB in 0..1.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from merclip_lib.synthme.action_units import UNITS

SKINS = [[240, 208, 188], [233, 190, 160], [205, 152, 116], [156, 104, 74], [98, 64, 48]]
HAIRS = [[22, 19, 20], [52, 35, 26], [92, 60, 38], [128, 70, 38], [196, 156, 100], [150, 148, 146]]
IRISES = [[58, 36, 22], [88, 58, 32], [96, 100, 58], [74, 104, 128], [96, 110, 116]]
BACKDROPS = [[196, 202, 208], [150, 160, 170], [206, 198, 184], [110, 122, 134], [168, 180, 168]]


@dataclass(frozen=True)
class Traits:
    """What makes a person; `_y` is the height of a part, `_x` its distance from the middle line."""

    male: bool
    age: float  # 0..1
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    backdrop: np.ndarray
    middle: float  # x of the middle line
    half: float  # half width of the head
    chin: float
    square: float  # how square the jaw is
    taper: float  # how much narrower the jaw is than the head
    eye_y: float
    eye_x: float
    eye_w: float
    eye_h: float
    tilt: float  # how much higher the outer corner of the eye lies
    brow_y: float
    brow_w: float
    brow_t: float  # thickness
    arch: float
    nose_y: float
    nose_w: float
    mouth_y: float
    mouth_w: float
    lip_top: float
    lip_bottom: float
    bow: float  # depth of the cupid's bow
    makeup: float
    light: float  # -1 from the left, 1 from the right
    style: float  # of the hair, 0..1
    hair_y: float
    beard: float
    glasses: bool
    freckles: float
    strength: dict[tuple[int, int], float]  # (action unit, side) -> factor; left, right differ

    @property
    def long_hair(self) -> bool:
        return (not self.male and self.style < 0.75) or self.style < 0.08

    @property
    def bald(self) -> bool:
        return self.male and self.style > 0.88


def palette(colours: list[list[int]], position: float) -> np.ndarray:
    """Colour at a fractional position of a table."""
    table = np.array(colours).T / 255
    return np.array([np.interp(position, np.arange(len(colours)), channel) for channel in table])


def draw_traits(rng: np.random.Generator) -> Traits:
    """Draw a person; the draws have one fixed order, so that a seed stays the same person."""
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
        strength={key: float(np.clip(n(1.0, 0.10), 0.75, 1.25)) for key in product(UNITS, (-1, 1))},
    )
