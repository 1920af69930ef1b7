"""What the model sees: embeddings, and relevance over face and time.

A picture of a heat map proves nothing. SynthME knows which patches moved, so a map can be scored:
does its maximum fall where the skin moved (pointing game), and how much of it lies there? Every
score stands beside what blind guessing gives. Arrays are numpy unless a function takes a model.
Axes as in `merclip_lib.encoder`: N clips, T frames, t time positions, g x g patches, E embedding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib.clips import ClipDataset, uniform_sample
from merclip_lib.config import Config
from merclip_lib.model import MERCLIP
from merclip_lib.rollout import attention_rollout as attention_rollout  # one of the maps here
from merclip_lib.train import gather


class Purity(NamedTuple):
    share: float  # of neighbours with the same label
    chance: float  # for neighbours drawn blindly


def held_out_video(dataset: ClipDataset, config: Config | None = None) -> Tensor:
    """All clips of a dataset, normalised as `config` says (else as CLIP): (N, 3, T, H, W)."""
    return gather(dataset, torch.arange(len(dataset)), config)[0].transpose(1, 2)


@torch.inference_mode()
def embed(model: MERCLIP, dataset: ClipDataset, batch_size: int = 32, config: Config | None = None):
    """Embeddings z (N, E), compared with sentences, and clip vectors o (N, D), as numpy arrays."""
    model.eval()
    parts = [
        model.vision_encoder(gather(dataset, items, config)[0].transpose(1, 2))[:2]
        for items in torch.arange(len(dataset)).split(batch_size)
    ]
    z, o = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return z, o


def tsne(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """Points (N, 2) whose neighbours are those of x (N, E) by cosine distance (t-SNE).

    Distances between far groups and the sizes of groups mean nothing in such a picture.
    """
    from sklearn.manifold import TSNE

    perplexity = min(15.0, (len(x) - 1) / 3)
    return TSNE(2, perplexity=perplexity, metric="cosine", init="random",
                random_state=seed).fit_transform(x)  # fmt: skip


def knn_purity(x: np.ndarray, labels: Sequence, k: int = 5) -> Purity:
    """Share of the k nearest neighbours (cosine, without the clip itself) with the same label.

    `x` (N, E), `labels` (N,). Raises ValueError unless 1 <= k < N.
    """
    labels = np.asarray(labels)
    if not 1 <= k < len(x):
        raise ValueError(f"k is {k}; it must lie between 1 and the number of other clips")
    same = labels[:, None] == labels
    near = np.argsort(-similarity(x, x) + 4 * np.eye(len(x)), axis=1)[:, :k]
    share = np.take_along_axis(same, near, 1).mean()
    return Purity(float(share), float((same.sum(1) - 1).mean() / (len(x) - 1)))


def relevance(
    model: MERCLIP, video: Tensor, classes: Tensor | None = None, steps: int = 8
) -> np.ndarray:
    """What the movement of each patch at each time did for a class: (N, t, g, g), signed.

    Integrated gradients (Sundararajan 2017) between the clip and the *still clip*, its first
    frame repeated: R = (x - x_still) * mean over a of d logit_c / dx at x_still + a (x - x_still),
    summed over the pixels and channels of a patch, and over the frames 2k and 2k + 1 of time
    position k. A still face has no relevance; all R together are logit(clip) - logit(still clip),
    up to the number of `steps`. `video` (N, 3, T, H, W), normalised; `classes` (N,) or None for
    the predicted ones. Not in the paper, which shows attention maps.
    """
    model.eval()
    classes = predicted_classes(model, video) if classes is None else classes
    still = video[:, :, :1]
    total = torch.zeros_like(video)
    for step in range(steps):
        total += _gradient(model, still + (step + 0.5) / steps * (video - still), classes)
    return _per_patch(model, (video - still) * total / steps)


def input_gradient(model: MERCLIP, video: Tensor, classes: Tensor | None = None) -> np.ndarray:
    """Plain saliency (Simonyan 2014): |d logit_c / dx| summed per patch and time, (N, t, g, g)."""
    model.eval()
    classes = predicted_classes(model, video) if classes is None else classes
    return _per_patch(model, _gradient(model, video, classes).abs())


def token_relevance(model: MERCLIP, video: Tensor, classes: Tensor | None = None) -> np.ndarray:
    """Which inference tokens the EIM reads: relu(sum_C F * d logit_c / dF), (N, t, g, g).

    Gradient x token at the EIM's input. By then a token has attended to the whole frame and the
    clip token holds the whole clip, so this says where the EIM reads, not where the face moved.
    """
    model.eval()
    classes = predicted_classes(model, video) if classes is None else classes
    with torch.no_grad():
        tokens = model.vision_encoder(video).tokens
    tokens.requires_grad_()
    chosen = model.cls_head(tokens).gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, tokens)
    patches = F.relu((tokens * gradient).sum(-1)[:, 1:]).detach()
    grid = model.vision_encoder.size.grid
    return patches.view(len(video), -1, grid, grid).numpy()


def frame_difference(model: MERCLIP, video: Tensor) -> np.ndarray:
    """|x - x_still| summed per patch and time, (N, t, g, g): no network, only its patch grid."""
    return _per_patch(model, (video - video[:, :, :1]).abs())


@torch.no_grad()
def predicted_classes(model: MERCLIP, video: Tensor) -> Tensor:
    """Class numbers (N,)."""
    return model(video).logits.argmax(1)


def _gradient(model: MERCLIP, video: Tensor, classes: Tensor) -> Tensor:
    video = video.detach().clone().requires_grad_()
    chosen = model(video).logits.gather(1, classes[:, None]).sum()
    return torch.autograd.grad(chosen, video)[0]


def _per_patch(model: MERCLIP, x: Tensor) -> np.ndarray:
    """Sum (N, 3, T, H, W) over channels, the pixels of a patch and the frames of a position."""
    size = model.vision_encoder.size
    x = x.sum(1).unflatten(1, (size.times, -1)).sum(2)  # (N, t, H, W)
    return F.avg_pool2d(x, size.patch, divisor_override=1).numpy()


def freeze(video: Tensor, mask: np.ndarray) -> Tensor:
    """The clip with the patches of `mask` (N, g, g) held at their first frame."""
    scale = video.shape[-1] // mask.shape[-1]
    mask = torch.from_numpy(mask).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return torch.where(mask[:, None, None], video[:, :, :1], video)


@torch.inference_mode()
def freeze_drop(model: MERCLIP, video: Tensor, order: np.ndarray, counts: Sequence[int]) -> list:
    """Mean fall of the predicted class's probability when the first patches of `order` stop moving.

    `order` (N, g*g) patch numbers, most relevant first. A faithful map makes a steep fall. It
    needs no known motion, so it also works on real clips. Returns one number per count.
    """
    model.eval()
    whole = model(video).logits.softmax(1)
    best, g = whole.argmax(1, keepdim=True), model.vision_encoder.size.grid
    drops = []
    for count in counts:
        mask = np.zeros(order.shape, bool)
        np.put_along_axis(mask, order[:, :count], True, 1)
        frozen = model(freeze(video, mask.reshape(-1, g, g))).logits.softmax(1)
        drops.append(float((whole - frozen).gather(1, best).mean()))
    return drops


def true_motion(store, rows: np.ndarray, frames: int) -> np.ndarray:
    """Length of the true displacement at the model's time positions, (N, t, g, g).

    Position k's centre tap is sampled frame 2k. Raises ValueError where motion is not known.
    """
    if store.motion is None:
        raise ValueError(f"{store.folder}: the true motion is known only for synthetic sets")
    times = uniform_sample(store.motion.shape[1], frames)[::2]
    return np.linalg.norm(store.motion[rows][:, times].astype(np.float32), axis=-1)


def moving_region(motion: np.ndarray, above: float = 0.5) -> np.ndarray:
    """Patches that moved more than `above` times the clip's most: (N, t, g, g) -> (N, g, g)."""
    largest = motion.max(1)
    return largest > above * largest.max((1, 2), keepdims=True)


def pointing_game(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Does the maximum of a map lie in the region? (N,), 0 or 1, or a share where maxima tie.

    `maps` (N, t, g, g), summed over time, or (N, g, g); `region` bool (N, g, g). Blind guessing
    gives the region's area, `region.mean((1, 2))`. After Zhang et al. 2018.
    """
    maps = _over_time(maps)
    best = maps == maps.max((1, 2), keepdims=True)
    return (best & region).sum((1, 2)) / best.sum((1, 2))


def energy_in_region(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share of a map's positive part inside the region, (N,); the area if nothing is positive."""
    maps = np.maximum(_over_time(maps), 0)
    total = maps.sum((1, 2))
    inside = (maps * region).sum((1, 2))
    return np.where(total > 0, inside / np.where(total > 0, total, 1), region.mean((1, 2)))


def _over_time(maps: np.ndarray) -> np.ndarray:
    return maps.sum(1) if maps.ndim == 4 else maps


def centre_prior(grid: int) -> np.ndarray:
    """A Gaussian about the middle of the picture, (g, g); its width is a quarter of the picture."""
    at = (np.arange(grid) - (grid - 1) / 2) / (grid / 4)
    return np.exp(-(at[:, None] ** 2 + at**2) / 2)


def localisation(maps: dict[str, np.ndarray], region: np.ndarray) -> pd.DataFrame:
    """Scores of maps beside guesses: table [name, metric, value, low, high] (95 %, over clips).

    Guesses: any patch; the middle of the picture; and, for the first map, the map of another
    clip (mean over all others): what it knows about faces without having seen this clip.
    """
    first = next(iter(maps.values()))
    middle = np.broadcast_to(centre_prior(region.shape[-1]), region.shape)
    rows = []
    for metric, score in (("pointing game", pointing_game), ("energy in region", energy_in_region)):
        values = {name: score(m, region) for name, m in maps.items()}
        others = [score(np.roll(first, shift, axis=0), region) for shift in range(1, len(region))]
        values["map of another clip"] = np.mean(others, 0)
        values["middle of the picture"] = score(middle, region)
        values["any patch (area)"] = region.mean((1, 2))
        for name, value in values.items():
            mean, half = value.mean(), 1.96 * value.std() / len(value) ** 0.5
            rows.append({"name": name, "metric": metric, "value": mean,
                         "low": max(mean - half, 0.0), "high": min(mean + half, 1.0)})  # fmt: skip
    return pd.DataFrame(rows)


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarities (rows of a, rows of b)."""
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return a @ b.T
