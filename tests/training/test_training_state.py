"""A training that is stopped goes on as if nothing had happened."""

import copy
import resource
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from merclip_lib.config import SIZES, Config
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.store import write_store
from merclip_lib.data.table import COLUMNS
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.text.bank import TextBank
from merclip_lib.training.loop import TrainingData, fit, predict

TINY = replace(
    SIZES["merclip-tiny"],
    resolution=16,
    frames=4,
    width=16,
    heads=2,
    layers=2,
    embed_dim=8,
    token_dim=8,
    global_layers=(1,),
    eim_heads=2,
    drop_path=0.2,
)
CONFIG = Config(frames=4, epochs=4, batch_size=4, lr=2e-3, warmup_epochs=1.0)
LABELS = np.arange(8) % 2
BANK = torch.randn(2, 2, 8, generator=torch.Generator().manual_seed(1))
TEXT = TextBank(F.normalize(BANK, dim=-1), LABELS, LABELS)


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    table = pd.DataFrame(
        {
            "clip_id": [f"c{i}" for i in range(8)],
            "dataset": "made",
            "clip": "1",
            "subject": [f"s{i // 4}" for i in range(8)],
            "onset": 0,
            "apex": 3,
            "offset": 5,
            "fps": 200,
            "action_units": "4",
            "emotion": "anger",
            "frames": "",
        }
    )[COLUMNS]
    generator = np.random.default_rng(0)
    clips = ((generator.integers(0, 255, (6, 16, 16, 3), dtype=np.uint8), None) for _ in range(8))
    return write_store(tmp_path_factory.mktemp("data") / "set", table, clips, {}, (6, 16, 16, 3))


def run(store, config=CONFIG, checkpoint=None, stop_at=None, rows=8, during=None):
    """Weights, history and what was recorded; stopped inside epoch `stop_at`, if given."""
    torch.manual_seed(5)
    model = MERCLIP(TINY, 2)
    dataset = ClipDataset(store, np.arange(rows), LABELS[:rows], Sampling(4, training=True, seed=1))

    def on_epoch(training):
        means = training.history[-1]
        if means["epoch"] == stop_at:
            raise Stopped  # after the epoch's last step, before its state is written
        if during is not None:
            during()
        return {"epoch": means["epoch"], "p": predict(model, dataset)}

    data = TrainingData(dataset, np.arange(8) // 4, TEXT)
    training = fit(model, data, config, on_epoch, checkpoint)
    return model.state_dict(), training.history, training.recorded


def same(a, b):
    (state, history, recorded), (other, other_history, other_recorded) = a, b
    assert history == other_history
    assert [r["epoch"] for r in recorded] == [r["epoch"] for r in other_recorded]
    for left, right in zip(recorded, other_recorded, strict=True):
        assert torch.equal(left["p"], right["p"])
    assert state.keys() == other.keys()
    for name in state:
        assert torch.equal(state[name], other[name]), name


@pytest.fixture(scope="module")
def undisturbed(store):
    return copy.deepcopy(run(store))


@pytest.mark.parametrize("stop_at", range(CONFIG.epochs))
def test_stopped_in_any_epoch_ends_with_the_same_weights(store, undisturbed, tmp_path, stop_at):
    file = tmp_path / "new" / "fold.state"
    with pytest.raises(Stopped):
        run(store, checkpoint=file, stop_at=stop_at)
    assert file.is_file() == (stop_at > 0)
    same(run(store, checkpoint=file), undisturbed)
    assert [path.name for path in file.parent.iterdir()] == ["fold.state"]


def test_stopped_again_and_again(store, undisturbed, tmp_path):
    for stop_at in range(CONFIG.epochs):
        with pytest.raises(Stopped):
            run(store, checkpoint=tmp_path / "state", stop_at=stop_at)
    same(run(store, checkpoint=tmp_path / "state"), undisturbed)
    same(run(store, checkpoint=tmp_path / "state"), undisturbed)  # finished: nothing is trained


def test_state_is_read_without_executing_anything(store, tmp_path):
    run(store, checkpoint=tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    assert len(state["history"]) == len(state["recorded"]) == CONFIG.epochs


def flip_a_byte(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no archive",
        lambda data: data[:-100],
        flip_a_byte,
    ],
    ids=["empty", "foreign", "cut", "one bit"],
)
def test_damaged_state_is_put_aside(store, undisturbed, tmp_path, damage):
    file = tmp_path / "state"
    with pytest.raises(Stopped):
        run(store, checkpoint=file, stop_at=2)
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    same(run(store, checkpoint=file), undisturbed)
    assert (tmp_path / "state.damaged").read_bytes() == damaged


def test_state_of_another_training_is_put_aside(store, undisturbed, tmp_path):
    file = tmp_path / "state"
    for other in ({"config": replace(CONFIG, lr=1e-3)}, {"rows": 6}):
        with pytest.raises(Stopped):
            run(store, checkpoint=file, stop_at=2, **other)
        same(run(store, checkpoint=file), undisturbed)
        assert (tmp_path / "state.damaged").is_file()
        file.unlink()


def test_folder_that_cannot_be_written_is_said_before_training(store, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "state"
    seen = []
    with pytest.raises(ValueError, match="file/state: cannot be written.*make the folder"):
        run(store, checkpoint=path, during=lambda: seen.append(1))
    assert not seen


def test_full_disk_keeps_the_last_state(store, undisturbed, tmp_path):
    file = tmp_path / "state"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        if file.is_file():  # from the second epoch on no file may grow beyond 10 kB
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))

    try:
        with pytest.raises(ValueError, match=r"state: cannot be written .* free some space"):
            run(store, checkpoint=file, during=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    same(run(store, checkpoint=file), undisturbed)
