"""Drawing SynthME: a plan becomes frames, true motion and a clip store.

The same seed gives the same bytes whatever the number of processes.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from merclip_lib.files import output_place
from merclip_lib.progress import track
from merclip_lib.synthme.action_units import SIDED, UNITS
from merclip_lib.synthme.camera import draw_camera
from merclip_lib.synthme.face import draw_face
from merclip_lib.synthme.motion import Expression, perform, still, wander
from merclip_lib.synthme.plan import plan_population
from merclip_lib.synthme.populations import (
    DRAWING,
    EXAMPLE,
    FPS,
    PRESETS,
    Population,
    generator,
    population_hash,
)
from merclip_lib.synthme.shortcut import with_shortcut
from merclip_lib.text import facs
from merclip_lib.workers import pool

if TYPE_CHECKING:  # torch comes with it; the drawing processes do without
    from merclip_lib.data.store import ClipStore

Clip = tuple[np.ndarray, np.ndarray]  # frames and motion


DRIFT = 1.0  # factor of the head's random walk
SENSOR_NOISE = 1.5  # standard deviation, grey levels
MOTION_CAMERA = 1.3  # spread of light and camera in "any-units"

_person = lru_cache(maxsize=4)(draw_face)  # as the clips of a person are drawn in a row


def draw_clip(population: Population, row: Mapping | pd.Series) -> Clip:
    """Draw one row of the plan.

    Args:
        population: that of the plan.
        row: as `plan_population` makes it.

    Returns:
        Frames uint8 (T, H, W, 3), sampled uniformly from onset to offset, both included, and
        motion float32 (T, G, G, 2): displacement (x, y) of each patch since the onset as a
        fraction of the picture, the expression alone, without head drift, framing or blinks.
    """
    person, clip = int(str(row["subject"]).rpartition("p")[2]) - 1, int(row["clip"][1:]) - 1
    pairs = [item.split(":") for item in row["intensities"].split(";")]
    units = [(unit.number, unit.side) for unit in facs.parse("+".join(code for code, _ in pairs))]
    strengths = [float(strength) for _, strength in pairs]
    apex = (row["apex"] - row["onset"]) / (row["offset"] - row["onset"])
    rng = generator(population.seed, person, 1000 + clip)
    spread = PRESETS.get(population.preset, {"camera": MOTION_CAMERA})["camera"]
    camera = draw_camera(generator(population.seed, person, 10 + int(row["session"])), spread)
    noise = SENSOR_NOISE * float(np.exp(0.3 * spread * rng.standard_normal()))
    nuisance = replace(wander(population.frames, rng, DRIFT, noise), camera=camera)
    face = _person(population.seed, person, population.size)
    face = with_shortcut(face, population, int(row["shortcut"]))
    return perform(face, Expression(units, strengths, apex), nuisance, rng, population.grid)


def _draw_rows(population: Population, rows: list[dict]) -> list[Clip]:
    cv2.setNumThreads(1)
    return [draw_clip(population, row) for row in rows]


def draw_table(
    population: Population, rows: pd.DataFrame, workers: int | None = None
) -> Iterator[Clip]:
    """Draw rows of a plan in table order, a person at a time.

    Args:
        population: that of the plan.
        rows: the plan, or some of its rows.
        workers: number of processes; None is one per core.

    Yields:
        Frames and motion of each row, as `draw_clip`.
    """
    chunks = [group.to_dict("records") for _, group in rows.groupby("subject", sort=False)]
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    if workers == 1:
        for chunk in chunks:
            yield from _draw_rows(population, chunk)
        return
    with pool(workers) as processes:
        drawn = processes.map(_draw_rows, [population] * len(chunks), chunks)
        for clips in track(drawn, f"people of {population.name} drawn", len(chunks)):
            yield from clips


def draw_population(
    population: Population, folder: str | Path, workers: int | None = None
) -> "ClipStore":
    """A population as a clip store, drawn only if the folder holds none, or one of another hash.

    Args:
        population: what defines it.
        folder: of the store.
        workers: number of processes; None is one per core.

    Raises:
        ValueError: the folder holds something else, or cannot be written.
    """
    from merclip_lib.data.store import STORE, open_store, read_meta, write_store

    folder, wanted = output_place(folder, STORE), population_hash(population)
    if read_meta(folder).get("hash") == wanted:
        return open_store(folder)
    table = plan_population(population)
    meta = asdict(population) | {"name": population.name, "hash": wanted, "drawing": DRAWING}
    meta |= {"fps": FPS, "synthetic": True}
    shape = (population.frames, population.size, population.size, 3)
    motion_shape = (population.frames, population.grid, population.grid, 2)
    clips = draw_table(population, table, workers)
    return write_store(folder, table, clips, meta, shape, motion_shape)


def render_face(person: int, size: int = 160, population: Population = EXAMPLE) -> np.ndarray:
    """The neutral face of a person, without a session's light and camera.

    Args:
        person: number in the population, 0 is the first.
        size: pixels, both sides.
        population: of which she is one.

    Returns:
        A picture uint8 (size, size, 3).
    """
    face = _person(population.seed, person, size)
    rng = generator(population.seed, person, 5)
    return perform(face, Expression([(4, "")], [0.0], 0.5), still(1), rng, grid=1)[0][0]


def draw_expression(
    person: int,
    action_units: str = "4+7+L10",
    intensity: float = 0.8,
    size: int = 160,
    frames: int = 16,
    nuisance: bool = True,
) -> np.ndarray:
    """A clip of a person of `EXAMPLE` showing annotated units, apex in the middle.

    Args:
        person: number in `EXAMPLE`, 0 is the first.
        action_units: an annotation, see `text.parse`.
        intensity: of every unit at the apex, 1 = as strong as a face can.
        size: pixels, both sides.
        frames: T.
        nuisance: whether head drift, flickering light, blinks and noise are added.

    Returns:
        Frames uint8 (T, size, size, 3).

    Raises:
        ValueError: the annotation cannot be read, or has a unit that these faces cannot show.
    """
    units = []
    for unit in facs.parse(action_units, where="draw_expression"):
        if unit.number not in UNITS or (unit.side and unit.number not in SIDED):
            raise ValueError(
                f"draw_expression: {action_units!r} has a unit that synthetic faces cannot show; "
                f"they show {UNITS}, on one side only {SIDED}"
            )
        units.append((unit.number, unit.side))
    if not units:
        raise ValueError('draw_expression: no action unit is named; write some, such as "4+7+L10"')
    rng = generator(EXAMPLE.seed, person, 5)
    around = wander(frames, rng, DRIFT, SENSOR_NOISE) if nuisance else still(frames)
    expression = Expression(units, [intensity] * len(units), 0.5)
    return perform(_person(EXAMPLE.seed, person, size), expression, around, rng, grid=1)[0]
