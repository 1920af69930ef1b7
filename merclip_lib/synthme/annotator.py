"""What an annotator writes down of a clip: action units with mistakes, and an emotion.

She overlooks units, adds some, loses a side, is unsure. The emotion she reads from the units that
she wrote, in some clips; in the others she knows what the person felt. Real annotations are nearly
linear in the units, and so is her reading.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from merclip_lib.synthme.action_units import UNITS
from merclip_lib.synthme.person import Shown, Unit, combinations
from merclip_lib.synthme.populations import PRESETS, Population

RARE = 0.02  # added to every share of a unit in a class, so that no unit excludes a class


class Written(NamedTuple):
    """A row of an annotation sheet."""

    units: str  # "4+R10?"
    emotion: str


class Reading(NamedTuple):
    """What an annotator knows of a preset.

    Attributes:
        shares: (K,) of the classes.
        units: (U,) how often each of `UNITS` shows.
        evidence: (K, U) how much a unit speaks for a class: log of its share there over its share.
    """

    shares: np.ndarray
    units: np.ndarray
    evidence: np.ndarray


@lru_cache
def reading(preset: str) -> Reading:
    """What an annotator knows of a preset, from its tables."""
    counts = PRESETS[preset]["shares"]
    shares = np.array(list(counts.values())) / sum(counts.values())
    in_class = np.zeros((len(counts), len(UNITS)))
    for row, emotion in enumerate(counts):
        table = combinations(preset, emotion)
        for units, weight in table.items():
            for code in units.split("+"):
                in_class[row, UNITS.index(int(code.lstrip("LR")))] += weight / sum(table.values())
    units = shares @ in_class
    return Reading(shares, units, np.log((in_class + RARE) / (units + RARE)))


def annotate(population: Population, shown: Shown, rng: np.random.Generator) -> Written:
    """Write down a clip.

    Under a rule of its own (`population.rule`) and in "any-units" nothing is mistaken, so that a
    control asks one question alone.
    """
    if population.preset == "any-units" or population.rule != "annotator":
        return Written("+".join(f"{side}{number}" for number, side in shown.units), shown.emotion)
    preset, known = PRESETS[population.preset], reading(population.preset)
    units = _write_units(shown.units, preset, known, rng)
    emotion = shown.emotion
    if rng.random() < preset["reading"]:
        scores = np.log(known.shares)
        for number, _ in units:
            scores = scores + known.evidence[:, UNITS.index(number)]
        scores = preset["sharpness"] * scores
        chances = np.exp(scores - scores.max())
        emotion = str(rng.choice(population.classes, p=chances / chances.sum()))
    doubts = ["?" if rng.random() < preset["unsure"] else "" for _ in units]
    codes = [f"{side}{n}{doubt}" for (n, side), doubt in zip(units, doubts, strict=True)]
    return Written("+".join(codes), emotion)


def _write_units(
    shown: list[Unit], preset: dict, known: Reading, rng: np.random.Generator
) -> list[Unit]:
    """The units as written, by number; never none."""
    seen = [
        (number, "" if rng.random() < preset["side_lost"] else side)
        for number, side in shown
        if rng.random() >= preset["missed"]
    ]
    units = seen or [shown[rng.integers(len(shown))]]
    if rng.random() < preset["added"]:
        extra = int(rng.choice(UNITS, p=known.units / known.units.sum()))
        if extra not in [number for number, _ in units]:
            units.append((extra, ""))
    return sorted(units)
