"""One training step at the paper's size against the plain layout.

    python -m benchmarks.training.step

ViT-B/16, 16 frames of 224 pixels, CPU. Four ways: the plain network of `merclip_lib.model.plain`
and the fast one, each in float32 and in bfloat16 (torch.autocast; the fast one as in
`merclip_lib.model.precision`). They take turns, each time in a new process (so that each has its
own peak of memory), with the same weights and clips. A step is forward, both losses, backward,
gradient clipping and AdamW; beside the plain network the sentences are encoded in the step, the
fast one takes them from the text bank. The first step of a process is not counted. Seconds are CPU
seconds of the process divided by its threads, so that a busy machine disturbs little; the ratios
are of medians over the rounds.

First of all the outputs and losses of the two networks are compared. Needs 8 GiB.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from statistics import median

import torch

from merclip_lib.config import SIZES, Config, ModelSize
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.model.plain import PlainMERCLIP
from merclip_lib.model.precision import has_bfloat16, mixed, products
from merclip_lib.text.bank import text_tower
from merclip_lib.training.losses import alignment_loss, focal_loss

KINDS = ("plain float32", "fast float32", "plain bfloat16", "fast bfloat16")
GIB = 2**30


def network_of(kind: str, size: ModelSize) -> PlainMERCLIP | MERCLIP:
    """The "plain" or the "fast" network with the same random weights, no layer at zero."""
    torch.manual_seed(0)
    network = PlainMERCLIP(size, classes=7) if kind == "plain" else MERCLIP(size, classes=7)
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return network.train()


def video_of(size: ModelSize, clips: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(clips, 3, size.frames, size.resolution, size.resolution, generator=generator)


def loss_of(z, logits, text, scale) -> torch.Tensor:
    labels = torch.arange(len(z)) % 7
    return 1.5 * alignment_loss(z.float(), text, scale) + 0.5 * focal_loss(logits.float(), labels)


def differences(size: ModelSize, clips: int) -> tuple[float, float]:
    """How far the networks are apart: outputs at most, and the stem's gradient by its norm."""
    video, text = video_of(size, clips), torch.eye(clips, size.embed_dim)
    outputs, slopes = [], []
    for kind in ("plain", "fast"):
        network = network_of(kind, size)
        z, logits = network(video)
        loss_of(z, logits, text, network.logit_scale).backward()
        outputs.append(torch.cat([z.flatten(), logits.flatten()]).detach())
        slopes.append(network.vision_encoder.conv1.weight.grad)
    slope = (slopes[1] - slopes[0]).norm() / slopes[0].norm()
    return (outputs[1] - outputs[0]).abs().max().item(), slope.item()


def work(kind: str, size: ModelSize, clips: int, steps: int) -> None:
    """In a new process: print seconds of each step, loss and peak memory as JSON."""
    name, precision = kind.split()
    network = network_of(name, size)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-6, weight_decay=0.05)
    video, text = video_of(size, clips), torch.eye(clips, size.embed_dim)
    tower = text_tower(size).eval() if name == "plain" else None
    sentences = torch.randint(1, size.vocabulary - 1, (clips, size.context_length))
    config, seconds, losses = Config(precision=precision), [], []
    for _ in range(1 + steps):
        start = time.process_time()
        if tower is not None:
            with torch.no_grad():
                tower(sentences)
        optimiser.zero_grad(set_to_none=True)
        with products(config) if name == "fast" else nullcontext():
            with mixed(config):
                z, logits = network(video)
            loss = loss_of(z, logits, text, network.logit_scale)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 20.0)
        optimiser.step()
        seconds.append((time.process_time() - start) / torch.get_num_threads())
        losses.append(loss.item())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds[1:], "loss": losses[0], "peak": peak}))


def main(arguments: list[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="ViT-B-16", choices=SIZES)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1, help="counted steps of each process")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="only this one")
    parser.add_argument("--kind", choices=("compare", *KINDS), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    # Dropout draws other numbers in another layout, so it is off.
    size = replace(SIZES[given.size], mlp_dropout=0.0, eim_dropout=0.0)
    if given.kind == "compare":
        output, norm = differences(size, given.clips)
        print(f"outputs differ by {output:.1e}, the stem's gradient by {norm:.1e} of its norm")
        return {}
    if given.kind:
        work(given.kind, size, given.clips, given.steps)
        return {}

    options = sys.argv[1:] if arguments is None else arguments

    def in_process(kind: str) -> str:
        """The last line of a new process: Linux counts the parent's memory as a child's."""
        command = [sys.executable, "-m", "benchmarks.training.step", *options, "--kind", kind]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()[-1]

    print(
        f"{given.size}, {size.frames} frames, {given.clips} clips, {given.threads} threads, "
        f"bfloat16 instructions: {'yes' if has_bfloat16() else 'no'}"
    )
    print(in_process("compare"), flush=True)
    kinds = [kind for kind in KINDS if kind.endswith(given.precision or "")]
    results = {kind: [] for kind in kinds}
    for _ in range(given.rounds):
        for kind in kinds:
            results[kind].append(json.loads(in_process(kind)))
            print(f"  {kind:<18}{results[kind][-1]}", flush=True)
    seconds = {
        kind: median(s for run in runs for s in run["seconds"]) for kind, runs in results.items()
    }
    memory = {kind: median(run["peak"] for run in runs) for kind, runs in results.items()}
    print(f"{'':<18}{'seconds a step':>15}{'times faster':>14}{'peak GiB':>10}{'loss':>12}")
    for kind in kinds:
        print(
            f"{kind:<18}{seconds[kind]:>15.2f}{seconds[kinds[0]] / seconds[kind]:>14.2f}"
            f"{memory[kind] / GIB:>10.2f}{results[kind][0]['loss']:>12.5f}"
        )
    return {
        f"training step, {given.size}: plain layout, to ours, {precision}": seconds[
            f"plain {precision}"
        ]
        / seconds[f"fast {precision}"]
        for precision in {kind.split()[1]: None for kind in kinds}
    }


if __name__ == "__main__":
    main()
