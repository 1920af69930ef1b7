"""Whether training waits for its clips: `python -m benchmarks.data.loading`.

Trains the tiny network on SynthME for one epoch and adds up the time between asking for a batch
and having it (reading from the memory map, sampling frames), as a share of the epoch; then the
seconds that reading alone takes. One thread, no loader processes.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.protocol.plan import choose_clips, text_targets
from merclip_lib.synthme.draw import draw_set
from merclip_lib.synthme.plan import STUDY
from merclip_lib.training.loop import fit
from merclip_lib.weights.load import build_model


def main() -> None:
    torch.set_num_threads(1)
    config, waited = Config(epochs=1), []

    def timed(*arguments):
        batches = read_batches(*arguments)
        while True:
            start = time.process_time()
            batch = next(batches, None)
            waited.append(time.process_time() - start)
            if batch is None:
                return
            yield batch

    with tempfile.TemporaryDirectory() as folder:
        store = draw_set(STUDY, Path(folder) / "synthme")
        table = choose_clips(config, store)
        text = text_targets(config, table, len(store))
        rows = table.index.to_numpy()
        dataset = ClipDataset(store, rows, np.zeros(len(rows), int), config.frames, training=True)
        model, _ = build_model(config, 7)
        read_batches = timed
        start = time.process_time()
        fit(model, dataset, np.arange(len(store)), text, config)
        whole = time.process_time() - start
    print(
        f"{len(rows)} clips, {whole:.1f} s of training, {sum(waited):.3f} s of it waiting for "
        f"clips: {sum(waited) / whole:.2%}"
    )


if __name__ == "__main__":
    main()
