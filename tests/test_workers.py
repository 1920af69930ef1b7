"""Worker processes: one thread, quiet, and gone when their parent is gone."""

import multiprocessing
import os
import subprocess
import sys
import time

import psutil
import pytest

from merclip_lib.workers import ENVIRONMENT, pool


def settings(_) -> dict:
    import torch

    names = {name: os.environ.get(name) for name in ENVIRONMENT}
    return names | {"threads": torch.get_num_threads()}


def test_a_worker_has_one_thread_and_waits_passively(monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    with pool(1) as processes:
        (found,) = processes.map(settings, [0])
    assert found == ENVIRONMENT | {"threads": 1}
    assert not any(name in os.environ for name in ENVIRONMENT)


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    with pool(1) as processes:
        (found,) = processes.map(settings, [0])
    assert found["OMP_WAIT_POLICY"] == "ACTIVE" == os.environ["OMP_WAIT_POLICY"]


def fails(_):
    raise ValueError("this job fails")


def test_an_error_leaves_no_process_behind():
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    with pytest.raises(ValueError, match="this job fails"), pool(2) as processes:
        list(processes.map(fails, range(20)))
    for _ in range(200):
        left = [c for c in psutil.Process().children(recursive=True) if c.pid not in before]
        # workers are children of the server from which they are forked, or are spawned
        forked = [c for c in left if c.ppid() != os.getpid()]
        if not forked and not [c for c in left if "spawn_main" in " ".join(c.cmdline())]:
            return
        time.sleep(0.05)
    raise AssertionError(left)


def number_of(path: str) -> int:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(3600)
    return 0


def parent(path: str) -> None:
    """Two workers: one is busy for an hour, the other idle."""
    with pool(2) as processes:
        processes.submit(os.getpid).result()
        processes.submit(number_of, path).result()


def test_busy_and_idle_workers_end_with_a_killed_parent(tmp_path):
    note = tmp_path / "note"
    process = multiprocessing.get_context("spawn").Process(target=parent, args=(str(note),))
    process.start()
    while not (note.is_file() and note.read_text().endswith("\n")):
        assert process.is_alive()
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.join()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]


SCRIPT = """
from merclip_lib.workers import pool

def work():
    print("begun")
    with pool(2) as processes:
        print(sum(processes.map(abs, [-1, -2])))

"""


def test_fewer_than_one_worker_is_refused():
    with pytest.raises(ValueError, match="workers is -1; it must be at least 1"), pool(-1):
        pass


def of_script(path, end: str) -> subprocess.CompletedProcess:
    path.write_text(SCRIPT + end)
    return subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=120)


def test_a_script_without_a_guard_is_refused_before_a_process_starts(tmp_path):
    guarded = of_script(tmp_path / "a.py", 'if __name__ == "__main__":\n    work()\n')
    assert guarded.stdout.split() == ["begun", "3"] and not guarded.stderr
    plain = of_script(tmp_path / "b.py", "work()\n")
    assert plain.stdout.split() == ["begun"] and plain.returncode == 1
    last = plain.stderr.splitlines()[-1]
    assert "b.py: " in last and last.endswith('`if __name__ == "__main__":` around it')
    assert plain.stderr.count("Traceback") == 1
