"""Populations of drawn people: what defines one.

A population is a seed and a preset, the real set that it is like (`presets.yaml`). Who shows what
is in `plan`, what a person shows in `person`, what is written down in `annotator`. Left is LEFT IN
THE PICTURE.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import yaml

from merclip_lib.files import did_you_mean

DRAWING = 3  # raise it when the drawing or the plan changes, so that stored sets are drawn again
FPS = 200
MOST_CLIPS = 36  # of one person, as in CASME II

Preset = Literal["casme2-like", "casme3-like", "dfme-like", "any-units"]
Rule = Literal["annotator", "exclusive_or", "side"]
Shortcut = Literal["", "mark", "background"]

PRESETS: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("presets.yaml").read_text(encoding="utf-8")
)

RULE_CLASSES = ["first", "second"]  # emotions of a population with a rule of its own


@dataclass(frozen=True)
class Population:
    """What defines a population; the same record gives the same bytes.

    Attributes:
        preset: which real set it is like (`presets.yaml`); "any-units" has no emotions, any
            combination of units and strong expressions, to learn motion from.
        seed: of every draw; two populations of different seeds share no person.
        people: how many.
        clips: of all people together.
        dependence: strength of the people's preference for emotions; 0 = everybody alike, 1 = as
            calibrated.
        rule: how the emotion comes about. "annotator" as in the preset; the others are controls:
            "exclusive_or" of two units, "side" on which one unit shows.
        shortcut: a control: something that is no expression tells the emotion: a "mark" on the
            skin, or the "background".
        broken: the shortcut is drawn at random instead, as in a test.
        masked: the background is painted grey.
        size: pixels, both sides.
        frames: of a clip, from onset to offset.
        grid: patches along one side, for the true motion.
    """

    preset: Preset
    seed: int
    people: int
    clips: int
    dependence: float = 1.0
    rule: Rule = "annotator"
    shortcut: Shortcut = ""
    broken: bool = False
    masked: bool = False
    size: int = 64
    frames: int = 16
    grid: int = 8

    @property
    def name(self) -> str:
        """Of the data set, such as "SynthME-casme2-like-7"."""
        return f"SynthME-{self.preset}-{self.seed}"

    @property
    def classes(self) -> list[str]:
        """Its emotions; the position of each is what a shortcut shows."""
        if self.rule != "annotator":
            return RULE_CLASSES
        return list(PRESETS[self.preset]["shares"]) if self.preset in PRESETS else ["unlabelled"]


def population(
    preset: Any, seed: int, people: int | None = None, clips: int | None = None, **changes: Any
) -> Population:
    """A population of a preset.

    Args:
        preset: "casme2-like", "casme3-like", "dfme-like" or "any-units".
        seed: any natural number.
        people: how many; None is as in the real set.
        clips: of all; None is as many for each person as in the real set.
        changes: further fields of `Population`.

    Raises:
        ValueError: an unknown preset or choice, or numbers that no population can have.
    """
    if preset not in get_args(Preset):
        raise ValueError(f"there is no preset {preset!r}{did_you_mean(preset, get_args(Preset))}")
    real = PRESETS.get(preset, {"people": 300, "clips": 3000})
    people = real["people"] if people is None else people
    clips = round(people * real["clips"] / real["people"]) if clips is None else clips
    made = Population(preset, seed, people, clips, **changes)
    for name, choices in (("rule", get_args(Rule)), ("shortcut", get_args(Shortcut))):
        if getattr(made, name) not in choices:
            raise ValueError(f"{name} is {getattr(made, name)!r}; choose one of {list(choices)}")
    if seed < 0 or people < 1 or not people <= clips <= people * MOST_CLIPS:
        raise ValueError(
            f"a population of seed {seed}, {people} people and {clips} clips cannot be; the seed "
            f"is at least 0, and each person has 1 to {MOST_CLIPS} clips"
        )
    return made


# What the notebooks use. It is no population of the study; its seed was chosen so that the lessons
# have enough clips of every class.
EXAMPLE = population("casme2-like", 77_021, people=16, clips=160)

# Whom the starts are made of: `motion` to learn displacement, `dfme` the method's own first set,
# with fresh people for the figures of its card.
STARTS = {
    "motion": population("any-units", 10_000, frames=8),
    "dfme": population("dfme-like", 20_000, frames=8),
    "dfme-fresh": population("dfme-like", 20_001, people=42, clips=474, frames=8),
}


def population_hash(people: Population) -> str:
    """12 hex digits that change with any field, with the preset's table or with the drawing."""
    content = {"preset_table": PRESETS.get(people.preset), "drawing": DRAWING}
    text = json.dumps(asdict(people) | content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def generator(seed: int, person: int, purpose: int) -> np.random.Generator:
    """One stream of random numbers per population, person and purpose.

    Purposes: 0 and 1 the face, 2 numbers of clips, 3 the plan, 5 single pictures, 10 + session,
    1000 + clip number.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, person, purpose]))
