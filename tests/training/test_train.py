"""Losses, schedule, batches and the training loop."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from merclip_lib.config import SIZES, Config
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.store import write_store
from merclip_lib.data.table import COLUMNS
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.text.bank import TextBank
from merclip_lib.training.batches import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    augment_batch,
    batches,
    gather,
    mix_batch,
    normalise,
)
from merclip_lib.training.loop import TrainingData, draw_sentences, fit, predict, start
from merclip_lib.training.losses import alignment_loss, focal_loss, unit_loss
from merclip_lib.training.optimiser import alignment_weight, learning_rate, parameter_groups

TINY = replace(
    SIZES["merclip-tiny"],
    resolution=16,
    frames=4,
    width=16,
    heads=2,
    layers=2,
    embed_dim=8,
    token_dim=8,
    global_layers=(1,),
    eim_heads=2,
)
QUICK = Config(frames=4, epochs=3, batch_size=4, lr=2e-3, warmup_epochs=1.0)
SCALE = torch.tensor(2.0)


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Twelve noisy clips of three subjects; class 1 is bright, class 0 dark."""
    table = pd.DataFrame(
        {
            "clip_id": [f"c{i}" for i in range(12)],
            "dataset": "made",
            "clip": "1",
            "subject": [f"s{i // 4}" for i in range(12)],
            "onset": 0,
            "apex": 3,
            "offset": 5,
            "fps": 200,
            "action_units": ["L12" if i % 2 else "4" for i in range(12)],
            "emotion": ["happiness" if i % 2 else "anger" for i in range(12)],
            "frames": "",
        }
    )[COLUMNS]
    generator = np.random.default_rng(0)
    clips = (
        (generator.integers(0, 60, (6, 16, 16, 3), dtype=np.uint8) + np.uint8(150 * (i % 2)), None)
        for i in range(12)
    )
    return write_store(tmp_path_factory.mktemp("data") / "set", table, clips, {}, (6, 16, 16, 3))


LABELS = np.arange(12) % 2
SUBJECTS = np.arange(12) // 4
# Descriptions: "4", "L12" and its mirror image "R12"; two templates.
TEXT = TextBank(F.normalize(noise(3, 2, 8), dim=-1), LABELS, 2 * LABELS)
TEXT_ONLY = TrainingData(None, SUBJECTS, TEXT)


def fitted(store, config, text=TEXT):
    torch.manual_seed(5)
    model = MERCLIP(TINY, 2, config.use_eim)
    dataset = ClipDataset(
        store, np.arange(12), LABELS, Sampling(4, training=True, seed=config.seed)
    )
    return model, fit(model, TrainingData(dataset, SUBJECTS, text), config).history


def test_normalise():
    video = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    found = normalise(video, (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert found.shape == (2, 3, 3, 4, 5)
    for channel, (mean, std) in enumerate([(0.1, 0.5), (0.2, 0.6), (0.3, 0.7)]):
        plain = (video[..., channel] / 255 - mean) / std
        torch.testing.assert_close(found[:, :, channel], plain, atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_focal_loss_weighs_down_what_is_easy(seed, count):
    logits = 3 * noise(count, 4, seed=seed)
    labels = torch.arange(count) % 4
    plain = F.cross_entropy(logits, labels)
    torch.testing.assert_close(focal_loss(logits, labels, 0.0), plain)
    losses = [focal_loss(logits, labels, gamma).item() for gamma in (0, 1, 2, 5)]
    assert losses == sorted(losses, reverse=True) and losses[-1] >= 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 8))
def test_soft_targets_are_the_identity_when_all_descriptions_differ(seed, count):
    z, text = noise(count, 6, seed=seed), noise(count, 6, seed=seed + 1)
    hard = alignment_loss(z, text, SCALE)
    torch.testing.assert_close(alignment_loss(z, text, SCALE, 7 * torch.arange(count)), hard)
    torch.testing.assert_close(alignment_loss(text, z, SCALE), hard)  # symmetric
    torch.testing.assert_close(alignment_loss(3 * z, 0.2 * text, SCALE), hard)
    u, v = F.normalize(z, dim=-1), F.normalize(text, dim=-1)
    plain = (
        sum(
            F.cross_entropy(SCALE.exp() * a @ b.T, torch.arange(count)) for a, b in ((u, v), (v, u))
        )
        / 2
    )
    torch.testing.assert_close(hard, plain)


def test_soft_targets_do_not_tell_templates_apart():
    text = noise(3, 6)  # one description in two templates, and another description
    groups, large = torch.tensor([4, 4, 9]), torch.tensor(3.0)
    crossed = text[[1, 0, 2]]  # each of the first two clips lies on the other's sentence
    hard, hard_crossed = (alignment_loss(z, text, large) for z in (text, crossed))
    soft, soft_crossed = (alignment_loss(z, text, large, groups) for z in (text, crossed))
    assert hard_crossed > hard + 1
    torch.testing.assert_close(soft_crossed, soft)
    wrong = alignment_loss(text[[2, 1, 0]], text, large, groups)
    assert wrong > soft + 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_equal_sentences_cost_the_same_with_both_targets(seed):
    # Identical embeddings share their probability anyway; only templates make a difference.
    z, text, groups = noise(4, 6, seed=seed), noise(4, 6)[[0, 0, 1, 0]], torch.tensor([4, 4, 9, 4])
    hard, soft = (alignment_loss(z, text, SCALE, g) for g in (None, groups))
    torch.testing.assert_close(soft, hard)


def test_weight_of_the_alignment():
    config = Config(epochs=8)
    weights = [alignment_weight(epoch, config) for epoch in range(8)]
    assert weights[0] == 2 and weights[-1] == pytest.approx(2 - 7 / 8)
    assert np.allclose(np.diff(weights), -1 / 8)
    assert alignment_weight(100, config) == weights[-1]
    fixed = Config(loss_weights="constant", align_end=1.5)
    assert {alignment_weight(epoch, fixed) for epoch in range(6)} == {1.5}
    bell = [alignment_weight(epoch, Config(epochs=8, loss_weights="bell")) for epoch in range(8)]
    assert int(np.argmax(bell)) == 4 and bell[4] == 2


def test_clips_of_unknown_emotion_do_not_count():
    logits, labels = noise(5, 3), torch.tensor([0, -1, 2, 1, -1])
    known = labels >= 0
    torch.testing.assert_close(focal_loss(logits, labels), focal_loss(logits[known], labels[known]))
    assert focal_loss(logits, torch.full((5,), -1)) == 0


def test_unit_loss_is_the_sum_over_units_of_their_cross_entropies():
    logits, present = noise(3, 4), torch.tensor([[1.0, 0, 0, 1]] * 3)
    by_hand = -torch.where(present == 1, logits.sigmoid(), (-logits).sigmoid()).log().sum(1).mean()
    torch.testing.assert_close(unit_loss(logits, present), by_hand)


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("warmup", [0.0, 1.0, 2.5, 5.0])
def test_learning_rate_rises_then_falls(steps, warmup):
    config = Config(epochs=20, warmup_epochs=warmup, lr=3.0)
    rates = np.array([learning_rate(step, steps, config) for step in range(20 * steps)])
    first = round(warmup * steps)
    assert rates.max() == pytest.approx(3.0)
    assert rates.min() >= 0.3 - 1e-9
    assert (np.diff(rates[:first]) > 0).all() and (np.diff(rates[first:]) < 0).all()
    if first > 1:
        assert rates[0] == pytest.approx(0.3) and rates[first - 1] == pytest.approx(3.0)
    end = learning_rate(20 * steps, steps, config)
    assert end == pytest.approx(0.3) and rates[-1] < 0.36


def test_weight_decay_spares_what_is_no_matrix():
    model = MERCLIP(TINY, 3)
    model.vision_encoder.class_embedding.requires_grad_(False)
    decayed, spared = parameter_groups(model, 0.05)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, spared = ({names[id(p)] for p in group["params"]} for group in (decayed, spared))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert decayed | spared == trained and not decayed & spared
    assert {
        "logit_scale",
        "vision_encoder.positional_embedding",
        "vision_encoder.transformer.temporal_cls_token",
        "vision_encoder.transformer.balance",
    } <= spared
    for name in trained:
        if name.endswith("bias") or "norm" in name or ".ln_" in name:
            assert name in spared, name
    for part in (
        "conv1.weight",
        "in_proj_weight",
        "c_fc.weight",
        "encoder.proj",
        "fc_cls.weight",
        "pos_embed.2.weight",
        "dpe.0.weight",
        "to_cls_decoder.weight",
    ):
        assert any(name.endswith(part) for name in decayed), part


def test_what_starts_from_nothing_learns_faster():
    model = MERCLIP(SIZES["merclip-tiny"], 5)
    scales = {}
    for group in parameter_groups(model, 0.05, head_lr_scale=10.0):
        scales |= dict.fromkeys(map(id, group["params"]), group["lr_scale"])
    named = {name: scales[id(parameter)] for name, parameter in model.named_parameters()}
    fast = {name for name, scale in named.items() if scale == 10}
    assert fast == {
        name
        for name in named
        if name.startswith("cls_head.") or "to_cls_decoder" in name or "ln_final" in name
    }


def test_weight_decay_names_of_the_whole_model_at_full_size():
    with torch.device("meta"):
        groups = parameter_groups(MERCLIP(SIZES["ViT-B-16"], 5), 0.05)
    counts = [sum(p.numel() for p in group["params"]) for group in groups]
    assert sum(counts) == 163_647_488 + 6_308_357 + 1
    assert counts[1] < 0.01 * counts[0]


def dataset_of(labels):
    return ClipDataset(None, np.arange(len(labels)), np.array(labels), Sampling(4))


def test_epoch_visits_every_clip_once():
    generator = torch.Generator().manual_seed(0)
    first, second = (batches(dataset_of([0] * 10), QUICK, generator) for _ in range(2))
    assert [len(items) for items in first] == [4, 4, 2]
    assert sorted(torch.cat(first).tolist()) == list(range(10))
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_class_balanced_batches():
    labels = np.array([0] * 900 + [2] * 90 + [3] * 10)  # class 1 has no clip in this fold
    config = replace(QUICK, class_balanced=True)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([torch.cat(batches(dataset_of(labels), config, generator)) for _ in range(5)])
    shares = np.bincount(labels[drawn], minlength=4) / len(drawn)
    assert shares == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3], abs=0.03)


def test_augmented_batch_follows_its_generator():
    video, subjects = noise(6, 4, 3, 16, 16), torch.arange(6) % 3

    def augmented(seed, config=QUICK):
        generator = torch.Generator().manual_seed(seed)
        return augment_batch(video.clone(), subjects, config, generator)

    (first, flips), (again, same_flips), (other, _) = augmented(1), augmented(1), augmented(2)
    assert torch.equal(first, again) and torch.equal(flips, same_flips)
    assert not torch.equal(first, other)
    off = replace(QUICK, mix=False, flip_probability=0.0, jitter=0.0)
    found, flips = augmented(1, off)
    assert torch.equal(found, video) and not flips.any()
    found, flips = augmented(1, replace(off, flip_probability=1.0))
    assert torch.equal(found, video.flip(-1)) and flips.all()
    mixed, _ = augmented(1, replace(off, mix=True, mix_probability=1.0))
    assert all((a != b).any() for a, b in zip(mixed, video, strict=True))


def test_a_crop_is_drawn_in_training_and_the_centre_in_testing():
    config = replace(QUICK, mix=False, jitter=0.0, flip_probability=0.0, crop=0.8)
    whole = np.random.default_rng(0).integers(0, 256, (12, 6, 80, 80, 3), dtype=np.uint8)
    dataset = ClipDataset(SimpleNamespace(frames=whole), np.arange(12), LABELS, Sampling(4))
    centre, everything = (
        gather(dataset, torch.arange(12), replace(config, crop=share)).video for share in (0.8, 1.0)
    )
    assert everything.shape == (12, 4, 3, 80, 80) and centre.shape == (12, 4, 3, 64, 64)
    assert torch.equal(centre, everything[..., 8:72, 8:72])
    generator = torch.Generator().manual_seed(0)
    drawn, _ = augment_batch(everything, torch.arange(12), config, generator)
    assert drawn.shape == centre.shape and not torch.equal(drawn, centre)


def test_without_a_crop_nothing_is_drawn_for_it():
    video, generator = noise(6, 4, 3, 16, 16), torch.Generator().manual_seed(0)
    _, flips = augment_batch(video, torch.arange(6), QUICK, generator)
    coins = torch.rand(6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(flips, coins < QUICK.flip_probability)


def test_sentence_follows_the_flip():
    rows, flipped = torch.arange(4), torch.tensor([False, True, True, False])
    for swap, expected in ((True, [0, 2, 0, 1]), (False, [0, 1, 0, 1])):
        training = start(MERCLIP(TINY, 2), TEXT_ONLY, replace(QUICK, flip_swap=swap))
        sentences, groups, _ = draw_sentences(training, rows, flipped)
        assert groups.tolist() == expected
        for sentence, group in zip(sentences, groups, strict=True):
            assert any(torch.equal(sentence, own) for own in TEXT.embeddings[group])


def test_every_template_is_drawn():
    rows = torch.zeros(200, dtype=torch.long)
    still = torch.zeros(200, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    sentences, _ = TEXT.draw(rows, still, generator)
    first = (sentences == TEXT.embeddings[0, 0]).all(1).float().mean()
    assert first.item() == pytest.approx(0.5, abs=0.12)


def test_same_configuration_gives_the_same_weights(store):
    (a, history), (b, again) = fitted(store, QUICK), fitted(store, QUICK)
    assert history == again
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(left, right), name
    other, _ = fitted(store, replace(QUICK, seed=1))
    assert not torch.equal(other.vision_encoder.proj, a.vision_encoder.proj)


def test_training_learns_what_can_be_seen(store):
    model, history = fitted(store, replace(QUICK, epochs=12, lr=5e-3, jitter=0.0))
    assert [entry["epoch"] for entry in history] == list(range(12))
    assert history[-1]["emotion"] < 0.5 * history[0]["emotion"]
    assert history[-1]["align"] < history[0]["align"]
    dataset = ClipDataset(store, np.arange(12), LABELS, Sampling(4))
    probabilities = predict(model, dataset, batch_size=5)
    assert probabilities.shape == (12, 2)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(12))
    assert (probabilities.argmax(1).numpy() == LABELS).all()
    torch.testing.assert_close(predict(model, dataset, batch_size=12), probabilities)


@pytest.mark.parametrize("change", [{"use_text": False}, {"loss_weights": "constant"}, {}])
def test_weights_of_the_two_losses(store, change):
    _, history = fitted(store, replace(QUICK, epochs=2, **change))
    for entry, weight in zip(history, (2.0, 1.5), strict=True):
        expected = weight * entry["align"] + (2 - weight) * entry["emotion"]
        if "use_text" in change:
            expected, weight = entry["emotion"], 0.0
        elif "loss_weights" in change:
            expected, weight = entry["align"] + entry["emotion"], 1.0
        assert entry["loss"] == pytest.approx(expected, rel=1e-5)
        assert entry["weight"] == weight


def test_first_epoch_leaves_the_classifier_alone(store):
    # lambda = 2: no gradient reaches the head, and nothing but decay (here none) moves it.
    config = replace(QUICK, epochs=1, weight_decay=0.0)
    torch.manual_seed(5)
    before = MERCLIP(TINY, 2).cls_head.state_dict()
    model, _ = fitted(store, config)
    for name, tensor in model.cls_head.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_loss_that_explodes_is_an_error(store):
    text = replace(TEXT, embeddings=TEXT.embeddings * float("nan"))
    with pytest.raises(ValueError, match="no longer finite in epoch 0; lower lr=0.002"):
        fitted(store, QUICK, text)


def test_history_is_handed_out_each_epoch(store):
    seen = []
    torch.manual_seed(5)
    dataset = ClipDataset(store, np.arange(12), LABELS, Sampling(4, training=True))
    data = TrainingData(dataset, SUBJECTS, TEXT)
    history = fit(
        MERCLIP(TINY, 2), data, QUICK, lambda training: seen.append(training.history[-1])
    ).history
    assert seen == history and len(seen) == 3
    assert history[-1]["lr"] == pytest.approx(learning_rate(8, 3, QUICK))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_read_clips_change_nothing(store, workers):
    torch.manual_seed(5)
    model = MERCLIP(TINY, 2)
    dataset = ClipDataset(store, np.arange(12), LABELS, Sampling(4, training=True))
    config = replace(QUICK, epochs=2)
    fit(model, TrainingData(dataset, SUBJECTS, TEXT, workers), config)
    plain, _ = fitted(store, config)
    for (name, left), right in zip(
        model.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name


def test_learning_rate_for_a_batch_of_128():
    plain = Config(epochs=20, lr=3.0, batch_size=8)
    scaled = replace(plain, lr_scaling=True)
    for step in (0, 9, 50, 199):
        expected = learning_rate(step, 10, plain) / 16
        assert learning_rate(step, 10, scaled) == pytest.approx(expected)


def test_alignment_that_starts_lower_gives_the_emotion_more(store):
    config = replace(QUICK, epochs=2, align_start=1.5, align_end=0.5)
    _, history = fitted(store, config)
    for entry, weight in zip(history, (1.5, 1.0), strict=True):
        assert entry["weight"] == weight
        expected = weight * entry["align"] + (2 - weight) * entry["emotion"]
        assert entry["loss"] == pytest.approx(expected, rel=1e-5)


def test_normalisation_follows_the_configuration(store):
    dataset = ClipDataset(store, np.arange(3), LABELS[:3], Sampling(4))
    raw = torch.stack([dataset[i]["video"] for i in range(3)])
    for name, mean, std in (
        ("clip", CLIP_MEAN, CLIP_STD),
        ("imagenet", IMAGENET_MEAN, IMAGENET_STD),
    ):
        config = Config(normalisation=name)
        video, labels, rows = gather(dataset, torch.arange(3), config)
        assert torch.equal(video, normalise(raw, mean, std))
        assert labels.tolist() == LABELS[:3].tolist() and rows.tolist() == [0, 1, 2]
    assert torch.equal(gather(dataset, torch.arange(3))[0], normalise(raw))
    model = MERCLIP(TINY, 2)
    other = predict(model, dataset, config=Config(normalisation="imagenet"))
    assert not torch.equal(other, predict(model, dataset))


@pytest.mark.parametrize("method", ["mixup", "cutmix"])
def test_mixed_clips_count_for_both_labels(method):
    video, labels = noise(6, 4, 3, 16, 16), torch.arange(6) % 3
    config = replace(
        QUICK,
        mix_method=method,
        mix_probability=1.0,
        mix_alpha=0.75,
        jitter=0.0,
        flip_probability=0.0,
    )
    generator = torch.Generator().manual_seed(0)
    found, _ = augment_batch(video.clone(), labels, config, generator)
    assert torch.equal(found, video)  # LocalStaticFaceMix stays away
    found, (other, share) = mix_batch(video.clone(), labels, labels, config, generator)
    assert (other != labels).all() and share.tolist() == pytest.approx([0.75] * 6)
    logits = noise(6, 3)
    plain = [focal_loss(logits[[i]], labels[[i]]) for i in range(6)]
    crossed = [focal_loss(logits[[i]], other[[i]]) for i in range(6)]
    expected = sum(0.75 * a + 0.25 * b for a, b in zip(plain, crossed, strict=True)) / 6
    torch.testing.assert_close(focal_loss(logits, labels, mixed=(other, share)), expected)
    for off in (replace(config, mix=False), QUICK):
        state = generator.get_state()
        same, nothing = mix_batch(video, labels, labels, off, generator)
        assert same is video and nothing is None and torch.equal(generator.get_state(), state)


@pytest.mark.parametrize(
    "change",
    [
        {"mix_method": "mixup"},
        {"mix_method": "cutmix"},
        {"accumulate": 3},
        {"checkpoint_blocks": True},
        {"precision": "bfloat16"},
        {"normalisation": "imagenet"},
        {"lr_scaling": True},
    ],
    ids=str,
)
def test_option_changes_the_training_and_repeats(store, change):
    config = replace(QUICK, epochs=1, weight_decay=0.0, **change)
    (a, history), (b, again) = fitted(store, config), fitted(store, config)
    assert history == again and np.isfinite(history[0]["loss"])
    plain, _ = fitted(store, replace(QUICK, epochs=1, weight_decay=0.0))
    proj = [model.vision_encoder.proj for model in (a, b, plain)]
    assert torch.equal(proj[0], proj[1])
    assert torch.equal(proj[0], proj[2]) == ("checkpoint_blocks" in change)
    assert a.vision_encoder.transformer.resblocks[0].recompute == config.checkpoint_blocks
