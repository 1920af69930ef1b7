"""Alignment puts the eyes in fixed places, by one transform a clip, and invents no motion."""

import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merclip_lib.data.frames import align
from merclip_lib.data.frames.decode import PictureSettings, crop_pictures
from merclip_lib.synthme.draw import render_face

SIZE, MARGIN = 96, 0.15


@pytest.fixture(scope="module")
def face():
    """A drawn face in the middle of a wide room, its eyes at about (202, 159) and (257, 159)."""
    room = np.full((320, 460, 3), 90, np.uint8)
    room[80:240, 150:310] = render_face(0, 160)
    return room


def turned(picture, degrees, scale=1.0):
    """The picture turned and scaled about its middle, and the matrix that did it."""
    matrix = cv2.getRotationMatrix2D((230, 160), degrees, scale)
    return cv2.warpAffine(picture, matrix, picture.shape[1::-1], borderValue=(90, 90, 90)), matrix


@given(
    st.complex_numbers(min_magnitude=5, max_magnitude=500),
    st.complex_numbers(max_magnitude=2000),
    st.integers(32, 256),
    st.floats(-0.1, 0.4),
)
def test_similarity_maps_the_eyes_to_their_places(between, left, size, margin):
    eyes = np.array([[z.real, z.imag] for z in (left, left + between)])
    matrix = align.similarity_transform(eyes, size, margin)
    moved = eyes @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(moved, align.eye_places(size, margin), atol=1e-6 * size)
    turn = matrix[:, :2] @ matrix[:, :2].T  # rotation times scale: no shear
    np.testing.assert_allclose(turn, turn[0, 0] * np.eye(2), atol=1e-9 * turn[0, 0])
    assert np.linalg.det(matrix[:, :2]) > 0  # no mirror


@pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (12, 1.0), (-15, 1.4), (5, 0.5)])
def test_eyes_of_a_drawn_face_are_found_wherever_they_are(face, degrees, scale):
    eyes = align.find_eyes(face, "opencv")
    picture, matrix = turned(face, degrees, scale)
    expected = eyes @ matrix[:, :2].T + matrix[:, 2]
    apart = np.linalg.norm(expected[1] - expected[0])
    found = align.find_eyes(picture, "opencv")
    assert np.linalg.norm(found - expected, axis=1).max() < 0.12 * apart


def test_faces_that_fill_the_picture_or_are_grey_are_found():
    for picture in (render_face(1, 64), render_face(2, 200)):
        grey = np.repeat(picture.mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
        for shown in (picture, grey):
            eyes = align.find_eyes(shown, "opencv") / len(shown)
            np.testing.assert_allclose(eyes, [[0.33, 0.4], [0.66, 0.4]], atol=0.05)


def test_turned_faces_come_out_alike(face):
    settings = PictureSettings(size=SIZE, length=1, align="opencv")
    straight = crop_pictures([face], settings)[0][0].astype(float)
    for degrees, scale in ((10, 1.2), (-10, 0.8)):
        other = crop_pictures([turned(face, degrees, scale)[0]], settings)[0][0].astype(float)
        assert np.corrcoef(straight.ravel(), other.ravel())[0, 1] > 0.9
        untouched = crop_pictures(
            [turned(face, degrees, scale)[0]], PictureSettings(size=SIZE, length=1)
        )[0][0]
        assert np.corrcoef(straight.ravel(), untouched.ravel())[0, 1] < 0.8


def test_a_still_clip_stays_still_and_motion_is_moved_along(face):
    settings = PictureSettings(size=SIZE, length=4, align="opencv")
    clip, note = crop_pictures([face] * 4, settings)
    assert note == "" and all(np.array_equal(clip[0], frame) for frame in clip)
    # A later spot is drawn where the transform of the onset puts it, and nothing else moves.
    spotted = face.copy()
    spotted[200:206, 225:231] = 255
    moved = crop_pictures([face, spotted], settings)[0].astype(int)
    changed = np.abs(moved[1] - moved[0]).max(2) > 8
    matrix = align.similarity_transform(align.find_eyes(face, "opencv"), SIZE, MARGIN)
    x, y = matrix @ (227.5, 202.5, 1)
    rows, columns = changed.nonzero()
    assert abs(columns.mean() - x) < 1 and abs(rows.mean() - y) < 1
    assert np.ptp(columns) < 16 and np.ptp(rows) < 16


def test_no_face(face):
    with pytest.raises(ValueError, match="no face found on the onset frame"):
        crop_pictures([np.full_like(face, 128)], PictureSettings(align="opencv"))


def test_a_picture_that_shrinks_is_averaged():
    """Stripes of one pixel: their mean, whatever the phase (plain sampling gives 0 or 255)."""
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    for shift in (0.0, 0.5, 1.0):
        small = align.warp(stripes, np.array([[0.1, 0, shift], [0, 0.1, 0]]), 32)
        assert np.abs(small[4:-4, 4:-4].astype(int) - 127).max() < 30


def shaken(seed=3, frames=5):
    """A clip whose head alone moves, rigidly, by up to 3 pixels; borders are cut away."""
    picture = render_face(seed, 160)
    rng = np.random.default_rng(seed)
    clip = [picture]
    for _ in range(frames - 1):
        matrix = cv2.getRotationMatrix2D((80, 80), rng.uniform(-1.5, 1.5), 1)
        matrix[:, 2] += rng.uniform(-3, 3, 2)
        clip.append(cv2.warpAffine(picture, matrix, (160, 160), borderMode=cv2.BORDER_REPLICATE))
    return clip


@pytest.mark.parametrize("method", ["none", "opencv"])
def test_stabilising_takes_head_motion_out(method):
    left = {}
    for stabilise in (False, True):
        clip, note = crop_pictures(shaken(), PictureSettings(128, 5, method, stabilise=stabilise))
        inner = clip[:, 16:-16, 16:-16].astype(float)
        left[stabilise] = np.abs(inner[1:] - inner[0]).mean()
        assert note == ""
    assert left[True] < 0.35 * left[False]


def test_stabilising_gives_up_where_nothing_fits():
    """Noise against noise does not converge: the frame is kept as it is, and the note says so."""
    rng = np.random.default_rng(0)
    clip = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(3)]
    stabilised, note = crop_pictures(
        [clip[0], clip[0], *clip[1:]], PictureSettings(64, 4, stabilise=True)
    )
    assert note == "2 of 4 frames not stabilised"
    assert np.array_equal(stabilised[2], clip[1]) and np.array_equal(stabilised[3], clip[2])


@pytest.fixture
def landmark_model(tmp_path):
    align._landmarker.cache_clear()
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"a stand-in")
    yield str(path)
    align._landmarker.cache_clear()


def test_mediapipe_says_what_is_missing(landmark_model, monkeypatch):
    with pytest.raises(ValueError, match="no landmark model ''.*--landmark-model"):
        PictureSettings(align="mediapipe").check()
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(ValueError, match="not installed; `pip install mediapipe`"):
        PictureSettings(align="mediapipe", landmark_model=landmark_model).check()


def test_mediapipe_is_asked_for_the_corners_of_the_eyes(face, landmark_model, monkeypatch):
    """The package is played by a stand-in that answers with landmarks at known places."""
    places = {33: (0.40, 0.5), 133: (0.46, 0.5), 362: (0.54, 0.5), 263: (0.60, 0.5)}
    marks = [
        SimpleNamespace(x=places.get(k, (0, 0))[0], y=places.get(k, (0, 0))[1]) for k in range(478)
    ]
    seen = []

    class FaceLandmarker:
        @staticmethod
        def create_from_model_path(path):
            seen.append(path)
            return SimpleNamespace(detect=lambda image: image)

    def image(image_format, data):
        seen.append((image_format, data.shape))
        return SimpleNamespace(face_landmarks=[marks] if data.any() else [])

    stand_in = SimpleNamespace(
        tasks=SimpleNamespace(vision=SimpleNamespace(FaceLandmarker=FaceLandmarker)),
        Image=image,
        ImageFormat=SimpleNamespace(SRGB="srgb"),
    )
    monkeypatch.setitem(sys.modules, "mediapipe", stand_in)
    eyes = align.find_eyes(face, "mediapipe", landmark_model)
    np.testing.assert_allclose(eyes, [[0.43 * 460, 160], [0.57 * 460, 160]])
    assert seen == [landmark_model, ("srgb", (320, 460, 3))]
    with pytest.raises(ValueError, match="no face found"):
        align.find_eyes(np.zeros_like(face), "mediapipe", landmark_model)


def test_unknown_method():
    with pytest.raises(ValueError, match="align is 'dlib'; choose one of none, opencv, mediapipe"):
        PictureSettings(align="dlib").check()
