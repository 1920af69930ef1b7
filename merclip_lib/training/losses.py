"""The losses of MER-CLIP (paper, alignment loss, emotion loss, training).

A symmetric contrastive loss between clips and action-unit sentences, a focal loss of the emotion,
and their weighted sum. The weight lambda over the epochs is in `optimiser`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib.model.merclip import Output


def focal_loss(
    logits: Tensor, labels: Tensor, gamma: float = 2.0, mixed: tuple[Tensor, Tensor] | None = None
) -> Tensor:
    """Focal loss, mean over the batch: (1 - p)^gamma * (-log p) of the true class (Lin 2017).

    Args:
        logits: (N, K) for K classes.
        labels: (N,) class numbers; -1 where the emotion is not known: such a clip does not count.
        gamma: 2 in the paper; 0 is cross-entropy.
        mixed: the other label (N,) of each clip and the share (N,) of its own, for clips that
            show two (mixup, CutMix): share * loss of the own + (1 - share) * loss of the other.
    """
    log_ps = F.log_softmax(logits, dim=-1)
    log_p = log_ps.gather(1, labels.clamp(min=0)[:, None]).squeeze(1)
    losses = -((1 - log_p.exp()) ** gamma) * log_p
    if mixed is not None:
        other, share = mixed
        log_p = log_ps.gather(1, other[:, None]).squeeze(1)
        losses = share * losses + (1 - share) * -((1 - log_p.exp()) ** gamma) * log_p
    known = (labels >= 0).to(losses.dtype)
    return (known * losses).sum() / known.sum().clamp(min=1)


def unit_loss(logits: Tensor, present: Tensor) -> Tensor:
    """Action units as labels: binary cross-entropy (an ablation; not in the paper).

    It asks whether the words of the sentences matter, or the labels that they bring.

    Args:
        logits: (N, U) one for each unit and side, from the embedding z of a clip.
        present: (N, U) in {0, 1}: what was annotated.

    Returns:
        Mean over the clips of the sum over the units, as one clip has few of many units.
    """
    return F.binary_cross_entropy_with_logits(logits, present, reduction="none").sum(1).mean()


def alignment_loss(
    z: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor | None = None
) -> Tensor:
    """Symmetric contrastive loss between clips and their sentences (paper, alignment loss).

    L = (CE(s u v', Y) + CE(s v u', Y)) / 2 with unit vectors u, v. In the paper Y is the
    identity. Ours, with `groups`: Y is uniform over the positions that carry the same
    description, so that equal sentences, frequent in a batch of 8, are not pushed apart.

    Args:
        z: (N, E) clips.
        text: (N, E) their sentences, row by row.
        logit_scale: logarithm of the factor s.
        groups: (N,) description numbers; None for the paper's targets.
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
    units: Tensor | None = None  # (N, U) in {0, 1}, in the place of sentences


class Losses(NamedTuple):
    """The loss of a batch and its two parts."""

    total: Tensor
    align: Tensor
    emotion: Tensor


def batch_losses(
    output: Output,
    targets: Targets,
    logit_scale: Tensor,
    weight: float,
    unit_head: nn.Module | None = None,
) -> Losses:
    """total = lambda * align + (2 - lambda) * emotion (paper, training).

    Args:
        output: z (N, E) and logits (N, K) of the network.
        targets: what they are compared with.
        logit_scale: logarithm of the factor of the alignment.
        weight: lambda, see `optimiser.alignment_weight`.
        unit_head: reads (N, U) logits from z where the units are labels.

    Returns:
        Three scalars; without sentences and units the total is the emotion loss alone.
    """
    emotion = focal_loss(output.logits, targets.labels, mixed=targets.mixed)
    if targets.units is not None and unit_head is not None:
        align = unit_loss(unit_head(output.z), targets.units)
    elif targets.sentences is not None:
        align = alignment_loss(output.z, targets.sentences, logit_scale, targets.groups)
    else:
        return Losses(emotion, torch.zeros(()), emotion)
    return Losses(weight * align + (2 - weight) * emotion, align, emotion)
