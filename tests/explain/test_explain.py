"""Explanations: axioms of the maps and their scores, on small networks and made-up arrays."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr

from merclip_lib.config import SIZES
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.store import ClipStore
from merclip_lib.explain.embeddings import alike_neighbours, emotion_tokens, knn_purity, tsne
from merclip_lib.explain.maps import KINDS, relevance_maps
from merclip_lib.explain.pointing import (
    answer_agreement,
    answer_localisation,
    answer_pictured,
    energy_in_region,
    localisation,
    localisation_claims,
    moving_region,
    pointing_game,
    true_motion,
)
from merclip_lib.explain.relevance import (
    classes_asked,
    frame_difference,
    freeze,
    freeze_drop,
    grad_cam,
    held_out_video,
    input_gradient,
    motion_relevance,
    token_relevance,
)
from merclip_lib.explain.rollout import attention_rollout
from merclip_lib.model.merclip import MERCLIP


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    size = dataclasses.replace(
        SIZES["merclip-tiny"],
        resolution=32,
        width=32,
        layers=3,
        global_layers=(2,),
        embed_dim=16,
        token_dim=32,
    )
    model = MERCLIP(size, classes=3)
    for parameter in model.parameters():  # wake the modules that start at zero
        parameter.data += 0.05 * torch.randn(parameter.shape)
    return model.eval()


@pytest.fixture(scope="module")
def video():
    """Four still clips; from frame 3 on, the patch in row 1, column 2 shows something else."""
    generator = torch.Generator().manual_seed(1)
    video = torch.randn(4, 3, 1, 32, 32, generator=generator).repeat(1, 1, 8, 1, 1)
    video[:, :, 3:, 8:16, 16:24] = torch.randn(4, 3, 1, 8, 8, generator=generator)
    return video


def logits(model, video, classes):
    with torch.no_grad():
        return model(video).logits.gather(1, classes[:, None])[:, 0]


def test_relevance_adds_up_to_what_the_movement_did(model, video):
    classes = torch.tensor([0, 1, 2, 0])
    maps = motion_relevance(model, video, classes, steps=64)
    still = video[:, :, :1].expand_as(video)
    change = (logits(model, video, classes) - logits(model, still, classes)).numpy()
    assert maps.shape == (4, 4, 4, 4)
    assert np.abs(change).min() > 1e-3
    np.testing.assert_allclose(maps.sum((1, 2, 3)), change, rtol=0.02, atol=1e-4)


def test_relevance_lies_only_where_and_when_something_moved(model, video):
    maps = motion_relevance(model, video)
    moved = np.zeros((4, 4, 4), bool)
    moved[1:, 1, 2] = True  # frame 3 belongs to position 1
    for found in (maps, frame_difference(model, video)):
        assert (found[:, ~moved] == 0).all()
        assert (found[:, moved] != 0).all()


def test_relevance_is_of_the_predicted_class_unless_told(model, video):
    predicted = classes_asked(model, video)
    own = motion_relevance(model, video)
    np.testing.assert_allclose(own, motion_relevance(model, video, predicted), 1e-4, 1e-6)
    other = motion_relevance(model, video, (predicted + 1) % 3)
    assert not np.allclose(own, other)


@pytest.mark.parametrize("method", [input_gradient, token_relevance, attention_rollout])
def test_other_maps_are_positive_and_leave_no_gradients(model, video, method):
    maps = method(model, video)
    assert maps.shape == (4, 4, 4, 4)
    assert (maps >= 0).all() and maps.max() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def attention_of_the_forward_pass(model, video, classes, monkeypatch):
    """Attention maps and their gradients, by an attention function that keeps what it does."""
    maps = []

    def attend(q, k, v):
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
        weights.retain_grad()
        maps.append(weights)
        return weights @ v

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend)
    model.zero_grad()
    model(video).logits.gather(1, classes[:, None]).sum().backward()
    monkeypatch.undo()
    model.zero_grad(set_to_none=True)
    return [(weights * weights.grad).clamp(min=0).mean(1).detach() for weights in maps]


class ReadsPatches(torch.nn.Module):
    """Logits that are linear in the inference tokens: W times the mean of some patches' tokens."""

    def __init__(self, patches):
        super().__init__()
        self.patches, self.weight = patches, torch.randn(3, 32)

    def forward(self, tokens):
        return tokens[:, 1:][:, self.patches].mean(1) @ self.weight.T


def test_grad_cam_by_hand(model, video):
    classes = torch.tensor([0, 1, 2, 0])
    for patches in (slice(None), [5]):  # a head that reads all patches, one that reads a single one
        reader = copy.copy(model)
        reader._modules = {**model._modules, "cls_head": ReadsPatches(patches)}
        with torch.no_grad():
            tokens = model.vision_encoder(video).tokens[:, 1:]
        # either way the mean gradient of the patches is W_c / their number
        wanted = torch.einsum("npc,nc->np", tokens, reader.cls_head.weight[classes]) / 64
        found = grad_cam(reader, video, classes)
        np.testing.assert_allclose(found.reshape(4, 64), wanted.clamp(min=0), atol=1e-6)


@pytest.fixture
def clips():
    """Five clips of noise, 8 frames of 32 pixels."""
    frames = np.random.default_rng(0).integers(0, 255, (5, 8, 32, 32, 3), np.uint8)
    store = ClipStore(Path("nowhere"), pd.DataFrame({"subject": list("abcde")}), frames, None, {})
    return ClipDataset(store, range(5), [0] * 5, Sampling(8))


def test_all_maps_at_once_are_the_single_ones(model, clips):
    maps, video = relevance_maps(model, clips, batch_size=2), held_out_video(clips)
    assert set(maps) == set(KINDS)
    for kind in ("integrated gradients", "Grad-CAM", "frame difference"):
        np.testing.assert_allclose(maps[kind], KINDS[kind](model, video), rtol=1e-3, atol=1e-5)


def test_the_emotion_token_is_what_the_classifier_reads(model, clips):
    head = model.cls_head
    with torch.no_grad():
        read = head.fc_cls(head.norm(torch.tensor(emotion_tokens(model, clips, batch_size=2))))
        logits = head.layer_logits(model.vision_encoder(held_out_video(clips)).tokens)
    torch.testing.assert_close(read, logits[-1], rtol=1e-4, atol=1e-5)


def test_rollout_follows_the_attention_of_the_forward_pass(video, monkeypatch):
    torch.manual_seed(3)
    size = dataclasses.replace(
        SIZES["merclip-tiny"],
        resolution=32,
        width=32,
        layers=3,
        lmhra=0,
        global_layers=(),
        embed_dim=16,
        token_dim=32,
    )
    model, classes = MERCLIP(size, classes=3).eval(), torch.tensor([0, 1, 2, 0])
    *local, first, last = attention_of_the_forward_pass(model, video, classes, monkeypatch)
    frames = torch.eye(17)
    for weights in local:
        frames = frames + weights.view(4, 4, 17, 17) @ frames
    known = torch.eye(65) + first
    known = known[:, 0] + (last @ known)[:, 0]  # token 0 of the last layer
    clip = frames[:, :, 0] / 4  # without global blocks: the mean over the four times
    patches = torch.einsum("ntp,ntpq->ntq", known[:, 1:].view(4, 4, 16), frames[:, :, 1:, 1:])
    expected = (known[:, :1, None] * clip[..., 1:] + patches).view(4, 4, 4, 4)
    found = attention_rollout(model, video, classes, batch_size=3)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_rollout_hears_of_the_global_blocks_and_of_the_class(model, video):
    classes = torch.tensor([0, 1, 2, 0])
    found = attention_rollout(model, video, classes)
    assert not np.allclose(found, attention_rollout(model, video, (classes + 1) % 3))
    dec = model.vision_encoder.transformer.dec[0]
    kept = dec.attn.out_proj.weight.data.clone()
    dec.attn.out_proj.weight.data.zero_()  # nothing that the query reads gets through
    without = attention_rollout(model, video, classes)
    dec.attn.out_proj.weight.data.copy_(kept)
    assert not np.allclose(found, without)
    np.testing.assert_allclose(found, attention_rollout(model, video, classes), 1e-4, 1e-6)
    left = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not left, "what listened to the layers is gone"


def test_rollout_of_a_linear_head_reads_the_clip_token_alone(video):
    size = dataclasses.replace(
        SIZES["merclip-tiny"],
        resolution=32,
        width=32,
        layers=2,
        global_layers=(1,),
        embed_dim=16,
        token_dim=32,
    )
    found = attention_rollout(MERCLIP(size, classes=3, eim=False), video)
    assert found.shape == (4, 4, 4, 4) and (found >= 0).all() and found.max() > 0


def test_freezing_what_moved_makes_the_still_clip(model, video):
    mask = np.zeros((4, 4, 4), bool)
    mask[:, 1, 2] = True
    assert torch.equal(freeze(video, mask), video[:, :, :1].expand_as(video))
    assert torch.equal(freeze(video, ~mask), video)
    still_first = np.tile(np.r_[6, np.delete(np.arange(16), 6)], (4, 1))  # patch 6: row 1, column 2
    drops = freeze_drop(model, video, still_first, [0, 1, 16])
    assert drops.shape == (3, 4) and np.abs(drops[0]).max() < 1e-6
    np.testing.assert_allclose(drops[1], drops[2], atol=1e-6)
    assert np.abs(drops[1]).min() > 1e-5
    assert np.abs(freeze_drop(model, video, still_first[:, ::-1], [15])).max() < 1e-6


def test_pointing_game_and_energy():
    motion = np.zeros((2, 3, 4, 4))
    motion[0, 1, 0, 0], motion[0, 1, 0, 1], motion[0, 2, 3, 3] = 1.0, 0.6, 0.4
    motion[1, 0, 2, 2] = 0.01
    region = moving_region(motion)
    assert region.sum((1, 2)).tolist() == [2, 1]
    maps = np.zeros((2, 3, 4, 4))
    maps[0, :, 0, 1] = 1  # inside; more than any other once summed over time
    maps[0, 0, 3, 3] = 2
    maps[1, 0, 1, 1] = 3  # outside
    maps[1, 0, 2, 2] = 1
    maps[1, 1, 0, 0] = -5  # speaks against the class: not counted
    assert pointing_game(maps, region).tolist() == [1, 0]
    np.testing.assert_allclose(energy_in_region(maps, region), [3 / 5, 1 / 4])


def test_a_flat_map_scores_as_a_blind_guess():
    region = np.zeros((3, 4, 4), bool)
    region[:, :2, :3] = True
    flat = np.ones((3, 4, 4))
    np.testing.assert_allclose(pointing_game(flat, region), 6 / 16)
    np.testing.assert_allclose(energy_in_region(flat, region), 6 / 16)
    np.testing.assert_allclose(energy_in_region(-flat, region), 6 / 16)


CORNERS = [(0, 0), (0, 7), (7, 0), (7, 7)]


def corner_maps(clips):
    """Regions of one corner each, in turn; a map that shows it, and one that is always (0, 0)."""
    region = np.zeros((clips, 8, 8), bool)
    for clip in range(clips):
        region[clip, *CORNERS[clip % 4]] = True
    always = np.zeros((clips, 8, 8))
    always[:, 0, 0] = 1
    return region, {"true": region.astype(float), "always": always}


def test_localisation_tells_a_true_map_from_one_that_ignores_the_clip():
    region, maps = corner_maps(4)
    table = localisation(maps, region, list("abcd"), [0] * 4)
    game = table[table.metric == "pointing game"].set_index("name")
    assert game.value["true"] == 1 and game.value["always"] == 0.25
    # the other three clips' maps never show this corner; one that ignores the clip is its own equal
    assert game.other["true"] == 0 and game.other["always"] == 0.25
    assert game.gain["true"] == 1 and game.gain["always"] == 0
    assert game.value["middle of the picture"] == 0 and game.value["any patch (area)"] == 1 / 64
    assert game.gain[["middle of the picture", "any patch (area)"]].isna().all()


def test_the_map_of_another_clip_is_of_the_same_network():
    region, maps = corner_maps(4)
    region[1], maps["true"][1] = region[0], maps["true"][0]  # clips 0 and 1 move in one corner
    networks = ["first", "first", "second", "second"]
    table = localisation(maps, region, list("abcd"), networks).set_index(["metric", "name"])
    assert table.other["pointing game", "true"] == pytest.approx((1 + 1 + 0 + 0) / 4)
    with pytest.raises(ValueError, match="saw a single clip"):
        localisation(maps, region, list("abcd"), ["first", *networks[:1], "second", "third"])


def test_localisation_draws_people_and_corrects_for_all_questions():
    region, maps = corner_maps(64)
    generator = np.random.default_rng(0)
    maps["blind"] = generator.random((64, 8, 8))
    person = np.repeat(np.arange(16), 4)
    table = localisation(maps, region, person, [0] * 64).set_index(["metric", "name"])
    assert table.p_holm["pointing game", "true"] == pytest.approx(6 * 2 / 1001)
    assert table.p_holm["pointing game", "always"] == 1
    # half of the people are always hit, half never: an interval over people is wider than one over
    # clips would be (0.25 in each direction against 0.12)
    half = {"half": np.where(np.arange(64)[:, None, None] < 32, maps["true"], 0.0)}
    half["half"][32:, 4, 4] = 1
    row = localisation(half, region, person, [0] * 64).iloc[0]
    assert row.value == 0.5 and row.high - row.low > 0.4
    said = localisation_claims(table.reset_index())
    assert said[0].startswith("true: 100% hits, more than the same map of another clip")
    assert said[0].endswith("p = 0.012 after Holm's correction)")
    assert "always: 25% hits, not clearly more or less than" in said[1]
    assert "the interval touches zero" in said[1] and len(said) == 3


def test_the_answer_to_the_pointing_game_names_the_best_and_the_guesses():
    region, maps = corner_maps(8)
    maps["faint"] = 0.9 * maps["true"] + 0.1  # its maximum is right, most of its energy is not
    table = localisation(maps, region, list("aabbccdd"), [0] * 8)
    text = answer_localisation(table)
    head, _, *lines = text.splitlines()
    assert head.startswith("**Answer.** Any patch hits 2%, the middle of the picture 0%.")
    assert "Most hits: true; most energy inside: true." in head
    assert lines == [f"* {line}" for line in localisation_claims(table)]


def test_pictured_maps_are_said_with_their_times_and_hits():
    motion = np.zeros((2, 3, 4, 4))
    motion[0, 1, 0, 0], motion[1, 2, 3, 3] = 1.0, 1.0
    maps = np.zeros((2, 3, 4, 4))
    maps[0, 2, 0, 0], maps[1, 0, 1, 1] = 1.0, 1.0
    text = answer_pictured(maps, motion)
    assert (
        "largest at time 3, 1, the true motion at time 2, 3." in text and "In 1 of 2 clips" in text
    )
    alone = answer_pictured(maps, None)
    assert "largest at time 3, 1; which skin really moved is not known" in alone


def test_agreement_is_the_rank_correlation_of_the_patches():
    generator = np.random.default_rng(0)
    first = generator.random((5, 2, 4, 4))
    maps = {"a": first, "b": first**3, "c": -first, "d": generator.random((5, 2, 4, 4))}
    maps["d"][0] = 0.5  # a flat map ranks nothing and is left out
    text = answer_agreement(maps)
    assert "a and b 1.00" in text and "b and c -1.00" in text
    pairs = zip(first[1:], maps["d"][1:], strict=True)
    expected = np.mean([spearmanr(x.ravel(), y.ravel())[0] for x, y in pairs])
    assert f"a and d {expected:.2f}" in text


def test_knn_purity_and_its_chance():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [200, 100])
    apart = np.eye(8)[labels] + 0.01 * generator.normal(size=(300, 8))
    assert knn_purity(apart, labels).share == 1
    assert knn_purity(apart, labels).chance == pytest.approx((200 * 199 + 100 * 99) / 300 / 299)
    mixed = np.where(np.arange(300) < 10, 1 - labels, labels)  # ten have the other label
    alike = alike_neighbours(apart, mixed)
    assert alike[:10].max() < 1 and alike[200:].min() == 1
    blind = knn_purity(generator.normal(size=(300, 8)), labels)
    assert blind.share == pytest.approx(blind.chance, abs=0.05)
    assert blind.chance == pytest.approx((200 * 199 + 100 * 99) / (300 * 299))
    with pytest.raises(ValueError, match="k is 3"):
        knn_purity(apart[:3], labels[:3], k=3)


def test_tsne_keeps_neighbours_and_repeats():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    x = np.eye(2, 8)[labels] + 0.05 * generator.normal(size=(40, 8))
    points = tsne(x, seed=3)
    centres = np.array([points[labels == k].mean(0) for k in (0, 1)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=-1).argmin(1)
    assert (nearest == labels).all()
    np.testing.assert_array_equal(points, tsne(x, seed=3))


@pytest.mark.parametrize("clips, perplexity", [(4, 1), (10, 3), (46, 15), (100, 15)])
def test_tsne_looks_at_a_third_of_the_others_and_15_at_most(monkeypatch, clips, perplexity):
    asked = {}

    class Mapper:
        def __init__(self, dimensions, **settings):
            asked.update(settings, dimensions=dimensions)

        def fit_transform(self, x):
            return x[:, :2]

    monkeypatch.setattr("sklearn.manifold.TSNE", Mapper)
    assert tsne(np.ones((clips, 3)), seed=7).shape == (clips, 2)
    assert (asked["perplexity"], asked["metric"]) == (perplexity, "cosine")
    assert asked["random_state"] == 7 and asked["dimensions"] == 2


def test_true_motion_needs_a_set_with_known_motion(tmp_path):
    from merclip_lib.data.store import ClipStore

    motion = np.zeros((2, 16, 2, 2, 2), np.float16)
    motion[1, :, 0, 1] = np.stack([np.arange(16) * 3, np.arange(16) * 4], -1)
    store = ClipStore(tmp_path, None, None, motion, {})
    found = true_motion(store, np.array([1]), frames=8)
    np.testing.assert_allclose(found[0, :, 0, 1], 5 * np.array([0, 4, 8, 11]))
    with pytest.raises(ValueError, match="synthetic"):
        true_motion(dataclasses.replace(store, motion=None), np.array([1]), frames=8)
