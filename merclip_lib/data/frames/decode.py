"""A clip's files to its pixels: pictures decoded, cropped, aligned, the same way for all frames."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from merclip_lib.data.frames import align
from merclip_lib.data.frames.find import ChosenFrames


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
        if not -0.5 < self.margin < 0.45:
            raise ValueError(f"margin is {self.margin}; it must lie between -0.5 and 0.45")
        align.check_method(self.align)


def read_picture(path: Path) -> np.ndarray:
    """Read one picture.

    Grey becomes three equal channels, transparency is dropped, and of 16 bits the upper 8 are
    taken: the same rule for all frames, so no flicker comes in.

    Returns:
        RGB uint8 (H, W, 3), turned upright as the file says.

    Raises:
        ValueError: for a damaged or cut-off file.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):
                grey = (np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(picture.convert("RGB"))
    except Exception as problem:  # whatever a damaged file provokes in the decoders
        raise ValueError(
            f"{path.name} cannot be read as a picture ({str(problem) or type(problem).__name__}); "
            "copy it again"
        ) from problem


def read_video(path: Path, positions: tuple[int, ...]) -> list[np.ndarray]:
    """Read the frames at `positions` (0 the first) of a video, each RGB uint8 (H, W, 3).

    Raises:
        ValueError: if it ends before the last of them.
    """
    wanted = set(positions)
    frames: dict[int, np.ndarray] = {}
    video = cv2.VideoCapture(str(path))
    for position in range(max(positions) + 1):
        if not video.grab():
            break
        if position in wanted:
            frames[position] = cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
    video.release()
    if len(frames) < len(wanted):
        raise ValueError(f"{path.name} ends before frame {max(positions) + 1}; copy it again")
    return [frames[position] for position in positions]


def read_pictures(chosen: ChosenFrames) -> list[np.ndarray]:
    """Read the pictures of one clip, RGB uint8 (H, W, 3), all of one size.

    Raises:
        ValueError: for frames that cannot be read or differ in size.
    """
    if chosen.positions:
        pictures = read_video(chosen.files[0], chosen.positions)
    else:
        by_file = {path: read_picture(path) for path in dict.fromkeys(chosen.files)}
        pictures = [by_file[path] for path in chosen.files]
    shapes = {picture.shape[:2] for picture in pictures}
    if len(shapes) > 1:
        sizes = " and ".join(f"{wide} x {high}" for high, wide in sorted(shapes)[:2])
        raise ValueError(f"frames differ in size ({sizes} pixels); copy them again")
    return pictures


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
        clip = np.stack(pictures)
    else:
        eyes = align.find_eyes(pictures[0])
        matrix = align.similarity_transform(eyes, size, settings.margin)
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
