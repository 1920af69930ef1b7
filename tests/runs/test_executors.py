"""The same predictions wherever the folds run, and clear words for what cannot run."""

import dataclasses
import threading
import time

import psutil
import pytest
import tiny_runs
import torch

from merclip_lib.runs import executors
from merclip_lib.runs.executors import GIB, Execution, check_execution, run_jobs, workers_for

FAST = tiny_runs.FAST


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_runs.make_store(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def serial(store, tmp_path_factory):
    return predictions(FAST, store, tmp_path_factory.mktemp("serial"), executor="serial")


def predictions(config, store, folder, **options):
    run = tiny_runs.run(config, store, folder, **options)
    return (run.folder / "predictions.csv").read_bytes()


def test_another_process_predicts_as_this_one(store, serial, tmp_path):
    assert predictions(FAST, store, tmp_path, workers=1) == serial  # two: tests/test_protocol.py


@pytest.mark.parametrize("data_workers", [1, 2])
def test_data_workers_change_nothing(store, serial, tmp_path, data_workers):
    options = {"executor": "serial", "data_workers": data_workers}
    assert predictions(FAST, store, tmp_path, **options) == serial


def test_serial_runs_in_order_with_one_thread():
    assert list(run_jobs(tiny_runs.square, [3, 4], Execution("serial"))) == [(0, 9), (1, 16)]
    before = torch.get_num_threads()
    threads = run_jobs(lambda _: torch.get_num_threads(), [0], Execution("serial"))
    assert list(threads) == [(0, 1)] and torch.get_num_threads() == before


def test_an_error_in_a_job_comes_through():
    for executor in ("serial", "processes"):
        with pytest.raises(ValueError, match="-2 is negative"):
            list(run_jobs(tiny_runs.square, [-2], Execution(executor)))


def test_a_killed_worker_is_named():
    with pytest.raises(RuntimeError, match="killed.*start again with fewer workers"):
        list(run_jobs(tiny_runs.end_at_once, [0], Execution()))


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"executor": "cloud"},
            "executor 'cloud' is unknown; choose one of serial, processes, ray",
        ),
        ({"workers": 0}, "workers is 0"),
        ({"address": "10.0.0.1:6379"}, 'address .* is for executor="ray"'),
        ({"executor": "ray", "address": "127.0.0.1:1"}, "no Ray cluster answers at 127.0.0.1:1"),
        ({"executor": "ray", "address": "somewhere"}, "wants host:port of a Ray cluster"),
    ],
)
def test_bad_input_is_an_error_before_any_training(store, tmp_path, monkeypatch, options, message):
    monkeypatch.setattr(executors, "find_spec", lambda name: object())  # also without Ray
    with pytest.raises(ValueError, match=message):
        tiny_runs.run(FAST, store, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_ray_that_is_not_installed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs Ray: pip install ray"):
        tiny_runs.run(FAST, store, tmp_path, executor="ray")


def test_a_gpu_that_is_not_there(store, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no GPU that torch can use"):
        tiny_runs.run(dataclasses.replace(FAST, device="cuda"), store, tmp_path)


def test_more_workers_than_memory_allows(monkeypatch):
    free = dataclasses.make_dataclass("Memory", ["available"])(4 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    check_execution(Execution(workers=4), memory=GIB)
    with pytest.raises(ValueError, match=r"5 workers need about 5.0 GiB.*4.0 GiB.*workers=4"):
        check_execution(Execution(workers=5), memory=GIB)
    assert workers_for(9, Execution(), "cpu", 4 * GIB) == 1
    assert workers_for(2, Execution(workers=5), "cpu", GIB) == 2


def kill_a_busy_worker(folder, killed):
    """Wait for a checkpoint, then kill the Ray worker that trains; its number goes to `killed`."""
    while not list(folder.glob("*/.*.part/checkpoint.pt")):
        time.sleep(0.02)
    for process in psutil.Process().children(recursive=True):
        try:
            if "".join(process.cmdline()).startswith("ray::in_one"):
                process.kill()
                killed.append(process.pid)
                return
        except psutil.NoSuchProcess:
            continue


def test_ray_survives_the_loss_of_a_worker(store, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # a busy machine is slow
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "300000")
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "600")
    pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
    config, killed = dataclasses.replace(FAST, epochs=20), []
    expected = predictions(config, store, tmp_path / "serial", executor="serial")
    arguments = (tmp_path / "ray", killed)
    watch = threading.Thread(target=kill_a_busy_worker, args=arguments, daemon=True)
    watch.start()
    found = predictions(config, store, tmp_path / "ray", executor="ray", workers=2)
    assert found == expected
    assert killed
