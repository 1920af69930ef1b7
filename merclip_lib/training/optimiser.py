"""Optimiser groups, the learning rate and the weight of the alignment over a training."""

import math

import torch

from merclip_lib.config import Config


def progressive_weight(epoch: int, epochs: int, start: float = 2.0, end: float = 1.0) -> float:
    """lambda = start - (start - end) * epoch / epochs; after the last epoch its last value."""
    return start - (start - end) * min(epoch, epochs - 1) / epochs


def learning_rate(step: int, steps_per_epoch: int, config: Config) -> float:
    """Linear warm-up from 0.1 lr, then a cosine to 0.1 lr (paper, training details).

    `step` counts from 0; with W warm-up steps: lr (0.1 + 0.9 step / (W - 1)), then
    lr (0.1 + 0.45 (1 + cos(pi (step - W) / rest))). With `lr_scaling` lr counts for a batch of
    128 and is multiplied by batch_size / 128, as the paper's program does.
    """
    lr = config.lr * config.batch_size / 128 if config.lr_scaling else config.lr
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return lr * (0.1 + 0.9 * step / max(warmup - 1, 1))
    rest = max(config.epochs * steps_per_epoch - warmup, 1)
    return lr * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / rest)))


HEAD = ("cls_head.", "vision_encoder.to_cls_decoder.", "vision_encoder.ln_final.")


def parameter_groups(model: torch.nn.Module, weight_decay: float, head_lr_scale: float = 1.0):
    """Optimiser groups: weight decay on matrices and kernels only, a faster head.

    Spared from decay: norms, biases, embeddings, logit_scale, the clip query and the fusion
    vector, which all hold one number per channel or are no weights of a product. (The paper's
    program decays the embeddings, logit_scale, the fusion vector and the attention input
    biases.) `head_lr_scale` is the learning rate of the classifier and its projection relative
    to the encoder's: they start from nothing, the encoder does not. (The paper: 1.)
    """
    spared = ("embedding", "logit_scale", "temporal_cls_token", "balance")
    groups = {
        (decay, scale): {"params": [], "weight_decay": decay, "lr_scale": scale}
        for decay in (weight_decay, 0.0)
        for scale in (1.0, head_lr_scale)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            keep = parameter.ndim < 2 or any(part in name for part in spared)
            scale = head_lr_scale if name.startswith(HEAD) else 1.0
            groups[0.0 if keep else weight_decay, scale]["params"].append(parameter)
    return list(groups.values())
