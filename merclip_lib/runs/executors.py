"""Where jobs run: in this process, in processes side by side, or on a Ray cluster.

A job is anything that can be sent to another process, and a function of this library is called
with each. Every job runs with one thread and draws from its own seeds, so that its result depends
neither on the executor nor on the number of workers nor on the order.
"""

import contextlib
import logging
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec

import psutil
import torch

EXECUTORS = ("serial", "processes", "ray")


LOST_WORKERS = 3  # how often Ray tries a job again when its worker is lost


GIB = 2**30


def check_executor(
    executor: str,
    workers: int | None = None,
    address: str = "",
    device: str = "cpu",
    memory: float = 0.0,
) -> None:
    """Raise ValueError at once for what cannot work; `memory` in bytes is the need of one job."""
    if executor not in EXECUTORS:
        raise ValueError(f"executor {executor!r} is unknown; choose one of {', '.join(EXECUTORS)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; it must be at least 1")
    if address and executor != "ray":
        raise ValueError(f'address {address!r} is for executor="ray", not {executor!r}')
    if executor == "ray" and find_spec("ray") is None:
        raise ValueError('executor="ray" needs Ray: pip install ray')
    if address:  # the machines of the cluster are not this one
        return _check_address(address)
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError('device is "cuda", but this machine has no GPU that torch can use')
    free = psutil.virtual_memory().available
    if (workers or 1) > 1 and executor != "serial" and workers * memory > free:
        raise ValueError(
            f"{workers} workers need about {workers * memory / GIB:.1f} GiB of memory, "
            f"{free / GIB:.1f} GiB are free; choose workers={max(1, int(free / memory))}"
        )


def _check_address(address: str) -> None:
    """Raise ValueError unless something listens there; "auto" is Ray's own to find."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f'address {address!r} wants host:port of a Ray cluster, or "auto"')
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ValueError(
            f"no Ray cluster answers at {address} ({error}); start one with `ray start --head`, or "
            "leave `address` empty"
        ) from None


def memory_of(parameters: int, activations: int) -> float:
    """Bytes that one training takes: weights, gradients and AdamW's two moments, activations.

    `activations` counts channels times tokens times layers times clips of a batch; about 40
    numbers are taken for each, which makes 7.3 GiB of ViT-B/16 with 2 clips of 16 frames (the
    authors' program was measured at 7.6 GiB).
    """
    return 0.4 * GIB + 16 * parameters + 40 * 4 * activations


def workers_for(jobs: int, workers: int | None, device: str, memory: float) -> int:
    """How many jobs side by side: as asked, else one per core or GPU that fits in memory."""
    if workers is None:
        units = torch.cuda.device_count() if device == "cuda" else os.cpu_count() or 1
        fit = int(psutil.virtual_memory().available / memory) if memory else units
        workers = min(units, fit)
    return max(1, min(workers, jobs))


def gpu_share(workers: int, device: str, address: str = "") -> float:
    """The part of a GPU that one job occupies: a whole one, less only if more workers are asked
    for than this machine has."""
    if device != "cuda":
        return 0.0
    return 1.0 if address else min(1.0, torch.cuda.device_count() / workers)


def run_jobs(
    executor: str,
    function: Callable,
    jobs: Sequence,
    workers: int = 1,
    address: str = "",
    gpus: float = 0.0,
) -> Iterator[tuple[int, object]]:
    """Call `function` with every job; yields (position, result) as they come.

    `gpus` is what one job occupies, a fraction when several share one: Ray places jobs by it,
    processes take the GPUs in turn. A worker that Ray loses is replaced and its job tried again.
    An error in a job is raised here and the jobs that have not begun are dropped.
    """
    if executor == "serial":
        yield from _serial(function, jobs)
    elif executor == "processes":
        yield from _processes(function, jobs, workers, gpus)
    else:
        yield from _ray(function, jobs, workers, address, gpus)


def _serial(function: Callable, jobs: Sequence) -> Iterator[tuple[int, object]]:
    for k, job in enumerate(jobs):
        yield k, _in_one_thread(function, job)


def _in_one_thread(function: Callable, job):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(job)
    finally:
        torch.set_num_threads(threads)


def _processes(
    function: Callable, jobs: Sequence, workers: int, gpus: float
) -> Iterator[tuple[int, object]]:
    context = multiprocessing.get_context("spawn")
    count = context.Value("i", 0)
    visible = _visible_gpus() if gpus else []
    with ProcessPoolExecutor(workers, context, _begin_worker, (count, visible)) as pool:
        futures = {pool.submit(_in_one_thread, function, job): k for k, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise RuntimeError(
                "a worker process was killed, most often for want of memory; start again with "
                "fewer workers: finished epochs and folds are kept"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_worker(count, visible: list[str]) -> None:
    """In a new worker: its GPU, and a watch that ends it together with its parent."""
    if visible:
        with count.get_lock():
            os.environ["CUDA_VISIBLE_DEVICES"] = visible[count.value % len(visible)]
            count.value += 1
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)  # else a killed run would leave workers that train on and keep the locks


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]


def _ray(
    function: Callable, jobs: Sequence, workers: int, address: str, gpus: float
) -> Iterator[tuple[int, object]]:
    import ray

    with _ray_session(ray, workers, address):
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=LOST_WORKERS)(_in_one_thread)
        waiting = {remote.remote(function, job): k for k, job in enumerate(jobs)}
        try:
            while waiting:
                (ready, *_), _ = ray.wait(list(waiting))
                yield waiting.pop(ready), ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            raise RuntimeError(
                f"Ray lost the worker of one job {LOST_WORKERS + 1} times, most often for want of "
                f"memory; finished epochs and folds are kept ({error})"
            ) from None
        finally:
            for job in waiting:
                ray.cancel(job, force=True)


@contextlib.contextmanager
def _ray_session(ray, workers: int, address: str) -> Iterator[None]:
    """Connect to the cluster at `address`, or start a small one here; leave what was there."""
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address=address, **quiet)
        else:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
    except Exception as error:
        ray.shutdown()  # else half of a cluster stays behind
        raise RuntimeError(
            f"Ray does not start {'at ' + address if address else 'here'}: {error}; "
            'executor="processes" needs no cluster'
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
