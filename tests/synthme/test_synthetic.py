"""SynthME: the same bytes from the same seed, and a truth that says what the pictures show."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from merclip_lib.synthme.draw import draw_clip, draw_expression, draw_population, render_face
from merclip_lib.synthme.plan import plan_population
from merclip_lib.synthme.populations import EXAMPLE, STARTS, population_hash
from merclip_lib.text.facs import swap_sides

ROOT = Path(__file__).resolve().parents[2]
TINY = replace(EXAMPLE, people=2, clips=8, size=32, frames=4)


def show(action_units, person=0, people=EXAMPLE):
    """Frames and motion of units at intensity 1."""
    row = {
        "subject": f"{people.seed}p{person + 1:03d}",
        "clip": "c01",
        "onset": 0,
        "apex": 20,
        "offset": 40,
        "session": 0,
        "shortcut": -1,
        "intensities": ";".join(f"{unit}:1.0" for unit in action_units.split("+")),
    }
    return draw_clip(replace(people, frames=5), row)


def at_apex(action_units, subject=0):
    motion = show(action_units, subject)[1]
    return motion[np.abs(motion).sum((1, 2, 3)).argmax()]


def test_same_bytes_again_and_with_two_processes(tmp_path):
    stores = [draw_population(TINY, tmp_path / f"{i}", w) for i, w in enumerate((1, 1, 2))]
    for other in stores[1:]:
        assert np.array_equal(stores[0].frames, other.frames)
        assert np.array_equal(stores[0].motion, other.motion)
    assert stores[0].frames.shape == (8, 4, 32, 32, 3)
    assert stores[0].meta["hash"] == population_hash(TINY)


def test_draws_again_only_when_the_set_changes(tmp_path, monkeypatch):
    one = replace(TINY, people=1, clips=1)
    draw_population(one, tmp_path / "set", workers=1)
    before = (tmp_path / "set" / "clips.npy").stat().st_mtime_ns
    draw_population(one, tmp_path / "set", workers=1)
    assert (tmp_path / "set" / "clips.npy").stat().st_mtime_ns == before
    other = replace(one, seed=one.seed + 1)
    store = draw_population(other, tmp_path / "set", workers=1)
    assert store.meta["hash"] == population_hash(other) != population_hash(one)
    assert not np.array_equal(
        store.frames, draw_population(one, tmp_path / "again", workers=1).frames
    )


def test_a_clip_does_not_depend_on_what_was_drawn_before():
    rows = plan_population(TINY).to_dict("records")
    alone = draw_clip(TINY, rows[5])[0]
    draw_clip(TINY, rows[0])
    assert np.array_equal(alone, draw_clip(TINY, rows[5])[0])


def test_strengths_belong_to_what_was_shown():
    for people in (EXAMPLE, replace(STARTS["motion"], people=20, clips=100)):
        low, high = (0.15, 0.45) if people is EXAMPLE else (0.15, 1.0)
        for row in plan_population(people).itertuples():
            items = [item.split(":") for item in row.intensities.split(";")]
            assert "+".join(code for code, _ in items) == row.true_action_units
            assert all(low <= float(value) <= high for _, value in items)


def test_motion_is_zero_at_onset_and_grows_to_the_apex():
    motion = show("4+12")[1]
    size = np.abs(motion).sum((1, 2, 3))
    assert size[0] == 0 and size.argmax() == 2 and size[2] > size[1] > 0 and size[2] > size[4]


@pytest.mark.parametrize(
    "unit, rows, down",
    [
        ("1", (1, 3), -1),
        ("2", (1, 3), -1),
        ("4", (2, 3), 1),
        ("6", (3, 5), -1),
        ("9", (3, 5), -1),
        ("12", (4, 7), -1),
        ("15", (5, 7), 1),
        ("17", (6, 8), -1),
        ("26", (6, 8), 1),
    ],
)
def test_units_move_their_own_region(unit, rows, down):
    motion = at_apex(unit)
    row = np.unravel_index(np.abs(motion[..., 1]).argmax(), (8, 8))[0]
    strongest = motion[..., 1].flat[np.abs(motion[..., 1]).argmax()]
    assert rows[0] <= row < rows[1] and np.sign(strongest) == down
    assert 0.01 < np.abs(motion).max() < 0.10
    far = np.delete(motion, np.arange(max(0, row - 3), min(8, row + 4)), axis=0)
    assert np.abs(far).max(initial=0) < 0.1 * np.abs(motion).max()


@pytest.mark.parametrize("unit", [1, 2, 4, 6, 7, 9, 10, 12, 14, 15])
def test_one_sided_units_move_one_side_of_the_picture(unit):
    left, right, both = (at_apex(code + str(unit)) for code in ("L", "R", ""))
    energy = np.abs(left).sum((0, 2))
    assert energy[:4].sum() > 3 * energy[4:].sum()
    np.testing.assert_allclose(left + right, both, atol=1e-6)


def test_left_and_right_mirror_each_other():
    left, right = at_apex("L12"), at_apex("R12")
    mirrored = right[:, ::-1] * (-1, 1)
    assert np.corrcoef(left.ravel(), mirrored.ravel())[0, 1] > 0.93
    assert swap_sides("L12") == "R12"


def test_pictures_change_where_the_truth_says():
    frames, _ = show("L12")
    change = np.abs(frames[2].astype(float) - frames[0]).sum(2).reshape(8, 8, 8, 8).mean((1, 3))
    change -= np.median(change)  # head drift and noise are everywhere
    assert change[4:, :4].sum() > 1.5 * change[4:, 4:].sum()


@pytest.mark.parametrize("unit", ["1", "2", "4"])
def test_movements_far_below_a_pixel_are_drawn(unit):
    """`cv2.remap` of OpenCV 4 would round them away."""
    frames = draw_expression(1, unit, 0.002, size=64, frames=5, nuisance=False)
    assert (frames[2] != frames[0]).sum() > 20


def test_expression_of_a_named_subject():
    frames = draw_expression(1, "4+R12", 0.8, size=48, frames=5, nuisance=False)
    assert frames.shape == (5, 48, 48, 3) and frames.dtype == np.uint8
    assert np.array_equal(frames[0], render_face(1, 48))
    assert np.abs(frames[2].astype(int) - frames[0]).max() > 20
    with pytest.raises(ValueError, match="cannot show"):
        draw_expression(1, "4+28")
    for nothing in ("", " "):
        with pytest.raises(ValueError, match="no action unit"):
            draw_expression(0, nothing)


def test_every_field_changes_the_hash():
    values = {"seed": 1, "people": 4, "clips": 9, "size": 32, "dependence": 0.5, "masked": True}
    changed = [replace(EXAMPLE, **{name: value}) for name, value in values.items()]
    assert len({population_hash(people) for people in [EXAMPLE, *changed]}) == 7


def test_committed_table_is_the_plan_of_the_example():
    from merclip_lib.data.table import check_table, read_table

    committed = read_table(ROOT / "data_manifests" / "synthme.csv")
    plan = check_table(plan_population(EXAMPLE))
    assert committed["clip_id"].tolist() == plan["clip_id"].tolist()
    for column in ("subject", "action_units", "emotion", "true_emotion", "onset", "offset"):
        assert committed[column].tolist() == plan[column].tolist(), column
