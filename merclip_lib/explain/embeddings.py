"""What the network makes of each clip: embeddings, t-SNE, purity of neighbourhoods."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.explain.relevance import videos
from merclip_lib.model.merclip import MERCLIP


class Purity(NamedTuple):
    """How pure neighbourhoods are."""

    share: float  # of neighbours with the same label
    chance: float  # for neighbours drawn blindly


@torch.inference_mode()
def embed(
    model: MERCLIP, dataset: ClipDataset, batch_size: int = 32, config: Config | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What the video encoder makes of clips (paper, video encoder).

    Args:
        model: the network; it is put into evaluation mode.
        dataset: N clips.
        batch_size: clips at once.
        config: says how clips are normalised; None is CLIP's mean and standard deviation.

    Returns:
        Embeddings z (N, E), compared with sentences, and clip vectors o (N, D).
    """
    model.eval()
    parts = [model.vision_encoder(video)[:2] for video in videos(dataset, config, batch_size)]
    z, o = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    return z, o


@torch.inference_mode()
def emotion_tokens(
    model: MERCLIP, dataset: ClipDataset, batch_size: int = 32, config: Config | None = None
) -> np.ndarray:
    """Token 0 after the last layer of the EIM, (N, C); without EIM the clip token that is read.

    Arguments as `embed`.
    """
    model.eval()
    parts = []
    for video in videos(dataset, config, batch_size):
        tokens = model.vision_encoder(video).tokens
        for block in getattr(model.cls_head, "blocks", ()):
            tokens = block(tokens)
        parts.append(tokens[:, 0])
    return torch.cat(parts).numpy()


def tsne(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """A map of vectors, neighbours by cosine distance (t-SNE; paper, visualisation).

    Distances between far groups and the sizes of groups mean nothing in such a picture.

    Args:
        x: (N, E) vectors.
        seed: of the random start.

    Returns:
        Points (N, 2).
    """
    from sklearn.manifold import TSNE

    perplexity = min(15.0, (len(x) - 1) / 3)
    mapper = TSNE(2, perplexity=perplexity, metric="cosine", init="random", random_state=seed)
    return mapper.fit_transform(x)


def knn_purity(x: np.ndarray, labels: Sequence, k: int = 5) -> Purity:
    """Share of the nearest neighbours that have the same label.

    Args:
        x: (N, E) vectors, compared by cosine.
        labels: (N,) labels.
        k: number of neighbours, without the clip itself.

    Raises:
        ValueError: unless 1 <= k < N.
    """
    share = alike_neighbours(x, labels, k).mean()
    counts = pd.Series(list(labels)).value_counts()
    return Purity(float(share), float((counts * (counts - 1)).sum() / len(x) / (len(x) - 1)))


def alike_neighbours(x: np.ndarray, labels: Sequence, k: int = 5) -> np.ndarray:
    """`knn_purity` clip by clip: the share of each clip's neighbours with its label, (N,)."""
    if not 1 <= k < len(x):
        raise ValueError(f"k is {k}; it must lie between 1 and the number of other clips")
    label = np.asarray(labels)
    near = np.argsort(-similarity(x, x) + 4 * np.eye(len(x)), axis=1)[:, :k]
    return (label[near] == label[:, None]).mean(1)


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine similarities (A, B) of the rows of a (A, E) and of b (B, E)."""
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return a @ b.T
