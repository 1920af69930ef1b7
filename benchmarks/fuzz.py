"""Inputs without end: `python -m benchmarks.fuzz --minutes 10` (or --inputs 10000).

Every kind of input of tests/strategies.py is tried in turn for its share of the time: read as it
should be, or refused with a ValueError of one line (tests/fuzz_checks.py says what must hold).
Prints, for each kind, how many were tried, how many of them failed, and the longest seconds and
the most memory that one call took beyond what the process had. What failed is written below
runs/fuzz. The exit code is 1 if anything failed, or took more than 2 s or 1 GB.
"""

import argparse
import pickle
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from fuzz_checks import KINDS, Kind

SECONDS, MEMORY = 2.0, 10**9
FAILED = Path("runs/fuzz")


@dataclass
class Count:
    """What was seen of one kind."""

    inputs: int = 0
    failures: int = 0
    seconds: float = 0.0
    memory: int = 0


def peak() -> int:
    """The most memory that this process has had since `forget_peak`; Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


def forget_peak() -> int:
    """Start to look for the peak anew; the memory of now."""
    Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss


def fuzz(name: str, kind: Kind, start: int, most: int, minutes: float) -> Count:
    """Try inputs of one kind until there are as many as asked, or the time is over."""
    count, end, folder = Count(), time.monotonic() + 60 * minutes, Path(tempfile.mkdtemp())

    def one(content) -> None:
        if time.monotonic() > end or count.inputs >= most:
            return
        shutil.rmtree(folder)
        folder.mkdir()
        before, began = forget_peak(), time.process_time()
        try:
            kind.check(folder, content)
        except Exception:
            place = FAILED / f"{name.replace(' ', '_')}-{start}-{count.inputs}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.with_suffix(".pickle").write_bytes(pickle.dumps(content))
            place.with_suffix(".txt").write_text(traceback.format_exc())
            count.failures += 1
        count.seconds = max(count.seconds, time.process_time() - began)
        count.memory = max(count.memory, peak() - before)
        count.inputs += 1

    few = settings(
        max_examples=min(most, 10**4),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() < end and count.inputs < most:
        before = count.inputs
        seed(start)(few(given(kind.inputs)(one)))()
        start += 1
        if count.inputs == before:
            break
    shutil.rmtree(folder, ignore_errors=True)
    return count


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz")
    parser.add_argument("--minutes", type=float, default=10.0, help="of all kinds together")
    parser.add_argument("--inputs", type=int, default=10**9, help="at most, of each kind")
    parser.add_argument(
        "--stores", type=int, default=10**9, help="at most, where files are written"
    )
    parser.add_argument("--only", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bad = False
    print(f"{'':<18}{'inputs':>9}{'failed':>8}{'worst s':>9}{'most MB':>9}", flush=True)
    for name in given.only:
        kind, minutes = KINDS[name], given.minutes / len(given.only)
        most = min(given.inputs, given.stores) if kind.writes else given.inputs
        count = fuzz(name, kind, given.seed, most, minutes)
        bad |= bool(count.failures) or count.seconds > SECONDS or count.memory > MEMORY
        numbers = f"{count.inputs:>9,}{count.failures:>8}{count.seconds:>9.2f}"
        print(f"{name:<18}{numbers}{count.memory / 1e6:>9.0f}", flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
