"""Worker processes: one thread each, quiet while they wait, ended together with their parent.

Threads of several processes that wait for each other by spinning make a busy machine tens of times
slower, so a process that is not alone by design computes with one thread and waits passively.
Importing torch takes seconds; on Linux a server does it once, and all workers are its forks.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# Read when a process starts. The last three let the C library (of Linux) keep freed memory of large
# tensors instead of handing it back and clearing it anew in every step, and take it in large pages.
QUIET = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "KMP_BLOCKTIME": "0",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", **QUIET}
# What the server imports, if this process has the package. Nothing of ours: its path need not be
# known. The first step of a training imports torch._dynamo.
HEAVY = "pandas cv2 nbformat scipy.optimize sklearn.metrics torch._dynamo open_clip".split()


def fresh_processes() -> multiprocessing.context.BaseContext:
    """How processes begin that share nothing with this one but what they are given."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    with environment(ENVIRONMENT):  # of the server, so of its forks
        forkserver.set_forkserver_preload([n for n in HEAVY if n.split(".")[0] in sys.modules])
        forkserver.ensure_running()
    return multiprocessing.get_context("forkserver")


@contextlib.contextmanager
def pool(
    workers: int, begin: Callable[..., object] | None = None, arguments: tuple = ()
) -> Iterator[ProcessPoolExecutor]:
    """Fresh worker processes for the block.

    Args:
        workers: how many.
        begin: called first in each worker.
        arguments: of `begin`.

    Yields:
        The pool; when the block raises, jobs that have not begun are dropped.

    Raises:
        ValueError: fewer than one worker.
        RuntimeError: the script that is run would be begun again by every worker.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}; it must be at least 1")
    _refuse_plain_script()
    with environment(ENVIRONMENT):
        given = (dict(os.environ), begin, arguments)
        executor = ProcessPoolExecutor(workers, fresh_processes(), _begin, given)
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        executor.shutdown()


def _refuse_plain_script() -> None:
    """Workers import the script that began them, so that its work must stand under a condition."""
    main = sys.modules["__main__"]
    script = Path(getattr(main, "__file__", None) or "")
    if not main.__spec__ and script.is_file() and b"__name__" not in script.read_bytes():
        why = f"{script}: its work is done in processes, which would all begin it anew"
        raise RuntimeError(f'{why}; write `if __name__ == "__main__":` around it')


def _begin(variables: dict, begin: Callable[..., object] | None, arguments: tuple) -> None:
    """In a new worker: its parent's variables, and a watch that ends it together with it."""
    os.environ.clear()
    os.environ.update(variables)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)  # else a killed run would leave workers that go on and keep their locks


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Within: these variables, where they are not set already; new processes inherit them."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
