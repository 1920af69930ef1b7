"""SynthME: embedded sets of synthetic micro-expressions whose truth is known.

A set is a plan (a clip table drawn from a seed: who shows which action units, how strongly, when)
and a drawing of that plan. Emotions choose action units through FACS-based tables that overlap
between classes, with habits per subject, one-sided variants and an annotator's label noise.
Left is LEFT IN THE PICTURE, so a flipped `L12` is an `R12`. The same seed gives the same bytes
whatever the number of processes.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from merclip_lib.synthme.face import UNITS, Face, draw_face
from merclip_lib.synthme.motion import SIDED, animate, perform, still, wander
from merclip_lib.synthme.plan import DRAWING, FPS, STUDY, FaceSet, generator, plan_set, set_hash
from merclip_lib.text import facs


@lru_cache(maxsize=4)
def _subject(seed: int, subject: int, size: int) -> Face:
    return draw_face(seed, subject, size)


def draw_clip(face_set: FaceSet, row) -> tuple[np.ndarray, np.ndarray]:
    """Draw one row of the plan (a mapping or a Series).

    Returns frames uint8 (T, H, W, 3), sampled uniformly from onset to offset, both included, and
    motion float32 (T, G, G, 2): displacement (x, y) of each patch since the onset as a fraction of
    the picture, the expression alone, without head drift or blinks.
    """
    subject, clip = int(row["subject"][len(face_set.prefix) :]) - 1, int(row["clip"][1:]) - 1
    units, strengths = [], []
    for item in row["intensities"].split(";"):
        code, strength = item.split(":")
        units.append((int(code.lstrip("LR")), {"L": "left", "R": "right"}.get(code[0], "")))
        strengths.append(float(strength))
    rng = generator(face_set, subject, 1000 + clip)
    nuisance = wander(face_set.frames, rng, face_set.drift, face_set.sensor_noise)
    apex = (row["apex"] - row["onset"]) / (row["offset"] - row["onset"])
    face = _subject(face_set.seed, subject, face_set.size)
    return perform(face, units, strengths, apex, nuisance, rng, face_set.grid)


def _draw_rows(face_set: FaceSet, rows: list[dict]) -> list[tuple[np.ndarray, np.ndarray]]:
    cv2.setNumThreads(1)
    return [draw_clip(face_set, row) for row in rows]


def draw_table(
    face_set: FaceSet, table: pd.DataFrame, workers: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw rows of a plan in table order, a subject at a time.

    `workers` is the number of processes (default: one per core).
    """
    chunks = [group.to_dict("records") for _, group in table.groupby("subject", sort=False)]
    workers = min(workers or os.cpu_count() or 1, len(chunks))
    if workers == 1:
        for chunk in chunks:
            yield from _draw_rows(face_set, chunk)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for items in pool.map(_draw_rows, [face_set] * len(chunks), chunks):
            yield from items


def draw_set(face_set: FaceSet, folder: str | Path, workers: int | None = None):
    """The set as a clips.ClipStore in `folder`.

    Drawn only when the folder holds no set, or one with another hash; `workers` as in draw_table.
    """
    from merclip_lib.data.store import (
        open_store,
        write_store,
    )  # torch comes with it; the drawing processes do without

    meta_file = Path(folder) / "meta.json"
    wanted = set_hash(face_set)
    if meta_file.is_file() and json.loads(meta_file.read_text()).get("hash") == wanted:
        return open_store(folder)
    table = plan_set(face_set)
    meta = asdict(face_set) | {"hash": wanted, "drawing": DRAWING, "fps": FPS, "synthetic": True}
    shape = (face_set.frames, face_set.size, face_set.size, 3)
    motion_shape = (face_set.frames, face_set.grid, face_set.grid, 2)
    items = draw_table(face_set, table, workers)
    return write_store(folder, table, items, meta, shape, motion_shape)


def render_face(subject: int, size: int = 160, face_set: FaceSet = STUDY) -> np.ndarray:
    """Neutral face of a subject of a set (0 is the first), uint8 (size, size, 3)."""
    face = _subject(face_set.seed, subject, size)
    rng = generator(face_set, subject, 5)
    return animate(face, [(4, "")], np.zeros((1, 1)), still(1), rng, grid=1)[0][0]


def draw_expression(
    subject: int,
    action_units: str = "4+7+L10",
    intensity: float = 0.8,
    size: int = 160,
    frames: int = 16,
    nuisance: bool = True,
    face_set: FaceSet = STUDY,
) -> np.ndarray:
    """A clip of a subject of a set showing the annotated units, apex in the middle.

    Returns uint8 (frames, size, size, 3); `nuisance` adds head drift, light and noise. Raises
    ValueError for an annotation that facs.parse refuses or a unit these faces cannot show.
    """
    units = []
    for unit in facs.parse(action_units, where="draw_expression"):
        if unit.number not in UNITS or (unit.side and unit.number not in SIDED):
            raise ValueError(
                f"draw_expression: {action_units!r} has a unit that synthetic faces cannot show; "
                f"they show {UNITS}, on one side only {SIDED}"
            )
        units.append((unit.number, unit.side))
    rng = generator(face_set, subject, 5)
    around = still(frames)
    if nuisance:
        around = wander(frames, rng, face_set.drift, face_set.sensor_noise)
    face = _subject(face_set.seed, subject, size)
    return perform(face, units, [intensity] * len(units), 0.5, around, rng, grid=1)[0]
