"""The plan of a population: every clip with what was shown, what was written, and when.

What happened (units, sides, intensities, emotion) is kept beside what the annotator wrote.
"""

import numpy as np
import pandas as pd

from merclip_lib.data.table import COLUMNS
from merclip_lib.synthme.annotator import annotate
from merclip_lib.synthme.person import Unit, draw_person, show
from merclip_lib.synthme.populations import FPS, MOST_CLIPS, PRESETS, Population, generator

SPREAD = 0.75  # standard deviation of the logarithm of a person's number of clips
STRONG = (0.15, 1.0)  # intensities of "any-units"
TRUTH = ["true_action_units", "true_emotion", "intensities", "session", "shortcut"]


def plan_population(population: Population) -> pd.DataFrame:
    """The clip table of a population, without drawing.

    Returns:
        A row per clip: the columns of `data.table`, with what the annotator wrote in
        `action_units` and `emotion`, and TRUTH beside it: units and emotion as they were,
        `intensities` ("4:0.31;L12:0.22"), number of the session, and the class that a shortcut
        shows (-1 without). Onset, apex and offset count frames at 200 per second.
    """
    span = PRESETS.get(population.preset, {"intensity": STRONG})["intensity"]
    rows = []
    for number, count in enumerate(clips_of_each(population)):
        rng = generator(population.seed, number, 3)
        person = draw_person(population, rng)
        sessions = 2 if count > 3 and rng.random() < 0.5 else 1
        subject = f"{population.seed}p{number + 1:03d}"
        for clip in range(count):
            shown = show(person, rng)
            written = annotate(population, shown, rng)
            rows.append(
                {
                    "clip_id": f"{population.name}/{subject}/c{clip + 1:02d}",
                    "dataset": population.name,
                    "subject": subject,
                    "clip": f"c{clip + 1:02d}",
                    "action_units": written.units,
                    "emotion": written.emotion,
                    "frames": "",
                    "true_action_units": "+".join(f"{side}{n}" for n, side in shown.units),
                    "true_emotion": shown.emotion,
                    "intensities": _intensities(shown.units, span, rng),
                    "session": clip * sessions // count,
                    "shortcut": _shortcut(population, written.emotion, rng),
                    **_times(rng),
                }
            )
    return pd.DataFrame(rows, columns=[*COLUMNS, *TRUTH])


def clips_of_each(population: Population) -> np.ndarray:
    """Numbers of clips of the people: uneven, 1 to 36, `population.clips` in all."""
    rng = generator(population.seed, 0, 2)
    weights = rng.lognormal(0, SPREAD, population.people)
    counts = np.floor(weights / weights.sum() * population.clips).astype(int).clip(1, MOST_CLIPS)
    while counts.sum() != population.clips:
        step = 1 if counts.sum() < population.clips else -1
        possible = (counts + step >= 1) & (counts + step <= MOST_CLIPS)
        counts[rng.choice(np.flatnonzero(possible))] += step
    return counts


def _shortcut(population: Population, emotion: str, rng: np.random.Generator) -> int:
    """The class that the shortcut of a clip shows; where it is broken, any."""
    if not population.shortcut:
        return -1
    if population.broken:
        return int(rng.integers(len(population.classes)))
    return population.classes.index(emotion)


def _intensities(units: list[Unit], span: tuple[float, float], rng: np.random.Generator) -> str:
    """How strong each unit gets, about a level of the clip: "4:0.31;L12:0.22"."""
    low, high = span
    level = rng.uniform(low, high)
    strengths = [float(np.clip(level * rng.uniform(0.8, 1.25), low, high)) for _ in units]
    return ";".join(f"{side}{n}:{s:.3f}" for (n, side), s in zip(units, strengths, strict=True))


def _times(rng: np.random.Generator) -> dict[str, int]:
    """Onset, apex and offset in frames; a micro-expression lasts 0.2 to 0.5 s."""
    length = int(rng.integers(40, 101))
    onset = int(rng.integers(20, 200))
    apex = onset + round(length * rng.uniform(0.30, 0.65))
    return {"onset": onset, "apex": apex, "offset": onset + length, "fps": FPS}
