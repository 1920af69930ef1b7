"""What a run will cost, said before it starts: operations, hours and memory.

The network is counted and not computed: under torch's fake tensors every operation runs on shapes
alone, so the paper's size takes a few seconds and no memory. Time comes from a measured speed in
clips per second, yours or that of a short calibration (`measure_speed`). Not in the paper.
"""

import math
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from merclip_lib.config import SIZES, Config, config_from, size_of
from merclip_lib.data.tasks import apply_task, read_card, task_named
from merclip_lib.runs.executors import Execution, check_execution, in_one_thread
from merclip_lib.synthme.plan import plan_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.training.memory import GIB, empty_video, memory_bytes, shapes_only


@cache
def flops(config: Config) -> dict[str, int]:
    """Floating-point operations for one clip, forward, by part; a multiply-add counts as 2.

    Products and convolutions are counted, as they are computed here. A training step takes
    three times as many (gradients of inputs and of weights), four with gradient checkpointing.

    Returns:
        Operations by part of the network; their sum is the whole.
    """
    model = shapes_only(config).eval().requires_grad_(False)
    local_blocks = model.vision_encoder.transformer.resblocks
    for k in range(1, len(local_blocks)):  # one is counted, as they are all of one shape
        local_blocks[k] = torch.nn.Identity()
    counter = FlopCounterMode(display=False, depth=None)  # type: ignore[arg-type]  # None: all
    with FakeTensorMode(allow_non_fake_inputs=True), counter:
        model.to_empty(device="cpu")(empty_video(size_of(config), 1))
    counts = Counter({name: sum(n.values()) for name, n in counter.get_flop_counts().items()})
    encoder = "MERCLIP.vision_encoder"
    trunk, block = f"{encoder}.transformer", f"{encoder}.transformer.resblocks.0"
    mlp, lmhra = counts[f"{block}.mlp"], counts[f"{block}.lmhra1"] + counts[f"{block}.lmhra2"]
    global_blocks = sum(n for at, n in counts.items() if at.rpartition(".")[0] == f"{trunk}.dec")
    return {
        "attention within a time": len(local_blocks) * (counts[block] - lmhra - mlp),
        "MLP": len(local_blocks) * mlp,
        "LMHRA": len(local_blocks) * lmhra,
        "global blocks": global_blocks,
        "DPE": counts[trunk] - counts[block] - global_blocks,
        "stem and projections": counts[encoder] - counts[trunk],
        "emotion head": counts["MERCLIP"] - counts[encoder],
    }


def parameters(config: Config) -> int:
    """Numbers that are trained."""
    return sum(parameter.numel() for parameter in shapes_only(config).parameters())


@dataclass(frozen=True)
class Cost:
    """What a run takes; `str` says it in a sentence.

    Attributes:
        folds: trainings.
        steps: of the optimiser, in all folds.
        clips_per_second: speed of training.
        seconds: of one core or GPU.
        memory: bytes, of one fold at a time.
        device: "core" or "GPU".
    """

    folds: int
    steps: int
    clips_per_second: float
    seconds: float
    memory: int
    device: str

    def __str__(self) -> str:
        hours = self.seconds / 3600
        amount = f"{hours:,.{0 if hours >= 10 else 1}f} {self.device} hours"
        if hours < 0.1:
            amount = f"{self.seconds:.0f} seconds of one {self.device}"
        return (
            f"{self.folds} fold{'s' if self.folds > 1 else ''}, {self.steps:,} steps, about "
            f"{amount} at the measured {self.clips_per_second:.3g} clips/s, "
            f"{self.memory / GIB:.1f} GiB for each fold"
        )


def estimate(config: Config, clips: int, folds: int, clips_per_second: float) -> Cost:
    """Cost of the trainings of a run.

    Each clip is held out once; predicting it, after every epoch, takes a third of training on it.

    Args:
        config: of the run.
        clips: of the task.
        folds: trainings; a single one trains on all clips.
        clips_per_second: speed of training (forward, backward, step) of one fold on one core or
            GPU.

    Raises:
        ValueError: for a count or a speed that is not above 0, and more folds than clips.
    """
    for name, value in (("clips", clips), ("folds", folds), ("clips_per_second", clips_per_second)):
        if not value > 0 or not math.isfinite(value):
            raise ValueError(f"{name} is {value}; it must be above 0")
    if folds > clips:
        raise ValueError(f"folds is {folds}, but there are {clips} clips: each fold holds out some")
    trained = clips * max(folds - 1, 1)  # per epoch, over all folds
    predicted = clips if folds > 1 else 0
    steps = folds * config.epochs * math.ceil(trained / folds / config.batch_size)
    seconds = config.epochs * (trained + predicted / 3) / clips_per_second
    device = "GPU" if config.device == "cuda" else "core"
    return Cost(folds, steps, clips_per_second, seconds, memory_bytes(config), device)


def growth(
    config: Config, clips: int, folds: int, sizes: Iterable[str] = SIZES
) -> list[dict[str, Any]]:
    """How time and memory grow when one thing doubles, or the network is another: factors.

    Time by operations counted, relative to `config` with these clips and folds; a measured
    table for small sizes comes from `benchmarks/study/growth.py`.

    Returns:
        Rows with the keys what, time, memory.
    """
    operations, memory = sum(flops(config).values()), memory_bytes(config)

    def row(what: str, other: Config = config, n: int = clips, k: int = folds) -> dict[str, Any]:
        passes = (n * max(k - 1, 1)) / (clips * max(folds - 1, 1))
        work = passes * sum(flops(other).values()) / operations
        return {"what": what, "time": work, "memory": memory_bytes(other) / memory}

    resized = [config_from({**asdict(config), "size": name}) for name in sizes]
    return [
        row("as given"),
        row("twice the clips of every subject", n=2 * clips),
        row("twice the subjects", n=2 * clips, k=2 * folds if folds > 1 else 1),
        row("twice the frames", replace(config, frames=2 * config.frames)),
        *(row(f"size {other.size}", other) for other in resized if other.size != config.size),
    ]


def measure_speed(config: Config) -> float:
    """Clips per second of training with this configuration on this machine, in one thread.

    One local block is timed on one clip, of at most 16 times, forward and backward, and
    scaled by the operations counted, so that any size is measured in seconds. Time is that which
    this process computes, whatever else the machine does; of a GPU, what passes.

    Raises:
        ValueError: when there is no such device.
    """
    check_execution(Execution("serial"), config.device)
    return in_one_thread(_speed_of_block, config)


def _speed_of_block(config: Config) -> float:
    """Clips per second, from the last local block on one clip."""
    block = shapes_only(config).vision_encoder.transformer.resblocks[-1].train()
    block = block.to_empty(device=config.device)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    size = size_of(config)
    times = min(size.times, 16)  # what a block keeps of them fits into any memory
    tokens = torch.randn(1, times, 1 + size.grid**2, size.width, device=config.device)
    tokens.requires_grad_()
    clock = time.monotonic if config.device == "cuda" else time.process_time
    seconds: list[float] = []
    while len(seconds) < 4 or sum(seconds) < 0.5:  # the first ones make ready what is kept
        begun = clock()
        with torch.autocast(config.device, torch.bfloat16, config.precision == "bfloat16"):
            loss = block(tokens).square().mean()
        loss.backward()
        loss.item()  # a GPU is waited for
        seconds.append(clock() - begun)
    counted = flops(config)
    of_blocks = sum(counted[part] for part in ("attention within a time", "MLP", "LMHRA"))
    passes = (4 / 3 if config.checkpoint_blocks else 1) * size.times / times
    return of_blocks / size.layers / (min(seconds) * passes * sum(counted.values()))


def counts_of(config: Config, clips: int | None, folds: int | None) -> tuple[int, int]:
    """Clips and folds of a task: as given, else as its card and the configuration say.

    Raises:
        ValueError: when neither says it.
    """
    if clips is not None and folds is not None:
        return clips, folds
    card = read_card(config.task.rsplit("-", 1)[0])
    totals = card.get("tasks", {}).get(config.task, {})
    if card["embedded"]:
        table = apply_task(plan_population(EXAMPLE), config.task)
        totals = {"clips": len(table), "subjects": table["subject"].nunique()}
    if config.held_out == "split":
        part = totals.get("parts", {}).get("split", {}).get("train", {})
        totals = {"clips": part.get("clips"), "subjects": 1}
    elif config.held_out == "database":
        totals = {**totals, "subjects": len(task_named(config.task).databases)}
    elif config.subjects and "subjects" in totals:  # of these an equal share of the clips
        share = min(config.subjects / totals["subjects"], 1)
        totals = {what: round(share * totals[what]) for what in ("clips", "subjects")}
    clips = totals.get("clips") if clips is None else clips
    folds = (config.folds or totals.get("subjects")) if folds is None else folds
    if None in (clips, folds):
        raise ValueError(f"no card says how many clips {config.task} has; give --clips and --folds")
    return clips, folds


def as_text(config: Config, clips: int, folds: int, clips_per_second: float) -> str:
    """The estimate in a sentence, where the operations go, and how it grows."""
    parts = flops(config)
    total = sum(parts.values())
    lines = [
        f"{config.task}, {config.size}, {config.frames} frames, {clips} clips",
        str(estimate(config, clips, folds, clips_per_second)),
        f"{parameters(config):,} parameters; one clip forward: {total / 1e9:.3g} GFLOP, of it",
        *(f"  {name:<36}{count / total:7.1%}" for name, count in parts.items()),
        "how it grows (factors)                      time  memory",
    ]
    for row in growth(config, clips, folds, sizes=()):
        lines.append(f"  {row['what']:<36}{row['time']:>10.3g}{row['memory']:>8.3g}")
    return "\n".join(lines)
