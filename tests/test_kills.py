"""Killed at any moment and started again, it ends the same, and the user's files are untouched."""

import sys

import killed
import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")
@pytest.mark.parametrize("name", killed.WORKS)
def test_killed_at_any_moment_it_ends_the_same(name, tmp_path):
    assert killed.kill(name, tmp_path / "place", kills=3) >= 3


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes as POSIX does")
def test_a_run_half_removed_is_removed_by_the_next_clean(tmp_path):
    killed.run_store(tmp_path)
    aside = tmp_path / "runs" / ".begun0.removed"
    (tmp_path / "runs" / "begun0").rename(aside)
    (aside / "run.json").unlink()  # a kill half way
    killed.clean_runs(tmp_path)
    assert not aside.exists()
    killed.the_finished_fold(tmp_path)
