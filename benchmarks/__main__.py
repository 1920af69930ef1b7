"""All comparisons in one run: `python -m benchmarks`, or in small with `--quick`.

Each benchmark prints what it prints alone; at the end stands one table of ratios with the
processor that gave them. `against` (needs version 0.1), `budgets`, `fuzz` and `kills` are called by
themselves.
"""

import argparse
import os
import platform
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import psutil
import torch

from benchmarks.busy import busy_core
from benchmarks.data import input as reading
from benchmarks.data import loading
from benchmarks.protocol import folds, heads
from benchmarks.study import cost, growth
from benchmarks.training import mix, step
from merclip_lib.model.precision import has_bfloat16
from merclip_lib.workers import pool

Ratios = dict[str, float]
TINY_STEP = ["--size", "merclip-tiny", "--rounds", "1", "--steps", "3", "--clips", "4"]
# Module, arguments, arguments of --quick (None: left out there), whether beside a busy job.
BENCHMARKS: tuple[tuple[Callable[[list[str]], Ratios], list[str], list[str] | None, bool], ...] = (
    (step.main, ["--threads", "2"], TINY_STEP, False),
    (mix.main, [], [], False),
    (reading.main, [], [], False),
    (loading.main, [], [], False),
    (growth.main, [], [], False),
    (cost.main, [], ["--tiny"], False),
    (heads.main, [], ["--cases", "2"], False),
    (heads.main, [], ["--cases", "2"], True),
    (folds.main, [], None, False),
)


def processor() -> str:
    """Its name where the system tells it, cores, memory, and what torch can do on it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    memory = psutil.virtual_memory().total / 2**30
    bfloat16 = "with" if has_bfloat16() else "without"
    name = (names or [platform.processor() or platform.machine()])[0]
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB, {bfloat16} bfloat16 instructions"


def main(arguments: list[str] | None = None) -> Ratios:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, some minutes")
    given = parser.parse_args(arguments)
    load = psutil.getloadavg()[0]
    ratios: Ratios = {}
    for function, usual, quick, beside in BENCHMARKS:
        options = quick if given.quick else usual
        if options is None:
            continue
        name = f"{function.__module__}{', beside a busy job' if beside else ''}"
        print(f"\n== {name}", flush=True)
        with busy_core() if beside else nullcontext(), pool(1) as processes:  # its own memory
            measured = processes.submit(function, options).result()
        ratios |= {what + ", beside a busy job" * beside: x for what, x in measured.items()}
    print(f"\n{processor()}; torch {torch.__version__}; load before it began {load:.1f}")
    for what, ratio in ratios.items():
        print(f"{ratio:>8.2f}  {what}")
    return ratios


if __name__ == "__main__":
    main()
