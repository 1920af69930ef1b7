"""Tell the reader of a long run how far it is and about how long the rest takes.

A notebook runs in another process, so it reports by adding lines to a text file, whose name is
in the environment variable MERCLIP_PROGRESS; the driver prints them as they come.
"""

import contextlib
import json
import os
import re
import threading
import time
from pathlib import Path

from merclip_lib.files import write_text
from merclip_lib.progress import FILE


class Clock:
    """Prints progress; knows how much of the work is done and so about how long the rest takes.

    Args:
        weights: about how long each job takes in relation to the others.
        file: remembers the seconds of each job for the next run; None remembers nothing.
        workers: jobs at a time.
    """

    def __init__(self, weights: dict[str, float], file: Path | None = None, workers: int = 1):
        self.file, self.workers, self.seconds = file, workers, dict[str, float]()
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            before = json.loads(file.read_text(encoding="utf-8")) if file else {}
            self.seconds = {name: float(seconds) for name, seconds in before.items() if seconds > 0}
        self.done, self.starts = dict[str, float](), dict[str, float]()  # seconds, moments
        known = [name for name in weights if name in self.seconds]
        seconds, shares = (sum(of[name] for name in known) for of in (self.seconds, weights))
        unit = seconds / shares if known else 1.0  # seconds of a weight of 1
        self.weights = {name: self.seconds.get(name, unit * weights[name]) for name in weights}
        self.began = time.monotonic()
        self.inner: dict[tuple[str, str], tuple[float, int, int]] = {}  # start, first, last step

    def __call__(self, text: str) -> None:
        print(text, flush=True)

    def finish(self, name: str, seconds: float = 0.0, outcome: str = "finished") -> None:
        """A job has ended: what became of it, time spent, and an estimate of the time left."""
        if self.file and seconds >= self.seconds.get(name, 0.0) / 4:  # else its runs were there
            self.seconds[name] = round(seconds, 1)
            with contextlib.suppress(ValueError):  # an estimate is not worth an error
                write_text(self.file, json.dumps(self.seconds, indent=1))
        self.done[name] = seconds
        self(f"[{len(self.done)}/{len(self.weights)}] {name}: {outcome}")
        now = time.monotonic()
        self(f"      done at {minutes(now - self.began)}, about {minutes(self.left(now))} left")

    def left(self, now: float) -> float:
        """Seconds until the last job ends: all work shared, and none sooner than its own rest."""
        taken = sum(self.done.values()) or self.workers * (now - self.began)
        pace = taken / sum(self.weights[name] for name in self.done)  # seconds of a weight of 1
        rest = [
            max(pace * weight - (now - self.starts.get(name, now)), 0.0)
            for name, weight in self.weights.items()
            if name not in self.done
        ]
        return max([sum(rest) / self.workers, *rest])

    def inner_line(self, line: str) -> None:
        """A line such as "fold 3/12 ..." that a notebook wrote while it works."""
        text, now = f"      {line}", time.monotonic()
        self.starts[line.removesuffix(".ipynb begins")] = now
        if step := re.search(r"(\d+)\s*(?:/|of)\s*(\d+)", line):
            k, total, of = int(step[1]), step[2], line.partition(" of ")[2]  # of which run
            start, first, last = self.inner.get((of, total), (now, k, 0))
            if k <= last:  # another count of so many steps
                start, first = now, k
            elif k > first:
                text += f" (about {minutes((now - start) * (int(total) - k) / (k - first))} left)"
            self.inner[of, total] = (start, first, k)
        self(text)


def minutes(seconds: float) -> str:
    """Seconds as `minutes:seconds min`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


@contextlib.contextmanager
def progress_file(folder: Path, say: Clock):
    """Print, through `say`, the lines that notebooks add to the file named by MERCLIP_PROGRESS."""
    if os.environ.get(FILE):  # a sweep inside a notebook reports to the outer run
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "progress.txt"
    path.write_text("")
    stop = threading.Event()

    def tail():
        with open(path, encoding="utf-8") as lines:
            while not stop.is_set() or lines.tell() < path.stat().st_size:
                if line := lines.readline().strip():
                    say.inner_line(line)
                else:
                    stop.wait(0.3)

    thread = threading.Thread(target=tail, daemon=True)
    thread.start()
    os.environ[FILE] = str(path)
    try:
        yield
    finally:
        del os.environ[FILE]
        stop.set()
        thread.join()
