"""Heads of all folds at once against fold by fold: `python -m benchmarks.protocol.heads`.

Both sides run here, one after the other, on the same two threads. "Stored" trains one fold after
the other on the same stored tokens (the same function with one fold); "encoding" is what a
training loop does with a frozen encoder: each batch passes it again. Of the EIMs, fold by fold is
timed on two folds and multiplied, encoding on one fold and one epoch; the one-off encoding of all
clips counts on the side of "all at once" there. (Logistic regressions are fitted fold by fold.)
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.model.head import EmotionInference
from merclip_lib.protocol.frozen_heads import (
    HeadSettings,
    encode_clips,
    fold_probabilities,
    pool_patches,
)
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.training.batches import gather
from merclip_lib.training.losses import focal_loss

# kind, EIM layers, side of the squares over which patches are averaged, epochs
CASES = (
    ("linear", 1, 1, 20),
    ("eim", 1, 4, 2),
    ("eim", 2, 4, 2),
    ("eim", 2, 1, 1),
)


def encoding_epoch(model, dataset: ClipDataset, train: np.ndarray, config: Config) -> float:
    """Seconds for one epoch of one fold when every batch passes the frozen encoder."""
    head = EmotionInference(64, 7, config.eim_layers)
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
    start = time.monotonic()
    for items in torch.from_numpy(train).split(config.batch_size):
        video, labels, _ = gather(dataset, items)
        with torch.no_grad():
            tokens = model.vision_encoder(video.transpose(1, 2)).tokens
        optimiser.zero_grad()
        focal_loss(head(tokens.clone()), labels).backward()
        optimiser.step()
    return time.monotonic() - start


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=len(CASES), help="only so many of them")
    given = parser.parse_args(arguments)
    torch.set_num_threads(2)
    ratios = {}
    config = Config()
    with tempfile.TemporaryDirectory() as folder:
        store = draw_population(EXAMPLE, Path(folder) / "synthme")
        plan = RunPlan(config, store)
        folds, labels = plan.folds, plan.labels
        model = plan.network()
        dataset = plan.dataset(np.arange(len(labels)))
        start = time.monotonic()
        encoded = encode_clips(model, dataset)
        encoding = time.monotonic() - start
        fold_probabilities(encoded, labels, folds[:1], 7, HeadSettings("linear"))  # warm up
        print(
            f"{len(labels)} clips, {len(folds)} folds, {torch.get_num_threads()} threads; "
            f"encoding all clips once: {encoding:.1f} s"
        )
        print(
            "head            tokens  epochs   at once   fold by fold, ratio   "
            "encoding each batch, ratio   largest difference"
        )
        for kind, layers, side, epochs in CASES[: given.cases]:
            changed = dataclasses.replace(config, epochs=epochs, eim_layers=layers)
            settings = HeadSettings(kind, changed)
            features = encoded._replace(tokens=pool_patches(encoded.tokens, 8, side))
            start = time.monotonic()
            together = fold_probabilities(features, labels, folds, 7, settings)
            at_once = time.monotonic() - start
            start = time.monotonic()
            timed = folds[:2] if kind == "eim" else folds
            single = [fold_probabilities(features, labels, [f], 7, settings)[0] for f in timed]
            each = (time.monotonic() - start) * len(folds) / len(timed)
            what = (
                f"heads, {kind}{layers if kind == 'eim' else ''}, {features.tokens.shape[1]} tokens"
            )
            ratios[f"{what}: fold by fold, to all folds at once"] = each / at_once
            line = f"{kind:<11}{layers if kind == 'eim' else '':>4}{features.tokens.shape[1]:>7}"
            line += f"{epochs:>8}{at_once:>9.2f} s{each:>11.2f} s {each / at_once:6.1f}"
            if kind == "eim":
                again = encoding_epoch(model, dataset, folds[0].train, changed)
                again *= len(folds) * epochs
                encoded_again = f"{what}: every batch through the frozen encoder, to all at once"
                ratios[encoded_again] = again / (at_once + encoding)
                line += f"{again:>15.1f} s {again / (at_once + encoding):6.1f}"
            print(f"{line:<88}{np.abs(together[: len(timed)] - single).max():.0e}", flush=True)
    return ratios


if __name__ == "__main__":
    main()
