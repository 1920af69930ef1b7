"""Drawing SynthME: a plan becomes frames, true motion and a clip store.

The same seed gives the same bytes whatever the number of processes.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pandas as pd

from merclip_lib.files import output_place
from merclip_lib.progress import track
from merclip_lib.synthme.action_units import SIDED, UNITS
from merclip_lib.synthme.face import draw_face
from merclip_lib.synthme.motion import Expression, perform, still, wander
from merclip_lib.synthme.plan import DRAWING, FPS, STUDY, FaceSet, generator, plan_set, set_hash
from merclip_lib.text import facs
from merclip_lib.workers import pool

if TYPE_CHECKING:  # torch comes with it; the drawing processes do without
    from merclip_lib.data.store import ClipStore

Clip = tuple[np.ndarray, np.ndarray]  # frames and motion


_person = lru_cache(maxsize=4)(draw_face)  # as the clips of a person are drawn in a row


def draw_clip(face_set: FaceSet, row: Mapping | pd.Series) -> Clip:
    """Draw one row of the plan.

    Args:
        face_set: the set of the plan.
        row: as `plan_set` makes it.

    Returns:
        Frames uint8 (T, H, W, 3), sampled uniformly from onset to offset, both included, and
        motion float32 (T, G, G, 2): displacement (x, y) of each patch since the onset as a
        fraction of the picture, the expression alone, without head drift or blinks.
    """
    subject, clip = int(row["subject"][len(face_set.prefix) :]) - 1, int(row["clip"][1:]) - 1
    pairs = [item.split(":") for item in row["intensities"].split(";")]
    units = [(unit.number, unit.side) for unit in facs.parse("+".join(code for code, _ in pairs))]
    strengths = [float(strength) for _, strength in pairs]
    apex = (row["apex"] - row["onset"]) / (row["offset"] - row["onset"])
    rng = generator(face_set, subject, 1000 + clip)
    nuisance = wander(face_set.frames, rng, face_set.drift, face_set.sensor_noise)
    face = _person(face_set.seed, subject, face_set.size)
    return perform(face, Expression(units, strengths, apex), nuisance, rng, face_set.grid)


def _draw_rows(face_set: FaceSet, rows: list[dict]) -> list[Clip]:
    cv2.setNumThreads(1)
    return [draw_clip(face_set, row) for row in rows]


def draw_table(face_set: FaceSet, rows: pd.DataFrame, workers: int | None = None) -> Iterator[Clip]:
    """Draw rows of a plan in table order, a subject at a time.

    Args:
        face_set: the set of the plan.
        rows: the plan, or some of its rows.
        workers: number of processes; None is one per core.

    Yields:
        Frames and motion of each row, as `draw_clip`.
    """
    chunks = [group.to_dict("records") for _, group in rows.groupby("subject", sort=False)]
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    if workers == 1:
        for chunk in chunks:
            yield from _draw_rows(face_set, chunk)
        return
    with pool(workers) as processes:
        drawn = processes.map(_draw_rows, [face_set] * len(chunks), chunks)
        for clips in track(drawn, f"people of {face_set.name} drawn", len(chunks)):
            yield from clips


def draw_set(face_set: FaceSet, folder: str | Path, workers: int | None = None) -> "ClipStore":
    """The set as a clip store, drawn only when the folder holds none, or one with another hash.

    Args:
        face_set: what defines the set.
        folder: of the store.
        workers: number of processes; None is one per core.

    Raises:
        ValueError: the folder holds something else, or cannot be written.
    """
    from merclip_lib.data.store import STORE, open_store, read_meta, write_store

    folder, wanted = output_place(folder, STORE), set_hash(face_set)
    if read_meta(folder).get("hash") == wanted:
        return open_store(folder)
    table = plan_set(face_set)
    meta = asdict(face_set) | {"hash": wanted, "drawing": DRAWING, "fps": FPS, "synthetic": True}
    shape = (face_set.frames, face_set.size, face_set.size, 3)
    motion_shape = (face_set.frames, face_set.grid, face_set.grid, 2)
    clips = draw_table(face_set, table, workers)
    return write_store(folder, table, clips, meta, shape, motion_shape)


def render_face(subject: int, size: int = 160, face_set: FaceSet = STUDY) -> np.ndarray:
    """The neutral face of a person.

    Args:
        subject: number in the set, 0 is the first.
        size: pixels, both sides.
        face_set: the set.

    Returns:
        A picture uint8 (size, size, 3).
    """
    face = _person(face_set.seed, subject, size)
    rng = generator(face_set, subject, 5)
    return perform(face, Expression([(4, "")], [0.0], 0.5), still(1), rng, grid=1)[0][0]


def draw_expression(
    subject: int,
    action_units: str = "4+7+L10",
    intensity: float = 0.8,
    size: int = 160,
    frames: int = 16,
    nuisance: bool = True,
) -> np.ndarray:
    """A clip of a person of the study showing annotated units, apex in the middle.

    Args:
        subject: number in `STUDY`, 0 is the first.
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
    rng = generator(STUDY, subject, 5)
    around = wander(frames, rng, STUDY.drift, STUDY.sensor_noise) if nuisance else still(frames)
    expression = Expression(units, [intensity] * len(units), 0.5)
    return perform(_person(STUDY.seed, subject, size), expression, around, rng, grid=1)[0]
