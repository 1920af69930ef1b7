"""A batch of clips: drawn, normalised, augmented (paper, data and augmentation)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from merclip_lib import augment
from merclip_lib.config import Config, Method, Optimisation
from merclip_lib.data.dataset import ClipDataset

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NORMALISATIONS = {"clip": (CLIP_MEAN, CLIP_STD), "imagenet": (IMAGENET_MEAN, IMAGENET_STD)}


def normalise(
    video: Tensor, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD
) -> Tensor:
    """uint8 (N, T, H, W, 3) -> float (N, T, 3, H, W): (x / 255 - mean) / std per channel."""
    shift = torch.tensor(mean, device=video.device).view(3, 1, 1) * 255
    scale = torch.tensor(std, device=video.device).view(3, 1, 1) * 255
    return (video.permute(0, 1, 4, 2, 3) - shift) / scale


def batches(
    dataset: ClipDataset, optimisation: Optimisation, generator: torch.Generator
) -> list[Tensor]:
    """Positions of one epoch's batches: shuffled, or drawn with weight 1 / class count."""
    if optimisation.class_balanced:
        labels = torch.as_tensor(dataset.labels)
        weights = 1.0 / torch.bincount(labels).float()[labels]
        order = torch.multinomial(weights, len(dataset), replacement=True, generator=generator)
    else:
        order = torch.randperm(len(dataset), generator=generator)
    return list(order.split(optimisation.batch_size))


class Batch(NamedTuple):
    """N clips as the network sees them."""

    video: Tensor  # (N, T, 3, H, W), normalised, on the device
    labels: Tensor  # (N,) class numbers, on the device
    rows: Tensor  # (N,) rows of the store


def prepare_batch(clips: list[dict], config: Config) -> Batch:
    """Items of a dataset on `config.device`, normalised as `config.normalisation` says."""
    video = torch.stack([clip["video"] for clip in clips]).to(config.device)
    video = normalise(video, *NORMALISATIONS[config.normalisation])
    labels = torch.tensor([clip["label"] for clip in clips], device=config.device)
    return Batch(video, labels, torch.tensor([clip["row"] for clip in clips]))


def gather(dataset: ClipDataset, items: Tensor, config: Config | None = None) -> Batch:
    """Clips at the given positions, as in testing: the centre where there is a crop.

    Without `config` CLIP's normalisation, on the CPU.
    """
    config = config or Config()
    batch = prepare_batch([dataset[int(i)] for i in items], config)
    return batch._replace(video=augment.centre_crop(batch.video, config.crop))


def augment_batch(
    video: Tensor, subjects: Tensor, method: Method, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Crop, flip, jitter and LocalStaticFaceMix of one batch (paper, augmentation).

    Args:
        video: (N, T, 3, H, W), normalised.
        subjects: (N,) numbers that tell faces apart.
        method: strengths and probabilities.
        generator: the source of all draws.

    Returns:
        The video, and (N,) bool: which clips were flipped, so that their sentences can follow.
    """
    if method.crop < 1:
        video = augment.random_crop(video, method.crop, generator)
    flipped = torch.rand(len(video), generator=generator) < method.flip_probability
    video = augment.flip(video, flipped)
    video = augment.photometric_jitter(video, method.jitter, generator)
    if method.mix and method.mix_method == "local_static_face":
        where, own = method.mix_where, method.mix_face == "own"
        region = "" if where in ("region", "outside") else where
        draws = augment.draw_mixes(subjects, method.mix_probability, generator, region, own)
        outside, moving = where == "outside", method.mix_face == "moving"
        video = augment.local_static_face_mix(video, draws, method.mix_alpha, outside, moving)
    return video, flipped


def mix_batch(
    video: Tensor, labels: Tensor, subjects: Tensor, method: Method, generator: torch.Generator
) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
    """Mixup or CutMix in place of LocalStaticFaceMix (an ablation; not in the paper).

    The emotion loss counts both labels, the alignment keeps the clip's own sentence: a sentence
    has no mixture. Without these methods nothing is drawn.

    Returns:
        The video (N, T, 3, H, W), and the other labels (N,) with the shares (N,) of the own, or
        None.
    """
    if not method.mix or method.mix_method == "local_static_face":
        return video, None
    alpha, (height, width) = method.mix_alpha, video.shape[-2:]
    pairs = augment.draw_pairs(subjects, method.mix_probability, generator)
    if method.mix_method == "mixup":
        video = augment.mixup(video, pairs, alpha)
        other, share = augment.own_share(pairs, video, alpha)
    else:
        pairs = augment.draw_boxes(pairs, alpha, height, width, generator)
        video = augment.cutmix(video, pairs)
        other, share = augment.own_share(pairs, video)
    return video, (labels[other], share.to(video.device))
