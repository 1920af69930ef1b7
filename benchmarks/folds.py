"""Folds side by side against one after the other: `python benchmarks/folds.py`.

The same small study (tiny network, four folds) three ways: `processes` with one worker per core,
`serial` in one thread (both as `cross_validate` runs it), and a loop of `train_fold` in which
torch may use both cores for each fold. Wall-clock seconds, drawing of clips left out; the start
of the workers is counted. Wants a quiet machine of two cores.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from merclip_lib import protocol, synthetic
from merclip_lib.config import Config

CONFIG = Config(subjects=8, folds=4, epochs=3)
ROUNDS = 3
CORES = 2


def threaded(store) -> None:
    """Every fold with all cores."""
    torch.set_num_threads(CORES)
    table = protocol.choose_clips(CONFIG, store)
    text = protocol.text_targets(CONFIG, table, len(store))
    for fold in protocol.folds_of(CONFIG, table):
        protocol.train_fold(CONFIG, store, fold, text)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = synthetic.draw_set(synthetic.STUDY, Path(folder) / "synthme")

        def run(executor: str, workers: int) -> None:
            runs = tempfile.mkdtemp(dir=folder)
            protocol.cross_validate(CONFIG, store, runs, workers, executor=executor)

        ways = {
            f"processes, {CORES} of one thread": lambda: run("processes", CORES),
            "serial, one thread": lambda: run("serial", 1),
            f"serial, {CORES} threads": lambda: threaded(store),
        }
        seconds = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.monotonic()
                way()
                seconds[name].append(time.monotonic() - start)
    best = median(next(iter(seconds.values())))
    for name, values in seconds.items():
        print(f"{name:<30}{median(values):7.1f} s   processes are "
              f"{median(values) / best:.2f} times as fast")  # fmt: skip


if __name__ == "__main__":
    main()
