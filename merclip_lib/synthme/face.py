"""The neutral face of a synthetic person: traits become a picture and landmarks.

`paint` puts soft masks on top of each other, so that a face can be drawn at any size. Landmarks
are kept as (outward, y), outward being the distance from the middle line, so that one table of
action units serves both sides of the face.
"""

from dataclasses import dataclass, field

import numpy as np

from merclip_lib.synthme import paint
from merclip_lib.synthme.traits import Traits, draw_traits


@dataclass
class Face:
    """A drawn person. Pictures are float32 (S, S, 3) in 0..1 and masks (S, S), S = 2 * size."""

    size: int
    traits: Traits
    points: dict[str, tuple[float, float]]  # landmark -> (outward, y)
    neutral: np.ndarray
    shut: np.ndarray  # the same with closed eyes
    lid: np.ndarray  # how far down the eye opening a pixel lies (0 upper lid, 1 lower lid)
    opening: np.ndarray  # mask of the eye opening
    gap: np.ndarray  # distance from the lip line, 1 at the edge of the widest gap
    inside: np.ndarray  # picture of the teeth and the dark of the mouth
    glasses: np.ndarray | None  # opacity of a frame, or None
    backdrop: np.ndarray  # mask of what lies behind head and hair
    cache: dict = field(default_factory=dict, repr=False)  # of `motion.unit_field`


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
    """Draw a person.

    Args:
        seed: of the set.
        subject: number of the person, 0 is the first.
        size: pixels of the clips, both sides; the face is painted at twice the size.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, subject, 1]))
    traits = draw_traits(rng)
    at = paint.pixels(2 * size)
    locks = paint.hair_colours(traits, at, rng)
    behind = paint.draw_backdrop(traits, at, locks)
    skin = paint.draw_skin(traits, at, rng)
    paint.draw_nose(traits, at, skin.flesh)
    gap, inside = paint.draw_mouth(traits, at, skin)
    eyes = paint.draw_eyes(traits, at, skin)
    paint.draw_brows(traits, at, rng, (skin.flesh, eyes.shut))
    front, shadow = paint.front_hair(traits, at, rng)
    pictures = []
    for flesh in (skin.flesh, eyes.shut):
        picture = behind.copy()
        paint.blend(picture, skin.head, flesh)
        picture *= 1 - (0.22 * shadow * skin.head)[..., None]
        paint.blend(picture, front, locks)
        pictures.append(np.clip(picture, 0, 1).astype(np.float32))
    glasses = None
    if traits.glasses:
        glasses = paint.glasses_frame(traits, at, skin.head).astype(np.float32)
    return Face(
        size=size,
        traits=traits,
        points=landmarks(traits),
        neutral=pictures[0],
        shut=pictures[1],
        lid=eyes.lid.astype(np.float32),
        opening=(eyes.opening * (1 - front)).astype(np.float32),
        gap=gap.astype(np.float32),
        inside=inside.astype(np.float32),
        glasses=glasses,
        backdrop=((1 - skin.head) * (1 - front)).astype(np.float32),
    )
