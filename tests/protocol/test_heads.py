"""Heads on a frozen encoder: stacked heads compute what single ones do, and nothing leaks."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch.func import functional_call, stack_module_state

from merclip_lib.config import Config
from merclip_lib.model.head import EmotionInference
from merclip_lib.model.plain import LinearHead
from merclip_lib.protocol.folds import Fold, make_folds
from merclip_lib.protocol.frozen_heads import (
    KINDS,
    Features,
    HeadSettings,
    clip_losses,
    cross_validate_heads,
    fold_probabilities,
    new_head,
    pool_patches,
    stacked_logits,
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

    features = Features(
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
    return features, table


HEADS = {
    "linear": (HeadSettings("linear"), LinearHead(16, 3)),
    **{
        f"eim {layers}": (
            HeadSettings("eim", dataclasses.replace(CONFIG, eim_layers=layers)),
            EmotionInference(16, 3, layers),
        )
        for layers in (1, 3)
    },
}


def several(head, number):
    """Parameters of heads that differ, by name, each (number, ...)."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: value.detach() + 0.2 * torch.randn(value.shape, generator=generator)
        for name, value in stack_module_state([head] * number)[0].items()
    }


@pytest.mark.parametrize("name", HEADS)
def test_stacked_heads_compute_what_the_modules_do(name, study):
    settings, module = HEADS[name]
    tokens, parameters = study[0].tokens[:5], several(module, 3)
    logits = stacked_logits(new_head(16, 3, settings), parameters, tokens)
    assert logits.shape == (3, 5, 3)
    for r in range(3):
        alone = {key: value[r] for key, value in parameters.items()}
        expected = functional_call(module.eval(), alone, tokens)
        torch.testing.assert_close(logits[r], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_heads_start_as_the_library_makes_them(name):
    settings, module = HEADS[name]
    torch.manual_seed(settings.config.seed)
    expected = type(module)(16, 3, *[settings.config.eim_layers] * (settings.kind == "eim"))
    torch.testing.assert_close(new_head(16, 3, settings).state_dict(), expected.state_dict())


def test_dropout_is_the_same_for_all_heads_and_layers(study):
    settings, module = HEADS["eim 3"]
    tokens, parameters = study[0].tokens[:5], several(module, 2)
    head = new_head(16, 3, settings)
    nothing = stacked_logits(head, parameters, tokens, torch.zeros(5, 16))
    torch.testing.assert_close(nothing, parameters["fc_cls.bias"][:, None].expand(-1, 5, -1))
    # a factor of every channel is one of the classifier's columns
    factor = torch.rand(16, generator=torch.Generator().manual_seed(2))
    dropped = stacked_logits(head, parameters, tokens, factor.expand(5, -1))
    parameters["fc_cls.weight"] = parameters["fc_cls.weight"] * factor
    torch.testing.assert_close(dropped, stacked_logits(head, parameters, tokens))


def test_clip_losses_are_the_terms_of_the_training_loss():
    logits, labels = torch.randn(2, 6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    for losses, of_one in zip(clip_losses(logits, labels), logits, strict=True):
        torch.testing.assert_close(losses.mean(), focal_loss(of_one, labels))


@pytest.mark.parametrize("kind", KINDS)
def test_all_folds_at_once_predict_what_fold_by_fold_does(kind, study):
    features, table = study
    folds, settings = make_folds(table), HeadSettings(kind, CONFIG)
    together = cross_validate_heads(features, table, folds, CLASSES, settings)
    single = pd.concat(
        [cross_validate_heads(features, table, [fold], CLASSES, settings) for fold in folds],
        ignore_index=True,
    )
    pd.testing.assert_frame_equal(together, single, atol=1e-5)
    assert score(together, CLASSES).uf1 > 0.6  # chance 1/3
    again = cross_validate_heads(features, table, folds, CLASSES, settings)
    pd.testing.assert_frame_equal(together, again)


@pytest.mark.parametrize("kind", ["logistic z", "linear", "eim"])
def test_labels_of_held_out_clips_reach_no_head(kind, study):
    features, table = study
    labels = table["label"].map(CLASSES.index).to_numpy()
    fold = make_folds(table)[2]
    other = labels.copy()
    other[fold.test] = (other[fold.test] + 1) % 3
    settings = HeadSettings(kind, dataclasses.replace(CONFIG, epochs=2))
    first, second = (fold_probabilities(features, y, [fold], 3, settings) for y in (labels, other))
    np.testing.assert_array_equal(first, second)
    other[fold.train] = (labels[fold.train] + 1) % 3
    changed = fold_probabilities(features, other, [fold], 3, settings)
    assert np.abs(first - changed).max() > 1e-3


@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("penalty", [0.3, 10.0])
def test_logistic_regression_is_at_its_optimum(penalty, classes, study):
    """Of the classes that its clips show: sum_n CE_n + penalty / 2 |W|², x standardised."""
    features, table = study
    labels = table["label"].map(CLASSES.index).to_numpy()
    folds = [
        Fold(fold.name, fold.train[labels[fold.train] < classes], fold.test)
        for fold in make_folds(table)[:2]
    ]
    settings = HeadSettings("logistic z", penalty=penalty)
    predicted = fold_probabilities(features, labels, folds, 3, settings)
    for fold, probability in zip(folds, predicted, strict=True):
        assert (probability[:, classes:] == 0).all()
        x, y = features.z.double()[fold.train], torch.tensor(labels)[fold.train]
        mean, scale = x.mean(0), x.std(0, correction=0)
        expected = optimum((x - mean) / scale, y, penalty)((features.z - mean) / scale)
        np.testing.assert_allclose(probability[:, :classes], expected, atol=1e-5)


def optimum(x, y, penalty):
    """Softmax regression by Newton's method: a function from inputs to probabilities."""
    shape = (x.shape[1], int(y.max()) + 1)

    def logits(w, x):
        return x @ w[shape[1] :].view(shape) + w[: shape[1]]

    def objective(w):
        # a trace of a penalty on the bias, which softmax leaves free up to a shift
        fit = torch.nn.functional.cross_entropy(logits(w, x), y, reduction="sum")
        return fit + penalty / 2 * w[shape[1] :].square().sum() + 1e-9 * w.square().sum()

    w = torch.zeros(shape[1] * (1 + shape[0]), dtype=torch.float64)
    for _ in range(20):
        slope, curvature = torch.func.grad(objective)(w), torch.func.hessian(objective)(w)
        w = w - torch.linalg.solve(curvature, slope)
    return lambda x: logits(w, x).softmax(-1).numpy()


def test_patches_are_averaged_over_squares_of_their_frame():
    tokens = torch.arange(1 + 2 * 16.0).view(1, -1, 1)
    pooled = pool_patches(tokens, grid=4, side=2)[0, :, 0]
    square = torch.tensor([1.0, 2, 5, 6]).mean()
    assert pooled.tolist() == [0, *[square + k for k in (0, 2, 8, 10, 16, 18, 24, 26)]]
    assert torch.equal(pool_patches(tokens, 4, 1), tokens)
    with pytest.raises(ValueError, match="4 x 4"):
        pool_patches(tokens, 4, 3)


def test_wrong_input_is_refused(study):
    features, table = study
    with pytest.raises(ValueError, match="choose one of"):
        HeadSettings("forest")
    with pytest.raises(ValueError, match="penalty is 0; it must be positive"):
        HeadSettings("logistic z", penalty=0)
    nobody = [Fold("empty", np.array([], int), np.arange(48))]
    for kind in KINDS:
        with pytest.raises(ValueError, match="'empty' has no clips"):
            cross_validate_heads(features, table, nobody, CLASSES, HeadSettings(kind))
