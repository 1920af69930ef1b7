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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

import psutil
import torch

from merclip_lib.workers import pool

EXECUTORS = ("serial", "processes", "ray")
LOST_WORKERS = 3  # how often Ray tries a job again when its worker is lost
GIB = 2**30
Result = TypeVar("Result")
Done = Iterator[tuple[int, Any]]  # position and result of every job, as they come


@dataclass(frozen=True)
class Execution:
    """Where jobs run; their results do not depend on it.

    Attributes:
        executor: "processes" side by side, "serial" in this process, or "ray", a cluster.
        workers: how many side by side; None = one per core or GPU that fits in memory.
        address: of a Ray cluster; empty for this machine.
        data_workers: processes with which each job reads clips ahead.
    """

    executor: str = "processes"
    workers: int | None = None
    address: str = ""
    data_workers: int = 0


def check_execution(execution: Execution, device: str = "cpu", memory: float = 0.0) -> None:
    """See at once that jobs can run this way.

    Args:
        execution: where they run.
        device: "cpu" or "cuda".
        memory: bytes that one job needs.

    Raises:
        ValueError: what cannot work, with its remedy.
    """
    executor, workers, address = execution.executor, execution.workers, execution.address
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
    if workers is not None and workers > 1 and executor != "serial" and workers * memory > free:
        need = f"{workers} workers need about {workers * memory / GIB:.1f} GiB of memory"
        remedy = f"choose workers={max(1, int(free / memory))}"
        raise ValueError(f"{need}, {free / GIB:.1f} GiB are free; {remedy}")


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
        remedy = "start one with `ray start --head`, or leave `address` empty"
        raise ValueError(f"no Ray cluster answers at {address} ({error}); {remedy}") from None


def workers_for(jobs: int, execution: Execution, device: str, memory: float) -> int:
    """How many jobs side by side: as asked, else one per core or GPU that fits in memory."""
    workers = execution.workers
    if workers is None:
        units = torch.cuda.device_count() if device == "cuda" else os.cpu_count() or 1
        workers = min(units, int(psutil.virtual_memory().available / memory) if memory else units)
    return max(1, min(workers, jobs))


def _gpu_share(execution: Execution, device: str) -> float:
    """The part of a GPU that one job occupies: a whole one, less only if more workers are asked
    for than this machine has."""
    if device != "cuda":
        return 0.0
    if execution.address:
        return 1.0
    return min(1.0, torch.cuda.device_count() / (execution.workers or 1))


def run_jobs(function: Callable, jobs: Sequence, execution: Execution, device: str = "cpu") -> Done:
    """Call a function with every job, and give the results as they come.

    A worker that Ray loses is replaced and its job tried again.

    Args:
        function: of this library, called with one job.
        jobs: anything that can be sent to another process.
        execution: where they run.
        device: "cpu" or "cuda": Ray places jobs by the share of a GPU that each occupies,
            processes take the GPUs in turn.

    Yields:
        Position and result of a job.

    Raises:
        Exception: an error in a job; the jobs that have not begun are dropped.
        RuntimeError: a worker was killed.
    """
    workers, gpus = execution.workers or 1, _gpu_share(execution, device)
    if execution.executor == "serial":
        for k, job in enumerate(jobs):
            yield k, in_one_thread(function, job)
    elif execution.executor == "processes":
        yield from _processes(function, jobs, workers, gpus)
    else:
        yield from _ray(function, jobs, workers, execution.address, gpus)


def in_one_thread(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function with one thread of torch, whatever this process has else."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return function(*arguments)
    finally:
        torch.set_num_threads(threads)


def _processes(function: Callable, jobs: Sequence, workers: int, gpus: float) -> Done:
    count = multiprocessing.get_context("spawn").Value("i", 0)
    visible = _visible_gpus() if gpus else []
    with pool(workers, _take_gpu, (count, visible)) as processes:
        futures = {processes.submit(in_one_thread, function, job): k for k, job in enumerate(jobs)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            raise RuntimeError(
                "a worker process was killed: for want of memory (start again with fewer workers; "
                "finished epochs and folds are kept), or because the script that began this has no "
                '`if __name__ == "__main__":` around it'
            ) from None


def _take_gpu(count, visible: list[str]) -> None:
    """In a new worker: the next GPU in turn, if there are any."""
    if visible:
        with count.get_lock():
            os.environ["CUDA_VISIBLE_DEVICES"] = visible[count.value % len(visible)]
            count.value += 1


def _visible_gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(k) for k in range(torch.cuda.device_count())]


def _ray(function: Callable, jobs: Sequence, workers: int, address: str, gpus: float) -> Done:
    import ray

    with _ray_session(ray, workers, address):
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=LOST_WORKERS)(in_one_thread)
        waiting = {remote.remote(function, job): k for k, job in enumerate(jobs)}
        try:
            while waiting:
                (ready, *_), _ = ray.wait(list(waiting))
                yield waiting.pop(ready), ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError as error:
            lost = f"Ray lost the worker of one job {LOST_WORKERS + 1} times ({error}), most often"
            raise RuntimeError(f"{lost} for want of memory; what is finished is kept") from None
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
    small = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    where = {"address": address} if address else small
    try:
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:
            failed = f"Ray does not start {'at ' + address if address else 'here'}: {error}"
            raise RuntimeError(f'{failed}; executor="processes" needs no cluster') from None
        yield
    finally:
        ray.shutdown()  # also the half of a cluster that did not start
