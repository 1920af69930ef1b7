"""The clip store and the sampling of frames."""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from merclip_lib.data.dataset import ClipDataset, Sampling, read_batches, uniform_sample
from merclip_lib.data.store import open_store, write_store
from merclip_lib.data.table import COLUMNS, write_table

SHAPE, MOTION = (6, 8, 8, 3), (6, 2, 2, 2)


def table(count=5):
    return pd.DataFrame(
        {
            "clip_id": [f"c{i}" for i in range(count)],
            "dataset": "made",
            "subject": "s1",
            "clip": [f"{i}" for i in range(count)],
            "onset": 0,
            "apex": 3,
            "offset": 5,
            "fps": 200,
            "action_units": "4",
            "emotion": "anger",
            "frames": "",
        }
    )[COLUMNS]


def items(count=5, shape=SHAPE):
    for i in range(count):
        generator = np.random.default_rng(i)
        yield generator.integers(0, 256, shape, dtype=np.uint8), generator.normal(size=MOTION)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    return write_store(folder, table(), items(), {"name": "made"}, SHAPE, MOTION)


def test_store_gives_back_what_was_written(store):
    opened = open_store(store.folder)
    assert len(opened) == 5 and opened.meta == {"name": "made"}
    assert opened.table["clip_id"].tolist() == [f"c{i}" for i in range(5)]
    assert opened.frames.dtype == np.uint8 and opened.motion.dtype == np.float16
    for i, (clip, motion) in enumerate(items()):
        np.testing.assert_array_equal(opened.frames[i], clip)
        np.testing.assert_allclose(opened.motion[i], motion, rtol=1e-3)


def test_store_without_motion(tmp_path):
    clips = ((clip, None) for clip, _ in items())
    assert write_store(tmp_path / "set", table(), clips, {}, SHAPE).motion is None


def interrupted():
    yield from items(2)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "yielded, error, message",
    [
        (items(5, (6, 8, 9, 3)), ValueError, r"item 0 has shape \(6, 8, 9, 3\)"),
        (items(4), ValueError, "4 clips for 5 rows"),
        (items(6), ValueError, "item 5 .*but 5 clips"),
        (interrupted(), KeyboardInterrupt, None),
    ],
)
def test_failed_writing_leaves_nothing(tmp_path, yielded, error, message):
    with pytest.raises(error, match=message):
        write_store(tmp_path / "set", table(), yielded, {}, SHAPE, MOTION)
    assert list(tmp_path.iterdir()) == []


def test_failed_writing_keeps_the_old_store(tmp_path):
    write_store(tmp_path / "set", table(), items(), {"version": 1}, SHAPE, MOTION)
    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "set", table(), interrupted(), {"version": 2}, SHAPE, MOTION)
    assert open_store(tmp_path / "set").meta == {"version": 1}
    write_store(tmp_path / "set", table(2), items(2), {"version": 3}, SHAPE, MOTION)
    assert len(open_store(tmp_path / "set")) == 2


def test_what_is_no_store_is_named(tmp_path):
    with pytest.raises(ValueError, match="no clip store here .clips.npy is missing.*merclip synth"):
        open_store(tmp_path)
    folder = write_store(tmp_path / "set", table(), items(), {}, SHAPE, MOTION).folder
    write_table(table(3), folder / "table.csv")
    with pytest.raises(ValueError, match="holds 5 clips but table.csv 3 rows"):
        open_store(folder)
    (folder / "meta.json").unlink()
    with pytest.raises(ValueError, match="meta.json is missing"):
        open_store(folder)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 32), st.none() | st.integers(0, 2**31))
def test_samples_are_in_order_and_inside(length, frames, seed):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    index = uniform_sample(length, frames, generator)
    assert index.shape == (frames,)
    assert 0 <= index.min() and index.max() < length
    assert (np.diff(index) >= 0).all()
    if length >= frames:
        assert len(set(index)) >= frames // 2
        edges = [round((length - 1) / frames * i) for i in range(frames + 1)]
        assert all(a <= i <= b for a, i, b in zip(edges, index, edges[1:], strict=False))
    else:
        assert set(index) == set(range(length))


def test_short_clips():
    assert uniform_sample(3, 5).tolist() == [0, 1, 2, 2, 2]
    assert uniform_sample(3, 5, short="modulo").tolist() == [0, 1, 2, 0, 1]
    with pytest.raises(ValueError, match="without frames"):
        uniform_sample(0, 4)


def epoch_of(store, workers, epoch, seed=0):
    dataset = ClipDataset(store, [4, 0, 2], [1, 0, 1], Sampling(frames=3, training=True, seed=seed))
    dataset.set_epoch(epoch)
    loader = torch.utils.data.DataLoader(dataset, batch_size=2, num_workers=workers)
    batches = list(loader)
    return torch.cat([b["video"] for b in batches]), [b["row"].tolist() for b in batches]


def test_batches_do_not_depend_on_workers(store):
    for epoch in (0, 1):
        alone, rows = epoch_of(store, 0, epoch)
        shared, same_rows = epoch_of(store, 2, epoch)
        assert torch.equal(alone, shared)
        assert rows == same_rows == [[4, 0], [2]]


def test_training_samples_change_with_epoch_and_seed(store):
    draws = [epoch_of(store, 0, epoch, seed)[0] for epoch in range(3) for seed in range(3)]
    assert len({tuple(d.flatten().tolist()) for d in draws}) == 9


def test_evaluation_samples_are_fixed(store):
    dataset = ClipDataset(store, [3], [2], Sampling(frames=3))
    item = dataset[0]
    assert (item["row"], item["label"], item["video"].dtype) == (3, 2, torch.uint8)
    np.testing.assert_array_equal(item["video"], store.frames[3][uniform_sample(6, 3)])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_read_ahead_without_a_draw(store, workers):
    dataset = ClipDataset(store, [4, 0, 2], [1, 0, 1], Sampling(frames=3, training=True))
    order = [torch.tensor([2, 0]), torch.tensor([1])]
    before = torch.get_rng_state()
    read = list(read_batches(dataset, order, workers))
    assert torch.equal(torch.get_rng_state(), before)
    assert [[clip["row"] for clip in clips] for _, clips in read] == [[2, 4], [0]]
    assert all(torch.equal(items, wanted) for (items, _), wanted in zip(read, order, strict=True))
    for items, clips in read:
        for i, clip in zip(items, clips, strict=True):
            assert torch.equal(clip["video"], dataset[int(i)]["video"])


def test_short_clips_of_a_dataset(store):
    videos = {
        short: ClipDataset(store, [1], [0], Sampling(frames=8, short=short))[0]["video"].numpy()
        for short in ("repeat", "modulo")
    }
    frames = store.frames[1]  # six of them
    np.testing.assert_array_equal(videos["repeat"], frames[[0, 1, 2, 3, 4, 5, 5, 5]])
    np.testing.assert_array_equal(videos["modulo"], frames[[0, 1, 2, 3, 4, 5, 0, 1]])


class Bomb:
    """Pickled, it would run code when it is read."""

    def __reduce__(self):
        return pytest.fail, ("code from a file was run",)


def damage(folder, name):
    path = folder / name
    if name == "meta.json":
        path.write_text("{")
    else:
        path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize("name", ["clips.npy", "motion.npy", "meta.json"])
def test_a_damaged_store_is_named(tmp_path, name):
    folder = write_store(tmp_path / "set", table(), items(), {}, SHAPE, MOTION).folder
    damage(folder, name)
    with pytest.raises(ValueError, match=f"{name}.*damaged.*prepare it again"):
        open_store(folder)


def test_no_code_and_no_other_array_is_read(tmp_path):
    folder = write_store(tmp_path / "set", table(), items(), {}, SHAPE, MOTION).folder
    np.save(folder / "clips.npy", np.array([Bomb()] * 5, dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="no plain array"):
        open_store(folder)
    np.save(folder / "clips.npy", np.zeros((5, 3)))
    with pytest.raises(ValueError, match=r"float64 .5, 3., not uint8"):
        open_store(folder)
    np.save(folder / "clips.npy", np.zeros((5, *SHAPE), np.uint8))
    np.save(folder / "motion.npy", np.zeros((4, *MOTION), np.float16))
    with pytest.raises(ValueError, match="motion.npy holds 4 clips but table.csv 5 rows"):
        open_store(folder)


def test_a_pickled_store_maps_its_frames_again(tmp_path):
    shape = (6, 64, 64, 3)
    made = write_store(tmp_path / "set", table(), items(shape=shape), {"name": "a"}, shape, MOTION)
    pickled = pickle.dumps(made)
    assert len(pickled) < 10_000 < made.frames.nbytes
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.frames, made.frames)
    np.testing.assert_array_equal(again.motion, made.motion)
    pd.testing.assert_frame_equal(again.table, made.table)
    assert again.meta == made.meta and isinstance(again.frames, np.memmap)


@pytest.mark.parametrize("what", ["clips", "table", "all"])
def test_a_store_that_was_replaced_is_noticed(tmp_path, what):
    opened = write_store(tmp_path / "set", table(), items(), {"hash": "a"}, SHAPE, MOTION)
    write_store(tmp_path / "set", table(), items(), {"hash": "a"}, SHAPE, MOTION)
    opened.check_unchanged()  # the same clips once more
    assert len(pickle.loads(pickle.dumps(opened))) == 5
    if what == "clips":
        write_store(tmp_path / "set", table(4), items(4), {"hash": "b"}, SHAPE, MOTION)
    elif what == "table":
        text = (tmp_path / "set" / "table.csv").read_text()
        (tmp_path / "set" / "table.csv").write_text(text.replace("s1", "s2"))
    else:
        shutil.rmtree(tmp_path / "set")
    with pytest.raises(ValueError, match="set: its clips or their table were replaced"):
        opened.check_unchanged()
    with pytest.raises(ValueError, match="set: its clips or their table were replaced"):
        pickle.loads(pickle.dumps(opened)).check_unchanged()
    if what != "all":
        open_store(tmp_path / "set").check_unchanged()


def test_no_other_folder_is_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("two years of work")
    with pytest.raises(ValueError, match="holds something else, which stays; name another"):
        write_store(tmp_path, table(), items(), {}, SHAPE, MOTION)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
