"""One training step against the same step of another version of the library.

    python -m benchmarks.training.against /path/to/clone/of/version/0.1

Each side runs in a new process with one thread, in turns: forward, both losses, backward, clipping,
AdamW, on the same random clips and sentences. Ours is also run in bfloat16, and both as a fold is
run: in the arithmetic that a new run would choose here (`merclip_lib.runs.arithmetic`) and with
the environment of a worker process. Seconds are those of the thread, so that a busy machine
disturbs little; the least of all steps counts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30
SIZES = {"ViT-B-16": 2, "merclip-tiny": 16}  # clips of a batch


def step_of(size: str, precision: str):
    """A training step of the library on the path, and the context in which it runs."""
    try:  # before the rooms
        from merclip_lib.model.merclip import MERCLIP, forward
        from merclip_lib.training.losses import alignment_loss, focal_loss
        from merclip_lib.training.optimiser import parameter_groups
    except ImportError:
        from merclip_lib.losses import alignment_loss, focal_loss
        from merclip_lib.train import parameter_groups

        from merclip_lib.model import MERCLIP, forward
    from merclip_lib.config import SIZES as MODELS
    from merclip_lib.config import Config

    name, how, fused = "0.1", nullcontext(), {}
    config = replace(Config(), size=size, frames=MODELS[size].frames, precision=precision)
    try:
        from merclip_lib.model.arithmetic import arithmetic
        from merclip_lib.runs.arithmetic import choose
    except ImportError:
        pass
    else:
        name, fused = choose(config), {"fused": True}  # as in training.loop.start
        how = arithmetic(name)
    torch.manual_seed(0)
    network, shape = MERCLIP(MODELS[size], 7).train(), MODELS[size]
    clips = SIZES[size]
    video = torch.randn(clips, shape.frames, 3, shape.resolution, shape.resolution)
    text, labels = torch.randn(clips, shape.embed_dim), torch.arange(clips) % 7
    optimiser = torch.optim.AdamW(parameter_groups(network, 0.05), lr=1e-6, **fused)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        output = forward(network, video, config)
        align = alignment_loss(output.z, text, network.logit_scale)
        loss = 1.5 * align + 0.5 * focal_loss(output.logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 20.0)
        optimiser.step()
        return loss.item()

    return step, how, name


def work(size: str, precision: str, steps: int) -> None:
    """In a new process: print the arithmetic, the least seconds, first loss and peak memory."""
    torch.set_num_threads(1)
    step, how, name = step_of(size, precision)
    seconds, losses = [], []
    with how:
        for _ in range(1 + steps):
            start = time.thread_time()
            losses.append(step())
            seconds.append(time.thread_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    result = {"how": name, "seconds": min(seconds[1:]), "loss": losses[0], "peak": peak / GIB}
    print(json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="folder of the other version")
    parser.add_argument("--size", default="ViT-B-16", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2, help="counted steps of each process")
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.precision:
        work(given.size, given.precision, given.steps)
        return

    from merclip_lib.workers import ENVIRONMENT

    print(
        f"{torch.cpu.get_capabilities().get('cpu_name')}, {given.size}, batch {SIZES[given.size]}"
    )
    sides = {
        "other float32": (given.other.resolve(), "float32", {}),
        "ours float32": (ROOT, "float32", ENVIRONMENT),
        "ours bfloat16": (ROOT, "bfloat16", ENVIRONMENT),
    }
    options = ["--size", given.size, "--steps", str(given.steps), "--precision"]
    best: dict[str, dict] = {}
    for _ in range(given.rounds):
        for name, (path, precision, environment) in sides.items():
            command = [sys.executable, __file__, str(given.other), *options, precision]
            found = subprocess.run(
                command,
                env=os.environ | environment | {"PYTHONPATH": str(path)},
                check=True,
                capture_output=True,
                text=True,
            )
            result = json.loads(found.stdout.splitlines()[-1])
            if name not in best or result["seconds"] < best[name]["seconds"]:
                best[name] = result
    print(
        f"{'':<16}{'arithmetic':>12}{'seconds':>9}{'times faster':>14}{'peak GiB':>10}{'loss':>12}"
    )
    for name, result in best.items():
        times = best["other float32"]["seconds"] / result["seconds"]
        print(
            f"{name:<16}{result['how']:>12}{result['seconds']:>9.3f}{times:>14.2f}"
            f"{result['peak']:>10.2f}{result['loss']:>12.5f}"
        )


if __name__ == "__main__":
    main()
