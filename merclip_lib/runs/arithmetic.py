"""Which arithmetic a run has: tried out on this machine, never told from a processor's name.

A block of the run's network passes forward and backward in each of the ways of `ARITHMETICS`. The
fastest counts that is as exact as torch's own: where oneDNN rounds float32 to bfloat16 it is
refused. The choice is made when a run begins and recorded in its run.json; whoever trains the
remaining folds, in another process, on another day or machine, computes as recorded.
"""

import contextlib
import hashlib
import inspect
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch

from merclip_lib.config import Config, size_of
from merclip_lib.files import write_text
from merclip_lib.model.arithmetic import ARITHMETICS, arithmetic
from merclip_lib.model.encoder import use_fast_forms
from merclip_lib.model.plain import LocalBlock
from merclip_lib.model.precision import mixed, products
from merclip_lib.runs.code import fingerprint
from merclip_lib.runs.executors import in_one_thread
from merclip_lib.runs.store import read_json, read_record

GAIN = 1.2  # how much faster than torch's own another way must be: a busy machine misjudges less
LOSS = 3.0  # how much less exact it may be
WORK = 5e9  # multiplications of a pass, forward and backward: less than a tenth of a second
ROUNDS, SECONDS = 4, 0.8  # each way is tried so often at least, and until so much time is spent


class Trial(NamedTuple):
    """One way on this machine."""

    seconds: float  # of this thread, in the precision of the run
    error: float  # of float32, relative to float64


def choose(config: Config) -> str:
    """The arithmetic for a new run of this configuration: a name of ARITHMETICS."""
    if config.device != "cpu" or config.compile:
        return "torch"
    tried = trials(config)
    best = min((name for name in tried if is_exact(tried, name)), key=lambda n: tried[n].seconds)
    return best if tried[best].seconds * GAIN < tried["torch"].seconds else "torch"


def is_exact(tried: dict[str, Trial], name: str) -> bool:
    """Whether one way rounds no more than torch's own."""
    return tried[name].error <= LOSS * tried["torch"].error


def as_recorded(folder: Path, config: Config) -> contextlib.AbstractContextManager[None]:
    """A context in which a run's folds are computed as its run.json says.

    Raises:
        ValueError: run.json cannot be read, or this machine cannot compute so.
    """
    name = read_record(folder).get("arithmetic", "torch")
    rounded = ARITHMETICS.get(name) == "bf16" and not is_exact(trials(config), name)
    if name not in ARITHMETICS or rounded:
        begun = f"{folder}: the run began with {name!r} products, which this processor"
        remedy = "finish it on a machine like the first, or delete the folder and start again"
        raise ValueError(f"{begun} {'rounds to bfloat16' if rounded else 'has not'}; {remedy}")
    return arithmetic(name)


def of_begun_run(folder: Path) -> str | None:
    """What finished folds were computed with, where run.json was lost; None without any."""
    first = min(folder.glob("*/environment.json"), default=None)
    return read_json(first, dict).get("arithmetic", "torch") if first else None


def trials(config: Config) -> dict[str, Trial]:
    """Every way tried out, or what is remembered of it in the user's cache folder."""
    key = [torch.cpu.get_capabilities(), torch.__version__, fingerprint(), size_of(config)]
    source = inspect.getsource(sys.modules[__name__])
    digest = hashlib.sha256(repr([*key, config.precision, source]).encode()).hexdigest()[:12]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = caches / "merclip" / f"arithmetic-{digest}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        cached = json.loads(path.read_text())
        return {name: Trial(*cached[name]) for name in ARITHMETICS}
    tried = in_one_thread(try_out, config)
    with contextlib.suppress(OSError, ValueError):  # a folder that cannot be written is no harm
        write_text(path, json.dumps(tried))
    return tried


def try_out(config: Config) -> dict[str, Trial]:
    """One block of the network, forward and backward in each way, in turns."""
    size, tokens = size_of(config), 1 + size_of(config).grid ** 2
    times = min(max(int(WORK / (36 * size.width**2 * tokens)), 1), 64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = use_fast_forms(LocalBlock(size, drop=0.0))
        x = torch.randn(1, times, tokens, size.width)
    seconds: dict[str, list[float]] = {name: [] for name in ARITHMETICS}
    end = time.monotonic() + SECONDS
    while len(seconds["torch"]) < ROUNDS or time.monotonic() < end:
        for name, taken in seconds.items():
            start = time.thread_time()
            with arithmetic(name), products(config):
                _pass(block, x, mixed(config))
            taken.append(time.thread_time() - start)
    results = {}  # in float32: also in mixed precision the losses are
    for name in ARITHMETICS:
        with arithmetic(name):
            results[name] = _pass(block, x, contextlib.nullcontext())
    exact = _pass(block.double(), x.double(), contextlib.nullcontext())
    errors = {name: float((y - exact).norm() / exact.norm()) for name, y in results.items()}
    return {name: Trial(min(seconds[name]), errors[name]) for name in ARITHMETICS}


def _pass(
    block: torch.nn.Module, x: torch.Tensor, precision: contextlib.AbstractContextManager
) -> torch.Tensor:
    """The output of a block, its gradients by the input and by a matrix, in one float64 vector."""
    block.zero_grad()
    x = x.clone().requires_grad_()
    with precision:
        y = block(x)
    y.square().sum().backward()
    slopes = [x.grad, block.get_parameter("mlp.c_fc.weight").grad]
    return torch.cat([part.detach().double().flatten() for part in (y, *slopes)])
