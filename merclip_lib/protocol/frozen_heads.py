"""Heads on a frozen backbone: the folds of all subjects trained at once.

While the video encoder stays as it is, a clip's tokens never change. So they are computed once,
and only small heads are trained on them. The heads of all folds have the same shapes, so they are
stacked along a first axis R and trained together: one matrix product instead of R small ones.
Every training sees the same batches of clips; a clip that a fold holds out has weight 0 there, so
its label never reaches that fold's head. One fold alone gives the same head up to rounding.

Not in the paper, which trains everything. Axes: R trainings, N clips, S tokens, C token width,
H heads. Hyper-parameters are those of `Config` that concern the head.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib.config import Config, size_of
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.model.encoder import split_heads
from merclip_lib.model.head import EmotionInference, LinearHead
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.folds import Fold
from merclip_lib.training.batches import gather
from merclip_lib.training.optimiser import learning_rate

KINDS = ("logistic z", "logistic o", "logistic patches", "linear", "eim")


class Features(NamedTuple):
    """What the frozen backbone says of each clip."""

    z: Tensor  # (N, E) alignment embedding
    o: Tensor  # (N, D) clip vector
    tokens: Tensor  # (N, S, C) inference tokens, clip token first


@torch.no_grad()
def features(
    model: MERCLIP, dataset: ClipDataset, batch_size: int = 32, config: Config | None = None
) -> Features:
    """Run the backbone once over all clips, in evaluation mode, normalised as `config` says."""
    model.eval()
    parts = [
        model.vision_encoder(gather(dataset, items, config)[0].transpose(1, 2))[:3]
        for items in torch.arange(len(dataset)).split(batch_size)
    ]
    return Features(*(torch.cat(part) for part in zip(*parts, strict=True)))


def pool_patches(tokens: Tensor, grid: int, by: int) -> Tensor:
    """Average the patch tokens over squares of `by` x `by`: (N, 1 + t*L, C), L = grid * grid.

    An EIM on t*L/by² instead of t*L patch tokens trains many times faster. Raises ValueError
    when the patches of a frame do not divide into such squares.
    """
    if by < 1 or grid % by:
        raise ValueError(f"squares of {by} x {by} do not divide {grid} x {grid} patches")
    patches = tokens[:, 1:].unflatten(1, (-1, grid // by, by, grid // by, by))
    return torch.cat([tokens[:, :1], patches.mean((3, 5)).flatten(1, 3)], 1)


def cross_validate_heads(
    found: Features,
    table: pd.DataFrame,
    folds: Sequence[Fold],
    classes: Sequence[str],
    kind: str = "eim",
    config: Config | None = None,
    penalty: float = 10.0,
) -> pd.DataFrame:
    """Predictions of every held-out clip, in the format of `protocol` and `metrics`.

    `table` are the chosen clips in the order of `found` (`protocol.choose_clips`). The other
    arguments are those of `fold_probabilities`.
    """
    labels = table["label"].map(list(classes).index).to_numpy()
    probability = fold_probabilities(found, labels, folds, len(classes), kind, config, penalty)
    held_out = np.concatenate([fold.test for fold in folds])
    own = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])
    probability, clips = probability[own, held_out], table.iloc[held_out]
    return pd.DataFrame(
        {
            "clip_id": clips["clip_id"].to_numpy(),
            "subject": clips["subject"].to_numpy(),
            "database": clips["dataset"].to_numpy(),
            "truth": clips["label"].to_numpy(),
            "prediction": [classes[k] for k in probability.argmax(1)],
            **{f"p_{name}": probability[:, k] for k, name in enumerate(classes)},
        }
    )


def fold_probabilities(
    found: Features,
    labels: np.ndarray,
    folds: Sequence[Fold],
    classes: int,
    kind: str = "eim",
    config: Config | None = None,
    penalty: float = 10.0,
) -> np.ndarray:
    """Class probabilities of all clips by each fold's head: (folds, N, classes), float32.

    Kinds: multinomial logistic regression on z, on o or on the mean patch token (`penalty` is its
    L2 strength, sklearn's 1 / C); `linear`, a linear layer on token 0 with focal loss; `eim`, the
    Emotion Inference Module with `config.eim_layers` layers. Raises ValueError for another kind or
    a fold without training clips.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; choose one of {list(KINDS)}")
    config, labels = config or Config(), torch.tensor(labels)
    weights = torch.zeros(len(folds), len(labels))
    for row, fold in zip(weights, folds, strict=True):
        row[fold.train] = 1
    if empty := [fold.name for fold in folds if not len(fold.train)]:
        raise ValueError(f"fold {empty[0]!r} has no clips to train on")
    if kind.startswith("logistic"):
        x = {"z": found.z, "o": found.o, "patches": found.tokens[:, 1:].mean(1)}[kind.split()[1]]
        return logistic(x, labels, weights, classes, penalty).numpy()
    tokens = found.tokens[:, :1] if kind == "linear" else found.tokens
    return _fit(tokens, labels, weights, classes, kind, config).numpy()


def logistic(x: Tensor, labels: Tensor, weights: Tensor, classes: int, penalty: float) -> Tensor:
    """Logistic regressions on x (N, D), one for each row of `weights` (R, N): (R, N, classes).

    Each minimises sum_n w_n CE_n + penalty / 2 |W|², x standardised on its own clips, by
    accelerated gradient descent with restarts (O'Donoghue & Candès 2015). Mean and scale are put
    into W, so all trainings share one product x W.
    """
    x, weights = x.double(), weights.double()
    total = weights.sum(1, keepdim=True)
    mean = weights @ x / total  # (R, D)
    scale = (weights @ x.square() / total - mean.square()).clamp(min=1e-12).sqrt()
    target = F.one_hot(labels, classes).double()  # (N, K)
    gram = torch.einsum("rn,nd,ne->rde", weights, x, x) - total[..., None] * torch.einsum(
        "rd,re->rde", mean, mean
    )
    gram = gram / scale[:, :, None] / scale[:, None]
    steepest = 0.5 * torch.linalg.eigvalsh(gram)[:, -1:, None].expand(-1, x.shape[1], 1)
    step = 1 / torch.cat([steepest + penalty, 0.5 * total[..., None]], 1)  # (R, D + 1, 1)

    def probabilities(w: Tensor) -> Tensor:  # (R, D + 1, K), the last row is the bias
        scaled = w[:, :-1] / scale[..., None]
        bias = w[:, -1:] - mean[:, None] @ scaled
        logits = x @ scaled.transpose(0, 1).flatten(1) + bias.flatten()
        return logits.unflatten(1, (len(w), -1)).softmax(-1)  # (N, R, K)

    w = ahead = torch.zeros(len(weights), x.shape[1] + 1, classes, dtype=torch.float64)
    momentum = torch.ones(len(weights), 1, 1, dtype=torch.float64)
    for _ in range(10_000):
        wrong = (probabilities(ahead) - target[:, None]) * weights.T[..., None]  # (N, R, K)
        bias = wrong.sum(0)[:, None]  # (R, 1, K)
        slope = (x.T @ wrong.flatten(1)).unflatten(1, (len(w), -1)).transpose(0, 1)
        slope = (slope - mean[..., None] * bias) / scale[..., None]
        slope = torch.cat([slope + penalty * ahead[:, :-1], bias], 1)
        if slope.abs().max() < 1e-6:
            break
        new = ahead - step * slope
        uphill = (slope * (new - w)).sum((1, 2), keepdim=True) > 0
        momentum = torch.where(uphill, 1.0, momentum)
        grown = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        ahead = new + torch.where(uphill, 0.0, (momentum - 1) / grown) * (new - w)
        w, momentum = new, grown
    return probabilities(w).transpose(0, 1).float()


def _fit(
    tokens: Tensor, labels: Tensor, weights: Tensor, classes: int, kind: str, config: Config
) -> Tensor:
    """Train stacked heads as `train.fit` does its own: focal loss, AdamW, the same schedule."""
    generator = torch.Generator().manual_seed(config.seed)
    size, width = size_of(config), tokens.shape[-1]
    torch.manual_seed(config.seed)  # all trainings start from the same head
    head = (
        LinearHead(width, classes)
        if kind == "linear"
        else EmotionInference(width, classes, config.eim_layers, size.eim_heads, size.eim_dropout)
    )
    stacked = stack(head, len(weights))
    decayed = [p for p in stacked.values() if p.ndim > 2]
    spared = [p for p in stacked.values() if p.ndim <= 2]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": spared, "weight_decay": 0.0},
        ],
        fused=True,
    )
    steps = math.ceil(len(labels) / config.batch_size)
    for epoch in range(config.epochs):
        order = torch.randperm(len(labels), generator=generator)
        for step, items in enumerate(order.split(config.batch_size)):
            kept = torch.rand(len(items), width, generator=generator) >= size.eim_dropout
            logits = head_logits(
                stacked, tokens[items], size.eim_heads, kept / (1 - size.eim_dropout)
            )
            losses = focal_losses(logits, labels[items])  # (R, n)
            share = weights[:, items]
            loss = (losses * share).sum(1) / share.sum(1).clamp(min=1)
            for group in optimiser.param_groups:
                group["lr"] = config.head_lr_scale * learning_rate(
                    epoch * steps + step, steps, config
                )
            optimiser.zero_grad(set_to_none=True)
            loss.sum().backward()  # a head has no part in the others' losses
            optimiser.step()
    with torch.no_grad():
        parts = tokens.split(config.batch_size)
        logits = torch.cat([head_logits(stacked, part, size.eim_heads) for part in parts], 1)
    return logits.softmax(-1)


def focal_losses(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """`train.focal_loss` clip by clip: logits (R, N, classes), labels (N,) -> (R, N)."""
    log_p = F.log_softmax(logits, -1).gather(2, labels.expand(len(logits), -1)[..., None])[..., 0]
    return -((1 - log_p.exp()) ** gamma) * log_p


def stack(head: torch.nn.Module, trainings: int) -> dict[str, Tensor]:
    """Parameters (R, ...) of R copies of a head, by their names."""
    return {
        name: value.detach().expand(trainings, *value.shape).clone().requires_grad_()
        for name, value in head.named_parameters()
    }


def head_logits(
    p: dict[str, Tensor], tokens: Tensor, heads: int, dropout: Tensor | None = None
) -> Tensor:
    """Logits (R, N, classes) of R stacked heads on the same tokens (N, S, C).

    The arithmetic of `LinearHead` and `EmotionInference`, for R sets of parameters `p`.
    `dropout` (N, C) multiplies what the EIM's classifier reads. The last layer answers for token 0
    alone, so, as in `encoder.GlobalBlock`, its keys and values need no projection of all tokens.
    """
    layers = sum(name.endswith("norm_ffn.weight") for name in p)
    if not layers:
        return _linear(tokens[None, :, 0], p["fc_cls.weight"], p["fc_cls.bias"])
    x, logits = tokens[None], []  # (1 or R, N, S, C)
    for i in range(layers):
        own = f"blocks.{i}."
        block = {name.removeprefix(own): v for name, v in p.items() if name.startswith(own)}
        y = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        w, b = _after_norm(block, "norm", "attn.to_qkv")
        if i + 1 == layers:
            x = x[:, :, :1] + _attend_first(y, w, b, block, heads)
        else:
            q, k, v = (split_heads(part, heads) for part in _linear(y, w, b).chunk(3, -1))
            attended = F.scaled_dot_product_attention(
                q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)
            )
            attended = attended.transpose(1, 2).flatten(2).unflatten(0, (-1, len(tokens)))
            x = x + _linear(attended, block["attn.proj.weight"], block["attn.proj.bias"])
        y = F.layer_norm(x, x.shape[-1:], eps=1e-6)
        y = F.gelu(_linear(y, *_after_norm(block, "norm_ffn", "ffn.net.0")))
        x = x + _linear(y, block["ffn.net.3.weight"], block["ffn.net.3.bias"])
        first = F.layer_norm(x[:, :, 0], x.shape[-1:], eps=1e-6)
        first = first * p["norm.weight"][:, None] + p["norm.bias"][:, None]
        first = first if dropout is None else first * dropout
        logits.append(_linear(first, p["fc_cls.weight"], p["fc_cls.bias"]))
    return torch.stack(logits).mean(0)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """R linear maps: x (1 or R, ..., C), weight (R, K, C), bias (R, K) -> (R, ..., K)."""
    flat = x.flatten(1, -2).expand(len(weight), -1, -1)
    return torch.baddbmm(bias[:, None], flat, weight.transpose(1, 2)).unflatten(1, x.shape[1:-1])


def _after_norm(p: dict[str, Tensor], norm: str, linear: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a linear layer with the scale and shift of the norm before it in them."""
    weight, gain, shift = p[f"{linear}.weight"], p[f"{norm}.weight"], p[f"{norm}.bias"]
    return weight * gain[:, None], p[f"{linear}.bias"] + (weight @ shift[..., None])[..., 0]


def _attend_first(y: Tensor, w: Tensor, b: Tensor, p: dict[str, Tensor], heads: int) -> Tensor:
    """Attention of token 0 to all tokens: y (1 or R, N, S, C) -> (R, N, 1, C)."""
    wq, wk, wv = w.chunk(3, 1)
    bq, _, bv = b.chunk(3, 1)
    query = _linear(y[:, :, 0], wq, bq).unflatten(-1, (heads, -1))  # (R, N, H, C/H)
    query = query * query.shape[-1] ** -0.5
    query = torch.einsum("rnhe,rhec->rnhc", query, wk.unflatten(1, (heads, -1)))
    attention = (query @ y.transpose(-1, -2)).softmax(-1)  # (R, N, H, S)
    value = torch.einsum("rnhc,rhec->rnhe", attention @ y, wv.unflatten(1, (heads, -1)))
    value = value.flatten(2) + bv[:, None]
    return _linear(value, p["attn.proj.weight"], p["attn.proj.bias"])[:, :, None]
