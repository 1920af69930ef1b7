"""A clip's files to its pixels: pictures decoded, cropped, aligned, the same way for all frames."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile, ImageOps

from merclip_lib.data.frames import align
from merclip_lib.data.frames.find import ChosenFrames
from merclip_lib.data.frames.video import frames_at
from merclip_lib.data.limits import check_limits, check_size

_DEPTHS = range(8, 34, 2)  # bits that cameras and programs store
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM")
SHARES = 0  # in the place of a number of bits: floats from 0 to 1
ONE_SHADE = 2  # of 255: a clip that differs by no more shows nothing
Image.MAX_IMAGE_PIXELS = None  # `limits` has the number, and says how to lift it


@dataclass(frozen=True)
class PictureSettings:
    """What is made of each clip.

    Attributes:
        size: pixels of both sides.
        length: frames that are stored; training samples from them.
        align: `none` (short side resized, centre cropped, as the paper does with the cropped
            versions of the sets) or `mesh` (by the eyes' landmarks), see `align.find_eyes`.
        margin: share of an aligned crop left around the face.
        grey: colour taken away (three equal channels).
        stabilise: rigid head motion taken out.
    """

    size: int = 224
    length: int = 32
    align: str = "none"
    margin: float = 0.15
    grey: bool = False
    stabilise: bool = False

    def check(self) -> None:
        """Raise ValueError for values that make no clip."""
        if self.size < 8 or self.length < 1:
            raise ValueError(f"size {self.size} and frames {self.length}: at least 8 and 1")
        check_limits(f"{self.length} frames", clip_pixels=self.length * self.size**2)
        if not -0.5 < self.margin < 0.45:
            raise ValueError(f"margin is {self.margin}; it must lie between -0.5 and 0.45")
        align.check_method(self.align)


def read_picture(path: Path, bits: int | None = None) -> np.ndarray:
    """Read one picture.

    Grey becomes three equal channels, transparency is dropped, and of more than 8 bits the upper 8
    that are in use are taken.

    Args:
        path: the file.
        bits: how many are in use, see `used_bits`; None asks this picture. All frames of a clip
            need the same, so that no flicker comes in.

    Returns:
        RGB uint8 (H, W, 3), turned upright as the file says.

    Raises:
        ValueError: for a damaged or cut-off file, several pictures in one file, values that are no
            shades, or a picture larger than a limit.
    """
    bits = used_bits([path]) if bits is None else bits
    with _decoding(path) as file:
        deep = _deep_values(file, path)
        if deep is None:
            return np.array(ImageOps.exif_transpose(file).convert("RGB"))
    scaled = (255 * deep).round() if bits == SHARES else deep / 2.0 ** (bits - 8)
    shades = scaled.clip(0, 255).astype(np.uint8)
    return shades if shades.ndim == 3 else np.repeat(shades[..., None], 3, axis=2)


def used_bits(files: Iterable[Path]) -> int:
    """The least number of bits that holds all values of some pictures: 8, or 12 in a file of 16.

    SHARES where they are floats from 0 to 1. Pictures of the usual 8 bits are not decoded.
    """
    are_floats, largest = True, -1.0
    for path in files:
        with _decoding(path) as file:
            deep = _deep_values(file, path)
        if deep is not None:
            are_floats &= deep.dtype.kind == "f"
            largest = max(largest, float(deep.max()))
    if are_floats and 0 <= largest <= 1:
        return SHARES
    return next((bits for bits in _DEPTHS if largest < 2**bits), _DEPTHS[-1])


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[ImageFile.ImageFile]:
    """An opened picture of a sound size; whatever its decoder says becomes one ValueError."""
    try:
        with Image.open(path, formats=_FORMATS) as file:
            check_size(*file.size, path.name)
            pictures = getattr(file, "n_frames", 1)
            if pictures > 1 and file.format != "MPO":  # of a telephone
                raise ValueError(f"{path.name}: holds {pictures} pictures; save each alone")
            yield file
    except Exception as problem:  # whatever a damaged file provokes in the decoders
        why = str(problem) or type(problem).__name__
        if why.startswith(f"{path.name}: "):
            raise
        line = f"{path.name} cannot be read as a picture ({why}); copy it again"
        raise ValueError(line) from problem


def _deep_values(file: ImageFile.ImageFile, path: Path) -> np.ndarray | None:
    """Values (H, W) or (H, W, 3) of a picture of more than 8 bits, None for a usual one.

    Pillow keeps the upper 8 of 16 bits of a coloured picture, in use or not; OpenCV reads all.
    """
    if file.mode[0] in "IF":
        values = np.asarray(ImageOps.exif_transpose(file))
    elif any(";16" in str(tile) for tile in file.tile):
        raw = np.frombuffer(path.read_bytes(), np.uint8)
        read = cv2.imdecode(raw, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if read is None or read.dtype != np.uint16:
            raise ValueError(f"{path.name}: 16 bits of an unknown kind; save it with 8 bits")
        values = read[..., ::-1]
    else:
        return None
    if not np.isfinite(values).all() or values.min() < 0 or values.max() >= 2 ** _DEPTHS[-1]:
        raise ValueError(f"{path.name}: holds values that are no shades; save it with 8 bits")
    return values


class Pictures(NamedTuple):
    """What was read of a clip."""

    frames: list[np.ndarray]  # RGB uint8 (H, W, 3), all of one size
    note: str  # how they were made 8-bit, "" if they were


def read_pictures(chosen: ChosenFrames) -> Pictures:
    """Read the pictures of one clip.

    Raises:
        ValueError: for frames that cannot be read or differ in size.
    """
    bits = 8
    if chosen.positions:
        pictures = frames_at(chosen.files[0], chosen.positions)
    else:
        files = dict.fromkeys(chosen.files)
        bits, by_file = used_bits(files), {}
        for path in files:
            by_file[path] = read_picture(path, bits)
            check_limits(path.name, clip_pixels=by_file[path].size // 3 * len(files))
        pictures = [by_file[path] for path in chosen.files]
    shapes = {picture.shape[:2] for picture in pictures}
    if len(shapes) > 1:
        sizes = " and ".join(f"{wide} x {high}" for high, wide in sorted(shapes)[:2])
        raise ValueError(f"frames differ in size ({sizes} pixels); copy them again")
    kind = "shares from 0 to 1" if bits == SHARES else f"values of {bits} bits"
    return Pictures(pictures, "" if bits == 8 else f"pictures with {kind}, scaled to 8 bits")


def crop_pictures(pictures: list[np.ndarray], settings: PictureSettings) -> tuple[np.ndarray, str]:
    """Crop, align and stabilise the pictures of one clip, as the settings say.

    With alignment all frames get the same similarity transform, found on the first; with
    `stabilise` it is joined with each frame's rigid motion, so pixels are interpolated once.

    Args:
        pictures: RGB uint8 (H, W, 3), all of one size, the onset first.
        settings: `length` is not looked at.

    Returns:
        The clip (len(pictures), size, size, 3) uint8, and a note, "" if there is nothing to say.

    Raises:
        ValueError: where no face is found on the first picture.
    """
    size, note = settings.size, ""
    if settings.align == "none":
        pictures, matrix = [crop_centre(picture, size) for picture in pictures], np.eye(2, 3)
    else:
        matrix = align.similarity_transform(align.find_eyes(pictures[0]), size, settings.margin)
    clip = np.stack([align.warp(picture, matrix, size) for picture in pictures])
    if settings.stabilise:
        try:
            mask = align.still_mask(align.find_face(clip[0]), size)
        except ValueError:
            mask, note = None, "stabilised by the whole picture: no landmarks"
        motions, failed = align.rigid_motion(list(clip), mask)
        whole = np.vstack([matrix, [0, 0, 1]])
        steps = [(np.linalg.inv(motion) @ whole)[:2] for motion in motions]
        clip = np.stack([align.warp(p, m, size) for p, m in zip(pictures, steps, strict=True)])
        note = f"{failed} of {len(clip)} frames not stabilised" if failed else note
    if settings.grey:
        grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip])
        clip = np.repeat(grey[..., None], 3, axis=3)
    return clip, note


def crop_centre(picture: np.ndarray, size: int) -> np.ndarray:
    """Short side resized (bilinear, as in the paper), centre cropped: (size, size, 3)."""
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    wide, high = max(size, round(width * scale)), max(size, round(height * scale))
    picture = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_LINEAR)
    top, left = (high - size) // 2, (wide - size) // 2
    return picture[top : top + size, left : left + size]
