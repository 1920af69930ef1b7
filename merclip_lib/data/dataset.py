"""Clips as torch sees them: frames sampled from onset to offset, batches read ahead."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from merclip_lib.data.store import ClipStore

Short = Literal["repeat", "modulo"]


@dataclass(frozen=True)
class Sampling:
    """How the frames of a clip are chosen, see `uniform_sample`.

    Attributes:
        frames: how many.
        training: draw them anew in every epoch, from (seed, epoch, row).
        seed: of these draws.
        short: what becomes of a clip with fewer frames.
    """

    frames: int
    training: bool = False
    seed: int = 0
    short: Short = "repeat"


def uniform_sample(
    length: int, frames: int, generator: torch.Generator | None = None, short: Short = "repeat"
) -> np.ndarray:
    """Choose frames spread evenly over a clip (paper, implementation details).

    With s = (length - 1) / frames: evaluation takes round(s i) + int(s / 2); training draws
    index i uniformly from [round(s i), round(s (i + 1))].

    Args:
        length: frames of the clip.
        frames: how many to choose.
        generator: draws the frames of training; without one they are those of evaluation.
        short: a clip shorter than `frames` repeats its last frame ("repeat": motion stays
            monotone), or starts again from its first ("modulo": as the authors' program does).

    Returns:
        Indices (frames,), in order of time but for "modulo".

    Raises:
        ValueError: for a clip without frames.
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

    In training a clip looks the same whichever worker reads it and in whatever order, and
    different in the next epoch: call `set_epoch` before each.

    Args:
        store: the clips.
        rows: positions in the store's table.
        labels: a class number for each of `rows`.
        sampling: how frames are chosen.
    """

    def __init__(self, store: ClipStore, rows: ArrayLike, labels: ArrayLike, sampling: Sampling):
        self.store, self.sampling, self.epoch = store, sampling, 0
        self.rows, self.labels = np.asarray(rows), np.asarray(labels)

    def set_epoch(self, epoch: int) -> None:
        """Draw other frames from now on; the same for the same epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> dict:
        """One clip: video (T, H, W, 3) uint8, label, and its row in the store."""
        row, how = int(self.rows[item]), self.sampling
        generator = None
        if how.training:
            key = np.random.SeedSequence([how.seed, self.epoch, row]).generate_state(1)[0]
            generator = torch.Generator().manual_seed(int(key))
        clip = self.store.frames[row]
        index = uniform_sample(len(clip), how.frames, generator, how.short)
        video = torch.from_numpy(np.ascontiguousarray(clip[index]))
        return {"video": video, "label": int(self.labels[item]), "row": row}


def read_batches(
    dataset: ClipDataset, order: list[torch.Tensor], workers: int = 0
) -> Iterator[tuple[torch.Tensor, list[dict]]]:
    """Read batches, ahead of their use where there are workers.

    Nothing is drawn from torch's own generator, whatever the number of workers.

    Args:
        dataset: the clips.
        order: for each batch, positions in the dataset.
        workers: processes that read ahead; 0 reads when asked.

    Yields:
        Each batch of `order` with its items.
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
