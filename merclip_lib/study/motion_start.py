"""The `motion` start: a video encoder that has learnt displacement alone.

It plays the part of the Something-Something pretraining in the paper: the encoder sees moving
faces of people who are never used again, with no action unit, no word and no emotion. The target
is dense: the displacement of every patch at every time. Not in the paper, which starts from
published weights.
"""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from merclip_lib import augment
from merclip_lib.config import Config, ModelSize, size_of
from merclip_lib.data.dataset import ClipDataset, Sampling, uniform_sample
from merclip_lib.data.store import ClipStore
from merclip_lib.files import Kind, write_text
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.progress import track
from merclip_lib.training.batches import gather
from merclip_lib.training.optimiser import parameter_groups
from merclip_lib.weights.files import save_weights

CARD = Kind(('"data_hash"', '"seconds"'))  # what stands beside the weights


@dataclass(frozen=True)
class MotionSettings:
    """How the weights were made; stored in their card."""

    steps: int = 1600
    batch_size: int = 32
    lr: float = 1.5e-3
    warmup: int = 150
    weight_decay: float = 0.05
    jitter: float = 0.15
    held_out: float = 0.06  # share of the people kept for evaluation
    frames: int = 8  # T
    temporal: bool = True  # False = CLIP's image encoder frame by frame
    seed: int = 0

    @property
    def size(self) -> ModelSize:
        """Sizes of the network that the weights fit."""
        return size_of(Config(frames=self.frames, temporal=self.temporal))


class MotionReader(nn.Module):
    """A video encoder with a linear reading of displacement from each patch token."""

    def __init__(self, size: ModelSize):
        super().__init__()
        self.vision_encoder = VideoEncoder(size)
        self.motion = nn.Linear(size.width, 2)

    def forward(self, video: Tensor) -> Tensor:
        """Displacements (N, t, L, 2) of L patches in clips (N, T, 3, H, W)."""
        return self.motion(self.vision_encoder(video.transpose(1, 2)).patches)


def pretrain(store: ClipStore, settings: MotionSettings, out: Path) -> dict:
    """Train a video encoder on displacement, and write weights (half precision) and card.

    Args:
        store: the clips; it must hold true motion.
        settings: how.
        out: the weights file; the card stands beside it.

    Returns:
        The card: settings, curve and the error on held-out people, 1 where nothing is known.

    Raises:
        ValueError: the store has no motion, or a file cannot be written.
    """
    started = time.monotonic()
    torch.manual_seed(settings.seed)
    model = MotionReader(settings.size)
    train, held_out = split_people(store, settings.held_out)
    scale = float(np.asarray(motion_of(store)[train[:512]], np.float32).std())
    generator = torch.Generator().manual_seed(settings.seed)
    dataset = dataset_of(store, train, settings)
    optimiser = torch.optim.AdamW(parameter_groups(model, settings.weight_decay))
    curve, order = [], torch.empty(0, dtype=torch.long)
    for step in track(range(settings.steps), "steps", settings.steps):
        if len(order) < settings.batch_size:
            order = torch.randperm(len(dataset), generator=generator)
        items, order = order[: settings.batch_size], order[settings.batch_size :]
        video, _, rows = gather(dataset, items)
        flipped = torch.rand(len(rows), generator=generator) < 0.5
        video = augment.photometric_jitter(augment.flip(video, flipped), settings.jitter, generator)
        loss = motion_loss(model(video), true_motion(store, rows, settings.size) / scale, flipped)

        for group in optimiser.param_groups:
            group["lr"] = settings.lr * warmup_cosine(step, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        if step % 50 == 0 or step + 1 == settings.steps:
            curve.append({"step": step, "motion_error": loss.item()})
    card = {
        "name": out.stem,
        "data": store.meta.get("name"),
        "data_hash": store.meta.get("hash"),
        "people": int(store.table["subject"].iloc[train].nunique()),
        "clips": len(train),
        "held_out_clips": len(held_out),
        "settings": asdict(settings),
        "seconds": round(time.monotonic() - started),
        "curve": curve,
        "motion_error": motion_error(model, store, held_out, settings, scale),
    }
    write_encoder(model.vision_encoder, out, card)
    return card


def split_people(store: ClipStore, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for evaluation; the last people are held out."""
    subjects = store.table["subject"].to_numpy()
    names = sorted(set(subjects))
    last = set(names[-max(1, round(share * len(names))) :])
    held = np.array([s in last for s in subjects])
    return np.flatnonzero(~held), np.flatnonzero(held)


def dataset_of(store: ClipStore, rows: np.ndarray, settings: MotionSettings) -> ClipDataset:
    """Clips without labels, sampled uniformly, so that the true motion has known times."""
    sampling = Sampling(settings.frames, seed=settings.seed)
    return ClipDataset(store, rows, np.zeros(len(rows), int), sampling)


def motion_of(store: ClipStore) -> np.ndarray:
    """Displacements (clips, T, G, G, 2). Raises ValueError where they are not known."""
    if store.motion is None:
        raise ValueError(f"{store.folder}: no motion.npy; pretraining needs clips of known motion")
    return store.motion


def times_of(store: ClipStore, size: ModelSize) -> np.ndarray:
    """Frames of a clip (t,) that the encoder's time positions stand for.

    The stem's centre tap of time position k is the sampled frame 2 k, or k without a stride.
    """
    sampled = uniform_sample(store.frames.shape[1], size.frames)
    return sampled[:: 2 if size.temporal_downsample else 1]


def true_motion(store: ClipStore, rows: Tensor, size: ModelSize) -> Tensor:
    """True displacement (N, t, G, G, 2) at the encoder's time positions."""
    true = motion_of(store)[rows.numpy()][:, times_of(store, size)]
    return torch.from_numpy(true.astype(np.float32))


def motion_loss(predicted: Tensor, true: Tensor, flipped: Tensor) -> Tensor:
    """Mean squared error of displacement; 1 is the variance of the truth.

    `predicted` (N, t, L, 2); `true` (N, t, G, G, 2), (x, y) per patch relative to the onset. A
    flip mirrors columns and negates x.
    """
    mirror = true.flip(3) * torch.tensor([-1.0, 1.0])
    true = torch.where(flipped.view(-1, 1, 1, 1, 1), mirror, true)
    return F.mse_loss(predicted, true.flatten(2, 3))


def warmup_cosine(step: int, settings: MotionSettings) -> float:
    """Factor of the learning rate at a step: linear warm-up, then a cosine to 0.02."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.02 + 0.49 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def motion_error(
    model: MotionReader, store: ClipStore, rows: np.ndarray, settings: MotionSettings, scale: float
) -> float:
    """Mean squared error over clips in units of the training clips' variance."""
    model.eval()
    dataset, errors = dataset_of(store, rows, settings), []
    for items in torch.arange(len(dataset)).split(32):
        video, _, at = gather(dataset, items)
        true = true_motion(store, at, settings.size) / scale
        still = torch.zeros(len(at)).bool()
        errors.append(float(motion_loss(model(video), true, still)) * len(at))
    return sum(errors) / len(dataset)


def write_encoder(encoder: VideoEncoder, out: Path, card: dict) -> None:
    """Weights in half precision and the card beside them, each written atomically."""
    state = {f"vision_encoder.{name}": t.half() for name, t in encoder.state_dict().items()}
    header = {name: value for name, value in card.items() if name != "curve"}
    save_weights(out, state, {"size": asdict(encoder.size), **header})
    write_text(out.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
