"""Folds side by side against one after the other: `python -m benchmarks.protocol.folds`.

One entry of the ablations (tiny network, 16 people in four folds, 20 epochs) three ways:
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

from merclip_lib.config import Config
from merclip_lib.protocol.loso import cross_validate
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.executors import Execution
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE

CORES = 2


def threaded(config: Config, store) -> None:
    """Every fold with all cores."""
    torch.set_num_threads(CORES)
    plan = RunPlan(config, store)
    for fold in plan.folds:
        train_fold(plan, fold)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=Config().batch_size)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args(arguments)
    config = Config(folds=4, batch_size=given.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        store = draw_population(EXAMPLE, Path(folder) / "synthme")

        def run(executor: str, workers: int) -> None:
            runs = tempfile.mkdtemp(dir=folder)
            cross_validate(RunPlan(config, store), runs, Execution(executor, workers))

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
        print(
            f"{name:<30}{median(values):7.1f} s   processes are "
            f"{median(values) / best:.2f} times as fast"
        )
    return {
        f"four folds: {name}, to two processes": median(values) / best
        for name, values in list(seconds.items())[1:]
    }


if __name__ == "__main__":
    main()
