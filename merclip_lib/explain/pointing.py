"""The pointing game: does the relevance of a clip lie where its face really moves?

A picture of a heat map proves nothing. SynthME knows which patches moved, so a map can be scored:
does its maximum fall where the skin moved (pointing game), and how much of it lies there? Every
score stands beside what blind guessing gives. N clips, t time positions, g x g patches.
"""

import numpy as np
import pandas as pd

from merclip_lib.data.dataset import uniform_sample
from merclip_lib.data.store import ClipStore


def true_motion(store: ClipStore, rows: np.ndarray, frames: int) -> np.ndarray:
    """How far each patch has really moved, at the model's time positions.

    Args:
        store: a synthetic set.
        rows: (N,) rows of the store.
        frames: T of the model; position k's centre tap is sampled frame 2k.

    Returns:
        Length of the displacement since the onset, (N, t, g, g), in fractions of the picture.

    Raises:
        ValueError: the store does not know its motion.
    """
    if store.motion is None:
        raise ValueError(f"{store.folder}: the true motion is known only for synthetic sets")
    times = uniform_sample(store.motion.shape[1], frames)[::2]
    return np.linalg.norm(store.motion[rows][:, times].astype(np.float32), axis=-1)


def moving_region(motion: np.ndarray, above: float = 0.5) -> np.ndarray:
    """Where a clip moves: patches that moved more than a share of the clip's largest movement.

    Args:
        motion: (N, t, g, g), see `true_motion`.
        above: the share.

    Returns:
        (N, g, g) bool.
    """
    largest = motion.max(1)
    return largest > above * largest.max((1, 2), keepdims=True)


def pointing_game(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Does the maximum of a map lie in the region? After Zhang et al. 2018.

    Args:
        maps: (N, t, g, g), summed over time, or (N, g, g).
        region: (N, g, g) bool.

    Returns:
        (N,), 0 or 1, or a share where maxima tie. Blind guessing gives the region's area,
        `region.mean((1, 2))`.
    """
    maps = _over_time(maps)
    best = maps == maps.max((1, 2), keepdims=True)
    return (best & region).sum((1, 2)) / best.sum((1, 2))


def energy_in_region(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share of a map's positive part inside the region.

    Args:
        maps: (N, t, g, g), summed over time, or (N, g, g).
        region: (N, g, g) bool.

    Returns:
        (N,); the region's area where nothing is positive.
    """
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
    """Scores of maps beside those of guesses.

    Guesses: any patch; the middle of the picture; and, for the first map, the map of another
    clip (mean over all others): what it knows about faces without having seen this clip.

    Args:
        maps: name -> (N, t, g, g) or (N, g, g).
        region: (N, g, g) bool, where the clips move.

    Returns:
        A row per metric and name: [name, metric, value, low, high], mean over clips and its 95 %
        interval.
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
            rows.append((name, metric, mean, max(mean - half, 0.0), min(mean + half, 1.0)))
    return pd.DataFrame(rows, columns=["name", "metric", "value", "low", "high"])
