"""Training one fold: batches, optimiser, and one loop that reads top to bottom.

The losses and their schedule are in `losses`, the state of a training on disk in
`training_state`, the gradient of a batch that is computed in parts in `whole_batch`.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset, read_batches
from merclip_lib.model.merclip import MERCLIP, device_of, forward
from merclip_lib.model.precision import products
from merclip_lib.text.bank import TextTargets, draw_sentences
from merclip_lib.training import checkpoint as training_state
from merclip_lib.training import whole_batch
from merclip_lib.training.batches import augment_batch, batches, gather, mix_batch, prepare_batch
from merclip_lib.training.checkpoint import random_states, set_random_states, training_key
from merclip_lib.training.losses import Targets, losses
from merclip_lib.training.optimiser import learning_rate, parameter_groups, progressive_weight


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
        key = training_key(config, dataset, model)
        training_state.prepare(checkpoint)
        state = training_state.load(checkpoint, key)
    if state is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        set_random_states(state["random"], generator)
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
            compare = partial(
                losses, targets=targets, logit_scale=model.logit_scale, weight=weight, config=config
            )
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
            {
                "epoch": epoch,
                "loss": loss,
                "align": align,
                "emotion": emotion,
                "accuracy": accuracy,
                "weight": weight if config.use_text else 0.0,
                "lr": rate,
            }
        )
        recorded.append(on_epoch(history[-1]) if on_epoch is not None else None)
        if checkpoint is not None:
            training_state.save(
                checkpoint,
                {
                    "key": key,
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "random": random_states(generator),
                    "history": history,
                    "recorded": recorded,
                },
            )
    return history


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
