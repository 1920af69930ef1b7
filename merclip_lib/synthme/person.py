"""What a drawn person feels and shows: emotions that she prefers, habits of showing them.

Emotions choose action units through tables after FACS that overlap between classes, as those of
the real sets do.
"""

from typing import NamedTuple

import numpy as np

from merclip_lib.synthme.action_units import SIDED, UNITS
from merclip_lib.synthme.populations import PRESETS, RULE_CLASSES, Population

# How often a unit shows on one side only, before the factor of a preset.
ONE_SIDED = dict(
    zip(SIDED, (0.04, 0.15, 0.05, 0.05, 0.06, 0.06, 0.3, 0.22, 0.4, 0.15), strict=True)
)

# Units that pull the same skin opposite ways; "any-units" does not put them together.
OPPOSED = (
    "5+7 12+14 12+15 12+20 12+23 14+15 14+20 14+23 15+20 17+26 20+23 23+24 23+25 23+26 24+25 24+26"
).split()

FILLERS = (2, 5, 9, 17)  # shown beside the two units of the exclusive-or
PAIR = (1, 12)  # brow and mouth: the units of the exclusive-or
TURNED = (10, 12, 14, 15)  # of which the side decides

Unit = tuple[int, str]  # number and side: "" (both), "L" or "R"


class Shown(NamedTuple):
    """What happened in a clip."""

    emotion: str  # that the person felt
    units: list[Unit]  # by number


class Person(NamedTuple):
    """What a person prefers.

    Attributes:
        population: of which she is one.
        emotions: (K,) how often she feels each class.
        habits: per class the combinations, "4+7", and how often (their sum is 1) she shows each.
    """

    population: Population
    emotions: np.ndarray
    habits: dict[str, tuple[list[str], np.ndarray]]


def combinations(preset: str, emotion: str) -> dict[str, float]:
    """Weights of the combinations of units that an emotion shows: "4+7:2.5 9:3" as a table."""
    pairs = (entry.split(":") for entry in PRESETS[preset]["combinations"][emotion].split())
    return {units: float(weight) for units, weight in pairs}


def draw_person(population: Population, rng: np.random.Generator) -> Person:
    """Draw what a person prefers: emotions from a Dirichlet, combinations by a gamma weight."""
    if population.preset == "any-units" or population.rule != "annotator":
        return Person(population, np.ones(1), {})
    preset = PRESETS[population.preset]
    shares = np.array(list(preset["shares"].values())) / sum(preset["shares"].values())
    emotions, habits = shares, {}
    concentration = preset["preference"] / max(population.dependence, 1e-9)
    drawn = rng.gamma(np.maximum(concentration * shares, 1e-3)) + 1e-12
    if population.dependence > 0:
        emotions = drawn / drawn.sum()
    for emotion in population.classes:
        table = combinations(population.preset, emotion)
        weights = np.array(list(table.values())) * rng.gamma(1, 1, len(table)) ** preset["habit"]
        habits[emotion] = (list(table), weights / weights.sum())
    return Person(population, emotions, habits)


def show(person: Person, rng: np.random.Generator) -> Shown:
    """Draw what a person feels and shows in a clip."""
    population = person.population
    if population.preset == "any-units":
        return Shown("unlabelled", _any_units(rng))
    if population.rule == "exclusive_or":
        return _exclusive_or(rng)
    if population.rule == "side":
        side = int(rng.integers(2))
        return Shown(RULE_CLASSES[side], [(int(rng.choice(TURNED)), "LR"[side])])
    preset, classes = PRESETS[population.preset], population.classes
    emotion = source = str(rng.choice(classes, p=person.emotions))
    if rng.random() < preset["common"]:
        shares = np.array(list(preset["shares"].values()))
        source = str(rng.choice(classes, p=shares / shares.sum()))
    choices, weights = person.habits[source]
    units = []
    for code in str(rng.choice(choices, p=weights)).split("+"):
        number, letter = int(code.lstrip("LR")), code[:1] if code[0] in "LR" else ""
        if not letter and rng.random() < preset["one_sided"] * ONE_SIDED.get(number, 0.0):
            letter = str(rng.choice(["L", "R"]))
        units.append((number, letter))
    return Shown(emotion, sorted(units))


def _exclusive_or(rng: np.random.Generator) -> Shown:
    """The first class where exactly one of two units shows; a third unit shows in every clip."""
    present = rng.integers(2, size=2).astype(bool)
    numbers = [number for number, shown in zip(PAIR, present, strict=True) if shown]
    units: list[Unit] = [(number, "") for number in [*numbers, int(rng.choice(FILLERS))]]
    return Shown(RULE_CLASSES[int(present[0] == present[1])], sorted(units))


def _any_units(rng: np.random.Generator) -> list[Unit]:
    """One to four units that go together, a third of the sided ones on one side."""
    refused = [set(map(int, text.split("+"))) for text in OPPOSED]
    while True:
        count = 1 + rng.choice(4, p=[0.3, 0.35, 0.25, 0.1])
        numbers = set(rng.choice(UNITS, size=count, replace=False).tolist())
        if not any(numbers >= together for together in refused):
            break
    one_sided = {n: str(rng.choice(["L", "R"])) for n in sorted(numbers) if n in SIDED}
    return [
        (n, one_sided[n] if n in SIDED and rng.random() < 1 / 3 else "") for n in sorted(numbers)
    ]
