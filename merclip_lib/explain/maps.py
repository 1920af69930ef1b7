"""All kinds of maps of the clips of a dataset, a few clips at a time."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.explain import relevance
from merclip_lib.explain.rollout import attention_rollout
from merclip_lib.model.merclip import MERCLIP

KINDS: dict[str, Callable[[MERCLIP, Tensor], np.ndarray]] = {
    "integrated gradients": relevance.motion_relevance,  # signed
    "attention rollout": attention_rollout,
    "Grad-CAM": relevance.grad_cam,
    "input gradient": relevance.input_gradient,
    "tokens that the EIM reads": relevance.token_relevance,
    "frame difference": relevance.frame_difference,  # no network
}


def relevance_maps(
    model: MERCLIP, dataset: ClipDataset, config: Config | None = None, batch_size: int = 16
) -> dict[str, np.ndarray]:
    """Maps of every clip for the class that the network predicts.

    Args:
        model: the network; it is put into evaluation mode.
        dataset: N clips.
        config: says how clips are normalised; None is CLIP's mean and standard deviation.
        batch_size: clips at once.

    Returns:
        By kind (a key of KINDS), (N, t, g, g).
    """
    clips = relevance.videos(dataset, config, batch_size)
    parts = [{kind: make(model, video) for kind, make in KINDS.items()} for video in clips]
    return {kind: np.concatenate([maps[kind] for maps in parts]) for kind in KINDS}
