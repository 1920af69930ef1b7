"""LocalStaticFaceMix, flip and jitter: what they change and what they leave."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merclip_lib import augment
from merclip_lib.augment import REGIONS, MixDraw
from merclip_lib.config import SIZES, Config, stored_side

seeds = st.integers(0, 2**31)
sides = st.integers(4, 13)


def clips(seed, count=3, frames=4, height=8, width=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, frames, 3, height, width, generator=generator, dtype=torch.double)


def steps(video):
    return video[:, 1:] - video[:, :-1]


@settings(max_examples=40, deadline=None)
@given(seeds, st.sampled_from(REGIONS), st.floats(0, 1), st.booleans(), sides, sides)
def test_mix_scales_motion_inside_only(seed, region, alpha, invert, height, width):
    video = clips(seed, height=height, width=width)
    mixed = augment.local_static_face_mix(video.clone(), [MixDraw(0, 1, region)], alpha, invert)
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[augment.region_slices(region, height, width)] = True
    inside ^= invert
    before, after = steps(video[:1]), steps(mixed[:1])
    torch.testing.assert_close(after[..., inside], alpha * before[..., inside])
    assert torch.equal(mixed[0][..., ~inside], video[0][..., ~inside])
    assert torch.equal(mixed[1:], video[1:])
    blend = alpha * video[0] + (1 - alpha) * video[1, :1]
    torch.testing.assert_close(mixed[0][..., inside], blend[..., inside])


@settings(max_examples=20, deadline=None)
@given(sides, sides)
def test_regions_cover_the_face_once(height, width):
    times = torch.zeros(height, width)
    for region in REGIONS:
        times[augment.region_slices(region, height, width)] += 1
    assert (times == 1).all()


def test_chain_of_mixes_uses_faces_as_filmed():
    video = clips(0)
    draws = [MixDraw(0, 1, "chin"), MixDraw(1, 0, "chin")]
    there = augment.local_static_face_mix(video.clone(), draws)
    back = augment.local_static_face_mix(video.clone(), draws[::-1])
    assert torch.equal(there, back)


def test_unknown_region():
    with pytest.raises(ValueError, match="'nose'.*forehead"):
        augment.region_slices("nose", 8, 8)


@settings(max_examples=60, deadline=None)
@given(seeds, st.lists(st.integers(0, 3), min_size=1, max_size=8), st.floats(0, 1))
def test_drawn_face_is_another_clip_and_subject(seed, subjects, probability):
    subjects = torch.tensor(subjects)
    generator = torch.Generator().manual_seed(seed)
    draws = augment.draw_mixes(subjects, probability, generator)
    assert len({draw.clip for draw in draws}) == len(draws)
    for draw in draws:
        assert draw.face != draw.clip and draw.region in REGIONS
        stranger_there = (subjects != subjects[draw.clip]).any()
        assert not stranger_there or subjects[draw.face] != subjects[draw.clip]


def test_draws_follow_the_probability_and_reach_everything():
    generator = torch.Generator().manual_seed(0)
    subjects = torch.arange(4)
    assert augment.draw_mixes(subjects, 0.0, generator) == []
    assert len(augment.draw_mixes(subjects, 1.0, generator)) == 4
    assert augment.draw_mixes(subjects[:1], 1.0, generator) == []
    draws = [d for _ in range(500) for d in augment.draw_mixes(subjects, 0.3, generator)]
    assert len(draws) / 2000 == pytest.approx(0.3, abs=0.04)
    assert {(d.clip, d.face) for d in draws} == {
        (i, j) for i in range(4) for j in range(4) if i != j
    }
    assert {d.region for d in draws} == set(REGIONS)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.2, 1), sides)
def test_a_crop_lies_at_one_place_in_all_frames_of_a_clip(seed, share, whole):
    side = round(share * whole)
    places = torch.arange(whole * whole).view(whole, whole)
    video = places.expand(5, 4, 3, whole, whole)
    cut = augment.random_crop(video, share, torch.Generator().manual_seed(seed))
    again = augment.random_crop(video, share, torch.Generator().manual_seed(seed))
    assert cut.shape == (5, 4, 3, side, side) and torch.equal(cut, again)
    for clip in cut:
        top, left = divmod(int(clip[0, 0, 0, 0]), whole)
        wanted = places[top : top + side, left : left + side]
        assert torch.equal(clip, wanted.expand_as(clip))


def test_a_random_crop_reaches_every_place_and_a_centre_crop_one():
    places = torch.arange(49).view(7, 7)
    generator = torch.Generator().manual_seed(0)
    cut = augment.random_crop(places.expand(500, 1, 1, 7, 7), 4 / 7, generator)
    assert {divmod(corner, 7) for corner in cut[:, 0, 0, 0, 0].tolist()} == {
        (top, left) for top in range(4) for left in range(4)
    }
    assert torch.equal(augment.centre_crop(places, 4 / 7), places[1:5, 1:5])
    assert torch.equal(augment.centre_crop(places, 1.0), places)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("crop", [1.0, 0.875, 0.8, 0.5, 1 / 3, 0.999])
def test_what_is_cut_out_of_a_stored_clip_is_what_the_network_wants(size, crop):
    side = stored_side(Config(size=size, crop=crop))
    cut = augment.centre_crop(torch.empty(1, side, side), crop)
    assert cut.shape[1:] == (SIZES[size].resolution, SIZES[size].resolution)


@settings(max_examples=20, deadline=None)
@given(seeds, st.lists(st.booleans(), min_size=3, max_size=3))
def test_flip_mirrors_the_chosen_clips_and_back(seed, flipped):
    video, flipped = clips(seed), torch.tensor(flipped)
    once = augment.flip(video, flipped)
    for clip, new, turned in zip(video, once, flipped, strict=True):
        for column in range(8):
            source = 7 - column if turned else column
            assert torch.equal(new[..., column], clip[..., source])
    assert torch.equal(augment.flip(once, flipped), video)


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(0.01, 0.5))
def test_jitter_adds_no_motion(seed, strength):
    still = clips(seed)[:, :1].expand(-1, 4, -1, -1, -1)
    changed = augment.photometric_jitter(still, strength, torch.Generator().manual_seed(seed))
    assert not torch.equal(changed, still)
    assert steps(changed).abs().max() == 0
    video = clips(seed + 1)
    moved = augment.photometric_jitter(video, strength, torch.Generator().manual_seed(seed))
    gain = (steps(moved) / steps(video)).flatten(1)
    torch.testing.assert_close(gain, gain[:, :1].expand_as(gain))  # one contrast per clip
    assert (gain[:, 0] - 1).abs().max() <= strength * (1 + 1e-6)
    assert len(set(gain[:, 0].tolist())) == 3


def test_no_jitter_at_strength_zero():
    video = clips(0)
    assert torch.equal(augment.photometric_jitter(video, 0.0, torch.Generator()), video)


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 1), st.integers(4, 13), st.integers(4, 13))
def test_mixup_blends_clips_with_their_motion(seed, alpha, height, width):
    video = clips(seed, height=height, width=width)
    pairs = [augment.PairDraw(0, 1), augment.PairDraw(1, 2)]
    mixed = augment.mixup(video.clone(), pairs, alpha)
    for i, j in ((0, 1), (1, 2)):  # clip 1 enters clip 0 as it was before it was mixed itself
        torch.testing.assert_close(mixed[i], alpha * video[i] + (1 - alpha) * video[j])
        expected = alpha * steps(video[[i]]) + (1 - alpha) * steps(video[[j]])
        torch.testing.assert_close(steps(mixed[[i]]), expected)
    assert torch.equal(mixed[2], video[2])
    other, share = augment.own_share(pairs, video, alpha)
    assert other.tolist() == [1, 2, 2] and share.tolist() == pytest.approx([alpha, alpha, 1])


@settings(max_examples=40, deadline=None)
@given(seeds, st.floats(0, 1), st.integers(4, 13), st.integers(4, 13))
def test_cutmix_pastes_one_rectangle_in_all_frames(seed, alpha, height, width):
    video = clips(seed, height=height, width=width)
    generator = torch.Generator().manual_seed(seed)
    pairs = augment.draw_boxes(
        [augment.PairDraw(0, 1), augment.PairDraw(1, 0)], alpha, height, width, generator
    )
    mixed = augment.cutmix(video.clone(), pairs)
    other, share = augment.own_share(pairs, video)
    for pair in pairs:
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[pair.rows, pair.columns] = True
        assert torch.equal(mixed[pair.clip][..., inside], video[pair.other][..., inside])
        assert torch.equal(mixed[pair.clip][..., ~inside], video[pair.clip][..., ~inside])
        assert share[pair.clip].item() == pytest.approx(1 - inside.double().mean().item(), abs=1e-6)
        sides = [round(side * (1 - alpha) ** 0.5) for side in (height, width)]
        assert inside.sum() == sides[0] * sides[1]
        assert other[pair.clip] == pair.other
    assert torch.equal(mixed[2], video[2]) and share[2] == 1 and other[2] == 2


def test_pairs_are_drawn_as_faces_are():
    subjects, generator = torch.tensor([0, 0, 1, 1]), torch.Generator().manual_seed(0)
    drawn = [augment.draw_pairs(subjects, 0.3, generator) for _ in range(500)]
    assert sum(map(len, drawn)) / 2000 == pytest.approx(0.3, abs=0.04)
    assert all(subjects[p.clip] != subjects[p.other] for pairs in drawn for p in pairs)
    assert augment.draw_pairs(subjects[:1], 1.0, generator) == []
    lone = augment.draw_pairs(torch.zeros(3), 1.0, generator)
    assert all(p.clip != p.other for p in lone) and len(lone) == 3


def test_rectangles_reach_every_corner():
    generator = torch.Generator().manual_seed(0)
    boxes = augment.draw_boxes([augment.PairDraw(0, 1)] * 200, 0.75, 4, 4, generator)
    assert {(b.rows.start, b.columns.start) for b in boxes} == {
        (row, column) for row in range(3) for column in range(3)
    }
