"""Relevance over face and time: which pixels or patches decided for a class?

N clips, T frames, t time positions, g x g patches; videos (N, 3, T, H, W) are normalised, maps
are numpy (N, t, g, g). The paper shows attention maps; these follow gradients, and `pointing`
says whether they point where the face moves.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.training.batches import gather


def videos(dataset: ClipDataset, config: Config | None, batch_size: int) -> Iterator[Tensor]:
    """The clips of a dataset a few at a time, as `held_out_video` gives all of them."""
    for items in torch.arange(len(dataset)).split(batch_size):
        yield gather(dataset, items, config).video.transpose(1, 2)


def held_out_video(dataset: ClipDataset, config: Config | None = None) -> Tensor:
    """All clips of a dataset as one video.

    Args:
        dataset: N clips.
        config: says how clips are normalised; None is CLIP's mean and standard deviation.

    Returns:
        (N, 3, T, H, W), normalised.
    """
    return next(videos(dataset, config, len(dataset)))


def motion_relevance(
    model: MERCLIP, video: Tensor, classes: Tensor | None = None, steps: int = 8
) -> np.ndarray:
    """What the movement of each patch at each time did for a class, signed.

    Integrated gradients (Sundararajan 2017) between the clip and the *still clip*, its first
    frame repeated: R = (x - x_still) * mean over a of d logit_c / dx at x_still + a (x - x_still),
    summed over the pixels and channels of a patch, and over the frames 2k and 2k + 1 of time
    position k. A still face has no relevance; all R together are logit(clip) - logit(still clip),
    up to the number of `steps`. Not in the paper, which shows attention maps.

    Args:
        model: the network; it is put into evaluation mode.
        video: (N, 3, T, H, W), normalised.
        classes: (N,) class numbers; None is the predicted ones.
        steps: points a between the still clip and the clip.

    Returns:
        R, (N, t, g, g).
    """
    classes = classes_asked(model, video, classes)
    still = video[:, :, :1]
    total = torch.zeros_like(video)
    for step in range(steps):
        total += _gradient(model, still + (step + 0.5) / steps * (video - still), classes)
    return _per_patch(model, (video - still) * total / steps)


def input_gradient(model: MERCLIP, video: Tensor, classes: Tensor | None = None) -> np.ndarray:
    """Plain saliency (Simonyan 2014): |d logit_c / dx| summed per patch and time, (N, t, g, g).

    Arguments as `motion_relevance`.
    """
    classes = classes_asked(model, video, classes)
    return _per_patch(model, _gradient(model, video, classes).abs())


def token_relevance(model: MERCLIP, video: Tensor, classes: Tensor | None = None) -> np.ndarray:
    """Which inference tokens the EIM reads: relu(sum_C F * d logit_c / dF), (N, t, g, g).

    Gradient x token at the EIM's input. By then a token has attended to the whole frame and the
    clip token holds the whole clip, so this says where the EIM reads, not where the face moved.
    Arguments as `motion_relevance`.
    """
    patches, gradient = _inference_patches(model, video, classes)
    return _on_grid(model, F.relu((patches * gradient).sum(-1)))


def grad_cam(model: MERCLIP, video: Tensor, classes: Tensor | None = None) -> np.ndarray:
    """Grad-CAM (Selvaraju 2017) at the EIM's input: relu(sum_C w_C F), (N, t, g, g).

    F are the patches' inference tokens and w the mean over patches of d logit_c / dF: how a channel
    counts is the same everywhere, where it is high makes the map. What `token_relevance` says of
    the place holds here too. Arguments as `motion_relevance`.
    """
    patches, gradient = _inference_patches(model, video, classes)
    return _on_grid(model, F.relu((patches * gradient.mean(1, keepdim=True)).sum(-1)))


def _inference_patches(
    model: MERCLIP, video: Tensor, classes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The patches' inference tokens F and d logit_c / dF, both (N, t * g * g, C)."""
    classes = classes_asked(model, video, classes)
    with torch.no_grad():
        tokens = model.vision_encoder(video).tokens
    tokens.requires_grad_()
    (gradient,) = class_gradients(model.cls_head(tokens), classes, [tokens])
    return tokens[:, 1:].detach(), gradient[:, 1:]


def _on_grid(model: MERCLIP, patches: Tensor) -> np.ndarray:
    """Values (N, t * g * g) of patches as maps (N, t, g, g)."""
    grid = model.vision_encoder.size.grid
    return patches.view(len(patches), -1, grid, grid).numpy()


def frame_difference(model: MERCLIP, video: Tensor) -> np.ndarray:
    """|x - x_still| summed per patch and time, (N, t, g, g); no network, only its grid."""
    return _per_patch(model, (video - video[:, :, :1]).abs())


@torch.no_grad()
def classes_asked(model: MERCLIP, video: Tensor, classes: Tensor | None = None) -> Tensor:
    """Put the network into evaluation mode; `classes` (N,), or those that it predicts for None."""
    model.eval()
    return model(video).logits.argmax(1) if classes is None else classes


def class_gradients(logits: Tensor, classes: Tensor, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
    """d logit_c / d each of `inputs`, for logits (N, C) and classes (N,)."""
    return torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), inputs)


def _gradient(model: MERCLIP, video: Tensor, classes: Tensor) -> Tensor:
    """d logit_c / dx, of the shape of `video`."""
    video = video.detach().clone().requires_grad_()
    return class_gradients(model(video).logits, classes, [video])[0]


def _per_patch(model: MERCLIP, x: Tensor) -> np.ndarray:
    """Sum (N, 3, T, H, W) over channels, the pixels of a patch and the frames of a position."""
    size = model.vision_encoder.size
    x = x.sum(1).unflatten(1, (size.times, -1)).sum(2)  # (N, t, H, W)
    return F.avg_pool2d(x, size.patch, divisor_override=1).numpy()


def freeze(video: Tensor, mask: np.ndarray) -> Tensor:
    """The clip with the patches of `mask` (N, g, g) held at their first frame."""
    scale = video.shape[-1] // mask.shape[-1]
    pixels = torch.from_numpy(mask).repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    return torch.where(pixels[:, None, None], video[:, :, :1], video)


@torch.inference_mode()
def freeze_drop(
    model: MERCLIP, video: Tensor, order: np.ndarray, counts: Sequence[int]
) -> np.ndarray:
    """How much the predicted class loses when the most relevant patches stop moving.

    A faithful map makes a steep fall. It needs no known motion, so it also works on real clips.

    Args:
        model: the network; it is put into evaluation mode.
        video: (N, 3, T, H, W), normalised.
        order: (N, g*g) patch numbers, most relevant first.
        counts: how many patches are held still.

    Returns:
        Fall of the predicted class's probability, (len(counts), N).
    """
    model.eval()
    whole = model(video).logits.softmax(1)
    best, g = whole.argmax(1, keepdim=True), model.vision_encoder.size.grid
    drops = []
    for count in counts:
        mask = np.zeros(order.shape, bool)
        np.put_along_axis(mask, order[:, :count], True, 1)
        frozen = model(freeze(video, mask.reshape(-1, g, g))).logits.softmax(1)
        drops.append((whole - frozen).gather(1, best)[:, 0])
    return torch.stack(drops).numpy()
