"""Relevance against closed forms: networks whose attributions are known, scores by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from merclip_lib.explain.pointing import (
    centre_prior,
    localisation,
    localisation_claims,
    moving_region,
    pointing_game,
)
from merclip_lib.explain.relevance import (
    classes_asked,
    frame_difference,
    freeze_drop,
    grad_cam,
    input_gradient,
    motion_relevance,
    token_relevance,
)
from merclip_lib.explain.sentences import au_readout, prefers_truth, retrieval
from merclip_lib.scores.bootstrap import Resampling

SHAPE = (3, 4, 4, 4)  # channels, frames, height, width; patches of 2 pixels, positions of 2 frames


class OfPixels(torch.nn.Module):
    """Logits sum(W_c * x ** power), for videos of SHAPE; its network is a formula."""

    def __init__(self, power: int, classes: int = 3):
        super().__init__()
        self.power = power
        self.weight = torch.randn(classes, *SHAPE)
        self.vision_encoder = SimpleNamespace(size=SimpleNamespace(grid=2, times=2, patch=2))

    def forward(self, video):
        return SimpleNamespace(
            logits=torch.einsum("ncthw,kcthw->nk", video**self.power, self.weight)
        )


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def video():
    return torch.randn(3, *SHAPE)


CLASSES = torch.tensor([2, 0, 1])


def by_patch(x):
    """Sums over (channels, 2 frames, 2 x 2 pixels) by plain loops, (N, 2, 2, 2)."""
    maps = np.zeros((len(x), 2, 2, 2))
    for n, c, t, h, w in np.ndindex(*x.shape):
        maps[n, t // 2, h // 2, w // 2] += x[n, c, t, h, w]
    return maps


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("power", [1, 2])
def test_integrated_gradients_of_a_linear_and_a_quadratic_network(video, power, steps):
    model = OfPixels(power)
    # the gradient is linear along the path at most, so that the midpoints give the integral
    exact = model.weight[CLASSES] * (video**power - video[:, :, :1] ** power)
    found = motion_relevance(model, video, CLASSES, steps)
    np.testing.assert_allclose(found, by_patch(exact.numpy()), rtol=1e-4, atol=1e-4)


def test_saliency_of_a_linear_network(video):
    model = OfPixels(1)
    wanted = by_patch(model.weight[CLASSES].abs().numpy())
    np.testing.assert_allclose(input_gradient(model, video, CLASSES), wanted, rtol=1e-5)


def test_frame_difference_by_hand(video):
    wanted = by_patch((video - video[:, :, :1]).abs().numpy())
    np.testing.assert_allclose(frame_difference(OfPixels(1), video), wanted, rtol=1e-5, atol=1e-6)


def test_without_a_class_the_predicted_one_is_meant(video):
    model = OfPixels(1)
    best = torch.einsum("ncthw,kcthw->nk", video, model.weight).argmax(1)
    assert torch.equal(classes_asked(model.train(), video), best) and not model.training
    assert torch.equal(classes_asked(model, video, CLASSES), CLASSES)


class OfTokens(OfPixels):
    """Tokens that are given; logits are W times the sum over tokens of a_p F_p."""

    def __init__(self, tokens):
        super().__init__(1)
        self.by_token, self.by_channel = (
            torch.randn(tokens.shape[1]),
            torch.randn(3, tokens.shape[2]),
        )
        self.vision_encoder = Encoder(tokens, self.vision_encoder.size)
        self.cls_head = lambda read: torch.einsum(
            "npc,p,kc->nk", read, self.by_token, self.by_channel
        )


class Encoder(torch.nn.Module):
    def __init__(self, tokens, size):
        super().__init__()
        self.tokens, self.size = tokens, size

    def forward(self, video):
        return SimpleNamespace(tokens=self.tokens.clone())


def test_maps_of_the_inference_tokens_by_hand(video):
    tokens = torch.randn(3, 9, 5)  # the clip token and 2 x 2 x 2 patches
    model = OfTokens(tokens)
    gradient = model.by_token[1:, None] * model.by_channel[CLASSES][:, None]  # (N, 8, 5)
    by_token = (tokens[:, 1:] * gradient).sum(-1).clamp(min=0)
    found = token_relevance(model, video, CLASSES)
    np.testing.assert_allclose(found, by_token.view(3, 2, 2, 2), rtol=1e-4, atol=1e-5)
    weights = model.by_token[1:].mean() * model.by_channel[CLASSES]
    cam = torch.einsum("npc,nc->np", tokens[:, 1:], weights).clamp(min=0)
    found = grad_cam(model, video, CLASSES)
    np.testing.assert_allclose(found, cam.view(3, 2, 2, 2), rtol=1e-4, atol=1e-5)


def test_the_fall_of_a_probability_by_hand(video):
    model = OfPixels(1)
    order = np.array([[3, 0, 1, 2], [1, 2, 3, 0], [0, 1, 2, 3]])
    whole = torch.einsum("ncthw,kcthw->nk", video, model.weight).softmax(1)
    drops = freeze_drop(model.train(), video, order, [0, 1, 3])
    assert not model.training and (drops[0] == 0).all()
    for row, count in enumerate([0, 1, 3]):
        still = video.clone()
        for n in range(3):
            for patch in order[n, :count]:
                y, x = 2 * (patch // 2), 2 * (patch % 2)
                still[n, :, :, y : y + 2, x : x + 2] = video[n, :, :1, y : y + 2, x : x + 2]
        frozen = torch.einsum("ncthw,kcthw->nk", still, model.weight).softmax(1)
        best = whole.argmax(1)
        np.testing.assert_allclose(
            drops[row], (whole - frozen)[torch.arange(3), best], rtol=1e-4, atol=1e-6
        )


def test_the_middle_of_the_picture():
    prior = centre_prior(4)  # centres at 0.5 and 1.5 patches from the middle; the width is 1 patch
    line = np.exp(-(np.array([1.5, 0.5, 0.5, 1.5]) ** 2) / 2)
    np.testing.assert_allclose(prior, np.outer(line, line))
    np.testing.assert_allclose(centre_prior(8)[0, 3], np.exp(-((3.5 / 2) ** 2 + 0.25**2) / 2))
    assert centre_prior(5).argmax() == 12 and centre_prior(5)[2, 2] == 1


def test_what_moved_exactly_half_as_far_is_outside():
    motion = np.zeros((1, 2, 2, 2))
    motion[0, 0] = [[1.0, 0.5], [0.51, 0.0]]
    assert moving_region(motion).tolist() == [[[True, False], [True, False]]]
    assert moving_region(motion, above=0.4).tolist() == [[[True, True], [True, False]]]


def test_tied_maxima_share_the_hit():
    maps = np.array([[[2.0, 2.0], [2.0, 1.0]]])
    region = np.array([[[True, False], [True, True]]])
    assert pointing_game(maps, region) == pytest.approx(2 / 3)


def test_a_pointing_game_and_its_interval_by_hand():
    """Two people with two clips each; one network for all; the map of person b is always wrong."""
    region = np.zeros((4, 2, 2), bool)
    region[[0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1]] = True  # each clip moves in a patch of its own
    maps = region.astype(float)
    maps[2], maps[3] = maps[3].copy(), maps[2].copy()
    table = localisation({"map": maps}, region, list("aabb"), [0] * 4).set_index(["metric", "name"])
    row = table.loc["pointing game", "map"]
    assert row.value == 0.5
    # of 2 people drawn twice: none of a in a quarter of the draws, a alone in another
    assert (row.low, row.high) == (0, 1)
    # others' maps: clip 0 and 1 are shown by nobody else, clips 2 and 3 by one of three
    assert row.other == pytest.approx((0 + 0 + 1 / 3 + 1 / 3) / 4)
    assert row.gain == pytest.approx((1 + 1 - 1 / 3 - 1 / 3) / 4)
    # a drawn twice: both hit, and neither map hits the other region; b twice: the other way round
    assert (row.gain_low, row.gain_high) == pytest.approx((-1, 1))
    assert row.p == pytest.approx(0.5, abs=0.05) and row.p_holm == 1
    guess = table.loc["energy in region", "any patch (area)"]
    assert guess.value == guess.low == guess.high == 0.25
    middle = table.loc["energy in region", "middle of the picture"]
    assert middle.value == pytest.approx(0.25)  # the grid of 2 is even about its middle
    table.loc[("energy in region", "map"), "value"] = 0.9  # no word of it in the claims
    (claim,) = localisation_claims(table.reset_index())
    assert claim.startswith("map: 50% hits, not clearly more or less than") and "(17%" in claim


def test_where_people_are_drawn_their_maps_are_drawn_with_them():
    """Persons a, b (two clips) and c (one); all maps show corner 0, where a alone moves."""
    region, maps = np.zeros((5, 2, 2), bool), np.zeros((5, 2, 2))
    region[:2, 0, 0] = region[2:, 1, 1] = True
    maps[:4, 0, 0] = maps[4, 1, 1] = 1  # but the map of c
    table = localisation({"map": maps}, region, list("aabbc"), [0] * 5, Resampling(4000))
    row = table.iloc[0]
    # regions of a: 3 of 4 other maps hit, own hits; of b: 1 of 4, own misses; of c: none, own hits
    assert row.gain == pytest.approx((2 * (1 - 3 / 4) - 2 * (1 / 4) + 1) / 5)
    # the lowest of 26 draws (c thrice meets no map of another clip): b twice and c. Of the other
    # maps that b's regions meet, b's misses (twice) and c's hits (once)
    assert row.gain_low == pytest.approx((4 * (0 - 1 / 3) + 1) / 5)
    # the highest: a once and c twice; a's other map hits a's region (once), c's misses it (twice)
    assert row.gain_high == pytest.approx((2 * (1 - 1 / 3) + 2) / 4)


def test_a_unit_of_a_single_person_has_no_interval():
    scores, targets = np.arange(12.0).reshape(6, 2), np.array([[1, 0]] * 2 + [[0, 0], [0, 1]] * 2)
    table = au_readout(scores, targets, [0] * 6, list("aabcbd"))
    assert table.auc.notna().all() and table.clips.tolist() == [2, 2]
    assert np.isnan(table.loc[0, ["low", "high"]].astype(float)).all()  # a alone shows the first
    assert table.low[1] <= table.auc[1] <= table.high[1]  # c and d show the second
    turned = au_readout(scores, 1 - targets, [0] * 6, list("aabcbd"))
    assert np.isnan(turned.low[0]) and turned.high[1] <= 1  # a alone lacks it


def test_chance_of_a_ranking_by_counting():
    """Four candidates of which two are right, all 24 orders alike: counted by hand."""
    z, bank = np.eye(4)[:1], np.eye(2, 4)
    table = retrieval(np.vstack([z, z, np.eye(4)[1:3]]), bank, np.array([0, 0, 1, 1]))
    back = table.loc["clips of a sentence"]
    assert back["chance R@1"] == 0.5 and back["chance R@5"] == 1
    pairs = [(i, j) for j in range(1, 5) for i in range(1, j)]  # places of the two right ones
    assert back["chance mAP"] == pytest.approx(np.mean([(1 / i + 2 / j) / 2 for i, j in pairs]))
    forth = table.loc["sentence of a clip"]
    assert forth["chance R@1"] == 0.5 and forth["chance mAP"] == pytest.approx(0.75)
    assert forth["candidates"] == 2 and forth["questions"] == 4


def test_a_tie_of_one_sentence_is_half_a_preference():
    z = np.array([[3.0, 4.0], [3.0, 4.0], [1.0, 0.0]])
    true = np.array([[4.0, 3.0], [8.0, 6.0], [1.0, 1.0]])
    false = np.array([[0.0, 1.0], [4.0, 3.0], [9.0, 1.0]])
    assert prefers_truth(z, true, false).tolist() == [1, 0.5, 0]  # cosines .96 > .8, =, .71 < .99


def test_the_area_under_a_curve_and_its_interval_by_hand():
    """Person a: 0.9 with the unit, 0.1 without; person b: 0.2 with, 0.8 without."""
    scores, targets = np.array([[0.9], [0.1], [0.2], [0.8]]), np.array([[1], [0], [1], [0]])
    row = au_readout(scores, targets, [0] * 4, list("aabb")).iloc[0]
    assert row.clips == 2 and row.auc == 3 / 4  # of four pairs one is in the wrong order
    assert (row.low, row.high) == (0, 1)  # b drawn twice: 0; a twice: 1; each once: 3 / 4
    tied = au_readout(np.full((4, 1), 0.5), targets, [0] * 4, list("aabb")).iloc[0]
    assert tied.auc == tied.low == tied.high == 0.5
