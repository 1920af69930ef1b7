"""The losses of MER-CLIP, their weights and the learning rate over a training.

Alignment first, emotion later (paper, training): at epoch e of E the symmetric contrastive loss
between clips and action-unit sentences weighs lambda = 2 - e/E and the focal emotion loss
2 - lambda, so the classifier grows from 0 to 1 while the alignment falls from 2 to 1.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib.config import Config
from merclip_lib.model.merclip import Output


def focal_loss(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, mixed: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Focal loss, mean over the batch: (1 - p)^gamma * (-log p) of the true class (Lin 2017).

    `logits` (N, classes), `labels` (N,) class numbers. gamma 0 is cross-entropy. `mixed`: the
    other label (N,) of each clip and the share (N,) of its own, for clips that show two (mixup,
    CutMix): share * loss of the own label + (1 - share) * loss of the other.
    """
    log_ps = F.log_softmax(logits, dim=-1)
    log_p = log_ps.gather(1, labels[:, None]).squeeze(1)
    losses = -((1 - log_p.exp()) ** gamma) * log_p
    if mixed is not None:
        other, share = mixed
        log_p = log_ps.gather(1, other[:, None]).squeeze(1)
        losses = share * losses + (1 - share) * -((1 - log_p.exp()) ** gamma) * log_p
    return losses.mean()


def alignment_loss(z: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor | None = None):
    """Symmetric contrastive loss between clips and their sentences (paper, alignment loss).

    `z` and `text` (N, E), paired by row; `logit_scale` is the logarithm of the factor s.
    L = (CE(s u v', Y) + CE(s v u', Y)) / 2 with unit vectors u, v. Without `groups` Y is the
    identity, as in the paper. With `groups` (N,), a number per description, Y is uniform over
    the positions that carry the same description, so that equal sentences are not pushed apart
    (ours: in a batch of 8 two sentences are often equal).
    """
    u, v = F.normalize(z, dim=-1), F.normalize(text, dim=-1)
    similarity = logit_scale.exp() * u @ v.T  # (N clips, N sentences)
    if groups is None:
        target = torch.eye(len(z), device=z.device)
    else:
        same = (groups[:, None] == groups[None, :]).float()
        target = same / same.sum(1, keepdim=True)
    clip_to_text = F.cross_entropy(similarity, target)
    text_to_clip = F.cross_entropy(similarity.T, target)
    return (clip_to_text + text_to_clip) / 2


class Targets(NamedTuple):
    """What a batch of N clips is compared with."""

    labels: Tensor  # (N,)
    mixed: tuple[Tensor, Tensor] | None  # other labels (N,), shares of the own (N,)
    sentences: Tensor | None  # (N, E); None without the alignment
    groups: Tensor | None  # (N,) description numbers; None for identity targets


def losses(
    output: Output, targets: Targets, logit_scale: Tensor, weight: float, config: Config
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of a batch and its two parts: loss = lambda * align + (2 - lambda) * emotion.

    `weight` is lambda (paper, training). Without `progressive_weights` both count once; without
    the alignment the emotion alone.
    """
    emotion = focal_loss(output.logits, targets.labels, mixed=targets.mixed)
    if targets.sentences is None:
        return emotion, torch.zeros(()), emotion
    align = alignment_loss(output.z, targets.sentences, logit_scale, targets.groups)
    other = 2 - weight if config.progressive_weights else 1.0
    return weight * align + other * emotion, align, emotion
