"""Is what `merclip cost` says right? `python -m benchmarks.study.cost`.

A small run of the tiny network, all its folds, and one epoch of a few steps of ViT-B/16 with few
frames (3 GiB), whose speed is scaled from one block on one clip: seconds said and measured, those
that the process computes in one thread, and their ratio.
"""

import tempfile
import time
from pathlib import Path

import torch

from merclip_lib.config import Config
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.study import cost
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.training.loop import fit
from merclip_lib.weights.load import empty_network

SMALL = Config(folds=2, epochs=3)
LARGE = Config(size="ViT-B-16", frames=4, batch_size=2, epochs=1, use_text=False)


def run_seconds(config: Config) -> float:
    """All folds of a run, trained and predicted."""
    with tempfile.TemporaryDirectory() as folder:
        plan = RunPlan(config, draw_population(EXAMPLE, Path(folder) / "synthme", 1))
        _ = plan.text
        begun = time.process_time()
        for fold in plan.folds:
            train_fold(plan, fold)
        return time.process_time() - begun


def epoch_seconds(config: Config, clips: int) -> float:
    """One epoch on random clips, predicting left out."""
    data = cost._random_data(config, clips)
    model = empty_network(config, cost.CLASSES)
    begun = time.process_time()
    fit(model, data, config)
    return time.process_time() - begun


def main() -> None:
    torch.set_num_threads(1)
    said = cost.estimate(SMALL, EXAMPLE.clips, 2, cost.measure_speed(SMALL)).seconds
    print(f"{'':<26}{'said':>9}{'measured':>10}{'ratio':>7}")
    rows = [("merclip-tiny, 2 folds", said, run_seconds(SMALL))]
    said = 6 / cost._speed_of_block(LARGE)
    rows.append(("ViT-B/16, 6 clips", said, epoch_seconds(LARGE, 6)))
    for name, guess, measured in rows:
        print(f"{name:<26}{guess:>8.1f}s{measured:>9.1f}s{guess / measured:>7.2f}")


if __name__ == "__main__":
    main()
