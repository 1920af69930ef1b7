"""Training one fold: losses, schedule, and one loop that reads top to bottom.

Alignment first, emotion later (paper, training): at epoch e of E the symmetric contrastive loss
between clips and action-unit sentences weighs lambda = 2 - e/E and the focal emotion loss
2 - lambda, so the classifier grows from 0 to 1 while the alignment falls from 2 to 1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib import augment, training_state
from merclip_lib.clips import ClipDataset
from merclip_lib.config import Config
from merclip_lib.model import MERCLIP

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(video: Tensor, mean: Sequence[float] = CLIP_MEAN, std=CLIP_STD) -> Tensor:
    """uint8 (N, T, H, W, 3) -> float (N, T, 3, H, W): (x / 255 - mean) / std per channel."""
    shift = torch.tensor(mean, device=video.device).view(3, 1, 1) * 255
    scale = torch.tensor(std, device=video.device).view(3, 1, 1) * 255
    return (video.permute(0, 1, 4, 2, 3) - shift) / scale


def focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss, mean over the batch: (1 - p)^gamma * (-log p) of the true class (Lin 2017).

    `logits` (N, classes), `labels` (N,) class numbers. gamma 0 is cross-entropy.
    """
    log_p = F.log_softmax(logits, dim=-1).gather(1, labels[:, None]).squeeze(1)
    return (-((1 - log_p.exp()) ** gamma) * log_p).mean()


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


def progressive_weight(epoch: int, epochs: int, start: float = 2.0, end: float = 1.0) -> float:
    """lambda = start - (start - end) * epoch / epochs; after the last epoch its last value."""
    return start - (start - end) * min(epoch, epochs - 1) / epochs


def learning_rate(step: int, steps_per_epoch: int, config: Config) -> float:
    """Linear warm-up from 0.1 lr, then a cosine to 0.1 lr (paper, training details).

    `step` counts from 0; with W warm-up steps: lr (0.1 + 0.9 step / (W - 1)), then
    lr (0.1 + 0.45 (1 + cos(pi (step - W) / rest))).
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.lr * (0.1 + 0.9 * step / max(warmup - 1, 1))
    rest = max(config.epochs * steps_per_epoch - warmup, 1)
    return config.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / rest)))


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


@dataclass(frozen=True)
class TextTargets:
    """The sentences of a data set: the text bank and where each clip finds its own.

    `bank` (descriptions, templates, E); `description` and `mirrored` (rows of the table,) give
    the description of each clip and of its left-right mirror image.
    """

    bank: Tensor
    description: np.ndarray
    mirrored: np.ndarray


def fit(
    model: MERCLIP,
    dataset: ClipDataset,
    subjects: np.ndarray,
    text: TextTargets,
    config: Config,
    on_epoch: Callable[[dict], object] | None = None,
    checkpoint: Path | None = None,
    recorded: list | None = None,
) -> list[dict]:
    """Train in place on `dataset`; return one dictionary of mean losses per epoch.

    `subjects` (rows of the table,) are numbers that tell faces apart for LocalStaticFaceMix.
    The same config, data and threads give the same weights: every draw comes from generators
    seeded with `config.seed`.

    After each epoch `on_epoch` gets its dictionary of means; what it returns (tensors and plain
    values) is appended to `recorded`, which ends with one entry per epoch. With `checkpoint` the
    whole state, `recorded` included, is written there after each epoch. A file found there at
    the start is gone on from: the weights are those of an undisturbed run, bit for bit, and
    `on_epoch` is called for the remaining epochs only. A file that is damaged or belongs to
    another training is put aside (see `training_state`). The caller deletes the file.
    Raises ValueError when the loss is no longer finite or the state cannot be written.
    """
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)  # dropout and stochastic depth inside the model
    groups = parameter_groups(model, config.weight_decay, config.head_lr_scale)
    optimiser = torch.optim.AdamW(groups, lr=config.lr)
    steps = math.ceil(len(dataset) / config.batch_size)
    subjects = torch.as_tensor(subjects)
    history, recorded, state = [], [] if recorded is None else recorded, None
    if checkpoint is not None:
        key = training_state.training_key(config, dataset, model)
        training_state.prepare(checkpoint)
        state = training_state.load(checkpoint, key)
    if state is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        training_state.set_random_states(state["random"], generator)
        history, recorded[:] = state["history"], state["recorded"]
    for epoch in range(len(history), config.epochs):
        model.train()
        weight = 1.0
        if config.progressive_weights:
            weight = progressive_weight(epoch, config.epochs)
        dataset.set_epoch(epoch)
        sums = np.zeros(4)
        for step, items in enumerate(batches(dataset, config, generator)):
            video, labels, rows = gather(dataset, items)
            video, flipped = augment_batch(video, subjects[rows], config, generator)
            output = model(video.transpose(1, 2))
            emotion = focal_loss(output.logits, labels)
            if config.use_text:
                sentence, groups = draw_sentences(text, rows, flipped, config, generator)
                groups = groups if config.soft_targets else None
                align = alignment_loss(output.z, sentence, model.logit_scale, groups)
                other = 2 - weight if config.progressive_weights else 1.0
                loss = weight * align + other * emotion
            else:
                align = torch.zeros(())
                loss = emotion
            rate = learning_rate(epoch * steps + step, steps, config)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["lr_scale"]
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            optimiser.step()
            accuracy = (output.logits.argmax(1) == labels).float().mean()
            means = (loss, align, emotion, accuracy)
            sums += np.array([value.item() for value in means]) * len(items)
        if not np.isfinite(sums).all():
            raise ValueError(f"the loss is no longer finite in epoch {epoch}; lower lr={config.lr}")
        loss, align, emotion, accuracy = (sums / len(dataset)).tolist()
        history.append(
            {"epoch": epoch, "loss": loss, "align": align, "emotion": emotion,
             "accuracy": accuracy, "weight": weight if config.use_text else 0.0,
             "lr": rate}
        )  # fmt: skip
        recorded.append(on_epoch(history[-1]) if on_epoch is not None else None)
        if checkpoint is not None:
            training_state.save(checkpoint, {
                "key": key, "model": model.state_dict(), "optimiser": optimiser.state_dict(),
                "random": training_state.random_states(generator), "history": history,
                "recorded": recorded,
            })  # fmt: skip
    return history


def batches(dataset: ClipDataset, config: Config, generator: torch.Generator) -> list[Tensor]:
    """Positions of one epoch's batches: shuffled, or drawn with weight 1 / class count."""
    if config.class_balanced:
        labels = torch.as_tensor(dataset.labels)
        weights = 1.0 / torch.bincount(labels).float()[labels]
        order = torch.multinomial(weights, len(dataset), replacement=True, generator=generator)
    else:
        order = torch.randperm(len(dataset), generator=generator)
    return list(order.split(config.batch_size))


def gather(dataset: ClipDataset, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised video (N, T, 3, H, W), labels (N,) and table rows (N,) of the given positions."""
    clips = [dataset[int(i)] for i in items]
    video = normalise(torch.stack([clip["video"] for clip in clips]))
    labels = torch.tensor([clip["label"] for clip in clips])
    return video, labels, torch.tensor([clip["row"] for clip in clips])


def augment_batch(
    video: Tensor, subjects: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """LocalStaticFaceMix, flip and jitter of one batch -> (video, flipped (N,) bool)."""
    flipped = torch.rand(len(video), generator=generator) < config.flip_probability
    video = augment.flip(video, flipped)
    video = augment.photometric_jitter(video, config.jitter, generator)
    if config.mix:
        draws = augment.draw_mixes(subjects, config.mix_probability, generator)
        video = augment.local_static_face_mix(video, draws, config.mix_alpha, config.mix_invert)
    return video, flipped


def draw_sentences(
    text: TextTargets, rows: Tensor, flipped: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One template per clip: sentence embeddings (N, E) and description numbers (N,)."""
    groups = torch.as_tensor(text.description)[rows]
    if config.flip_swap:
        groups = torch.where(flipped, torch.as_tensor(text.mirrored)[rows], groups)
    template = torch.randint(text.bank.shape[1], (len(rows),), generator=generator)
    return text.bank[groups, template], groups


@torch.inference_mode()
def predict(model: MERCLIP, dataset: ClipDataset, batch_size: int = 32) -> Tensor:
    """Class probabilities (len(dataset), classes) without augmentation."""
    model.eval()
    order = torch.arange(len(dataset)).split(batch_size)
    logits = [model(gather(dataset, items)[0].transpose(1, 2)).logits for items in order]
    return torch.cat(logits).softmax(-1)
