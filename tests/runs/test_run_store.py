"""What the run store writes, refuses, repairs, lists and removes."""

import dataclasses
import errno
import json
import os
import shutil
import threading

import pandas as pd
import pytest
import tiny_runs

from merclip_lib.__main__ import main
from merclip_lib.files import write_text
from merclip_lib.protocol import one_fold
from merclip_lib.protocol.loso import FoldJob, begin_run, run_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs import store as run_store
from merclip_lib.runs.executors import Execution, run_jobs
from merclip_lib.runs.overview import list_runs
from merclip_lib.training import loop

FAST = dataclasses.replace(tiny_runs.FAST, epochs=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tiny_runs.make_store(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    return tiny_runs.run(FAST, store, tmp_path_factory.mktemp("runs"), executor="serial")


@pytest.fixture
def runs_dir(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    shutil.copytree(finished.folder.parent, tmp_path / "runs")
    return tmp_path / "runs"


def again(store, runs_dir, config=FAST):
    lines = []
    run = tiny_runs.run(config, store, runs_dir, executor="serial", progress=lines.append)
    return run, [line.split(": ")[1].split()[0] for line in lines]


def test_a_fold_keeps_all_that_is_needed(finished):
    fold = finished.folder / "group1"
    assert {path.name for path in fold.iterdir()} == {
        "predictions.csv",
        "history.csv",
        "epochs.csv",
        "seconds.json",
        "environment.json",
    }
    environment = json.loads((fold / "environment.json").read_text())
    assert environment["threads"] == 1 and {"python", "torch", "machine"} <= set(environment)
    epochs = pd.read_csv(fold / "epochs.csv")
    assert list(epochs) == ["epoch", "clip_id", "prediction"]
    last, kept = epochs[epochs["epoch"] == 0], pd.read_csv(fold / "predictions.csv")
    assert last["prediction"].tolist() == kept["prediction"].tolist()
    assert run_store.read_record(finished.folder)["stamp"] == ""


def test_writing_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "first\n")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match="a.txt: cannot be written .No space left.*start again"):
        write_text(path, "second\n")
    assert path.read_bytes() == b"first\n" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_at_the_last_step_costs_no_epoch(store, finished, tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if os.path.basename(target) == "group1":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match="group1: cannot be written .No space left"):
        again(store, tmp_path)
    monkeypatch.undo()
    seen, predict = [], loop.predict
    monkeypatch.setattr(
        one_fold, "predict", lambda model, clips, **o: seen.append(0) or predict(model, clips)
    )
    run, trained = again(store, tmp_path)
    assert len(seen) == 1  # the one epoch of group2: that of group1 is in its checkpoint
    assert trained == ["group1", "group2"]
    assert run.predictions.equals(finished.predictions)


@pytest.mark.parametrize("when", ["fold", "epoch"])
def test_clips_that_are_replaced_under_a_run_stop_it(tmp_path, monkeypatch, when):
    """At the next fold or epoch, before anything is trained on a mixture of two stores."""
    opened, predict = tiny_runs.make_store(tmp_path / "set"), loop.predict

    def replace(*_):
        tiny_runs.make_store(tmp_path / "set", dataset="other")

    def predict_and_replace(*arguments, **options):
        replace()
        return predict(*arguments, **options)

    if when == "epoch":
        monkeypatch.setattr(one_fold, "predict", predict_and_replace)
    config = dataclasses.replace(FAST, epochs=2)
    with pytest.raises(ValueError, match="set: its clips or their table were replaced") as error:
        tiny_runs.run(config, opened, tmp_path / "runs", executor="serial", progress=replace)
    assert "\n" not in str(error.value)
    done = list((tmp_path / "runs").glob("*/*/predictions.csv"))
    assert [path.parent.name for path in done] == (["group1"] if when == "fold" else [])


def test_clips_that_are_replaced_before_a_worker_opens_them_stop_it(tmp_path):
    opened = tiny_runs.make_store(tmp_path / "set")
    plan = RunPlan(FAST, opened)
    begin_run(plan, tmp_path / plan.hash)
    tiny_runs.make_store(tmp_path / "set", subjects=2, dataset="other")
    jobs = [FoldJob(plan, plan.folds[0], tmp_path / plan.hash)]
    with pytest.raises(ValueError, match="set: its clips or their table were replaced"):
        list(run_jobs(run_fold, jobs, Execution()))


def test_a_folder_that_is_a_file(store, tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(ValueError, match="runs.*cannot be written.*make the folder writable"):
        again(store, tmp_path / "runs")


@pytest.mark.parametrize(
    "name, content",
    [
        ("predictions.csv", "clip_id,sub"),
        ("predictions.csv", ""),
        ("history.csv", ""),
        ("seconds.json", "{"),
    ],
)
def test_a_damaged_fold_is_named_and_the_next_start_repairs(
    store, finished, runs_dir, name, content
):
    folder = runs_dir / finished.hash
    (folder / "group2" / name).write_text(content)
    (folder / "predictions.csv").unlink()
    with pytest.raises(ValueError, match=r"group2: damaged .*\.group2\.damaged.*everything else"):
        again(store, runs_dir)
    run, trained = again(store, runs_dir)
    assert trained == ["group2"]
    assert run.predictions.equals(finished.predictions)
    assert (folder / ".group2.damaged" / name).read_text() == content


def test_a_fold_that_lost_rows_is_trained_again(store, finished, runs_dir):
    folder = runs_dir / finished.hash
    rows = (folder / "group1" / "predictions.csv").read_text().splitlines(keepends=True)
    (folder / "group1" / "predictions.csv").write_text("".join(rows[:-1]))
    (folder / "predictions.csv").unlink()
    with pytest.raises(ValueError, match="group1: damaged .predictions of clips are missing"):
        again(store, runs_dir)
    assert again(store, runs_dir)[1] == ["group1"]


@pytest.mark.parametrize("name", ["predictions.csv", "history.csv", "run.json"])
def test_damaged_files_of_the_run_are_written_again(store, finished, runs_dir, name):
    folder = runs_dir / finished.hash
    (folder / name).write_text('{"a')
    if name == "run.json":
        with pytest.raises(ValueError, match="run.json: cannot be read .*start the run again"):
            run_store.read_run(folder)
    run, trained = again(store, runs_dir)
    assert trained == [] and run.predictions.equals(finished.predictions)
    assert (folder / name).read_bytes() == (finished.folder / name).read_bytes()


def test_a_damaged_checkpoint_is_set_aside(store, finished, tmp_path, monkeypatch):
    part = tmp_path / finished.hash / ".group1.part"
    part.mkdir(parents=True)
    (part / "checkpoint.pt").write_bytes(b"half a checkpoi")
    monkeypatch.setenv("MERCLIP_PROGRESS", str(tmp_path / "lines.txt"))
    run, _ = again(store, tmp_path)
    assert run.predictions.equals(finished.predictions)
    assert "checkpoint.pt was damaged" in (tmp_path / "lines.txt").read_text()


def test_a_locked_fold_is_in_use_and_says_by_whom(tmp_path):
    with run_store.hold(tmp_path, "a") as mine, run_store.hold(tmp_path, "a") as second:
        assert mine and not second
        assert f"held by process {os.getpid()} on " in run_store.holder(tmp_path, "a")
        assert run_store.is_held(tmp_path, "a") and not run_store.is_held(tmp_path, "b")
    assert not run_store.is_held(tmp_path, "a")


def test_who_waits_for_a_lock_says_for_whom(tmp_path, monkeypatch):
    lines = tmp_path / "lines.txt"
    monkeypatch.setenv("MERCLIP_PROGRESS", str(lines))

    def wait():
        with run_store.hold(tmp_path, "a", wait=True):
            pass

    waiting = threading.Thread(target=wait)
    with run_store.hold(tmp_path, "a"):
        waiting.start()
        while not lines.is_file() or not lines.read_text().endswith("\n"):
            assert waiting.is_alive()
    waiting.join()
    assert f"held by process {os.getpid()} on " in lines.read_text()


def test_list_and_show(finished, runs_dir, capsys):
    (runs_dir / "0broken").mkdir()
    (runs_dir / "0broken" / "run.json").write_text("{")
    assert main(["runs", "list", "--runs-dir", str(runs_dir)]) == 0
    said = capsys.readouterr().out
    assert "0broken" in said and "damaged" in said
    row = next(line for line in said.splitlines() if line.strip().startswith(finished.hash))
    assert "synthme-7" in row and "2/2" in row and "frames=2" in row
    assert main(["runs", "show", finished.hash[:6], "--runs-dir", str(runs_dir)]) == 0
    said = capsys.readouterr().out
    for words in ("epochs = 1   (default 20)", "group2", "UF1", "torch", "motion.safetensors: "):
        assert words in said


def test_list_carries_the_stamp(store, tmp_path, capsys):
    again(store, tmp_path, dataclasses.replace(FAST, held_out="clip"))
    runs = list_runs(tmp_path)
    assert runs["stamp"].tolist() == ["people in both training and test"]
    assert runs["uf1"].between(0, 1).all()


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--runs-dir", "nowhere"],
        ["show"],
        ["list", "abc"],
        ["show", "zzz"],
    ],
)
def test_bad_arguments_are_code_2(arguments, runs_dir, capsys):
    rest = [] if "--runs-dir" in arguments else ["--runs-dir", str(runs_dir)]
    assert main(["runs", *arguments, *rest]) == 2
    assert "merclip: error: " in capsys.readouterr().err


def test_clean_removes_leftovers_and_nothing_else(finished, runs_dir, capsys):
    folder, arguments = runs_dir / finished.hash, ["runs", "clean", "--runs-dir", str(runs_dir)]
    assert main(arguments) == 0 and "nothing to remove" in capsys.readouterr().out
    for part in (".group7.part", ".group8.part", "group2"):
        (folder / part).mkdir(exist_ok=True)
    (folder / ".run.json.12.part").write_text("half")
    (folder / "group2" / "predictions.csv").write_text("")
    empty = runs_dir / f"{0:012x}"
    empty.mkdir()
    shutil.copy(folder / "run.json", empty)
    bad = [folder / ".group7.part", folder / ".run.json.12.part", folder / "group2", empty]
    with run_store.hold(folder, "group8"):
        assert main(arguments) == 0
        said = capsys.readouterr().out
        assert all(str(path) in said and path.exists() for path in bad)
        assert ".group8" not in said and "add --yes" in said
        assert main([*arguments, "--yes"]) == 0
    assert not any(path.exists() for path in bad)
    assert (folder / ".group8.part").is_dir()
    assert (folder / "group1" / "predictions.csv").is_file()


@pytest.mark.parametrize("content", ["null", "[]", "{}", '{"config": null}', "", "1e999", "\0"])
@pytest.mark.parametrize(
    "name", ["run.json", "group1/seconds.json", "group1/environment.json", "group1/predictions.csv"]
)
def test_one_damaged_run_hides_no_other(finished, runs_dir, capsys, name, content):
    bad = runs_dir / "bad0bad0bad0"
    shutil.copytree(runs_dir / finished.hash, bad)
    (bad / name).write_text(content)
    arguments = ["--runs-dir", str(runs_dir)]
    assert main(["runs", "list", *arguments]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "2/2" in lines[finished.hash] and bad.name in lines
    if name.endswith(("run.json", "seconds.json")) and content != "1e999":
        assert "damaged: " in lines[bad.name] and name in lines[bad.name]
    code = main(["runs", "show", "bad0", *arguments])
    said = capsys.readouterr()
    assert code == (2 if name == "run.json" else 0) and "fault of merclip" not in said.err
    if "environment" not in name and content != "1e999":
        assert name in said.out + said.err
    assert main(["runs", "clean", *arguments]) == 0
    assert main(["runs", "show", finished.hash, *arguments]) == 0


@pytest.mark.parametrize("name", ["config", "folds", "data", "loading", "stamp", "code", "clips"])
def test_null_within_the_record_of_a_run(finished, runs_dir, capsys, name):
    path = runs_dir / finished.hash / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: None}))
    assert main(["runs", "list", "--runs-dir", str(runs_dir)]) == 0
    assert ("damaged: " in capsys.readouterr().out) == (name in ("config", "folds", "data"))


def test_a_folder_deleted_in_mid_run_is_said(store, tmp_path):
    def delete(line):
        shutil.rmtree(next(tmp_path.glob("*/run.json")).parent)

    with pytest.raises(ValueError, match="was deleted while it was at work; start again"):
        tiny_runs.run(FAST, store, tmp_path, executor="serial", progress=delete)
