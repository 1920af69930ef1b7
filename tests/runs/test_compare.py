"""Runs listed in order, and two runs side by side."""

import dataclasses
import os

import pandas as pd
import pytest
import tiny_runs

from merclip_lib.__main__ import main
from merclip_lib.runs.compare import clips_that_changed
from merclip_lib.runs.overview import list_runs
from merclip_lib.scores.metrics import score

FAST = dataclasses.replace(tiny_runs.FAST, epochs=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs that differ in the learning rate, and one over fewer subjects."""
    store = tiny_runs.make_store(tmp_path_factory.mktemp("data") / "set")
    folder = tmp_path_factory.mktemp("runs")
    changes = {"slow": {"lr": 1e-5}, "fast": {"lr": 1e-2}, "fewer": {"subjects": 2}}
    made = {
        name: tiny_runs.run(dataclasses.replace(FAST, **change), store, folder, executor="serial")
        for name, change in changes.items()
    }
    for day, run in enumerate(made.values()):
        os.utime(run.folder / "predictions.csv", (day * 86400.0, day * 86400.0))
    return made


def compare(runs, a, b):
    folder = str(runs[a].folder.parent)
    return main(["runs", "compare", runs[a].hash, runs[b].hash, "--runs-dir", folder])


def test_two_runs_side_by_side(runs, capsys):
    assert compare(runs, "slow", "fast") == 0
    said = capsys.readouterr().out
    assert "  lr: 1e-05 -> 0.01" in said and "epochs" not in said and "code" not in said
    uf1 = [score(runs[name].predictions, tiny_runs.CLASSES).uf1 for name in ("slow", "fast")]
    assert f"b minus a, uf1: {uf1[1] - uf1[0]:+.3f} [" in said
    changed = clips_that_changed(runs["slow"].predictions, runs["fast"].predictions)
    assert len(changed) and f"{len(changed)} of 21 clips changed" in said
    assert all(clip in said for clip in changed["clip_id"])


def test_a_run_and_itself(runs, capsys):
    assert compare(runs, "slow", "slow") == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5 and said[-1] == "0 of 21 clips changed"


def test_what_became_of_a_clip_whatever_the_order():
    a = pd.DataFrame({"clip_id": list("wxyz"), "truth": 0, "prediction": [0, 0, 1, 2]})
    b = pd.DataFrame({"clip_id": list("zyxw"), "truth": 0, "prediction": [1, 0, 1, 0]})
    changed = clips_that_changed(a, b).set_index("clip_id")["change"]
    assert changed.to_dict() == {"x": "spoilt", "y": "mended", "z": "wrong"}


def test_runs_over_other_clips_are_refused(runs, capsys):
    assert compare(runs, "slow", "fewer") == 2
    assert "compare runs over the same clips" in capsys.readouterr().err


def test_the_list_is_in_order_of_date_or_merit(runs):
    folder = runs["slow"].folder.parent
    by_date = list_runs(folder)
    assert by_date["run"].tolist() == [run.hash for run in runs.values()]
    assert by_date["date"].is_monotonic_increasing and by_date["date"][0][:4] in ("1969", "1970")
    assert list_runs(folder, "uf1")["uf1"].is_monotonic_increasing


@pytest.mark.parametrize("arguments", [["compare", "abc"], ["show"], ["list", "abc"]])
def test_the_number_of_runs_is_checked(runs, arguments, capsys):
    folder = str(runs["slow"].folder.parent)
    assert main(["runs", *arguments, "--runs-dir", folder]) == 2
    assert "two for `compare`" in capsys.readouterr().err
