"""Faces to a fixed place: one similarity transform for a whole clip.

The eyes are found on the onset frame alone (`mesh`), and every frame of the clip is moved by the
same rotation, scale and shift. A transform per frame would turn the detector's jitter into motion,
which is as large as a micro-expression. `stabilise` goes further and takes out rigid motion of
the head against the onset frame (ECC; Evangelidis and Psarakis, IEEE TPAMI 2008).
"""

import cv2
import numpy as np

from merclip_lib.data.frames import mesh

METHODS = ("none", "mesh")
_ECC_STEPS, _ECC_CHANGE, _ECC_BLUR = 100, 1e-5, 5
_LARGEST_SHIFT = 0.1  # of the picture; ECC that moves a face further has gone astray
_CROPPED = 0.28  # eye distance in short sides of the picture: a cropped face has more
_HEAD, _AROUND = 1.25, 1.35  # how much wider than landmarks: the head with its hair; what moves
# Landmarks of the mesh around what expressions move: brows and lids of both eyes, and the mouth.
_MOVING = (
    [70, 63, 105, 66, 107, 55, 65, 52, 53, 46, 33, 133, 145, 159],
    [300, 293, 334, 296, 336, 285, 295, 282, 283, 276, 263, 362, 374, 386],
    [61, 291, 0, 17, 37, 267, 84, 314, 40, 270, 91, 321],
)


def find_face(picture: np.ndarray) -> np.ndarray:
    """Find the landmarks of the largest face.

    Args:
        picture: RGB uint8 (H, W, 3).

    Returns:
        (468, 2) as x and y in pixels.

    Raises:
        ValueError: where no face is found, or the landmark nets are missing.
    """
    for face in mesh.find_faces(picture):
        if (marks := mesh.landmarks(picture, face)) is not None:
            return marks
    raise ValueError("no face found on the onset frame")


def eyes_of(marks: np.ndarray) -> np.ndarray:
    """Middles of both eyes (2, 2), left in the picture first, from landmarks (468, 2).

    An eye is the middle of its two corners, which do not move with the gaze.
    """
    return np.stack([marks[corners].mean(0) for corners in mesh.EYES])


def find_eyes(picture: np.ndarray) -> np.ndarray:
    """`eyes_of` the largest face of a picture; ValueError as `find_face`."""
    return eyes_of(find_face(picture))


def check_method(method: str) -> None:
    """Raise ValueError unless the method is known and what it needs is there."""
    if method not in METHODS:
        raise ValueError(f"align is {method!r}; choose one of {', '.join(METHODS)}")
    if method == "mesh":
        mesh.check()


def face_size(picture: np.ndarray) -> float:
    """Distance of the eyes in short sides of the picture; NaN where no face is seen."""
    try:
        return float(np.ptp(find_eyes(picture)[:, 0]) / min(picture.shape[:2]))
    except ValueError:  # or the landmark nets are missing
        return float("nan")


def advice(sizes: list[float], method: str) -> str:
    """Say which method fits the pictures of some clips.

    Args:
        sizes: `face_size` of their onset frames.
        method: the one that is used.

    Returns:
        A line, "" where no face is seen.
    """
    seen = [size for size in sizes if size == size]
    if not seen:
        return ""
    size = float(np.median(seen))
    fits = "none" if size > _CROPPED else "mesh"
    what = "cropped faces" if fits == "none" else "faces with much around them"
    words = "as used" if fits == method else f"not {method}"
    return f"seen: {what} (eyes {size:.0%} of the short side apart); --align {fits} fits, {words}"


def still_mask(marks: np.ndarray, size: int) -> np.ndarray:
    """Where a face moves with the head alone: the head without brows, lids and mouth.

    Args:
        marks: landmarks (468, 2) in a crop.
        size: pixels of both sides of the crop.

    Returns:
        (size, size) uint8, 1 or 0.
    """
    mask = np.zeros((size, size), np.uint8)
    moving = [(marks[group], _AROUND, 0) for group in _MOVING]
    for points, scale, value in [(marks, _HEAD, 1), *moving]:
        middle = points.mean(0)
        outline = cv2.convexHull((middle + scale * (points - middle)).astype(np.float32))
        cv2.fillConvexPoly(mask, outline.round().astype(int), value)
    return mask


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


def rigid_motion(crops: list[np.ndarray], mask: np.ndarray | None) -> tuple[list[np.ndarray], int]:
    """Estimate the head's rigid motion since the first crop.

    Args:
        crops: RGB uint8 (S, S, 3).
        mask: (S, S) uint8, what counts, see `still_mask`; with None an expression is partly
            taken for a motion of the head.

    Returns:
        Per crop the motion (3, 3) from the first crop to it, and for how many ECC failed (no
        convergence, or a tenth of the picture away); these get the identity.
    """
    estimates = [head_motion(crops[0], crop, mask) for crop in crops[1:]]
    motions = [np.eye(3), *(np.eye(3) if motion is None else motion for motion in estimates)]
    return motions, sum(motion is None for motion in estimates)


def head_motion(
    first: np.ndarray,
    other: np.ndarray,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> np.ndarray | None:
    """The rigid motion (3, 3) from one crop to another by ECC, or None where it fails.

    Args:
        first: RGB uint8 (S, S, 3).
        other: the same of a later frame.
        mask: as for `rigid_motion`.
        start: (3, 3), where the search begins; None: no motion.
    """
    grey = [cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in (first, other)]
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ECC_STEPS, _ECC_CHANGE)
    motion: np.ndarray = (np.eye(3) if start is None else start)[:2].astype(np.float32)
    try:
        cv2.findTransformECC(  # type: ignore[call-overload]  # the stubs refuse "no mask"
            *grey, motion, cv2.MOTION_EUCLIDEAN, stop, mask, _ECC_BLUR
        )
    except cv2.error:
        return None
    corners = np.array([[0, len(first)], [0, len(first)], [1, 1]])
    shift = np.abs(motion @ corners - corners[:2]).max()
    # None also where it is NaN
    return np.vstack([motion, [0, 0, 1]]) if shift <= _LARGEST_SHIFT * len(first) else None
