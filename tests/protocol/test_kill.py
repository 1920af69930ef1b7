"""Runs that are really killed (SIGKILL), starved of disk, or started twice at once."""

import os
import random
import sys
import time

import psutil
import pytest
import tiny_runs

from merclip_lib.workers import fresh_processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")
SWEEP = [{}, {"seed": 1}]  # two configurations, one after the other


@pytest.fixture(scope="module")
def context():
    return fresh_processes()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return str(tiny_runs.make_store(tmp_path_factory.mktemp("data") / "set").folder)


@pytest.fixture(scope="module")
def whole(context, store, tmp_path_factory):
    """The predictions of an undisturbed sweep, and the seconds that it took."""
    assert run(context, int) == 0  # the server of processes is up
    folder, began = tmp_path_factory.mktemp("whole"), time.monotonic()
    assert run(context, tiny_runs.train, store, str(folder), SWEEP) == 0
    return tables(folder), time.monotonic() - began


def run(context, function, *arguments, seconds=None):
    """The exit code of a child; negative when it was killed, by us after `seconds` or itself."""
    process = context.Process(target=function, args=arguments)
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
    process.join()
    return process.exitcode


def tables(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))
    }


def test_killed_at_any_moment_it_ends_the_same(context, store, whole, tmp_path):
    expected, seconds = whole
    draw, kills, part = random.Random(0), 0, 0
    while kills < 10:
        code = run(
            context,
            tiny_runs.train,
            store,
            str(tmp_path / str(part)),
            SWEEP,
            seconds=draw.uniform(0.05, 0.8) * seconds,
        )
        kills += code < 0
        part += code == 0
    assert run(context, tiny_runs.train, store, str(tmp_path / str(part)), SWEEP) == 0
    for k in range(part + 1):
        assert tables(tmp_path / str(k)) == expected
        leftover = [path for path in (tmp_path / str(k)).rglob(".*") if path.is_file()]
        assert {path.parent.name for path in leftover} <= {".locks"}


def test_killed_within_any_write_it_ends_the_same(context, store, whole, tmp_path):
    kills, arguments = 0, (store, str(tmp_path), SWEEP)
    for seed in range(20):
        kills += run(context, tiny_runs.train_and_die, *arguments, seed) < 0
    assert kills >= 5
    assert run(context, tiny_runs.train, *arguments) == 0
    assert tables(tmp_path) == whole[0]


def test_two_processes_share_the_folds(context, store, whole, tmp_path):
    lines = [tmp_path / name for name in ("one.txt", "two.txt")]
    children = [
        context.Process(target=tiny_runs.train, args=(store, str(tmp_path / "runs"), SWEEP, line))
        for line in map(str, lines)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    trained = [line.split(": ")[1] for path in lines for line in path.read_text().splitlines()]
    assert len(trained) == len(set(trained)) == 4
    assert tables(tmp_path / "runs") == whole[0]


def test_full_disk_is_one_clear_error_and_nothing_is_lost(context, store, whole, tmp_path):
    message = tmp_path / "message.txt"
    # room for the start of the network (3.3 MB), not for the state of its training (10 MB)
    arguments = (store, str(tmp_path / "runs"), 5000, str(message))
    assert run(context, tiny_runs.train_on_a_full_disk, *arguments) == 0
    said = message.read_text()
    assert "checkpoint.pt" in said and "cannot be written" in said and "start again" in said
    assert run(context, tiny_runs.train, store, str(tmp_path / "runs"), SWEEP) == 0
    assert tables(tmp_path / "runs") == whole[0]


def test_a_worker_ends_with_its_parent(context, tmp_path):
    note = tmp_path / "number.txt"
    parent = context.Process(target=tiny_runs.parent_of_a_worker, args=(str(note),))
    parent.start()
    while not note.exists() and parent.is_alive():
        time.sleep(0.05)
    worker = psutil.Process(int(note.read_text()))
    os.kill(parent.pid, 9)
    parent.join()
    worker.wait(timeout=120)  # raises when it is still there
