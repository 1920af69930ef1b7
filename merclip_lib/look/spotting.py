"""When does a face move? Proposed onset, apex and offset of each expression in a video.

A rule without learning, after the feature difference of Moilanen et al. (ICPR 2014): where the
skin is, against the mean of where it was and will be half a window away. An expression that comes
and goes stands out, whereas drift of head and light cancels. Scored as in the MEGC challenges.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from merclip_lib.look.flow import LIDS, REGIONS, Motion

MICRO = 0.5  # seconds; what lasts longer is no micro-expression
STRONGEST = 3  # regions whose mean is the strength of the whole face
LEAST = 0.008  # eye distances; less cannot be told from the error of flow and alignment
NOISE = 8.0  # times the noise that the series itself shows
EDGE = 0.12  # share of the apex's strength at onset and offset
SMOOTH = 0.02  # seconds, standard deviation


@dataclass(frozen=True)
class Interval:
    """One expression, in seconds.

    Attributes:
        onset: when it begins.
        apex: when it is strongest.
        offset: when it ends.
        strength: at the apex, in eye distances.
        confidence: strength / (strength + what is needed to be noticed): 0.5 is the limit.
        region: where it is strongest, one of REGIONS.
    """

    onset: float
    apex: float
    offset: float
    strength: float
    confidence: float
    region: str

    @property
    def micro(self) -> bool:
        """Whether it is as short as a micro-expression."""
        return self.offset - self.onset <= MICRO


def difference(motion: Motion) -> np.ndarray:
    """Displacement against the mean of half a window before and after, (T, R, 2)."""
    before, after = (motion.times + step for step in (-MICRO / 2, MICRO / 2))
    courses = motion.regions.reshape(len(before), -1).T
    around = [np.interp(at, motion.times, c) for c in courses for at in (before, after)]
    return motion.regions - np.stack(around, -1).reshape(*motion.regions.shape, 2).mean(-1)


def strength_of(vectors: np.ndarray) -> np.ndarray:
    """Mean length over the strongest regions without the lids (a blink is none), (T,)."""
    skin = [k for k, name in enumerate(REGIONS) if name not in LIDS]
    return np.sort(np.linalg.norm(vectors[:, skin], axis=-1), axis=1)[:, -STRONGEST:].mean(1)


def spot(motion: Motion) -> list[Interval]:
    """Propose the expressions of a video, the strongest first.

    Args:
        motion: of T frames, as `flow.measure` gives it.

    Returns:
        Intervals at least MICRO / 2 seconds apart; none where nothing rises above the noise.
    """
    weights = np.exp(-0.5 * ((motion.times[:, None] - motion.times) / SMOOTH) ** 2)
    weights /= weights.sum(1, keepdims=True)
    smooth = replace(motion, regions=np.tensordot(weights, motion.regions, 1))
    change = difference(smooth)
    strength = strength_of(change)
    limit = max(LEAST, NOISE * noise_of(motion))
    free, proposed = np.ones(len(strength), bool), []
    while strength[at := int(np.argmax(np.where(free, strength, -1)))] > limit and free[at]:
        first, last = edges(smooth, change, at, free)
        onset, apex, offset = motion.times[[first, at, last]].tolist()
        height, region = float(strength[at]), np.linalg.norm(change[at], axis=-1).argmax()
        sure = height / (height + limit)
        proposed.append(Interval(onset, apex, offset, height, sure, REGIONS[region]))
        near = (motion.times >= onset - MICRO / 2) & (motion.times <= offset + MICRO / 2)
        free[near] = False  # the difference answers there, too, with half the height
    return proposed


def noise_of(motion: Motion) -> float:
    """Standard deviation of a region's place from frame to frame, in eye distances.

    By the median absolute value of second differences, which a smooth motion hardly touches.
    """
    bend = motion.regions[1:-1] - (motion.regions[:-2] + motion.regions[2:]) / 2
    return float(1.4826 * np.median(np.abs(bend)) / np.sqrt(1.5))


def edges(motion: Motion, change: np.ndarray, apex: int, free: np.ndarray) -> tuple[int, int]:
    """Onset and offset of the expression at frame `apex`.

    The course is the displacement along the change at the apex. From the apex both ways it is
    followed down to EDGE of its height above the lowest point within MICRO seconds on that side.

    Args:
        motion: smoothed.
        change: its `difference`.
        apex: number of a frame.
        free: (T,) frames that belong to no other expression.
    """
    course = np.einsum("trc,rc->t", motion.regions, change[apex])
    near = free & (np.abs(motion.times - motion.times[apex]) <= MICRO)
    ends = []
    for side in (np.arange(apex, -1, -1), np.arange(apex, len(course))):
        side = side[np.logical_and.accumulate(near[side])]
        down, low = course[side], course[side].min()
        ends.append(int(side[np.argmax(down <= low + EDGE * (down[0] - low))]))
    return ends[0], ends[1]


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two intervals."""
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    whole = max(a[1], b[1]) - min(a[0], b[0])
    return shared / whole if whole else 0.0


@dataclass(frozen=True)
class SpottingScore:
    """How spotting did, counted over videos.

    Attributes:
        right: proposals that overlap an expression not taken yet by at least half (IoU 0.5).
        proposed: number of proposals.
        true: number of expressions.
        apex_errors: seconds, of the right ones.
    """

    right: int
    proposed: int
    true: int
    apex_errors: tuple[float, ...]

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall (the MEGC spotting measure)."""
        return 2 * self.right / max(1, self.proposed + self.true)


def score_spotting(
    proposals: Sequence[Sequence[Interval]], truths: Sequence[Sequence[tuple[float, float, float]]]
) -> SpottingScore:
    """Compare proposals with the truth, video by video.

    Args:
        proposals: of each video, the most confident first.
        truths: of each video, onset, apex and offset of each expression, in seconds.
    """
    errors = []
    for proposed, true in zip(proposals, truths, strict=True):
        left = list(true)
        for found in proposed:
            shares = [overlap((found.onset, found.offset), (a, b)) for a, _, b in left]
            if max(shares, default=0) >= 0.5:
                errors.append(abs(found.apex - left.pop(int(np.argmax(shares)))[1]))
    counts = (len(errors), sum(map(len, proposals)), sum(map(len, truths)))
    return SpottingScore(*counts, tuple(errors))
