"""Flow, spotting and magnification against motion that is known."""

import cv2
import numpy as np
import pytest

from merclip_lib.data.frames import mesh
from merclip_lib.look import face, flow, magnification, spotting
from merclip_lib.look.flow import REGIONS, Motion
from merclip_lib.look.long_video import LongVideo, draw_long
from merclip_lib.look.video import Footage
from merclip_lib.synthme.draw import draw_expression


def footage_of(frames, fps=50, cropped=True):
    return Footage("clip", iter([(k / fps, frame) for k, frame in enumerate(frames)]), cropped)


@pytest.fixture(scope="module")
def smile():
    """A drawn left smile, aligned, and its motion."""
    aligned = face.align_footage(footage_of(draw_expression(0, "L12", 0.15, 160, 12)))
    return aligned, flow.measure(aligned)


def test_the_region_that_moves_is_found_on_its_side(smile):
    strength = smile[1].strength.max(0)
    assert REGIONS[strength.argmax()] == "left lip corner"
    other = strength[REGIONS.index("right lip corner")]
    assert strength.max() > 3 * other


def test_a_smile_goes_up_and_out(smile):
    motion = smile[1]
    x, y = motion.regions[:, REGIONS.index("left lip corner")][6]
    assert x < -0.005 and y < -0.005  # left in the picture, and up


def test_a_head_that_moves_is_no_expression():
    picture = draw_expression(3, "4", 0.0, 160, 1, nuisance=False)[0]
    shaken = [picture]
    for k in range(1, 8):
        matrix = cv2.getRotationMatrix2D((80, 90), 0.4 * k, 1 + 0.002 * k)
        matrix[:, 2] += 0.5 * k, -0.3 * k
        size = (160, 160)
        shaken.append(cv2.warpAffine(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE))
    motion = flow.measure(face.align_footage(footage_of(shaken)))
    assert motion.strength.max() < 0.01
    assert spotting.spot(motion) == []


def test_without_landmarks_regions_stand_where_a_cropped_face_has_them(smile, monkeypatch):
    def missing(name):
        raise ValueError(mesh.MISSING)

    aligned = smile[0]
    monkeypatch.setattr(mesh, "_net", missing)
    plain = face.align_footage(footage_of(draw_expression(0, "L12", 0.15, 160, 12)))
    assert plain.marks is None
    apart = flow.region_middles(plain) - flow.region_middles(aligned)
    assert np.linalg.norm(apart, axis=1).max() < 0.3 * aligned.eye_distance
    assert REGIONS[flow.measure(plain).strength.max(0).argmax()] == "left lip corner"
    with pytest.raises(ValueError, match="pip install --no-deps"):
        face.align_footage(footage_of([], cropped=False))


def test_magnified_motion_is_larger(smile):
    """The flow of the magnified clip is about as many times as large as it should be."""
    aligned, motion = smile
    shown = np.arange(12)
    larger = magnification.magnify(aligned, motion, shown, 0, 3.0)
    same = magnification.magnify(aligned, motion, shown, 0, 1.0)
    assert np.abs(same.astype(int) - aligned.frames).max() <= 1
    again = flow.measure(face.Aligned(larger, aligned.times, aligned.eyes, aligned.marks, 1.0, ()))
    corner = REGIONS.index("left lip corner")
    assert 2 < again.strength[6, corner] / motion.strength[6, corner] < 4


def made_up(*bumps, seconds=4.0, fps=50, noise=0.0002):
    """A motion whose left brow follows raised cosines (onset, apex, offset, height)."""
    times = np.arange(round(seconds * fps)) / fps
    regions = np.random.default_rng(0).normal(0, noise, (len(times), len(REGIONS), 2))
    for onset, apex, offset, height in bumps:
        rise = np.clip((times - onset) / (apex - onset), 0, 1)
        fall = np.clip((times - apex) / (offset - apex), 0, 1)
        course = np.where(times < apex, 1 - np.cos(np.pi * rise), 1 + np.cos(np.pi * fall)) / 2
        for name in ("left brow, inner", "left brow, outer", "left cheek"):
            regions[:, REGIONS.index(name), 1] -= height * course
    return Motion(np.zeros((len(times), 1, 1, 2)), regions, times, 60.0)


def test_expressions_of_a_made_up_motion_are_spotted():
    true = [(0.6, 0.8, 0.95, 0.02), (2.4, 2.5, 2.8, 0.03)]
    found = sorted(spotting.spot(made_up(*true)), key=lambda i: i.onset)
    assert len(found) == 2
    for interval, (onset, apex, offset, _) in zip(found, true, strict=True):
        assert abs(interval.apex - apex) <= 0.04 and interval.micro
        assert spotting.overlap((interval.onset, interval.offset), (onset, offset)) > 0.6
        assert interval.confidence > 0.5 and interval.region.startswith("left")
    assert spotting.spot(made_up(*true))[0].strength == max(i.strength for i in found)


def test_a_face_at_rest_and_a_slow_drift_are_no_expressions():
    assert spotting.spot(made_up()) == []
    drift = made_up(seconds=4.0)
    drift.regions[..., 0] += 0.02 * drift.times[:, None]
    assert spotting.spot(drift) == []


def test_score_counts_each_expression_once():
    def at(onset, offset):
        return spotting.Interval(onset, (onset + offset) / 2, offset, 0.02, 0.7, "chin")

    proposals = [[at(1.0, 1.4), at(1.05, 1.45), at(3.0, 3.1)], []]
    truths = [[(1.0, 1.25, 1.4), (3.0, 3.2, 3.4)], [(0.5, 0.6, 0.8)]]
    score = spotting.score_spotting(proposals, truths)
    assert (score.right, score.proposed, score.true) == (1, 3, 3)
    assert score.f1 == pytest.approx(2 / 6) and score.apex_errors == pytest.approx((0.05,))
    assert spotting.overlap((0, 1), (2, 3)) == 0 and spotting.overlap((0, 2), (1, 3)) == 1 / 3


def test_a_video_that_is_too_short_for_its_expressions():
    with pytest.raises(ValueError, match="3 expressions need more than 1.0 seconds"):
        draw_long(LongVideo(seconds=1.0))


def test_a_long_video_comes_back_to_rest_and_is_spotted():
    video = LongVideo(seconds=2.0, expressions=1, fps=40, intensity=(0.5, 0.5), seed=3)
    footage, ((onset, apex, offset),) = draw_long(video)
    frames = [frame.astype(float) for _, frame in footage.frames]
    assert len(frames) == 80
    footage, _ = draw_long(video)
    motion = flow.measure(face.align_footage(footage))
    (found,) = spotting.spot(motion)
    assert abs(found.apex - apex) < 0.06
    assert spotting.overlap((found.onset, found.offset), (onset, offset)) > 0.5
