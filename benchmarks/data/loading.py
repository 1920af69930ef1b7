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
from merclip_lib.data import dataset
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.training import loop


def main(arguments: list[str] | None = None) -> dict[str, float]:
    torch.set_num_threads(1)
    config, waited = Config(epochs=1), []

    def timed(*arguments):
        batches = dataset.read_batches(*arguments)
        while True:
            start = time.process_time()
            batch = next(batches, None)
            waited.append(time.process_time() - start)
            if batch is None:
                return
            yield batch

    with tempfile.TemporaryDirectory() as folder:
        store = draw_population(EXAMPLE, Path(folder) / "synthme")
        plan = RunPlan(config, store)
        data = plan.training_data(np.arange(len(plan.table)))
        model = plan.network()
        loop.read_batches = timed
        start = time.process_time()
        loop.fit(model, data, config)
        whole = time.process_time() - start
    print(
        f"{len(plan.table)} clips, {whole:.1f} s of training, {sum(waited):.3f} s of it waiting "
        f"for clips: {sum(waited) / whole:.2%}"
    )
    return {"an epoch of the tiny network: waiting for clips, to all of it": sum(waited) / whole}


if __name__ == "__main__":
    main()
