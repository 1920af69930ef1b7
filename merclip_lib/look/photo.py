"""A photograph moves: SynthME's motion on a real face, placed by the mesh.

The displacements, folds and reveals of SynthME's action units are put on the landmarks of the
photograph, so the truth of what a real skin shows is known. It is as real as SynthME's motion is,
no more. Left is left in the picture.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import yaml
from PIL import Image

from merclip_lib.data.frames import align
from merclip_lib.data.frames.decode import read_picture
from merclip_lib.data.table import COLUMNS, write_table
from merclip_lib.figures import gif
from merclip_lib.files import Kind, output_place, replacing_folder
from merclip_lib.look.face import MARGIN
from merclip_lib.look.video import write_video
from merclip_lib.synthme.action_units import SIDED, UNITS
from merclip_lib.synthme.draw import DRIFT, SENSOR_NOISE
from merclip_lib.synthme.face import Face
from merclip_lib.synthme.motion import Expression, Unit, perform, still, wander
from merclip_lib.synthme.populations import FPS
from merclip_lib.synthme.traits import draw_traits
from merclip_lib.text import facs

_PLACES: dict[str, list[list[int]]] = yaml.safe_load(
    Path(__file__).with_name("places.yaml").read_text(encoding="utf-8")
)  # SynthME's landmarks by those of the mesh
_UPPER = ([33, 160, 159, 158, 133], [362, 385, 386, 387, 263])  # lids, from left to right
_LOWER = ([33, 144, 145, 153, 133], [362, 380, 374, 373, 263])
_LIPS = ([78, 81, 13, 311, 308], [78, 178, 14, 402, 308])  # inner edges, upper and lower
MOVED = Kind(files=("frames", "table.csv", "moved.gif", "moved.mp4"))


@dataclass(frozen=True)
class Moved:
    """What a photograph is made to show.

    Attributes:
        units: an annotation such as "4+7+L10".
        intensity: of every unit at the apex, or of each; 1 = as strong as a face can.
        size: pixels, both sides.
        frames: T, the apex in the middle.
        nuisance: whether the head drifts and the light flickers.
    """

    units: str = "4+7+L10"
    intensity: float | tuple[float, ...] = 0.3
    size: int = 224
    frames: int = 61
    nuisance: bool = True


def photo_face(picture: np.ndarray, size: int = 224, name: str = "the photograph") -> Face:
    """A photograph as a face that SynthME can move.

    Args:
        picture: RGB uint8 (H, W, 3) with a neutral face.
        size: pixels of the clips, both sides; the face is kept at twice the size.
        name: of the photograph, for messages.

    Raises:
        ValueError: no face is found, or the landmark nets are missing.
    """
    side = 2 * size
    try:
        matrix = align.similarity_transform(align.find_eyes(picture), side, MARGIN)
    except ValueError as error:
        raise ValueError(str(error).replace("on the onset frame", f"in {name}")) from None
    crop = align.warp(picture, matrix, side)
    marks = align.find_face(crop) / side
    traits = draw_traits(np.random.default_rng(0))
    same, middle = dict.fromkeys(traits.strength, 1.0), float(marks[[6, 168, 1, 13], 0].mean())
    traits = replace(traits, middle=middle, age=0.0, glasses=False, strength=same)
    down = _down(marks, side)
    opening = ((down > 0) & (down < 1)).astype(np.float32)
    eyes = (255 * cv2.dilate(opening, np.ones((5, 5)))).astype(np.uint8)
    shut = cv2.inpaint(crop, eyes, 5, cv2.INPAINT_TELEA).astype(np.float32) / 255
    return Face(
        size=size,
        traits=traits,
        points=_points(marks),
        neutral=crop.astype(np.float32) / 255,
        shut=shut,
        lid=down,
        opening=cv2.GaussianBlur(opening, (0, 0), side / 300),
        gap=_gap(marks, side),
        inside=np.full_like(shut, (0.17, 0.05, 0.05)),
        glasses=None,
        backdrop=np.zeros_like(down),
    )


def _points(marks: np.ndarray) -> dict[str, tuple[float, float]]:
    """SynthME's landmarks as (outward, y), the mean of both sides; on the middle line 0."""
    points = {}
    for name, sides in _PLACES.items():
        (left, y), (right, z) = (marks[numbers].mean(0) for numbers in sides)
        points[name] = (float(right - left) / 2, float(y + z) / 2)
    return points


def _down(marks: np.ndarray, side: int) -> np.ndarray:
    """How far down the eyes a pixel lies (S, S): 0 upper lid, 1 lower lid, 9 beside the eyes."""
    x = (np.arange(side) + 0.5) / side
    down = np.full((side, side), 9.0, np.float32)
    for upper, lower in zip(_UPPER, _LOWER, strict=True):
        top, bottom = (np.interp(x, *marks[line].T) for line in (upper, lower))
        share = (x[:, None] - top) / np.maximum(bottom - top, 1 / side)
        within = (x >= marks[upper[0], 0]) & (x <= marks[upper[-1], 0])
        down = np.where(within & (np.abs(share - 0.5) < 2), share, down).astype(np.float32)
    return down


def _gap(marks: np.ndarray, side: int) -> np.ndarray:
    """Distance (S, S) from the lip line, 1 at the edge of the widest gap (as in `paint`)."""
    x = (np.arange(side) + 0.5) / side
    upper, lower = (np.interp(x, *marks[line].T) for line in _LIPS)
    left, right = marks[_LIPS[0][0], 0], marks[_LIPS[0][-1], 0]
    across = np.clip((2 * x - left - right) / (right - left), -1, 1)
    reach = 0.034 * np.clip(1 - (across / 0.8) ** 2, 1e-3, 1)
    away = x[:, None] - (upper + lower) / 2
    return (np.where(away < 0, -2.2, 1.4) * away / reach).astype(np.float32)


def units_shown(annotation: str) -> list[Unit]:
    """The units of an annotation; ValueError where SynthME's motion has not all of them."""
    units = [(unit.number, unit.side) for unit in facs.parse(annotation, where="--units")]
    if not units:
        raise ValueError("--units: no action unit; write some, such as 4+7+L10")
    for number, side in units:
        if number not in UNITS or (side and number not in SIDED):
            known = f"there are {UNITS}, on one side {SIDED}"
            raise ValueError(f"--units {annotation}: {side} {number} cannot be shown; {known}")
    return units


def move_photo(face: Face, moved: Moved, seed: int = 0) -> np.ndarray:
    """Frames uint8 (T, S, S, 3) in which a face shows what is wished.

    Raises:
        ValueError: the annotation cannot be read, or has a unit that SynthME cannot show.
    """
    units, rng = units_shown(moved.units), np.random.default_rng(seed)
    around = still(moved.frames)
    if moved.nuisance:  # but no blink: its truth is the units alone
        around = replace(wander(moved.frames, rng, DRIFT, SENSOR_NOISE), blink=around.blink)
    strengths = np.broadcast_to(moved.intensity, np.shape(moved.intensity) or len(units))
    if len(strengths) != len(units) or not ((strengths >= 0) & (strengths <= 1)).all():
        raise ValueError(f"intensity {moved.intensity}: give one from 0 to 1, or one for each unit")
    return perform(face, Expression(units, strengths.tolist(), 0.5), around, rng, grid=1)[0]


def write_moved(photo: Path, out: Path, moved: Moved, seed: int = 0) -> np.ndarray:
    """Move a photograph and write a folder that `merclip prepare` and `merclip look` can read.

    It holds `frames/` (PNG), `table.csv` (a clip table of one row), `moved.gif` and `moved.mp4`.

    Returns:
        The frames, as `move_photo`.

    Raises:
        ValueError: no face, an annotation that cannot be shown, or a folder that cannot be written.
    """
    if not photo.is_file():
        raise ValueError(f"{photo}: no such file; name a photograph of a face")
    output_place(out, MOVED, [photo])
    frames = move_photo(photo_face(read_picture(photo), moved.size, photo.name), moved, seed)
    apex, units, name = moved.frames // 2 + 1, moved.units, photo.stem
    row = (f"photo/{name}", "photo", name, units, 1, apex, moved.frames, FPS, units, "", "frames")
    with replacing_folder(out, MOVED) as folder:
        (folder / "frames").mkdir()
        for k, frame in enumerate(frames, 1):
            Image.fromarray(frame).save(folder / "frames" / f"img{k:03d}.png")
        (folder / "moved.gif").write_bytes(gif(frames, 60))
        write_video(folder / "moved.mp4", frames, FPS)
        write_table(pd.DataFrame([row], columns=COLUMNS), folder / "table.csv")
    return frames
