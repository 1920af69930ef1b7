"""What a SynthME set holds: who shows which action units, how strongly and when.

Emotions choose action units through tables after FACS that overlap between classes, with habits
per subject, one-sided variants and label noise. Left is LEFT IN THE PICTURE.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from merclip_lib.data.table import COLUMNS
from merclip_lib.synthme.action_units import SIDED, UNITS

DRAWING = 2  # raise it when the drawing changes, so that stored sets are drawn again
FPS = 200

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "others")

# Class balance of CAS(ME)3 (clips of the seven-class task).
BALANCE = dict(zip(CLASSES, (64, 250, 86, 55, 57, 187, 158), strict=True))
FLOOR = 16  # clips of a class in a set of 256


def _weights(table: str) -> dict[str, float]:
    """ "4+7:2.5 9:3" -> {"4+7": 2.5, "9": 3.0}."""
    pairs = (entry.split(":") for entry in table.split())
    return {combination: float(weight) for combination, weight in pairs}


# emotion -> combination: weight. 4, 4+7, 1+2, 1+4, 12, 17 ... belong to several classes, as in the
# real sets.
COMBINATIONS = {
    "anger": _weights("4+7:2.5 4:2.5 4+5:2 4+7+23:4 23:3 4+24:3 7+24:2"),
    "disgust": _weights("4+7:3 4:1.5 9:3 4+9:4 10:4 4+7+10:4 7+10:2 9+10:2 10+17:1.5"),
    "fear": _weights("1+4:2.5 4+20:4 20:2.5 1+4+20:3 1+2+4:3 5+20:1.5 1+2:1.2 4:0.6"),
    "happiness": _weights("12:3.5 6+12:5 6+12+25:1.5 7+12:1 6:1 12+14:0.7"),
    "sadness": _weights("15:4 15+17:4 1+15:3 4+15:2 1+4:1.5 17:1 4:0.6"),
    "surprise": _weights("1+2:4 1+2+5:4 5:2 2:1.5 1+2+25:2 1+2+26:2 26:1.5 1:1"),
    "others": _weights("14:4 17:3 14+17:4 24:2.5 17+24:2 4:0.8 4+14:1 12+14:1 7:1 12:0.8 1+2:0.5"),
}

# How often a unit of the study shows on one side only.
ONE_SIDED = _weights("1:0.04 2:0.15 4:0.05 6:0.05 7:0.06 9:0.06 10:0.3 12:0.22 14:0.4 15:0.15")

# Label noise: what an annotator may write instead.
CONFUSIONS = {
    "anger": ("disgust", "others"),
    "disgust": ("anger", "others"),
    "fear": ("surprise", "sadness", "disgust"),
    "happiness": ("others", "surprise"),
    "sadness": ("others", "fear"),
    "surprise": ("fear", "others"),
    "others": ("disgust", "sadness", "happiness"),
}

# Never in SynthME-macro, neither alone nor inside a larger combination.
UNSEEN_COMBINATIONS = ("4+9", "4+7+10", "6+12", "14+17", "1+2+5", "15+17", "4+20")

# Units that pull the same skin opposite ways; SynthME-macro does not put them together.
OPPOSED = (
    "5+7 12+14 12+15 12+20 12+23 14+15 14+20 14+23 15+20 17+26 20+23 23+24 23+25 23+26 24+25 24+26"
).split()


@dataclass(frozen=True)
class FaceSet:
    """What defines a synthetic set.

    Attributes:
        name: of the data set.
        version: raised when what it means changes.
        seed: of every draw.
        subjects: number of people.
        clips_per_subject: clips of each.
        prefix: of subject names; keeps the subjects of two sets apart.
        intensity: range of one unit (1 = as strong as a face can).
        labelled: True draws emotions; False any combination of one to four units (emotion
            "unlabelled").
        size: pixels, both sides.
        frames: of a clip, from onset to offset.
        grid: patches along one side, for the motion.
        label_noise: share of clips with another label than their emotion.
        habit: spread of a subject's own weights of combinations (0 = everybody alike).
        sensor_noise: standard deviation, grey levels.
        drift: factor of the head's random walk.
    """

    name: str
    version: int
    seed: int
    subjects: int
    clips_per_subject: int
    prefix: str
    intensity: tuple[float, float]
    labelled: bool = True
    size: int = 64
    frames: int = 16
    grid: int = 8
    label_noise: float = 0.06
    habit: float = 1.0
    sensor_noise: float = 1.5
    drift: float = 1.0


STUDY = FaceSet("SynthME", 1, 2505, 16, 16, "s", (0.15, 0.45))
MACRO = FaceSet("SynthME-macro", 1, 5937, 700, 10, "m", (0.15, 1.0), labelled=False, frames=8)


def set_hash(face_set: FaceSet) -> str:
    """12 hex digits that change with any field of the set or with the drawing code."""
    text = json.dumps(asdict(face_set) | {"drawing": DRAWING}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def generator(face_set: FaceSet, subject: int, purpose: int) -> np.random.Generator:
    """One stream of random numbers per set, subject and purpose (1000 + clip number for a clip)."""
    return np.random.default_rng(np.random.SeedSequence([face_set.seed, subject, purpose]))


def class_counts(clips: int) -> dict[str, int]:
    """Clips per emotion: the balance of CAS(ME)3 with a floor, so that each class can be scored."""
    floor = min(FLOOR * clips // 256, clips // len(BALANCE))
    counts = {c: max(floor, round(clips * n / sum(BALANCE.values()))) for c, n in BALANCE.items()}
    while sum(counts.values()) != clips:
        largest = max(counts, key=lambda emotion: counts[emotion])
        counts[largest] += 1 if sum(counts.values()) < clips else -1
    return counts


def plan_set(face_set: FaceSet) -> pd.DataFrame:
    """The clip table of a set, without drawing.

    Args:
        face_set: what defines it; the same seed gives the same table.

    Returns:
        A row per clip: the columns of `data.table`, `true_emotion` (before the label noise;
        `emotion` is after) and `intensities` ("4:0.31;L12:0.22"). Onset, apex and offset count
        frames at 200 per second.
    """
    emotions = _emotions(face_set)
    rows = []
    for subject in range(face_set.subjects):
        rng = generator(face_set, subject, 3)
        habits = {
            emotion: np.array(list(table.values())) * rng.gamma(1, 1, len(table)) ** face_set.habit
            for emotion, table in COMBINATIONS.items()
        }
        for clip in range(face_set.clips_per_subject):
            truth = label = emotions[subject * face_set.clips_per_subject + clip]
            if face_set.labelled:
                units = _study_units(truth, habits[truth], rng)
                if rng.random() < face_set.label_noise:
                    label = str(rng.choice(CONFUSIONS[truth]))
            else:
                units = _any_units(rng)
            name = f"{face_set.prefix}{subject + 1:03d}"
            rows.append(
                {
                    "clip_id": f"{face_set.name}/{name}/c{clip + 1:02d}",
                    "dataset": face_set.name,
                    "subject": name,
                    "clip": f"c{clip + 1:02d}",
                    "action_units": "+".join(units),
                    "emotion": label,
                    "frames": "",
                    "true_emotion": truth,
                    "intensities": _intensities(units, face_set.intensity, rng),
                    **_times(rng),
                }
            )
    return pd.DataFrame(rows, columns=[*COLUMNS, "true_emotion", "intensities"])


def _emotions(face_set: FaceSet) -> list[str]:
    """The emotion of each clip of a set, in random order."""
    clips = face_set.subjects * face_set.clips_per_subject
    if not face_set.labelled:
        return ["unlabelled"] * clips
    emotions = np.repeat(list(BALANCE), list(class_counts(clips).values()))
    generator(face_set, 0, 2).shuffle(emotions)
    return emotions.tolist()


def _study_units(emotion: str, weights: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Codes of the units that a person with these weights shows of an emotion."""
    choice = rng.choice(list(COMBINATIONS[emotion]), p=weights / weights.sum())
    units = []
    for number in choice.split("+"):
        side = rng.choice(["L", "R"]) if rng.random() < ONE_SIDED.get(number, 0.0) else ""
        units.append(f"{side}{number}")
    return units


def _any_units(rng: np.random.Generator) -> list[str]:
    """Codes of one to four units that go together, a third of the sided ones on one side."""
    refused = [set(map(int, text.split("+"))) for text in (*UNSEEN_COMBINATIONS, *OPPOSED)]
    while True:
        count = 1 + rng.choice(4, p=[0.3, 0.35, 0.25, 0.1])
        numbers = set(rng.choice(UNITS, size=count, replace=False).tolist())
        if not any(numbers >= together for together in refused):
            break
    return [
        (str(rng.choice(["L", "R"])) if n in SIDED and rng.random() < 1 / 3 else "") + str(n)
        for n in sorted(numbers)
    ]


def _intensities(units: list[str], span: tuple[float, float], rng: np.random.Generator) -> str:
    """How strong each unit gets, about a level of the clip: "4:0.31;L12:0.22"."""
    low, high = span
    level = rng.uniform(low, high)
    strengths = [float(np.clip(level * rng.uniform(0.8, 1.25), low, high)) for _ in units]
    return ";".join(f"{unit}:{value:.3f}" for unit, value in zip(units, strengths, strict=True))


def _times(rng: np.random.Generator) -> dict[str, int]:
    """Onset, apex and offset in frames; a micro-expression lasts 0.2 to 0.5 s."""
    length = int(rng.integers(40, 101))
    onset = int(rng.integers(20, 200))
    apex = onset + round(length * rng.uniform(0.30, 0.65))
    return {"onset": onset, "apex": apex, "offset": onset + length, "fps": FPS}
