"""Making the tiny weights: what CLIP and Something-Something pretraining are to the paper.

Trained on SynthME-macro, whose subjects never appear in the study set. Three targets at once:
the displacement of every patch at every time (dense, so that the encoder learns motion before
words), each action unit against its sentence, and, in the second half, whole sentences against
clips as in CLIP. Text tower and video encoder start from random numbers; afterwards the text
tower is frozen for good. Not in the paper, which starts from published weights.
"""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from merclip_lib import augment
from merclip_lib.config import Config, ModelSize, size_of
from merclip_lib.data.dataset import ClipDataset, Sampling, uniform_sample
from merclip_lib.data.store import ClipStore
from merclip_lib.files import Kind, write_text
from merclip_lib.model.encoder import VideoEncoder
from merclip_lib.text.bank import build_text_bank, text_tower, tokenizer
from merclip_lib.text.facs import codes, swap_sides
from merclip_lib.text.sentences import TEMPLATES, describe
from merclip_lib.training.batches import gather
from merclip_lib.training.losses import alignment_loss
from merclip_lib.training.optimiser import parameter_groups
from merclip_lib.weights.files import save_weights
from merclip_lib.weights.load import BUNDLED, load_text_tower

STYLES = ("phrases", "phrases", "phrases", "facs_names", "codes", "anatomy")  # drawn in turn
CARD = Kind(('"data_hash"', '"settings"'))  # what stands beside the weights


@dataclass(frozen=True)
class PretrainSettings:
    """How the tiny weights were made; stored in their header."""

    steps: int = 2600
    batch_size: int = 32
    lr: float = 1.5e-3
    warmup: int = 200
    weight_decay: float = 0.05
    align_from: float = 0.4  # share of the steps after which whole sentences join
    jitter: float = 0.15
    held_out: float = 0.06  # share of the subjects kept for evaluation
    frames: int = 8  # T
    temporal: bool = True  # False = CLIP's image tower frame by frame
    text: str = ""  # a weights file whose text tower stays as it is; empty = train one along
    seed: int = 0

    @property
    def config(self) -> Config:
        """The configuration that fits the weights: it names the size of the network."""
        return Config(frames=self.frames, temporal=self.temporal, text_weights=self.text)


class Pretrainer(nn.Module):
    """Video encoder and text tower, with the heads that only pretraining needs."""

    def __init__(self, settings: PretrainSettings):
        super().__init__()
        torch.manual_seed(settings.seed)
        size = size_of(settings.config)
        self.vision_encoder = VideoEncoder(size)
        self.text_encoder = load_text_tower(settings.config) if settings.text else text_tower(size)
        self.motion = nn.Linear(size.width, 2)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.unit_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.unit_bias = nn.Parameter(torch.tensor(-3.0))
        self.tokenizer = tokenizer()

    def embed(self, sentences: list[str]) -> Tensor:
        """Unit vectors of sentences (S, E); equal sentences are encoded once."""
        unique = list(dict.fromkeys(sentences))
        embedded = F.normalize(self.text_encoder(self.tokenizer(unique)), dim=-1)
        return embedded[[unique.index(sentence) for sentence in sentences]]

    def bank(self, descriptions: list[str]) -> Tensor:
        """Unit vectors of descriptions (S, E), the mean over all templates."""
        bank = build_text_bank(self.text_encoder, self.tokenizer, descriptions)
        return F.normalize(bank.mean(1), dim=-1)


def unit_vocabulary(annotations: list[str]) -> list[str]:
    """Every action unit as annotated alone ("4", "L12", ...), bilateral ones first."""
    units = {code for text in annotations for code in codes(text)}
    return sorted(units | {c.lstrip("LR") for c in units}, key=lambda c: (c[0] in "LR", c))


def unit_targets(annotations: list[str], units: list[str]) -> Tensor:
    """(clips, units) in {0, 1}: a bilateral sentence fits any side, a one-sided one its own."""
    targets = torch.zeros(len(annotations), len(units))
    for row, annotation in enumerate(annotations):
        for code in codes(annotation):
            targets[row, units.index(code)] = 1
            targets[row, units.index(code.lstrip("LR"))] = 1
    return targets


@dataclass(frozen=True)
class PretrainData:
    """A store with true motion, as pretraining sees it.

    Attributes:
        store: the clips, with `motion`.
        annotations: action units of each clip.
        mirrored: those of its left-right mirror image.
        units: every action unit as annotated alone, see `unit_vocabulary`.
        targets: (clips, units), see `unit_targets`.
        mirrored_targets: the same of the mirror images.
        motion_scale: one standard deviation of the displacements.
    """

    store: ClipStore
    annotations: list[str]
    mirrored: list[str]
    units: list[str]
    targets: Tensor
    mirrored_targets: Tensor
    motion_scale: float

    def motion(self, rows: Tensor, size: ModelSize) -> Tensor:
        """True displacement (N, t, G, G, 2) at the encoder's time positions, scaled."""
        moments = times_of(self.store, size)
        true = _motion_of(self.store)[rows.numpy()][:, moments].astype(np.float32)
        return torch.from_numpy(true / self.motion_scale)


def pretrain_data(store: ClipStore, scale_rows: np.ndarray | None = None) -> PretrainData:
    """What pretraining needs of a store with true motion.

    Args:
        store: the clips.
        scale_rows: rows whose displacements set the scale; without, it is 1.
    """
    annotations = store.table["action_units"].astype(str).tolist()
    mirrored = [swap_sides(text) for text in annotations]
    units = unit_vocabulary(annotations + mirrored)
    targets, mirrored_targets = unit_targets(annotations, units), unit_targets(mirrored, units)
    scale = 1.0
    if scale_rows is not None:
        scale = float(np.asarray(_motion_of(store)[scale_rows], np.float32).std())
    return PretrainData(store, annotations, mirrored, units, targets, mirrored_targets, scale)


def _motion_of(store: ClipStore) -> np.ndarray:
    if store.motion is None:
        raise ValueError(f"{store.folder}: no motion.npy; pretraining needs clips of known motion")
    return store.motion


def pretrain(
    store: ClipStore, settings: PretrainSettings | None = None, out: Path = BUNDLED
) -> dict:
    """Train video encoder and text tower, and write weights and card.

    Args:
        store: the clips; it must hold true motion.
        settings: how; by default as the bundled weights were made.
        out: the weights file; the card stands beside it.

    Returns:
        The card: settings, curves and the figures on held-out subjects.

    Raises:
        ValueError: the store has no motion, or a file cannot be written.
    """
    settings, started = settings or PretrainSettings(), time.monotonic()
    model = Pretrainer(settings)
    train, held_out = split_subjects(store, settings.held_out)
    data = pretrain_data(store, train[:512])
    generator = torch.Generator().manual_seed(settings.seed)
    sampling = Sampling(settings.frames, seed=settings.seed)
    dataset = ClipDataset(store, train, np.zeros(len(train), int), sampling)
    optimiser = torch.optim.AdamW(parameter_groups(model, settings.weight_decay))
    curves, order = [], torch.empty(0, dtype=torch.long)
    for step in range(settings.steps):
        if len(order) < settings.batch_size:
            order = torch.randperm(len(dataset), generator=generator)
        items, order = order[: settings.batch_size], order[settings.batch_size :]
        video, _, rows = gather(dataset, items)
        flipped = torch.rand(len(rows), generator=generator) < 0.5
        video = augment.photometric_jitter(augment.flip(video, flipped), settings.jitter, generator)
        encoded, align = model.vision_encoder(video.transpose(1, 2)), torch.zeros(())
        motion = motion_loss(
            model.motion(encoded.patches), data.motion(rows, model.vision_encoder.size), flipped
        )
        units = unit_loss(model, data, encoded.z, Shown(rows, flipped, step))
        if step >= settings.align_from * settings.steps:
            align = sentence_loss(model, data, encoded.z, Shown(rows, flipped, step))
        loss = motion + 4 * units + 0.3 * align

        for group in optimiser.param_groups:
            group["lr"] = settings.lr * warmup_cosine(step, settings)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        if step % 50 == 0 or step + 1 == settings.steps:
            means = {"motion": motion.item(), "units": units.item(), "align": align.item() or None}
            curves.append({"step": step, **means})
            print(f"step {step}/{settings.steps} {time.monotonic() - started:.0f} s", means)
    card = {
        "name": out.stem,
        "data": store.meta.get("name"),
        "data_hash": store.meta.get("hash"),
        "settings": settings.__dict__,
        "clips": len(train),
        "held_out_clips": len(held_out),
        "seconds": round(time.monotonic() - started),
        "curves": curves,
        "held_out": evaluate_encoder(model, data, held_out),
    }
    write(model, out, card)
    return card


class Shown(NamedTuple):
    """The clips of a step."""

    rows: Tensor  # (N,) of the store
    flipped: Tensor  # (N,) bool
    step: int  # styles and templates are taken in turn

    def say(self, annotation: str) -> str:
        """The sentence of an annotation, in this step's style and template."""
        style, template = STYLES[self.step % len(STYLES)], TEMPLATES[self.step % len(TEMPLATES)]
        return template.format(describe(annotation, style))


def unit_loss(model: Pretrainer, data: PretrainData, z: Tensor, shown: Shown) -> Tensor:
    """Each action unit against its sentence: binary cross-entropy over (N, units)."""
    similarity = F.normalize(z, dim=-1) @ model.embed([shown.say(unit) for unit in data.units]).T
    logits = model.unit_scale.exp() * similarity + model.unit_bias
    own, mirrored = data.targets[shown.rows], data.mirrored_targets[shown.rows]
    return F.binary_cross_entropy_with_logits(
        logits, torch.where(shown.flipped[:, None], mirrored, own)
    )


def sentence_loss(model: Pretrainer, data: PretrainData, z: Tensor, shown: Shown) -> Tensor:
    """Clips against their whole sentences, as in CLIP; equal sentences are all positive."""
    pairs = zip(shown.rows, shown.flipped, strict=True)
    texts = [data.mirrored[row] if turned else data.annotations[row] for row, turned in pairs]
    sentences = [shown.say(text) for text in texts]
    groups = torch.tensor([sentences.index(sentence) for sentence in sentences])
    return alignment_loss(z, model.embed(sentences), model.logit_scale, groups)


def split_subjects(store: ClipStore, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for evaluation; the last subjects are held out."""
    subjects = store.table["subject"].to_numpy()
    names = sorted(set(subjects))
    kept = set(names[-max(1, round(share * len(names))) :])
    held = np.array([s in kept for s in subjects])
    return np.flatnonzero(~held), np.flatnonzero(held)


def times_of(store: ClipStore, size: ModelSize) -> np.ndarray:
    """Frames of a clip (t,) that the encoder's time positions stand for.

    The stem's centre tap of time position k is the sampled frame 2 k, or k without a stride.
    """
    sampled = uniform_sample(store.frames.shape[1], size.frames)
    return sampled[:: 2 if size.temporal_downsample else 1]


def motion_loss(predicted: Tensor, true: Tensor, flipped: Tensor) -> Tensor:
    """Mean squared error of displacement; 1 is the variance of the truth.

    `predicted` (N, t, L, 2); `true` (N, t, G, G, 2), (x, y) per patch relative to the onset. A
    flip mirrors columns and negates x.
    """
    mirror = true.flip(3) * torch.tensor([-1.0, 1.0])
    true = torch.where(flipped.view(-1, 1, 1, 1, 1), mirror, true)
    return F.mse_loss(predicted, true.flatten(2, 3))


def warmup_cosine(step: int, settings: PretrainSettings) -> float:
    """Factor of the learning rate at a step: linear warm-up, then a cosine to 0.02."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return 0.02 + 0.49 * (1 + math.cos(math.pi * done))


@torch.no_grad()
def evaluate_encoder(model: Pretrainer, data: PretrainData, rows: np.ndarray) -> dict:
    """Zero-shot figures on clips, sentences alone as classifier.

    Args:
        model: video encoder and text tower; it is put into evaluation mode.
        data: as `pretrain_data` gives it.
        rows: of the store; subjects that training never saw.

    Returns:
        Action-unit detection: similarity of z with the sentence of each single unit, all
        templates averaged; area under the ROC curve per unit (`auc`), their mean (`macro_auc`).
        Retrieval: R@1 and R@5 of the clip's own description among all distinct ones, beside
        chance. `motion_error` is 1 where the motion is not known at all.
    """
    model.eval()
    size = model.vision_encoder.size
    dataset = ClipDataset(data.store, rows, np.zeros(len(rows), int), Sampling(size.frames))
    parts, errors = [], []
    for items in torch.arange(len(dataset)).split(64):
        video, _, at = gather(dataset, items)
        encoded, still = model.vision_encoder(video.transpose(1, 2)), torch.zeros(len(at)).bool()
        errors.append(motion_loss(model.motion(encoded.patches), data.motion(at, size), still))
        parts.append(F.normalize(encoded.z, dim=-1))
    z = torch.cat(parts)
    single = [unit for unit in data.units if unit[0] not in "LR"]
    scores = z @ model.bank([describe(unit) for unit in single]).T
    truth = data.targets[rows]
    auc = {
        unit: float(roc_auc_score(truth[:, data.units.index(unit)], scores[:, k]))
        for k, unit in enumerate(single)
    }
    texts = [describe(data.annotations[row]) for row in rows]
    distinct = sorted(set(texts))
    ranks = (z @ model.bank(distinct).T).argsort(1, descending=True)
    own = torch.tensor([distinct.index(text) for text in texts])
    place = (ranks == own[:, None]).float().argmax(1)
    return {
        "motion_error": float(torch.stack(errors).mean()),
        "auc": auc,
        "macro_auc": float(np.mean(list(auc.values()))),
        "sentences": len(distinct),
        "chance_at_1": 1 / len(distinct),
        "recall_at_1": float((place < 1).float().mean()),
        "recall_at_5": float((place < 5).float().mean()),
    }


def write(model: Pretrainer, out: Path, card: dict) -> None:
    """Weights (token table in half precision) and card beside them, each written atomically.

    A text tower that was not trained here is not written again.
    """
    kept = ("vision_encoder.", "logit_scale") + ("text_encoder.",) * (not card["settings"]["text"])
    state = {
        name: tensor.half() if name.endswith("token_embedding.weight") else tensor
        for name, tensor in model.state_dict().items()
        if name.startswith(kept)
    }
    size = asdict(model.vision_encoder.size)
    save_weights(out, state, {"size": size, **{k: v for k, v in card.items() if k != "curves"}})
    write_text(out.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
