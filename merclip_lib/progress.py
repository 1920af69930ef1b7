"""What a long computation says while it works: a bar where somebody looks, or lines in a file.

The driver of the notebooks names the file in MERCLIP_PROGRESS and prints its lines, so that
nothing of them stays in an executed notebook.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

FILE = "MERCLIP_PROGRESS"
Item = TypeVar("Item")


def say(line: str) -> None:
    """Something that the reader should know now."""
    if not os.environ.get(FILE):
        print(line, file=sys.stderr, flush=True)
        return
    with contextlib.suppress(OSError), open(os.environ[FILE], "a", encoding="utf-8") as file:
        file.write(line + "\n")


class Progress(contextlib.AbstractContextManager):
    """Steps of a computation, counted as they are done; used in a `with` block.

    Args:
        what: is done, such as "folds".
        total: number of steps.
        done: of them, done before.
        tell: receives a line per step instead.
    """

    def __init__(
        self, what: str, total: int, done: int = 0, tell: Callable[[str], object] | None = None
    ):
        from tqdm.auto import tqdm

        self.tell, lines = tell or say, tell or os.environ.get(FILE)
        self.bar = None if lines else tqdm(total=total, initial=done, desc=what)

    def step(self, line: str, done: int | None = None) -> None:
        """One more step is done, or `done` in all; `line` says which."""
        if self.bar is None:
            self.tell(line)
        else:
            self.bar.update(1 if done is None else done - self.bar.n)
            self.bar.set_postfix_str(line)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()


def track(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, counted as they come; with lines in a file, only that they are awaited."""
    with Progress(what, total) as bar:
        if bar.bar is None:
            say(f"waiting for {total} {what}")
        for item in items:
            yield item
            if bar.bar is not None:
                bar.step("")
