"""A clip store of one's own, for tests of notebooks and of their driver."""

import numpy as np
import pandas as pd
import pytest

from merclip_lib.data.store import write_store
from merclip_lib.data.table import COLUMNS

EMOTIONS = {"disgust": "4+7", "happiness": "6+L12", "surprise": "1+2"}


@pytest.fixture
def own_store(tmp_path):
    """Ten clips of noise of each of four people, as a prepared copy of CASME II would be."""
    rows = []
    for person in range(1, 5):
        for clip, emotion in enumerate([*EMOTIONS, "disgust", "surprise"] * 2):
            name = f"EP{clip:02d}_01f"
            row = dict.fromkeys(COLUMNS, "") | {"dataset": "casme2", "subject": f"{person:02d}"}
            row |= {"clip": name, "clip_id": f"casme2-{person:02d}-{name}", "emotion": emotion}
            rows.append(
                row | {"action_units": EMOTIONS[emotion], "onset": 0, "apex": 3, "offset": 7}
            )
    table = pd.DataFrame(rows)[list(COLUMNS)].assign(fps=200)
    frames = np.random.default_rng(0).integers(0, 255, (len(table), 8, 64, 64, 3), np.uint8)
    meta = {"name": "CASME II", "hash": "of-noise"}
    clips = ((clip, None) for clip in frames)
    return write_store(tmp_path / "store", table, clips, meta, frames.shape[1:])
