"""One fold trained by several processes, each with a share of every batch.

    torchrun --nproc-per-node 2 -m merclip_lib.protocol.several_gpus \
        --config config.json --store runs/synthme --fold group1 --runs-dir runs

Every process draws the same batch from the same generator and computes the outputs of its clips;
z and logits of all are collected, so the contrastive loss compares all clips with all sentences
of the batch, and DistributedDataParallel adds up the gradients (see `whole_batch.gradient`). The
gradient equals that of one process on the same batch. (In the paper's program each process
backpropagates only through its own outputs and the average over the processes follows, which
scales the gradient of the encoder by 1 / number of processes.)

`config.batch_size` is the batch of all processes together. The results do not depend on the
number of processes, apart from rounding and what `whole_batch.gradient` names: the draws of
dropout, and on CPUs BatchNorm's statistics. The fold's folder in the run store is the same that
`protocol.cross_validate` writes; an interrupted training resumes.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from merclip_lib.config import config_from
from merclip_lib.data.store import open_store
from merclip_lib.model.merclip import device_of
from merclip_lib.protocol.loso import FoldJob, begin_run, run_fold
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs import store as run_store
from merclip_lib.runs.arithmetic import as_recorded
from merclip_lib.training.whole_batch import process, wait_for_all


def train_together(plan: RunPlan, name: str, runs_dir: Path, data_workers: int = 0) -> Path:
    """Train one fold with all processes of the group; the first process writes.

    Args:
        plan: of the run, alike in every process.
        name: of the fold.
        runs_dir: the run store.
        data_workers: processes that read clips ahead, for each of the group.

    Returns:
        The folder of the fold.

    Raises:
        ValueError: bad input, alike in every process; or other processes train this fold.
    """
    folds = {fold.name: fold for fold in plan.folds}
    if name not in folds:
        raise ValueError(f"no fold {name!r}; choose one of {', '.join(folds)}")
    folder = runs_dir.resolve() / plan.hash
    done = run_store.is_done(folder, name)
    wait_for_all()
    if done:
        return folder / name
    plan.check()
    if process()[0] == 0:
        begin_run(plan, folder)
    wait_for_all()  # run.json says how all of them compute
    if process()[0] == 0:
        if not run_fold(FoldJob(plan, folds[name], folder, data_workers)):
            raise ValueError(f"{folder / name}: other processes train this fold, or just did")
    else:  # the fold's folder is read after the first process has made it: networks come first
        with as_recorded(folder, plan.config):
            train_fold(plan, folds[name], folder / f".{name}.part", data_workers=data_workers)
        wait_for_all()  # as the first process does before it gives the folder its final name
    return folder / name


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit code is 2 for bad input, which the first process names."""
    parser = argparse.ArgumentParser(prog="torchrun -m merclip_lib.protocol.several_gpus")
    parser.add_argument("--config", type=Path, required=True, help="JSON file of `Config` fields")
    parser.add_argument("--store", type=Path, required=True, help="folder of the clips")
    parser.add_argument("--fold", required=True, help="name of the fold, such as group1")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--data-workers", type=int, default=0)
    given, first = parser.parse_args(arguments), os.environ.get("RANK", "0") == "0"
    try:
        try:
            config = config_from(json.loads(given.config.read_text(encoding="utf-8")))
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(f"{given.config}: no configuration in JSON ({error})") from None
        if "RANK" not in os.environ:
            raise ValueError("start this with torchrun, which numbers the processes")
        if device_of(config).type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if config.device == "cuda" else "gloo")
        plan = RunPlan(config, open_store(given.store))
        folder = train_together(plan, given.fold, given.runs_dir, given.data_workers)
        if first:
            print(folder)
    except ValueError as error:
        if first:
            print(error, file=sys.stderr)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
