"""Clips as torch sees them: frames sampled from onset to offset, batches read ahead."""

from collections.abc import Iterator

import numpy as np
import torch

from merclip_lib.data.store import ClipStore


def uniform_sample(
    length: int,
    frames: int,
    generator: torch.Generator | None = None,
    short: str = "repeat",
) -> np.ndarray:
    """Indices (frames,) of `frames` moments spread evenly over a clip of `length` frames.

    With s = (length - 1) / frames: evaluation (no generator) takes round(s i) + int(s / 2);
    training draws index i uniformly from [round(s i), round(s (i + 1))]. A clip shorter than
    `frames` repeats its last frame (`short="repeat"`: motion stays monotone; differs from the
    paper's program, which starts again from the first frame: `short="modulo"`).
    """
    if length < 1:
        raise ValueError("a clip without frames cannot be sampled")
    if length < frames:
        steps = np.arange(frames)
        return np.minimum(steps, length - 1) if short == "repeat" else steps % length
    s = (length - 1) / frames
    edges = np.array([round(s * i) for i in range(frames + 1)])
    if generator is None:
        return edges[:-1] + int(s / 2)
    draws = torch.rand(frames, generator=generator).numpy()
    return edges[:-1] + np.floor(draws * (np.diff(edges) + 1)).astype(int)


class ClipDataset(torch.utils.data.Dataset):
    """Rows of a store as uint8 videos (T, H, W, 3), normalised later on the device.

    `rows` are positions in the store's table, `labels` class numbers for those rows. In
    training the sampling of frames is drawn from (seed, epoch, row), so a clip looks the same
    whichever worker reads it and in whatever order; call `set_epoch` before each epoch. `short`
    says what becomes of clips with fewer than `frames`, see `uniform_sample`.
    """

    def __init__(
        self,
        store: ClipStore,
        rows: np.ndarray,
        labels: np.ndarray,
        frames: int,
        training: bool = False,
        seed: int = 0,
        short: str = "repeat",
    ):
        self.store, self.rows, self.labels = store, np.asarray(rows), np.asarray(labels)
        self.frames, self.training, self.seed, self.epoch = frames, training, seed, 0
        self.short = short

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> dict:
        row = int(self.rows[item])
        generator = None
        if self.training:
            key = np.random.SeedSequence([self.seed, self.epoch, row]).generate_state(1)[0]
            generator = torch.Generator().manual_seed(int(key))
        clip = self.store.frames[row]
        index = uniform_sample(len(clip), self.frames, generator, self.short)
        video = torch.from_numpy(np.ascontiguousarray(clip[index]))
        return {"video": video, "label": int(self.labels[item]), "row": row}


def read_batches(
    dataset: ClipDataset, order: list[torch.Tensor], workers: int = 0
) -> Iterator[tuple[torch.Tensor, list[dict]]]:
    """Each batch of `order` (positions) with its items, read ahead by `workers` processes.

    Nothing is drawn from torch's own generator, whatever the number of workers.
    """
    if not workers:
        yield from ((items, [dataset[int(i)] for i in items]) for items in order)
        return
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_sampler=[items.tolist() for items in order],
        num_workers=workers,
        collate_fn=list,
        generator=torch.Generator(),
    )
    yield from zip(order, loader, strict=True)
