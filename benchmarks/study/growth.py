"""How a training grows, measured at tiny size: `python -m benchmarks.study.growth`.

Seconds of one epoch of the tiny network when clips, frames or width double, and of a whole LOSO
when subjects double, beside what `merclip_lib.study.cost` says from counting operations. CPU
seconds in one thread, the least of three rounds.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from merclip_lib.config import SIZES, Config, size_of
from merclip_lib.data.dataset import ClipDataset, Sampling
from merclip_lib.data.store import ClipStore
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.study.cost import flops, growth
from merclip_lib.text.bank import TextBank
from merclip_lib.training.loop import TrainingData, fit

BASE = Config(batch_size=8)
CLIPS, SUBJECTS = 24, 4


def epoch(config: Config, clips: int) -> float:
    """CPU seconds of one epoch on random pixels, the first epoch not counted."""
    shape = (clips, config.frames, SIZES[config.size].resolution, SIZES[config.size].resolution, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    store, numbers = ClipStore(Path(), pd.DataFrame(), pixels, None, {}), np.arange(clips)
    dataset = ClipDataset(store, numbers, numbers % 7, Sampling(config.frames, training=True))
    bank = torch.randn(clips, 1, size_of(config).embed_dim)
    data = TrainingData(dataset, numbers, TextBank(bank, numbers, numbers))
    model, ends = MERCLIP(size_of(config), 7), []
    settings = dataclasses.replace(config, epochs=4)
    fit(model, data, settings, lambda _: ends.append(time.process_time()))
    return float(np.diff(ends).min())


def loso(clips: int, subjects: int) -> float:
    """CPU seconds of one epoch of every fold: all clips but one subject's."""
    return subjects * epoch(BASE, clips * (subjects - 1) // subjects)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    torch.set_num_threads(1)
    wide = dataclasses.replace(SIZES["merclip-tiny"], width=192)
    counted = {row["what"]: row["time"] for row in growth(BASE, CLIPS, SUBJECTS)}
    base, study = epoch(BASE, CLIPS), loso(CLIPS, SUBJECTS)
    operations = sum(flops(BASE).values())
    frames = dataclasses.replace(BASE, frames=16)
    rows = [
        ("twice the clips", epoch(BASE, 2 * CLIPS) / base, 2.0),
        ("twice the frames", epoch(frames, CLIPS) / base, counted["twice the frames"]),
        (
            "twice the subjects",
            loso(2 * CLIPS, 2 * SUBJECTS) / study,
            counted["twice the subjects"],
        ),
    ]
    SIZES["merclip-wide"] = wide
    config = dataclasses.replace(BASE, size="merclip-wide")
    more = sum(flops(config).values()) / operations
    rows.append(("twice the width", epoch(config, CLIPS) / base, more))
    print(f"one epoch of {CLIPS} clips: {base:.2f} s")
    print(f"{'':<22}{'measured':>10}{'counted':>10}")
    for name, measured, said in rows:
        print(f"{name:<22}{measured:>10.2f}{said:>10.2f}")
    return {
        f"{name}, {kind}": ratio
        for name, measured, said in rows
        for kind, ratio in (("measured", measured), ("counted", said))
    }


if __name__ == "__main__":
    main()
