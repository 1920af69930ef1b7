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
`protocol.cross_validate` writes; a training that was stopped goes on.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from merclip_lib.config import Config, config_from
from merclip_lib.data.store import open_store
from merclip_lib.model.merclip import device_of
from merclip_lib.protocol.loso import FoldJob, run_fold
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import (
    begin_run,
    check_run,
    choose_clips,
    encode_text,
    folds_of,
    run_hash,
)
from merclip_lib.runs import store as run_store
from merclip_lib.training.whole_batch import process, wait_for_all


def train_together(
    config: Config, store_dir: Path, name: str, runs_dir: Path, data_workers: int = 0
) -> Path:
    """Train the fold `name` with all processes of the group; returns its folder.

    The first process writes. Raises ValueError for bad input, alike in every process, and when
    other processes are training this fold.
    """
    store = open_store(store_dir)
    table = choose_clips(config, store)
    folds = {fold.name: fold for fold in folds_of(config, table)}
    if name not in folds:
        raise ValueError(f"no fold {name!r}; choose one of {', '.join(folds)}")
    folder = runs_dir.resolve() / run_hash(config, store)
    done = run_store.is_done(folder, name)
    wait_for_all()
    if done:
        return folder / name
    check_run(config, store, table, list(folds.values()))
    text = encode_text(config, store, table) if config.use_text else None
    if process()[0] == 0:
        begin_run(folder, config, store, list(folds.values()))
        job = FoldJob(
            config, store.folder.resolve(), folds[name], text, folder, data_workers, False
        )
        if not run_fold(job):
            raise ValueError(f"{folder / name}: other processes train this fold, or just did")
    else:  # the folder is read after the first process has made it: networks are exchanged first
        part = folder / f".{name}.part"
        train_fold(config, store, folds[name], text, part, data_workers)
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
    given = parser.parse_args(arguments)
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
        folder = train_together(config, given.store, given.fold, given.runs_dir, given.data_workers)
        if dist.get_rank() == 0:
            print(folder)
    except ValueError as error:
        if os.environ.get("RANK", "0") == "0":
            print(error, file=sys.stderr)
        return 2
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
