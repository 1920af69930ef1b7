"""Heads on a frozen encoder: the folds of all subjects trained at once.

While the video encoder stays as it is, a clip's tokens never change. So they are computed once,
and only small heads are trained on them. The heads of all folds have the same shapes, so their
parameters are stacked along a first axis R and `torch.func.vmap` runs the library's own head for
all of them: one matrix product instead of R small ones. Every training sees the same batches and
the same dropout; a clip that a fold holds out has weight 0 there, so its label never reaches that
fold's head. One fold alone gives the same head up to rounding.

Not in the paper, which trains everything. Axes: R trainings (folds), N clips, S tokens, C token
width, K classes, H heads of the attention.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from merclip_lib.config import Config, size_of
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.model.head import Attention, EmotionInference
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.model.plain import LinearHead
from merclip_lib.protocol.folds import Fold
from merclip_lib.protocol.predictions import prediction_table
from merclip_lib.runs.executors import in_one_thread
from merclip_lib.training.batches import gather
from merclip_lib.training.losses import focal_loss
from merclip_lib.training.optimiser import learning_rate

KINDS = ("logistic z", "logistic o", "logistic patches", "linear", "eim")


@dataclass(frozen=True)
class HeadSettings:
    """Which head, and how it is trained.

    Attributes:
        kind: multinomial logistic regression on z, on o or on the mean patch token; `linear`, a
            linear layer on token 0; `eim`, the Emotion Inference Module.
        config: for `linear` and `eim` the seed, epochs, batch size, learning rate of the head and
            weight decay, and the layers of the EIM; nothing of it concerns logistic regression.
        penalty: L2 strength of the logistic regression, scikit-learn's 1 / C.
    """

    kind: str = "eim"
    config: Config = Config()
    penalty: float = 10.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; choose one of {list(KINDS)}")
        if not self.penalty > 0:
            raise ValueError(f"penalty is {self.penalty}; it must be positive")


class Features(NamedTuple):
    """What the frozen encoder makes of each clip."""

    z: Tensor  # (N, E) alignment embedding
    o: Tensor  # (N, D) clip vector
    tokens: Tensor  # (N, S, C) inference tokens, clip token first


@torch.no_grad()
def encode_clips(model: MERCLIP, dataset: ClipDataset, config: Config | None = None) -> Features:
    """Run the video encoder once over all clips, in evaluation mode.

    Args:
        model: the network; it is left in evaluation mode.
        dataset: N clips.
        config: says how frames are normalised; without it, as CLIP's weights expect.
    """
    model.eval()
    parts = [
        model.vision_encoder(gather(dataset, items, config).video.transpose(1, 2))[:3]
        for items in torch.arange(len(dataset)).split(32)
    ]
    return Features(*(torch.cat(part) for part in zip(*parts, strict=True)))


def pool_patches(tokens: Tensor, grid: int, side: int) -> Tensor:
    """Average the patch tokens over squares; an EIM on fewer tokens trains many times faster.

    Args:
        tokens: (N, 1 + t * grid * grid, C), clip token first.
        grid: patches along one side of a frame.
        side: patches along one side of a square.

    Returns:
        (N, 1 + t * (grid / side)², C); the clip token is as it was.

    Raises:
        ValueError: the patches of a frame do not divide into such squares.
    """
    if side < 1 or grid % side:
        raise ValueError(f"squares of {side} x {side} do not divide {grid} x {grid} patches")
    patches = tokens[:, 1:].unflatten(1, (-1, grid // side, side, grid // side, side))
    return torch.cat([tokens[:, :1], patches.mean((3, 5)).flatten(1, 3)], 1)


def cross_validate_heads(
    features: Features,
    table: pd.DataFrame,
    folds: list[Fold],
    classes: Sequence[str],
    settings: HeadSettings,
) -> pd.DataFrame:
    """Predict every held-out clip by the head of its fold.

    Args:
        features: of the clips.
        table: the clips, in the order of `features`, with a `label` column (`RunPlan.table`).
        folds: who trains and who is held out, in positions of the table.
        classes: names of the K classes.
        settings: which head.

    Returns:
        The predictions, as `prediction_table` describes them, fold by fold.

    Raises:
        ValueError: a fold has no clips to train on.
    """
    labels = table["label"].map(list(classes).index).to_numpy()
    probability = fold_probabilities(features, labels, folds, len(classes), settings)
    held_out = np.concatenate([fold.test for fold in folds])
    fold_of_clip = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])
    return prediction_table(table.iloc[held_out], classes, probability[fold_of_clip, held_out])


def fold_probabilities(
    features: Features, labels: np.ndarray, folds: list[Fold], classes: int, settings: HeadSettings
) -> np.ndarray:
    """Class probabilities of all clips, also those of training, by the head of each fold.

    Args:
        features: of the N clips.
        labels: (N,) class numbers.
        folds: R folds, in positions of the clips.
        classes: K.
        settings: which head.

    Returns:
        (R, N, K), float32.

    Raises:
        ValueError: a fold has no clips to train on.
    """
    if empty := [fold.name for fold in folds if not len(fold.train)]:
        raise ValueError(f"fold {empty[0]!r} has no clips to train on")
    if settings.kind.startswith("logistic"):
        inputs = {"z": features.z, "o": features.o, "patches": features.tokens[:, 1:].mean(1)}
        x = inputs[settings.kind.removeprefix("logistic ")].double().numpy()
        return np.stack([_logistic(x, labels, fold, classes, settings.penalty) for fold in folds])
    clip_weights = torch.zeros(len(folds), len(labels))
    for row, fold in zip(clip_weights, folds, strict=True):
        row[fold.train] = 1
    tokens = features.tokens[:, :1] if settings.kind == "linear" else features.tokens
    arguments = (tokens, torch.tensor(labels), clip_weights, classes, settings)
    return in_one_thread(_train, *arguments).numpy()  # small products: two threads only wait


def _logistic(
    x: np.ndarray, labels: np.ndarray, fold: Fold, classes: int, penalty: float
) -> np.ndarray:
    """Probabilities (N, K) of x (N, D) by minimising sum_n CE_n + penalty / 2 |W|².

    x is standardised on the fold's own training clips. A class without any has probability 0.
    """
    probability = np.zeros((len(x), classes), np.float32)
    present = np.unique(labels[fold.train])
    if len(present) == 1:  # nothing to tell apart
        probability[:, present] = 1
        return probability
    # Of two classes scikit-learn fits one vector w. As a softmax that is w / 2 and -w / 2, so
    # |W|² is half of the |w|² that it counts.
    c = (2 if len(present) == 2 else 1) / penalty
    regression = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-7, max_iter=10_000))
    regression.fit(x[fold.train], labels[fold.train])
    probability[:, present] = regression.predict_proba(x)
    return probability


def _train(
    tokens: Tensor, labels: Tensor, clip_weights: Tensor, classes: int, settings: HeadSettings
) -> Tensor:
    """Train R heads as the method trains its own: focal loss, AdamW, the same schedule.

    `clip_weights` (R, N): 1 where a clip trains that head, else 0. Returns probabilities (R, N, K).
    """
    config, width = settings.config, tokens.shape[-1]
    generator = torch.Generator().manual_seed(config.seed)
    head = new_head(width, classes, settings)
    parameters, _ = stack_module_state([head] * len(clip_weights))  # all start from the same head
    matrices = [p for p in parameters.values() if p.ndim > 2]  # (R, rows, columns)
    vectors = [p for p in parameters.values() if p.ndim <= 2]
    groups: list[dict] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)
    dropout = size_of(config).eim_dropout if settings.kind == "eim" else 0.0
    for epoch in range(config.epochs):
        batches = torch.randperm(len(labels), generator=generator).split(config.batch_size)
        for step, items in enumerate(batches, start=epoch * len(batches)):
            mask = torch.rand(len(items), width, generator=generator) >= dropout
            logits = stacked_logits(head, parameters, tokens[items], mask / (1 - dropout))
            weights = clip_weights[:, items]  # (R, n)
            losses = clip_losses(logits, labels[items]) * weights
            loss = losses.sum(1) / weights.sum(1).clamp(min=1)
            for group in optimiser.param_groups:
                group["lr"] = config.head_lr_scale * learning_rate(step, len(batches), config)
            optimiser.zero_grad()
            loss.sum().backward()  # a head has no part in the others' losses
            optimiser.step()
    with torch.no_grad():
        parts = [stacked_logits(head, parameters, t) for t in tokens.split(config.batch_size)]
    return torch.cat(parts, 1).softmax(-1)


def new_head(width: int, classes: int, settings: HeadSettings) -> EmotionInference | LinearHead:
    """One head before training, in evaluation mode: `stacked_logits` applies the dropout."""
    torch.manual_seed(settings.config.seed)
    if settings.kind == "linear":
        return LinearHead(width, classes)
    size = size_of(settings.config)
    head = EmotionInference(width, classes, size.eim_layers, size.eim_heads, size.eim_dropout)
    head.blocks[-1].get_submodule("attn").__class__ = FirstTokenAttention  # the same parameters
    return head.eval()


def stacked_logits(
    head: EmotionInference | LinearHead,
    parameters: dict[str, Tensor],
    tokens: Tensor,
    dropout: Tensor | float = 1.0,
) -> Tensor:
    """Logits of R heads on the same tokens.

    Args:
        head: says what is computed, in evaluation mode; its own parameters are not used.
        parameters: those of R such heads by name, each (R, ...).
        tokens: (N, S, C).
        dropout: factors (N, C) of what the classifier reads, the same for all heads.

    Returns:
        (R, N, K).
    """
    dropping = head.fc_cls.register_forward_pre_hook(lambda _, inputs: inputs[0] * dropout)
    with dropping, warnings.catch_warnings():
        # vmap computes torch's attention of one head after the other, and says that this is slow
        warnings.filterwarnings("ignore", "There is a performance drop")
        return vmap(lambda p: functional_call(head, p, (tokens,)))(parameters)


def clip_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """The focal loss of each clip: logits (R, N, K), labels (N,) -> (R, N)."""
    of_one_head = vmap(lambda logits, label: focal_loss(logits[None], label[None]))
    return vmap(of_one_head, in_dims=(0, None))(logits, labels)


class FirstTokenAttention(Attention):
    """Attention of token 0 to all tokens: what `Attention` computes for it, in fewer products.

    R heads would project all tokens to R sets of keys and values. As in `encoder.GlobalBlock`,
    (Wq q) . (Wk y) = (Wk' Wq q) . y and sum_s a_s (Wv y_s) = Wv (sum_s a_s y_s) need none (the
    key bias drops out of the softmax). It makes an EIM of one layer twice as fast on 17 tokens,
    four times on 257.
    """

    def forward(self, y: Tensor, first_only: bool = True) -> Tensor:
        """(N, S, C) -> (N, 1, C)"""
        wq, wk, wv = (w.unflatten(0, (self.heads, -1)) for w in self.to_qkv.weight.chunk(3))
        bq, _, bv = (b.unflatten(0, (self.heads, -1)) for b in self.to_qkv.bias.chunk(3))
        query = torch.einsum("nc,hec->nhe", y[:, 0], wq) + bq
        query = torch.einsum("nhe,hec->nhc", query * query.shape[-1] ** -0.5, wk)
        weights = (query @ y.transpose(1, 2)).softmax(-1)  # (N, H, S)
        value = torch.einsum("nhc,hec->nhe", weights @ y, wv) + bv
        return self.proj(value.flatten(1))[:, None]
