"""Training one network: start, resume, one epoch after another, save (paper, training).

`train_epoch` is the place to begin: it reads top to bottom as the paper tells it. The losses are
in `losses`, learning rate and lambda in `optimiser`, the state on disk in `checkpoint`, the
gradient of a batch that is computed in parts in `whole_batch`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset, read_batches
from merclip_lib.model.merclip import MERCLIP, Output, device_of, forward
from merclip_lib.model.precision import products
from merclip_lib.text.bank import TextBank
from merclip_lib.text.unit_labels import UnitLabels
from merclip_lib.training import checkpoint, whole_batch
from merclip_lib.training.batches import augment_batch, batches, gather, mix_batch, prepare_batch
from merclip_lib.training.losses import Losses, Targets, batch_losses
from merclip_lib.training.optimiser import alignment_weight, learning_rate, parameter_groups


@dataclass(frozen=True)
class TrainingData:
    """What a network is trained on.

    Attributes:
        clips: the training clips.
        subjects: (rows of the store,) numbers that tell faces apart for LocalStaticFaceMix.
        text: their sentences; None without the alignment.
        workers: processes that read clips ahead; the weights do not depend on them.
        units: their units as labels, in the place of sentences.
    """

    clips: ClipDataset
    subjects: np.ndarray
    text: TextBank | None = None
    workers: int = 0
    units: UnitLabels | None = None


@dataclass
class Training:
    """A network in training: all that the next epoch needs, and what is saved after each.

    Attributes:
        model: the network.
        network: the same as it is run: compiled, or wrapped where several processes train it.
        data: the clips and their sentences.
        config: every setting.
        optimiser: AdamW over the groups of `parameter_groups`.
        generator: the source of every draw outside the network (batches and augmentation).
        history: one dictionary of means per finished epoch.
        recorded: what the caller's `on_epoch` returned, one entry per finished epoch.
    """

    model: MERCLIP
    network: nn.Module
    data: TrainingData
    config: Config
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    history: list[dict] = field(default_factory=list)
    recorded: list = field(default_factory=list)


def fit(
    model: MERCLIP,
    data: TrainingData,
    config: Config,
    on_epoch: Callable[[Training], object] | None = None,
    checkpoint_file: Path | None = None,
) -> Training:
    """Train a network in place, epoch by epoch.

    The same config, data and threads give the same weights: every draw comes from generators
    seeded with `config.seed`. A training that was interrupted resumes from its checkpoint with
    the weights of an undisturbed one, bit for bit.

    Args:
        model: the network; it is left on `config.device`.
        data: clips, subjects and sentences.
        config: every setting.
        on_epoch: is given the training after each epoch; what it returns (tensors and plain
            values) is kept in `recorded`, also over an interruption.
        checkpoint_file: where the whole state is written after each epoch and looked for at the
            start. One that is damaged or belongs to another training is put aside. The caller
            deletes it.

    Returns:
        The finished training, with its `history` and `recorded`.

    Raises:
        ValueError: the loss is no longer finite, the state cannot be written, or there is no
            such device.
    """
    training = start(model, data, config)
    if checkpoint_file is not None:
        checkpoint.resume(training, checkpoint_file)
    while len(training.history) < config.epochs:
        training.history.append(train_epoch(training))
        training.recorded.append(on_epoch(training) if on_epoch is not None else None)
        if checkpoint_file is not None:
            checkpoint.save(training, checkpoint_file)
    return training


def start(model: MERCLIP, data: TrainingData, config: Config) -> Training:
    """A training before its first epoch: seeds, optimiser, the network as it is run."""
    device = device_of(config)
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)  # dropout and stochastic depth inside the model
    network = whole_batch.prepare(model.to(device), config)
    groups = parameter_groups(model, config.weight_decay, config.head_lr_scale)
    optimiser = torch.optim.AdamW(groups, lr=config.lr, fused=True)  # one pass, few calls
    return Training(model, network, data, config, optimiser, generator)


def train_epoch(training: Training) -> dict:
    """One epoch, batch by batch: every training clip once, or as `class_balanced` draws them.

    Returns:
        Means over the clips: loss, align, emotion, accuracy; and epoch, weight (lambda), lr.

    Raises:
        ValueError: the loss is no longer finite.
    """
    model, data, config = training.model, training.data, training.config
    epoch, generator = len(training.history), training.generator
    steps, subjects = math.ceil(len(data.clips) / config.batch_size), torch.tensor(data.subjects)
    weight = alignment_weight(epoch, config)  # lambda: alignment first, emotion later
    rate, sums = config.lr, np.zeros(4)
    model.train()
    data.clips.set_epoch(epoch)
    order = batches(data.clips, config, generator)
    for step, (_, clips) in enumerate(read_batches(data.clips, order, data.workers)):
        video, labels, rows = prepare_batch(clips, config)  # (N, T, 3, H, W), (N,), (N,)
        video, flipped = augment_batch(video, subjects[rows], config, generator)
        video, mixed = mix_batch(video, labels, subjects[rows], config, generator)
        targets = Targets(labels, mixed, *draw_sentences(training, rows, flipped))

        rate = learning_rate(epoch * steps + step, steps, config)
        for group in training.optimiser.param_groups:
            group["lr"] = rate * group["lr_scale"]
        training.optimiser.zero_grad(set_to_none=True)
        output, losses = backward(training, video, targets, weight)
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
        training.optimiser.step()

        right = (output.logits.argmax(1) == labels).float().mean()  # unknown emotions are wrong
        sums += np.array([value.item() for value in (*losses, right)]) * len(labels)
    whole_batch.share_statistics(model)
    if not np.isfinite(sums).all():
        raise ValueError(f"the loss is no longer finite in epoch {epoch}; lower lr={config.lr}")
    loss, align, emotion, accuracy = (sums / len(data.clips)).tolist()
    means = {"loss": loss, "align": align, "emotion": emotion, "accuracy": accuracy}
    return {"epoch": epoch, **means, "weight": weight if config.use_text else 0.0, "lr": rate}


class Drawn(NamedTuple):
    """What a batch of N clips is aligned with; None is what is not wanted."""

    sentences: Tensor | None = None  # (N, E)
    groups: Tensor | None = None  # (N,) description numbers, for soft targets
    units: Tensor | None = None  # (N, U), in the place of sentences


def draw_sentences(training: Training, rows: Tensor, flipped: Tensor) -> Drawn:
    """A sentence for each clip of a batch, with left and right exchanged where it was flipped."""
    text, units, config = training.data.text, training.data.units, training.config
    mirror = flipped if config.flip_swap else torch.zeros_like(flipped)
    if units is not None:
        return Drawn(units=units.of(rows, mirror).to(config.device))
    if not config.use_text or text is None:
        return Drawn()
    sentences, groups = text.draw(rows, mirror, training.generator)
    sentences, groups = sentences.to(config.device), groups.to(config.device)
    return Drawn(sentences, groups if config.soft_targets else None)


def backward(
    training: Training, video: Tensor, targets: Targets, weight: float
) -> tuple[Output, Losses]:
    """Outputs and losses of a batch; their gradient is added to the parameters."""
    model, config = training.model, training.config
    compare = partial(
        batch_losses,
        targets=targets,
        logit_scale=model.logit_scale,
        weight=weight,
        unit_head=model.unit_head,
    )
    if whole_batch.in_parts(config):
        return whole_batch.gradient(model, training.network, video, compare, config)
    output = forward(training.network, video, config)
    losses = compare(output)
    with products(config):
        losses.total.backward()
    return output, losses


@torch.no_grad()
def predict(
    model: MERCLIP, dataset: ClipDataset, batch_size: int = 32, config: Config | None = None
) -> Tensor:
    """Class probabilities without augmentation.

    Args:
        model: the network; it is moved to the device and put into evaluation mode.
        dataset: the clips.
        batch_size: clips at once.
        config: says normalisation, precision and device; without it CLIP's normalisation in
            float32, where the network is.

    Returns:
        (len(dataset), K), on the CPU.

    Raises:
        ValueError: a GPU that is not there.
    """
    if config is None:
        config = Config(device="cuda" if next(model.parameters()).is_cuda else "cpu")
    model.to(device_of(config)).eval()
    order = torch.arange(len(dataset)).split(batch_size)
    logits = [
        forward(model, gather(dataset, items, config).video, config).logits for items in order
    ]
    return torch.cat(logits).softmax(-1).cpu()
