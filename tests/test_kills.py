"""Killed at any moment and started again, it ends the same, and the user's files are untouched."""

import sys

import killed
import pytest

from merclip_lib.workers import fresh_processes


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")
@pytest.mark.parametrize("name", killed.WORKS)
def test_killed_at_any_moment_it_ends_the_same(name, tmp_path):
    counts = killed.kills(fresh_processes(), killed.WORKS[name], tmp_path)
    assert next(count for count in counts if count >= 3) < 6  # three at most each time


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")
def test_a_run_half_removed_is_removed_by_the_next_clean(tmp_path):
    killed.run_store(tmp_path)
    aside = tmp_path / "runs" / f".{0:012x}.removed"
    (tmp_path / "runs" / f"{0:012x}").rename(aside)
    (aside / "run.json").unlink()  # a kill half way
    killed.clean_runs(tmp_path)
    assert not aside.exists()
    killed.the_finished_fold(tmp_path)
