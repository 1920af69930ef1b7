"""Training one fold: batches, optimiser, and one loop that reads top to bottom.

The losses and their schedule are in `losses`, the state of a training on disk in
`training_state`, the gradient of a batch that is computed in parts in `whole_batch`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from merclip_lib import augment, training_state, whole_batch
from merclip_lib.clips import ClipDataset, read_batches
from merclip_lib.config import Config
from merclip_lib.losses import alignment_loss, focal_loss, learning_rate, progressive_weight
from merclip_lib.model import MERCLIP, Output, device_of, forward
from merclip_lib.precision import products

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NORMALISATIONS = {"clip": (CLIP_MEAN, CLIP_STD), "imagenet": (IMAGENET_MEAN, IMAGENET_STD)}


def normalise(video: Tensor, mean: Sequence[float] = CLIP_MEAN, std=CLIP_STD) -> Tensor:
    """uint8 (N, T, H, W, 3) -> float (N, T, 3, H, W): (x / 255 - mean) / std per channel."""
    shift = torch.tensor(mean, device=video.device).view(3, 1, 1) * 255
    scale = torch.tensor(std, device=video.device).view(3, 1, 1) * 255
    return (video.permute(0, 1, 4, 2, 3) - shift) / scale


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


def fit(
    model: MERCLIP,
    dataset: ClipDataset,
    subjects: np.ndarray,
    text: TextTargets | None,
    config: Config,
    on_epoch: Callable[[dict], object] | None = None,
    checkpoint: Path | None = None,
    recorded: list | None = None,
    data_workers: int = 0,
) -> list[dict]:
    """Train in place on `dataset`; return one dictionary of mean losses per epoch.

    `subjects` (rows of the table,) are numbers that tell faces apart for LocalStaticFaceMix.
    The same config, data and threads give the same weights: every draw comes from generators
    seeded with `config.seed`. `data_workers` processes read clips ahead; the weights do not
    depend on them. The network is left on `config.device`.

    After each epoch `on_epoch` gets its dictionary of means; what it returns (tensors and plain
    values) is appended to `recorded`, which ends with one entry per epoch. With `checkpoint` the
    whole state, `recorded` included, is written there after each epoch. A file found there at
    the start is gone on from: the weights are those of an undisturbed run, bit for bit, and
    `on_epoch` is called for the remaining epochs only. A file that is damaged or belongs to
    another training is put aside (see `training_state`). The caller deletes the file.
    Raises ValueError when the loss is no longer finite, the state cannot be written, or there is
    no such device.
    """
    device = device_of(config)
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)  # dropout and stochastic depth inside the model
    network = whole_batch.prepare(model.to(device), config)
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
            weight = progressive_weight(epoch, config.epochs, config.align_start, config.align_end)
        dataset.set_epoch(epoch)
        sums = np.zeros(4)
        order = batches(dataset, config, generator)
        for step, (_, clips) in enumerate(read_batches(dataset, order, data_workers)):
            video, labels, rows = prepare_batch(clips, config)
            video, flipped = augment_batch(video, subjects[rows], config, generator)
            video, mixed = mix_batch(video, labels, subjects[rows], config, generator)
            sentences = groups = None
            if config.use_text:
                sentences, groups = draw_sentences(text, rows, flipped, config, generator)
                sentences = sentences.to(device)
                groups = groups.to(device) if config.soft_targets else None
            targets = Targets(labels, mixed, sentences, groups)
            compare = partial(losses, targets=targets, logit_scale=model.logit_scale,
                              weight=weight, config=config)  # fmt: skip
            rate = learning_rate(epoch * steps + step, steps, config)
            for group in optimiser.param_groups:
                group["lr"] = rate * group["lr_scale"]
            optimiser.zero_grad(set_to_none=True)
            if whole_batch.in_parts(config):
                output, found = whole_batch.gradient(model, network, video, compare, config)
            else:
                output = forward(network, video, config)
                found = compare(output)
                with products(config):
                    found[0].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
            optimiser.step()
            accuracy = (output.logits.argmax(1) == labels).float().mean()
            sums += np.array([value.item() for value in (*found, accuracy)]) * len(labels)
        whole_batch.share_statistics(model)
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


def prepare_batch(clips: list[dict], config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Items of a dataset -> normalised video (N, T, 3, H, W), labels (N,), table rows (N,).

    Video and labels are on `config.device`, normalised as `config.normalisation` says.
    """
    video = torch.stack([clip["video"] for clip in clips]).to(config.device)
    video = normalise(video, *NORMALISATIONS[config.normalisation])
    labels = torch.tensor([clip["label"] for clip in clips], device=config.device)
    return video, labels, torch.tensor([clip["row"] for clip in clips])


def gather(
    dataset: ClipDataset, items: Tensor, config: Config | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """`prepare_batch` of the given positions; without `config` CLIP's normalisation, on the CPU."""
    return prepare_batch([dataset[int(i)] for i in items], config or Config())


def augment_batch(
    video: Tensor, subjects: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Flip, jitter and LocalStaticFaceMix of one batch -> (video, flipped (N,) bool)."""
    flipped = torch.rand(len(video), generator=generator) < config.flip_probability
    video = augment.flip(video, flipped)
    video = augment.photometric_jitter(video, config.jitter, generator)
    if config.mix and config.mix_method == "local_static_face":
        draws = augment.draw_mixes(subjects, config.mix_probability, generator)
        video = augment.local_static_face_mix(video, draws, config.mix_alpha, config.mix_invert)
    return video, flipped


def mix_batch(
    video: Tensor, labels: Tensor, subjects: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """Mixup or CutMix in place of LocalStaticFaceMix -> (video, other labels and own shares).

    The emotion loss counts both labels, the alignment keeps the clip's own sentence: a sentence
    has no mixture. Without these methods nothing is drawn, and the second part is None.
    """
    if not config.mix or config.mix_method == "local_static_face":
        return video, None
    pairs, alpha = augment.draw_pairs(subjects, config.mix_probability, generator), config.mix_alpha
    if config.mix_method == "mixup":
        video = augment.mixup(video, pairs, alpha)
        other, share = augment.own_share(pairs, video, alpha)
    else:
        pairs = augment.draw_boxes(pairs, alpha, *video.shape[-2:], generator)
        video = augment.cutmix(video, pairs)
        other, share = augment.own_share(pairs, video)
    return video, (labels[other], share.to(video.device))


def draw_sentences(
    text: TextTargets, rows: Tensor, flipped: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One template per clip: sentence embeddings (N, E) and description numbers (N,)."""
    groups = torch.as_tensor(text.description)[rows]
    if config.flip_swap:
        groups = torch.where(flipped, torch.as_tensor(text.mirrored)[rows], groups)
    template = torch.randint(text.bank.shape[1], (len(rows),), generator=generator)
    return text.bank[groups, template], groups


@torch.no_grad()
def predict(
    model: MERCLIP, dataset: ClipDataset, batch_size: int = 32, config: Config | None = None
) -> Tensor:
    """Class probabilities (len(dataset), classes), on the CPU, without augmentation.

    `config` says normalisation, precision and device (the network is moved there); without it
    CLIP's normalisation in float32, where the network is. Raises ValueError for a GPU that is
    not there.
    """
    config = config or Config(device=next(model.parameters()).device.type)
    model.to(device_of(config)).eval()
    order = torch.arange(len(dataset)).split(batch_size)
    logits = [forward(model, gather(dataset, items, config)[0], config).logits for items in order]
    return torch.cat(logits).softmax(-1).cpu()
