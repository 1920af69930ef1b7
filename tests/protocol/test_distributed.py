"""Two processes that train one network have the gradient of one process."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from small_batch import TINY, batch, network, same_gradients

from merclip_lib.config import Config
from merclip_lib.data.store import write_store
from merclip_lib.data.table import COLUMNS
from merclip_lib.data.tasks import TASKS
from merclip_lib.protocol.several_gpus import main
from merclip_lib.training import whole_batch
from merclip_lib.training.losses import batch_losses

CASES = [
    (Config(), 5),
    (Config(accumulate=2), 5),
    (Config(use_text=False), 4),
    (Config(), 1),
    (Config(soft_targets=False), 4),
]
WEIGHT = 1.3


def compare(model, config, targets):
    targets = targets._replace(
        sentences=targets.sentences if config.use_text else None,
        groups=targets.groups if config.soft_targets else None,
    )
    return partial(
        batch_losses,
        targets=targets,
        logit_scale=model.logit_scale,
        weight=WEIGHT,
    )


def work(rank, folder):
    """One of two processes: the gradients of every case, frozen statistics."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    results = []
    for config, count in CASES:
        video, targets = batch(count)
        model = network().eval()
        wrapped = whole_batch.prepare(model, config)
        found = whole_batch.gradient(model, wrapped, video, compare(model, config, targets), config)
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        results.append(
            {"gradients": gradients, "z": found[0].z.detach(), "loss": found[1][0].detach()}
        )
    torch.save(results, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=2)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", range(len(CASES)), ids=str)
def test_two_processes_have_the_gradient_of_one(found, case):
    config, count = CASES[case]
    video, targets = batch(count)
    model = network().eval()
    output = model(video.transpose(1, 2))
    loss = compare(model, config, targets)(output)[0]
    loss.backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    for result in (found[0][case], found[1][case]):
        torch.testing.assert_close(result["z"], output.z.detach())
        torch.testing.assert_close(result["loss"], loss.detach())
        same_gradients(result["gradients"], expected, rtol=1e-5)
    assert TINY.lmhra == 2 and expected["vision_encoder.conv1.weight"].norm() > 0


def test_bad_input_is_said_without_a_group(tmp_path, capsys, monkeypatch):
    config = tmp_path / "config.json"
    options = ["--config", str(config), "--store", str(tmp_path), "--fold", "group1"]
    assert main(options) == 2
    assert "no configuration in JSON" in capsys.readouterr().err
    config.write_text('{"epoch": 3}')
    assert main(options) == 2
    assert "did you mean 'epochs'" in capsys.readouterr().err
    config.write_text("{}")
    monkeypatch.delenv("RANK", raising=False)
    assert main(options) == 2
    assert "torchrun" in capsys.readouterr().err


def test_fold_under_torchrun_stands_in_the_run_store(tmp_path):
    table = pd.DataFrame(
        {
            "clip_id": [f"c{i}" for i in range(14)],
            "dataset": "synthme",
            "clip": "1",
            "subject": [f"s{i // 7}" for i in range(14)],
            "onset": 0,
            "apex": 1,
            "offset": 2,
            "fps": 200,
            "action_units": "4",
            "frames": "",
            "emotion": [*TASKS["synthme-7"].classes] * 2,
        }
    )[COLUMNS]
    draw = np.random.default_rng(0)
    clips = ((draw.integers(0, 255, (3, 64, 64, 3), dtype=np.uint8), None) for _ in range(14))
    write_store(tmp_path / "set", table, clips, {"hash": "made"}, (3, 64, 64, 3))
    values = {"task": "synthme-7", "frames": 2, "epochs": 1, "folds": 2, "batch_size": 4}
    values |= {"selection": "best_on_test"}
    (tmp_path / "config.json").write_text(json.dumps(values))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "merclip_lib.protocol.several_gpus",
        "--config",
        "config.json",
        "--store",
        "set",
        "--fold",
        "group2",
        "--runs-dir",
        "runs",
    ]
    for _ in range(2):  # the second time it is there already
        done = subprocess.run(
            command,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        folder = Path(done.stdout.strip())
    assert {path.name for path in folder.iterdir()} == {
        "predictions.csv",
        "history.csv",
        "epochs.csv",
        "seconds.json",
        "environment.json",
    }
    assert len(pd.read_csv(folder / "predictions.csv")) == 7
    assert folder.parent.parent == tmp_path / "runs"
