"""Folders of pictures become a clip store; bad folders are named before anything is written."""

import cv2
import numpy as np
import pandas as pd
import pytest

from merclip_lib import frames
from merclip_lib.clips import open_store


@pytest.fixture
def data(tmp_path):
    """Two clips of 12 numbered pictures, each a single shade that says its number."""
    rows = []
    for clip in ("a", "b"):
        folder = tmp_path / "data" / clip
        folder.mkdir(parents=True)
        for n in range(1, 13):
            cv2.imwrite(str(folder / f"img{n}.png"), np.full((30, 40, 3), 10 * n, np.uint8))
        rows.append({
            "clip_id": clip, "dataset": "casme2", "subject": "01", "clip": clip, "onset": 3,
            "apex": 5, "offset": 11, "fps": 200.0, "action_units": "4", "emotion": "disgust",
            "frames": clip,
        })  # fmt: skip
    return tmp_path / "data", pd.DataFrame(rows)


def test_onset_to_offset_in_natural_order(data, tmp_path):
    root, table = data
    store = frames.prepare(table, root, tmp_path / "store", size=16, length=9, workers=1)
    assert store.frames.shape == (2, 9, 16, 16, 3)
    assert store.frames[0, :, 0, 0, 0].tolist() == [10 * n for n in range(3, 12)]
    assert open_store(tmp_path / "store").meta["hash"] == store.meta["hash"]


def test_short_clip_repeats_frames_and_stays_monotone(data, tmp_path):
    root, table = data
    store = frames.prepare(table, root, tmp_path / "store", size=16, length=20, workers=1)
    shades = store.frames[0, :, 0, 0, 0].astype(int)
    assert (np.diff(shades) >= 0).all() and shades[0] == 30 and shades[-1] == 110


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: [p.unlink() for p in folder.iterdir()], "holds no frames"),
        (lambda folder: (folder / "img5.png").write_bytes(b"not a picture"), "img5.png"),
        (lambda folder: folder.rename(folder.with_name("elsewhere")), "no folder 'b'"),
    ],
)
def test_bad_folder_is_named_and_nothing_is_written(data, tmp_path, spoil, message):
    root, table = data
    spoil(root / "b")
    with pytest.raises(ValueError, match=message):
        frames.prepare(table, root, tmp_path / "store", size=16, workers=1)
    assert not (tmp_path / "store").exists()
    store = frames.prepare(table, root, tmp_path / "store", size=16, workers=1, skip_bad=True)
    assert store.table["clip_id"].tolist() == ["a"]


def test_truncated_picture_stops_before_a_store_exists(data, tmp_path):
    root, table = data
    path = root / "a" / "img6.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match="img6.png"):
        frames.prepare(table, root, tmp_path / "store", size=16, length=9, workers=1)
    assert not (tmp_path / "store").exists()


def test_path_outside_the_root_is_refused(data, tmp_path):
    root, table = data
    with pytest.raises(ValueError, match="outside the data root"):
        frames.prepare(table.assign(frames="../data/a"), root / "b", tmp_path / "store")
