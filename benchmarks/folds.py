"""Folds side by side against one after the other: `python benchmarks/folds.py`.

One entry of the ablations (tiny network, 16 people in four folds, six epochs) three ways:
`processes` with one worker per core, `serial` in one thread (both as `cross_validate` runs it), and
a loop of `train_fold` in which torch may use both cores for each fold. Wall-clock seconds, drawing
of clips left out; the start of the workers is counted. Wants a quiet machine of two cores. How much
a second thread helps depends on the size of the batch: 16 is our default, 8 the paper's.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from merclip_lib import protocol, synthetic
from merclip_lib.config import Config

CORES = 2


def threaded(config: Config, store) -> None:
    """Every fold with all cores."""
    torch.set_num_threads(CORES)
    table = protocol.choose_clips(config, store)
    text = protocol.text_targets(config, table, len(store))
    for fold in protocol.folds_of(config, table):
        protocol.train_fold(config, store, fold, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=Config().batch_size)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    config = Config(folds=4, batch_size=given.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        store = synthetic.draw_set(synthetic.STUDY, Path(folder) / "synthme")

        def run(executor: str, workers: int) -> None:
            runs = tempfile.mkdtemp(dir=folder)
            protocol.cross_validate(config, store, runs, workers, executor=executor)

        ways = {
            f"processes, {CORES} of one thread": lambda: run("processes", CORES),
            "serial, one thread": lambda: run("serial", 1),
            f"serial, {CORES} threads": lambda: threaded(config, store),
        }
        seconds = {name: [] for name in ways}
        for _ in range(given.rounds):
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
