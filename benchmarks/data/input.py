"""Decode once or every epoch: `python -m benchmarks.data.input`.

SynthME clips of 16 frames and 224 pixels lie on disk as JPEG, as the licensed sets do. One way
decodes each frame anew in each epoch; the other reads the store that `merclip prepare` wrote
once. Both give the same kind of batch. Prints milliseconds per clip and their ratio, in one run.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch

from merclip_lib.data.dataset import ClipDataset, Sampling, uniform_sample
from merclip_lib.data.frames import find, prepare
from merclip_lib.data.frames.decode import PictureSettings
from merclip_lib.synthme.draw import draw_table
from merclip_lib.synthme.plan import plan_population
from merclip_lib.synthme.populations import population

CLIPS, SIZE, FRAMES, BATCH, EPOCHS = 16, 224, 16, 8, 12


def write_pictures(folder: Path) -> pd.DataFrame:
    """Draw the clips and write them as JPEG; returns their clip table."""
    drawn = population("casme2-like", 1, people=2, clips=CLIPS, size=SIZE, frames=FRAMES)
    table = plan_population(drawn)
    for row, (clip, _) in zip(table.index, draw_table(drawn, table, 1), strict=True):
        name = f"clip{row:03d}"
        (folder / name).mkdir(parents=True)
        for n, frame in enumerate(clip, start=1):
            cv2.imwrite(str(folder / name / f"img{n}.jpg"), frame[..., ::-1])
        table.loc[row, ["onset", "apex", "offset", "frames"]] = [1, 8, FRAMES, name]
    return table


def decode_each_epoch(folder: Path, table: pd.DataFrame) -> list[torch.Tensor]:
    """One epoch of batches, every sampled frame decoded from its JPEG."""
    batches = []
    for start in range(0, len(table), BATCH):
        batch = []
        for name in table["frames"].iloc[start : start + BATCH]:
            files = find.list_pictures(folder / name)
            chosen = [files[k] for k in uniform_sample(len(files), FRAMES)]
            read = [cv2.cvtColor(cv2.imread(str(f)), cv2.COLOR_BGR2RGB) for f in chosen]
            batch.append(torch.from_numpy(np.stack(read)))
        batches.append(torch.stack(batch))
    return batches


def read_store(dataset: ClipDataset) -> list[torch.Tensor]:
    """One epoch of batches from the memory-mapped store."""
    starts = range(0, len(dataset), BATCH)
    return [torch.stack([dataset[k]["video"] for k in range(s, s + BATCH)]) for s in starts]


def milliseconds(read_epoch: Callable[[], list]) -> float:
    """Shortest time per clip over the epochs, the one that other programs disturbed least.

    A first epoch warms the disk cache and is left out.
    """
    read_epoch()
    seconds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        read_epoch()
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / CLIPS


def main(arguments: list[str] | None = None) -> dict[str, float]:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table = write_pictures(folder / "copy")
        start = time.perf_counter()
        settings = PictureSettings(SIZE, FRAMES)
        store = prepare.prepare(table, folder / "copy", folder / "store", settings, workers=1)
        once = 1000 * (time.perf_counter() - start) / CLIPS
        dataset = ClipDataset(store, np.arange(CLIPS), np.zeros(CLIPS, int), Sampling(FRAMES))
        jpeg = milliseconds(lambda: decode_each_epoch(folder / "copy", table))
        mapped = milliseconds(lambda: read_store(dataset))
        bytes_jpeg = sum(path.stat().st_size for path in (folder / "copy").rglob("*.jpg"))
        bytes_store = (folder / "store/clips.npy").stat().st_size
    print(f"{CLIPS} clips of {FRAMES} frames, {SIZE} x {SIZE} pixels, batches of {BATCH}, one core")
    print(f"{'way':28}{'ms per clip':>12}{'MB on disk':>12}")
    print(f"{'JPEG, decoded each epoch':28}{jpeg:12.2f}{bytes_jpeg / 1e6:12.1f}")
    print(f"{'store, decoded once':28}{mapped:12.2f}{bytes_store / 1e6:12.1f}")
    print(f"{'making the store, once':28}{once:12.2f}")
    print(f"ratio: {jpeg / mapped:.1f}")
    return {"a clip: decoding its JPEG, to reading it from the store": jpeg / mapped}


if __name__ == "__main__":
    main()
