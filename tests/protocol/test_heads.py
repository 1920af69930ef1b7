"""Heads on a frozen backbone: stacked heads compute what single ones do, and nothing leaks."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import functional_call

from merclip_lib.config import Config
from merclip_lib.model.head import EmotionInference, LinearHead
from merclip_lib.protocol.folds import Fold, make_folds
from merclip_lib.protocol.frozen_heads import (
    KINDS,
    Features,
    cross_validate_heads,
    focal_losses,
    fold_probabilities,
    head_logits,
    pool_patches,
    stack,
)
from merclip_lib.scores.metrics import score
from merclip_lib.training.losses import focal_loss

CLASSES = ("anger", "disgust", "fear")
CONFIG = dataclasses.replace(Config(), epochs=8, batch_size=8)


@pytest.fixture(scope="module")
def study():
    """48 clips of 6 subjects whose class shows in z, in o and in every token, under noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 3
    signal = torch.nn.functional.one_hot(labels, 16).float()

    def noisy(*shape):
        return torch.randn(*shape, generator=generator)

    found = Features(
        signal[:, :8] + 0.6 * noisy(48, 8),
        signal[:, :12] + 0.6 * noisy(48, 12),
        2 * signal[:, None] + 0.6 * noisy(48, 1 + 2 * 16, 16),
    )
    subjects = [f"s{k // 8}" for k in range(48)]
    table = pd.DataFrame(
        {
            "clip_id": [f"c{k}" for k in range(48)],
            "subject": subjects,
            "dataset": "x",
            "label": [CLASSES[k] for k in labels],
        }
    )
    return found, table


@pytest.mark.parametrize(
    "head",
    [EmotionInference(16, 3, 1), EmotionInference(16, 3, 3), LinearHead(16, 3)],
    ids=["eim 1", "eim 3", "linear"],
)
def test_stacked_heads_compute_what_the_modules_do(head, study):
    tokens, generator = study[0].tokens[:5], torch.Generator().manual_seed(1)
    stacked = {
        name: value + 0.2 * torch.randn(value.shape, generator=generator)
        for name, value in stack(head, 3).items()
    }
    found = head_logits(stacked, tokens, heads=4)
    assert found.shape == (3, 5, 3)
    for r in range(3):
        one = functional_call(head.eval(), {name: v[r] for name, v in stacked.items()}, tokens)
        torch.testing.assert_close(found[r], one, atol=1e-5, rtol=1e-5)


def test_focal_losses_are_the_terms_of_the_training_loss():
    logits, labels = torch.randn(2, 6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    for found, one in zip(focal_losses(logits, labels), logits, strict=True):
        torch.testing.assert_close(found.mean(), focal_loss(one, labels))


@pytest.mark.parametrize("kind", KINDS)
def test_all_folds_at_once_predict_what_fold_by_fold_does(kind, study):
    found, table = study
    folds = make_folds(table)
    together = cross_validate_heads(found, table, folds, CLASSES, kind, CONFIG)
    single = pd.concat(
        [cross_validate_heads(found, table, [fold], CLASSES, kind, CONFIG) for fold in folds],
        ignore_index=True,
    )
    pd.testing.assert_frame_equal(together, single, atol=1e-5)
    assert score(together, CLASSES).uf1 > 0.6  # chance 1/3
    again = cross_validate_heads(found, table, folds, CLASSES, kind, CONFIG)
    pd.testing.assert_frame_equal(together, again)


@pytest.mark.parametrize("kind", ["logistic z", "linear", "eim"])
def test_labels_of_held_out_clips_reach_no_head(kind, study):
    found, table = study
    labels = table["label"].map(CLASSES.index).to_numpy()
    fold = make_folds(table)[2]
    other = labels.copy()
    other[fold.test] = (other[fold.test] + 1) % 3
    config = dataclasses.replace(CONFIG, epochs=2)
    first, second = (fold_probabilities(found, y, [fold], 3, kind, config) for y in (labels, other))
    np.testing.assert_array_equal(first, second)
    other[fold.train] = (labels[fold.train] + 1) % 3
    changed = fold_probabilities(found, other, [fold], 3, kind, config)
    assert np.abs(first - changed).max() > 1e-3


@pytest.mark.parametrize("penalty", [0.3, 10.0])
def test_logistic_finds_the_optimum_that_sklearn_finds(penalty, study):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found, table = study
    labels = table["label"].map(CLASSES.index).to_numpy()
    folds = make_folds(table)[:2]
    ours = fold_probabilities(found, labels, folds, 3, "logistic z", penalty=penalty)
    z = found.z.double().numpy()
    for fold, probability in zip(folds, ours, strict=True):
        judge = make_pipeline(
            StandardScaler(), LogisticRegression(C=1 / penalty, tol=1e-9, solver="newton-cg")
        )
        judge.fit(z[fold.train], labels[fold.train])
        np.testing.assert_allclose(probability, judge.predict_proba(z), atol=1e-5)


def test_patches_are_averaged_over_squares_of_their_frame():
    tokens = torch.arange(1 + 2 * 16.0).view(1, -1, 1)
    pooled = pool_patches(tokens, grid=4, by=2)[0, :, 0]
    square = torch.tensor([1.0, 2, 5, 6]).mean()
    assert pooled.tolist() == [0, *[square + k for k in (0, 2, 8, 10, 16, 18, 24, 26)]]
    assert torch.equal(pool_patches(tokens, 4, 1), tokens)
    with pytest.raises(ValueError, match="4 x 4"):
        pool_patches(tokens, 4, 3)


def test_wrong_input_is_refused(study):
    found, table = study
    with pytest.raises(ValueError, match="choose one of"):
        cross_validate_heads(found, table, make_folds(table), CLASSES, "forest")
    nobody = [Fold("empty", np.array([], int), np.arange(48))]
    with pytest.raises(ValueError, match="'empty' has no clips"):
        cross_validate_heads(found, table, nobody, CLASSES)
