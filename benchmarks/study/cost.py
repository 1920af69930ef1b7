"""Is what `merclip cost` says right? `python -m benchmarks.study.cost`.

A small run of the tiny network, all its folds, and one epoch of a few steps of ViT-B/16 with few
frames (3 GiB): seconds said, scaled from one block on one clip, and measured, those that the
process computes in one thread, and their ratio.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from merclip_lib.config import SIZES, Config, size_of
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.store import ClipStore
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.study import cost
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.text.bank import TextBank
from merclip_lib.training.loop import TrainingData, fit
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
    pixels = SIZES[config.size].resolution
    shape = (clips, config.frames, pixels, pixels, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    store, numbers = ClipStore(Path(), pd.DataFrame(), pictures, None, {}), np.arange(clips)
    dataset = ClipDataset(store, numbers, numbers % 7, Sampling(config.frames, training=True))
    bank = torch.randn(clips, 1, size_of(config).embed_dim)
    data = TrainingData(dataset, numbers, TextBank(bank, numbers, numbers))
    model = empty_network(config, 7)
    begun = time.process_time()
    fit(model, data, config)
    return time.process_time() - begun


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="the tiny network alone")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    said = cost.estimate(SMALL, EXAMPLE.clips, 2, cost.measure_speed(SMALL)).seconds
    print(f"{'':<26}{'said':>9}{'measured':>10}{'ratio':>7}")
    rows = [("merclip-tiny, 2 folds", said, run_seconds(SMALL))]
    if not given.tiny:
        epoch_seconds(LARGE, 2)  # a process tries once which arithmetic is fast
        said = 12 / cost.measure_speed(LARGE)
        rows.append(("ViT-B/16, 12 clips", said, epoch_seconds(LARGE, 12)))
    for name, guess, measured in rows:
        print(f"{name:<26}{guess:>8.1f}s{measured:>9.1f}s{guess / measured:>7.2f}")
    return {f"merclip cost, {name}: said, to measured": said / seen for name, said, seen in rows}


if __name__ == "__main__":
    main()
