"""The pointing game: does the relevance of a clip lie where its face really moves?"""

import numpy as np
import pandas as pd

from merclip_lib.data.dataset import uniform_sample


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
            rows.append(
                {
                    "name": name,
                    "metric": metric,
                    "value": mean,
                    "low": max(mean - half, 0.0),
                    "high": min(mean + half, 1.0),
                }
            )
    return pd.DataFrame(rows)
