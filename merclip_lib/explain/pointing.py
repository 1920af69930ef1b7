"""The pointing game: does the relevance of a clip lie where its face really moves?

A picture of a heat map proves nothing. SynthME knows which patches moved, so a map can be scored:
does its maximum fall where the skin moved (pointing game), and how much of it lies there? Every
score stands beside that of another clip's map and of blind guessing. N clips, t time positions,
g x g patches.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from merclip_lib.data.dataset import uniform_sample
from merclip_lib.data.store import ClipStore
from merclip_lib.scores.bootstrap import DEFAULT, Resampling, holm, subject_interval, two_sided
from merclip_lib.scores.verdicts import answer, in_numbers, p_in_words, side_of_change


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
    return (_maximum(maps) * region).sum((1, 2))


def energy_in_region(maps: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Share of a map's positive part inside the region.

    Args:
        maps: (N, t, g, g), summed over time, or (N, g, g).
        region: (N, g, g) bool.

    Returns:
        (N,); the region's area where nothing is positive.
    """
    return (_energy(maps) * region).sum((1, 2))


def _maximum(maps: np.ndarray) -> np.ndarray:
    """Where the maximum of a map is: 1 there, shared where maxima tie, (N, g, g)."""
    maps = _over_time(maps)
    best = maps == maps.max((1, 2), keepdims=True)
    return best / best.sum((1, 2), keepdims=True)


def _energy(maps: np.ndarray) -> np.ndarray:
    """The positive part of a map with sum 1, flat where nothing is positive, (N, g, g)."""
    maps = np.maximum(_over_time(maps), 0)
    maps = maps + (maps.sum((1, 2), keepdims=True) == 0)
    return maps / maps.sum((1, 2), keepdims=True)


def _over_time(maps: np.ndarray) -> np.ndarray:
    return maps.sum(1) if maps.ndim == 4 else maps


def centre_prior(grid: int) -> np.ndarray:
    """A Gaussian about the middle of the picture, (g, g); its width is a quarter of the picture."""
    at = (np.arange(grid) - (grid - 1) / 2) / (grid / 4)
    return np.exp(-(at[:, None] ** 2 + at**2) / 2)


def localisation(
    maps: dict[str, np.ndarray],
    region: np.ndarray,
    subjects: Sequence,
    networks: Sequence,
    resampling: Resampling = DEFAULT,
) -> pd.DataFrame:
    """Scores of maps, each beside the same kind of map of another clip, and beside blind guesses.

    The map of another clip knows about faces what the map knows, without having seen this clip:
    only what a map scores beyond it can come from the movement. Its score is the mean over all
    other clips that the same network saw; where people are drawn, over the clips of those drawn.
    Guesses are the middle of the picture, and any patch.

    Args:
        maps: name -> (N, t, g, g) or (N, g, g).
        region: (N, g, g) bool, where the clips move.
        subjects: (N,) the person in each clip; intervals are over people.
        networks: (N,) the network that saw each clip, such as its fold.
        resampling: how people are drawn.

    Returns:
        A row per metric and name [metric, name, value, low, high, other, gain, gain_low,
        gain_high, p, p_holm]: mean over clips with its interval, that of the other clips' maps,
        and the mean of their paired difference; p_holm is corrected for all maps and metrics.

    Raises:
        ValueError: a network saw a single clip.
    """
    network, (person, names) = np.asarray(networks), pd.factorize(np.asarray(subjects))
    others = (network[:, None] == network) & ~np.eye(len(network), dtype=bool)
    if not others.any(0).all():
        raise ValueError("a network saw a single clip, which has no other to compare it with")
    drawn = np.vstack([np.ones(len(person)), resampling.draw(len(names))[:, person]])
    drawn = drawn[(drawn * (drawn @ others)).any(1)]  # somebody meets a map of another clip
    maps_met = drawn @ others  # (1 + samples, N): how many each clip meets
    weight = drawn * (maps_met > 0)
    weight /= weight.sum(1, keepdims=True)
    flat, rows = region.reshape(len(region), -1).T, []
    middle = np.broadcast_to(centre_prior(region.shape[-1]), region.shape)
    guesses = {"middle of the picture": middle, "any patch (area)": np.ones_like(middle)}
    for metric, share in (("pointing game", _maximum), ("energy in region", _energy)):
        for name, map_ in {**maps, **guesses}.items():
            scores = share(map_).reshape(len(region), -1) @ flat  # map of clip j, region of clip i
            own, other = np.diag(scores), drawn @ (scores * others) / np.maximum(maps_met, 1)
            gain = (weight * (own - other)).sum(1)
            beyond = (gain[0], *resampling.interval(gain[1:]), two_sided(gain[1:], len(names)))
            own_score = subject_interval(own, subjects, resampling)
            rows.append((metric, name, *own_score, other[0].mean(), *beyond))
    columns = "metric name value low high other gain gain_low gain_high p".split()
    table = pd.DataFrame(rows, columns=columns)
    table.loc[table["name"].isin(guesses), "other":] = np.nan  # they are the same for all clips
    p_values = table["p"].dropna()
    return table.assign(p_holm=pd.Series(holm(p_values), p_values.index))


def localisation_claims(table: pd.DataFrame) -> list[str]:
    """What `localisation` allows to say of each map in the pointing game, one sentence each."""
    words = {1: "more than", -1: "less than", 0: "not clearly more or less than"}
    game = table[(table["metric"] == "pointing game") & table["gain"].notna()]
    return [
        f"{name}: {value:.0%} hits, {words[side_of_change(gain, p)]} the same map of another clip "
        f"({other:.0%}; {in_numbers(gain, low, high)}; {p_in_words(p)} after Holm's correction)"
        for _, name, value, _, _, other, gain, low, high, _, p in game.itertuples(index=False)
    ]


def answer_localisation(table: pd.DataFrame) -> str:
    """What `localisation` allows to say of all maps, beside blind guesses."""
    value = table.set_index(["metric", "name"])["value"]
    game, energy = value["pointing game"], value["energy in region"]
    head = f"Any patch hits {game['any patch (area)']:.0%}, the middle of the picture "
    head += f"{game['middle of the picture']:.0%}. Most hits: {game.idxmax()}; most energy inside: "
    return answer(f"{head}{energy.idxmax()}.", localisation_claims(table))


def answer_pictured(maps: np.ndarray, motion: np.ndarray | None) -> str:
    """When and where the relevance of a few clips is largest, beside their true motion.

    Args:
        maps: (N, t, g, g), not negative.
        motion: (N, t, g, g), see `true_motion`; None where it is not known.
    """

    def times(x: np.ndarray) -> str:
        return ", ".join(map(str, x.sum((2, 3)).argmax(1) + 1))

    said = f"**Answer.** Row by row the relevance is largest at time {times(maps)}"
    if motion is None:
        return f"{said}; which skin really moved is not known of these clips."
    hits = pointing_game(maps, moving_region(motion)).sum()
    said += f", the true motion at time {times(motion)}. In {hits:.0f} of {len(maps)} clips the "
    return f"{said}patch with most relevance, summed over time, lies where the face moved most."


def answer_agreement(maps: Mapping[str, np.ndarray]) -> str:
    """How alike kinds of maps (N, t, g, g) rank the patches of a clip (Spearman), in words."""
    flat = {name: pd.DataFrame(x.reshape(len(x), -1)) for name, x in maps.items()}
    told = [
        f"{a} and {b} {x.corrwith(y, axis=1, method='spearman').mean():.2f}"
        for (a, x), (b, y) in combinations(flat.items(), 2)
    ]
    return f"**Answer.** Rank correlation of their patches, mean over clips: {', '.join(told)}."
