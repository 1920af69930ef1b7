"""Equality with test vectors made with the authors' program (skipped where they are absent)."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from golden_size import SMALL
from safetensors.torch import load_file

from merclip_lib.augment import REGIONS, MixDraw, local_static_face_mix
from merclip_lib.config import Config
from merclip_lib.data.dataset import uniform_sample
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.model.head import EmotionInference
from merclip_lib.text.bank import text_tower
from merclip_lib.training.batches import IMAGENET_MEAN, IMAGENET_STD, normalise
from merclip_lib.training.losses import alignment_loss, focal_loss
from merclip_lib.training.optimiser import alignment_weight, learning_rate


@pytest.fixture
def vision(golden):
    encoder = VideoEncoder(SMALL)
    encoder.load_state_dict(load_file(golden / "vision_small_state.safetensors"))
    return encoder, np.load(golden / "vision_small.npz")


def weighted_sum(encoded, vectors):
    """The scalar whose gradients were stored; tokens enter as their mean over the 65 positions."""
    w_clip, w_tokens = (torch.from_numpy(vectors[k]) for k in ("w_clip", "w_tokens"))
    return (encoded.z * w_clip).sum() + (encoded.tokens * w_tokens).sum() / w_tokens.shape[1]


def test_video_encoder_in_evaluation(vision):
    encoder, vectors = vision
    encoded = encoder.eval()(torch.from_numpy(vectors["video"]))
    np.testing.assert_allclose(encoded.z.detach(), vectors["eval_clip"], atol=1e-5)
    np.testing.assert_allclose(encoded.tokens.detach(), vectors["eval_tokens"], atol=1e-5)


def test_video_encoder_gradients(vision, golden):
    encoder, vectors = vision
    weighted_sum(encoder.eval()(torch.from_numpy(vectors["video"])), vectors).backward()
    expected = load_file(golden / "vision_small_evalgrads.safetensors")
    for name, parameter in encoder.named_parameters():
        wanted = expected[name]
        error = (parameter.grad - wanted).norm() / wanted.norm().clamp(min=1e-3)
        assert error < 1e-4, name


def test_video_encoder_in_training(vision):
    encoder, vectors = vision
    encoded = encoder.train()(torch.from_numpy(vectors["video"]))
    np.testing.assert_allclose(encoded.z.detach(), vectors["train_clip"], atol=1e-5)
    np.testing.assert_allclose(encoded.tokens.detach(), vectors["train_tokens"], atol=1e-5)
    weighted_sum(encoded, vectors).backward()
    parameters = dict(encoder.named_parameters())
    for name, norm in zip(vectors["param_names"], vectors["train_grad_norms"], strict=True):
        assert parameters[str(name)].grad.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-4)
    state = encoder.state_dict()
    after = torch.cat([state[str(name)].flatten() for name in vectors["bn_after_name"]])
    np.testing.assert_allclose(after, vectors["bn_after_cat"], rtol=1e-5, atol=1e-6)


def test_emotion_inference_module(golden):
    head = EmotionInference(32, 5).eval()
    head.load_state_dict(load_file(golden / "head_state.safetensors"))
    vectors = np.load(golden / "head.npz")
    tokens = torch.from_numpy(vectors["tokens"])
    np.testing.assert_allclose(head(tokens).detach(), vectors["logits"], atol=1e-5)
    last = head.layer_logits(tokens)[-1].detach()
    np.testing.assert_allclose(last, vectors["logits_single"], atol=1e-5)


def test_text_tower(golden):
    import open_clip

    vectors = np.load(golden / "text.npz")
    ids = open_clip.get_tokenizer("ViT-B-16-quickgelu")([str(s) for s in vectors["sentences"]])
    np.testing.assert_array_equal(ids, vectors["ids"])
    state = load_file(golden / "text_state.safetensors")
    rows = state.pop("token_embedding.used_rows")
    tower = text_tower(dataclasses.replace(SMALL, vocabulary=49408)).eval()
    table = torch.zeros(49408, 32)
    table[torch.from_numpy(vectors["used_ids"]).long()] = rows
    missing, unexpected = tower.load_state_dict(
        {**state, "token_embedding.weight": table}, strict=False
    )
    assert not unexpected and set(missing) <= {"attn_mask"}
    np.testing.assert_allclose(tower(ids).detach(), vectors["emb"], atol=1e-5)


@pytest.mark.parametrize("kind", ["sq", "odd"])
def test_local_static_face_mix(golden, kind):
    vectors = np.load(golden / "lsfm.npz")
    assert tuple(vectors["regions"]) == REGIONS
    stored = vectors[f"{kind}_draws_i_j_region"]
    # The square batch with alpha 0.3 was drawn anew with every clip mixed (read off its output).
    every = [(0, 1, 2), (1, 3, 1), (2, 4, 3), (3, 7, 0), (4, 6, 0), (5, 0, 0), (6, 4, 2), (7, 7, 0)]
    cases = [
        ("mix0", 0.5, False, stored),
        ("mix1", 0.5, True, stored),
        ("mix0_alpha03", 0.3, False, every if kind == "sq" else stored),
    ]
    for key, alpha, invert, drawn in cases:
        draws = [MixDraw(i, j, REGIONS[r]) for i, j, r in drawn]
        video = torch.from_numpy(vectors[f"{kind}_in"].copy())
        mixed = local_static_face_mix(video, draws, alpha, invert)
        np.testing.assert_allclose(mixed, vectors[f"{kind}_out_{key}"], atol=1e-6)


def test_uniform_sampling(golden):
    stored = json.loads((golden / "uniform_sample.json").read_text())
    for length, expected in stored["test"].items():
        assert uniform_sample(int(length), 16, short="modulo").tolist() == expected


def test_uniform_sampling_in_training_stays_in_its_segments(golden):
    stored = json.loads((golden / "uniform_sample.json").read_text())
    for length, expected in stored["train_seed9"].items():
        length = int(length)
        generator = torch.Generator().manual_seed(9)
        draws = np.stack(
            [uniform_sample(length, 16, generator, short="modulo") for _ in range(200)]
        )
        if length < 16:
            assert (draws == expected).all()
            continue
        # The stored draw came from another source of random numbers: only the bounds are shared.
        edges = np.round((length - 1) / 16 * np.arange(17))
        for index in (draws, np.array(expected)):
            assert (index >= edges[:-1]).all() and (index <= edges[1:]).all()
        np.testing.assert_array_equal(draws.min(0), edges[:-1])
        np.testing.assert_array_equal(draws.max(0), edges[1:])


def test_normalise_then_mix(golden):
    vectors = np.load(golden / "preprocess.npz")
    clips = torch.from_numpy(vectors["u8"])[:, 0].permute(0, 2, 3, 4, 1)  # (N, T, H, W, 3)
    video = normalise(clips, IMAGENET_MEAN, IMAGENET_STD)
    expected = vectors["eval"][:, 0].swapaxes(1, 2)  # (N, T, 3, H, W)
    np.testing.assert_allclose(video, expected, atol=1e-6)
    draws = [MixDraw(i, j, REGIONS[r]) for i, j, r in vectors["draws_i_j_region"]]
    expected = vectors["train"][:, 0].swapaxes(1, 2)
    np.testing.assert_allclose(local_static_face_mix(video, draws), expected, atol=1e-6)


@pytest.mark.parametrize("gamma, key", [(0, "_gamma0"), (1, "_gamma1"), (2, ""), (5, "_gamma5")])
def test_focal_loss(golden, gamma, key):
    vectors = np.load(golden / "losses.npz")
    logits, labels = torch.from_numpy(vectors["logits"]), torch.from_numpy(vectors["labels"])
    found = focal_loss(logits, labels, gamma).item()
    assert found == pytest.approx(float(vectors[f"focal{key}"]), rel=1e-5)


@pytest.mark.parametrize(
    "name, weights, start",
    [
        ("linear", "linear", 2.0),
        ("samm_pre", "linear", 1.5),
        ("gauss1", "half_bell", 2.0),
        ("gauss2", "bell", 2.0),
    ],
)
def test_losses_and_their_weights(golden, name, weights, start):
    config = Config(epochs=55, loss_weights=weights, align_start=start)
    vectors = np.load(golden / "losses.npz")
    logits, labels, video, text = (
        torch.from_numpy(vectors[k])
        for k in ("logits", "labels", "video_features", "text_features")
    )
    align = alignment_loss(video, text, torch.tensor(float(vectors["logit_scale"]))).item()
    both = (vectors["v2t_ce"] + vectors["t2v_ce"]) / 2
    assert align == pytest.approx(float(both), rel=1e-5)
    emotion = focal_loss(logits, labels).item()
    for epoch in (0, 27, 54, 80):
        value = {
            k: float(vectors[f"{name}_ep{epoch}_{k}"])
            for k in (
                "loss",
                "loss_cls",
                "loss_cls_weight",
                "sim_loss_v2t",
                "sim_loss_t2v",
                "sim_loss_weight",
            )
        }
        weight = alignment_weight(epoch, config)
        assert weight == pytest.approx(value["sim_loss_weight"], rel=1e-6)
        assert 2 - weight == pytest.approx(value["loss_cls_weight"], rel=1e-6)
        parts = value["sim_loss_v2t"] + value["sim_loss_t2v"] + value["loss_cls"]
        assert weight * align + (2 - weight) * emotion == pytest.approx(parts, rel=1e-5)
        # The total that the authors' program prints holds the two weights besides.
        assert parts + 2 == pytest.approx(value["loss"], rel=1e-6)
    found = [alignment_weight(epoch, config) for epoch in range(55)]
    np.testing.assert_allclose(found, vectors[f"{name}_weights"], rtol=1e-6)


def test_learning_rate(golden):
    vectors = np.load(golden / "schedule.npz")
    config = Config(lr=float(vectors["base_lr"]), epochs=55, warmup_epochs=5.0)
    steps = int(vectors["epoch_length"])
    found = [learning_rate(step, steps, config) for step in range(55 * steps)]
    np.testing.assert_allclose(found, vectors["lr"], rtol=1e-9)
