"""What changes over a training: the weight of the alignment, the learning rate; and for whom.

Alignment first, emotion later (paper, training): at epoch e of E the alignment weighs
lambda = 2 - e/E and the emotion 2 - lambda, so the classifier grows from 0 to 1 while the
alignment falls from 2 to 1.
"""

import math

from torch import nn

from merclip_lib.config import Config, Optimisation

HEAD = ("cls_head.", "vision_encoder.to_cls_decoder.", "vision_encoder.ln_final.")
SPARED = ("embedding", "logit_scale", "temporal_cls_token", "balance")  # from weight decay


def alignment_weight(epoch: int, config: Config) -> float:
    """lambda of an epoch, counted from 0; after the last epoch its last value.

    With e epochs of E done, start s and end d (paper, training: s = 2, d = 1):

    * linear: s - (s - d) e / E;
    * constant: d;
    * half_bell: d + (s - d) exp(-(2 e / E)^2 / 2), half a Gaussian of width E / 2;
    * bell: d + (s - d) exp(-(4 e / E - 2)^2 / 2), a Gaussian of width E / 4 about E / 2.

    The two Gaussians are those of the authors' program, which the paper does not use.
    """
    done = min(epoch, config.epochs - 1) / config.epochs
    share = {
        "linear": 1 - done,
        "constant": 0.0,
        "half_bell": math.exp(-((2 * done) ** 2) / 2),
        "bell": math.exp(-((4 * done - 2) ** 2) / 2),
    }[config.loss_weights]
    return config.align_end + share * (config.align_start - config.align_end)


def learning_rate(step: int, steps_per_epoch: int, optimisation: Optimisation) -> float:
    """Linear warm-up from 0.1 lr, then a cosine to 0.1 lr (paper, training details).

    With W warm-up steps: lr (0.1 + 0.9 step / (W - 1)), then
    lr (0.1 + 0.45 (1 + cos(pi (step - W) / rest))). With `lr_scaling` lr counts for a batch of
    128 and is multiplied by batch_size / 128, as the paper's program does.

    Args:
        step: of the optimiser, counted from 0 over all epochs.
        steps_per_epoch: batches of an epoch.
        optimisation: lr, lr_scaling, batch_size, warmup_epochs, epochs.
    """
    lr = optimisation.lr
    if optimisation.lr_scaling:
        lr = lr * optimisation.batch_size / 128
    warmup = round(optimisation.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return lr * (0.1 + 0.9 * step / max(warmup - 1, 1))
    rest = max(optimisation.epochs * steps_per_epoch - warmup, 1)
    return lr * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / rest)))


def parameter_groups(
    model: nn.Module, weight_decay: float, head_lr_scale: float = 1.0
) -> list[dict]:
    """Optimiser groups: weight decay on matrices and kernels only, a faster head.

    Spared from decay: norms, biases, embeddings, logit_scale, the clip query and the fusion
    vector, which all hold one number per channel or are no weights of a product. (The paper's
    program decays the embeddings, logit_scale, the fusion vector and the attention input
    biases.)

    Args:
        model: the network; parameters that are not trained are left out.
        weight_decay: of those that decay.
        head_lr_scale: learning rate of the classifier and its projection relative to the
            encoder's: they start from nothing, the encoder does not. (The paper: 1.)

    Returns:
        Groups with `params`, `weight_decay` and `lr_scale`.
    """
    members: dict[tuple[float, float], list[nn.Parameter]] = {
        (decay, scale): [] for decay in (weight_decay, 0.0) for scale in (1.0, head_lr_scale)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            spared = parameter.ndim < 2 or any(part in name for part in SPARED)
            scale = head_lr_scale if name.startswith(HEAD) else 1.0
            members[0.0 if spared else weight_decay, scale].append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "lr_scale": scale}
        for (decay, scale), parameters in members.items()
    ]
