"""A busy neighbour: another process that computes without end.

Not in `__main__.py`, whose functions a worker process cannot import.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from merclip_lib.workers import pool


def process_id() -> int:
    """The number of the worker that is asked."""
    return os.getpid()


def work_for_ever() -> None:
    """Keep a core busy."""
    torch.set_num_threads(1)
    matrix = torch.eye(256)
    while True:
        matrix = matrix @ matrix


@contextmanager
def busy_core() -> Iterator[int]:
    """Meanwhile another process, whose number is given, computes.

    Raises:
        RuntimeError: it ended, so that what was measured was not beside it.
    """
    with pool(1) as processes:
        number = processes.submit(process_id).result()
        work = processes.submit(work_for_ever)
        try:
            yield number
            if work.done():
                raise RuntimeError(f"the busy job had ended: {work.exception()}")
        finally:
            for worker in processes._processes.values():
                worker.kill()
