"""Faces to a fixed place: one similarity transform for a whole clip.

The eyes are found on the onset frame alone, and every frame of the clip is moved by the same
rotation, scale and shift. A transform per frame would turn the detector's jitter into motion,
which is as large as a micro-expression. `stabilise` goes further and takes out rigid motion of
the head against the onset frame (ECC; Evangelidis and Psarakis, IEEE TPAMI 2008).
"""

import itertools
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

METHODS = ("none", "opencv", "mediapipe")
_SIDE = 640  # pixels of the square picture that the detector sees
_FACE = 300  # pixels of the face in which eyes are looked for
_LOOKS = 3  # looks at a face, each at the eyes that the one before found
_CLOSE = 0.34  # margin around the face from the second look on: eyes 102 pixels apart
_ECC_STEPS, _ECC_CHANGE, _ECC_BLUR = 100, 1e-5, 5
_LARGEST_SHIFT = 0.1  # of the picture; ECC that moves a face further has gone astray


def find_eyes(picture: np.ndarray, method: str, model: str = "") -> np.ndarray:
    """Find the centres of both eyes of the largest face.

    Args:
        picture: RGB uint8 (H, W, 3).
        method: `opencv` uses the Haar cascades that come with the package, `mediapipe` the
            FaceLandmarker file `model`.
        model: MediaPipe's model file.

    Returns:
        (2, 2) as x and y in pixels, the eye on the left of the picture first.

    Raises:
        ValueError: where no face is found.
    """
    return _eyes_mediapipe(picture, model) if method == "mediapipe" else _eyes_opencv(picture)


def _eyes_opencv(picture: np.ndarray) -> np.ndarray:
    """Find the face in the whole picture, then look again at it upright and at one size.

    The cascades know upright faces only, so the picture is turned where none is found.
    """
    height, width = picture.shape[:2]
    for degrees in (0, -15, 15, -30, 30):
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        scale = _SIDE / (1.5 * max(height, width))  # room around faces that fill the picture
        matrix[:, 2] += _SIDE / 2 / scale - np.array([width, height]) / 2
        eyes = _detect(picture, scale * matrix)
        if eyes is not None:
            break
    else:
        raise ValueError("no face found on the onset frame")
    for _ in range(_LOOKS - 1):
        again = _detect(picture, similarity_transform(eyes, _SIDE, _CLOSE))
        eyes = eyes if again is None else again
    return eyes


def _detect(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray | None:
    """Eyes of the largest face in the picture moved by `matrix`, in the picture's pixels."""
    square = cv2.warpAffine(picture, matrix, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(square, cv2.COLOR_RGB2GRAY)
    faces = _cascade("frontalface_alt2").detectMultiScale(grey, 1.05, 3, minSize=(60, 60))
    for left, top, side, _ in sorted(faces, key=lambda face: -face[2]):
        upper = grey[top : top + 6 * side // 10, left : left + side]
        zoom = _FACE / side
        upper = cv2.resize(upper, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        boxes = _cascade("eye").detectMultiScale(upper, 1.03, 3, minSize=(_FACE // 8, _FACE // 8))
        eyes = _likeliest_pair(np.array(boxes, float).reshape(-1, 4))
        if eyes is not None:
            back = cv2.invertAffineTransform(matrix)
            return (eyes / zoom + (left, top)) @ back[:, :2].T + back[:, 2]
    return None


def _likeliest_pair(boxes: np.ndarray) -> np.ndarray | None:
    """Centres of the two boxes (x, y, width, height) that lie most like eyes in a face, or None."""
    centres, widths = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2]
    best, least = None, np.inf
    for i, j in itertools.permutations(range(len(boxes)), 2):
        apart, lower = (centres[j] - centres[i]) / _FACE
        if 0.25 < apart < 0.6 and abs(lower) < 0.15:
            aside = abs(centres[[i, j], 0].mean() / _FACE - 0.5)
            cost = aside + abs(lower) + abs(widths[j] - widths[i]) / _FACE
            if cost < least:
                best, least = centres[[i, j]], cost
    return best


@lru_cache(maxsize=2)
def _cascade(name: str) -> cv2.CascadeClassifier:
    folder = cv2.data.haarcascades  # type: ignore[attr-defined]  # OpenCV's stubs lack it
    return cv2.CascadeClassifier(f"{folder}haarcascade_{name}.xml")


def check_method(method: str, model: str = "") -> None:
    """Raise ValueError unless the method is known and what it needs is there."""
    if method not in METHODS:
        raise ValueError(f"align is {method!r}; choose one of {', '.join(METHODS)}")
    if method == "mediapipe":
        _landmarker(model)


@lru_cache(maxsize=1)
def _landmarker(model: str):
    """MediaPipe and a landmarker with the student's model file."""
    if not model or not Path(model).is_file():
        raise ValueError(
            f"align mediapipe: no landmark model {model!r}; download `face_landmarker.task` from "
            "MediaPipe's pages and name it with --landmark-model"
        )
    try:
        import mediapipe
    except ImportError:
        why = "align mediapipe: not installed; `pip install mediapipe`, or use --align opencv"
        raise ValueError(why) from None
    return mediapipe, mediapipe.tasks.vision.FaceLandmarker.create_from_model_path(model)


def _eyes_mediapipe(picture: np.ndarray, model: str) -> np.ndarray:
    """An eye is the middle of its two corners, which do not move with the gaze."""
    mediapipe, landmarker = _landmarker(model)
    data = np.ascontiguousarray(picture)
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
    faces = landmarker.detect(image).face_landmarks
    if not faces:
        raise ValueError("no face found on the onset frame")
    corners = [[(faces[0][k].x, faces[0][k].y) for k in pair] for pair in ((33, 133), (362, 263))]
    return np.mean(corners, axis=1) * picture.shape[1::-1]


def eye_places(size: int, margin: float) -> np.ndarray:
    """Where the eyes come to lie in a crop.

    Args:
        size: pixels of both sides of the crop.
        margin: share of the crop left free on each side: 0 cuts at brows' ends and below the lip,
            0.15 shows the face from hair line to chin.

    Returns:
        (2, 2) as x and y in pixels.
    """
    return size * (0.5 + (1 - 2 * margin) * np.array([[-0.25, -0.2], [0.25, -0.2]]))


def similarity_transform(eyes: np.ndarray, size: int, margin: float) -> np.ndarray:
    """The rotation, scale and shift (2, 3) that put the eyes at `eye_places`.

    In complex numbers a similarity is z -> a z + b, and two points fix a and b.
    """
    (p, q), (u, v) = (np.array(points) @ (1, 1j) for points in (eyes, eye_places(size, margin)))
    a = (v - u) / (q - p)
    b = u - a * p
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def warp(picture: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The picture moved by `matrix` (2, 3) and cut to (size, size); edges are repeated.

    A picture that shrinks to less than half is drawn larger first and averaged, so that fine
    texture does not flicker.
    """
    times = max(1, round(1 / np.hypot(matrix[0, 0], matrix[1, 0])))
    larger = times * matrix + [[0, 0, (times - 1) / 2]] * 2
    shape = (size * times, size * times)
    moved = cv2.warpAffine(picture, larger, shape, borderMode=cv2.BORDER_REPLICATE)
    return moved if times == 1 else cv2.resize(moved, (size, size), interpolation=cv2.INTER_AREA)


def rigid_motion(crops: list[np.ndarray]) -> tuple[list[np.ndarray], int]:
    """Estimate the head's rigid motion since the first crop.

    Args:
        crops: RGB uint8 (S, S, 3).

    Returns:
        Per crop the motion (3, 3) from the first crop to it, and for how many ECC failed (no
        convergence, or a tenth of the picture away); these get the identity.
    """
    first, *others = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops]
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ECC_STEPS, _ECC_CHANGE)
    corners = np.array([[0, len(first)], [0, len(first)], [1, 1]])
    motions, failed = [np.eye(3)], 0
    for other in others:
        motion: np.ndarray = np.eye(2, 3, dtype=np.float32)
        try:
            cv2.findTransformECC(  # type: ignore[call-overload]  # the stubs refuse "no mask"
                first, other, motion, cv2.MOTION_EUCLIDEAN, stop, None, _ECC_BLUR
            )
        except cv2.error:
            motion = np.full((2, 3), np.nan, np.float32)
        shift = np.abs(motion @ corners - corners[:2]).max()
        if not shift <= _LARGEST_SHIFT * len(first):  # so that NaN fails as well
            motion, failed = np.eye(2, 3), failed + 1
        motions.append(np.vstack([motion, [0, 0, 1]]))
    return motions, failed
