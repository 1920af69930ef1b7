"""One damaged file of a run store is named and spoils nothing else; nothing in use is removed."""

import dataclasses
import json
import os
import threading

import pytest

from merclip_lib.__main__ import main
from merclip_lib.config import Config
from merclip_lib.runs import store as run_store
from merclip_lib.runs.overview import list_runs, remove_leftover

BAD = "bad0bad0bad0"
ROWS = "clip_id,subject,truth,prediction,p_anger,p_fear\nc{0},{0},anger,fear,0.4,0.6\n"


def make_run(folder, folds=("1", "2"), done=("1", "2")):
    """A run as the store keeps it; no network is needed for that."""
    record = {
        "config": dataclasses.asdict(Config()),
        "data": {"name": "made up", "hash": "0"},
        "folds": list(folds),
    }
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    for fold in done:
        (folder / fold).mkdir()
        (folder / fold / "predictions.csv").write_text(ROWS.format(fold))
        (folder / fold / "history.csv").write_text("fold,epoch,loss\n1,0,0.5\n")
        (folder / fold / "seconds.json").write_text("1.5")
        (folder / fold / "environment.json").write_text('{"python": "3"}')
    return folder


@pytest.mark.parametrize("name", ["run.json", "1/seconds.json", "1/environment.json"])
@pytest.mark.parametrize("content", ["null", "[]", "{", '"x"', "{}", "\0"])
def test_a_damaged_file_is_named_and_the_others_are_shown(tmp_path, capsys, name, content):
    for run in (BAD, "sound"):
        make_run(tmp_path / run)
    (tmp_path / BAD / name).write_text(content)
    runs = list_runs(tmp_path).set_index("run")
    assert runs.loc["sound", "seconds"] == 3 and runs.loc["sound", "folds"] == "2/2"
    code = main(["runs", "show", BAD, "--runs-dir", str(tmp_path)])
    told = capsys.readouterr()
    if (name, content) == ("1/environment.json", "{}"):
        assert code == 0
        return
    if name == "run.json":
        assert code == 2 and told.err.count("\n") == 1 and name in told.err
    else:  # the rest of the run is shown beside what is damaged
        assert code == 0 and name in told.out
    if "environment" not in name:
        assert name in runs.loc[BAD, "differs"]
    assert main(["runs", "list", "--runs-dir", str(tmp_path)]) == 0
    assert main(["runs", "clean", "--runs-dir", str(tmp_path)]) == 0


def test_clean_leaves_what_other_programs_keep_under_such_names(tmp_path, capsys):
    files = ["tool/run.json", "tool/.film.mp4.part", "tool/.a.damaged", ".notes.removed"]
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"mine": 1}')
    assert main(["runs", "clean", "--yes", "--runs-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"
    assert all((tmp_path / name).is_file() for name in files)


def test_a_folder_removed_meanwhile_is_told(tmp_path):
    with pytest.raises(
        ValueError, match="gone: cannot be written .*removed meanwhile; start again"
    ):
        with run_store.writing(tmp_path / "gone"):
            (tmp_path / "gone" / "a.txt").write_text("")


@pytest.mark.parametrize("lock", [run_store.WHOLE, "1", "2"])
def test_clean_leaves_a_run_that_has_begun(tmp_path, lock):
    folder = make_run(tmp_path / "run", done=())
    ready, end = threading.Event(), threading.Event()

    def train():
        with run_store.hold(folder, lock):
            ready.set()
            end.wait(20)

    thread = threading.Thread(target=train)
    thread.start()
    ready.wait(20)
    assert not remove_leftover(folder) and (folder / "run.json").is_file()
    end.set()
    thread.join()
    assert remove_leftover(folder) and not list(tmp_path.iterdir())


def test_clean_leaves_a_run_whose_first_fold_has_just_been_finished(tmp_path):
    folder = make_run(tmp_path / "run", done=("2",))
    assert not remove_leftover(folder) and (folder / "2" / "predictions.csv").is_file()


def test_clean_leaves_what_it_does_not_know(tmp_path):
    begun = make_run(tmp_path / "0123456789a0", done=())
    (begun / "notes.md").write_text("mine")
    unnamed = make_run(tmp_path / "0123456789a1", folds=("3",), done=("1",))
    newer = make_run(tmp_path / "0123456789a2") / "run.json"
    record = json.loads(newer.read_text())
    newer.write_text(json.dumps(record | {"config": record["config"] | {"of_the_future": 1}}))
    assert main(["runs", "clean", "--yes", "--runs-dir", str(tmp_path)]) == 0
    assert (begun / "notes.md").is_file() and (unnamed / "1" / "predictions.csv").is_file()
    assert "of_the_future" in newer.read_text()


def test_clean_leaves_a_fold_that_was_trained_anew_meanwhile(tmp_path):
    fold = make_run(tmp_path / "run") / "1"
    assert not remove_leftover(fold) and fold.is_dir()
    (fold / "history.csv").write_text("")
    assert remove_leftover(fold) and not fold.exists()


@pytest.mark.parametrize(
    "key, value",
    [("folds", ["../../notes"]), ("folds", ["/notes"]), ("folds", [".."]), ("folds", [".x"])]
    + [("folds", [""])]
    + [("folds", "12"), ("loading", 3), ("loading", [])],
)
def test_a_record_that_was_changed_names_nothing_outside_its_run(tmp_path, capsys, key, value):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "thesis.tex").write_text("mine")
    path = make_run(tmp_path / "runs" / "0123456789ab") / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    for words in (["show", "0123"], ["list"], ["clean", "--yes"]):
        main(["runs", *words, "--runs-dir", str(tmp_path / "runs")])
        told = capsys.readouterr()
        assert "run.json" in told.err + told.out and told.err.count("\n") == (words[0] == "show")
    assert (notes / "thesis.tex").read_text() == "mine"


def test_a_run_of_fewer_settings_is_shown(tmp_path, capsys):
    path = make_run(tmp_path / "run") / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config": {}}))
    (tmp_path / "run" / "predictions.csv").write_text(
        ROWS.format(1).replace("anger", "surprise").replace("fear", "disgust")
    )
    (tmp_path / "run" / "history.csv").write_text("fold,epoch,loss\n1,0,0.5\n")
    assert main(["runs", "show", "run", "--runs-dir", str(tmp_path)]) == 0
    assert "UF1" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path):
    make_run(tmp_path / "sound")
    (tmp_path / "broken").mkdir()
    os.mkfifo(tmp_path / "broken" / "run.json")
    runs = list_runs(tmp_path).set_index("run")
    assert "no file" in runs.loc["broken", "differs"] and runs.loc["sound", "folds"] == "2/2"


def test_a_table_that_lost_rows_is_not_scored(tmp_path, capsys):
    run, rows = make_run(tmp_path / "run"), ROWS.format(1) + ROWS.format(2).splitlines(True)[1]
    record = json.loads((run / "run.json").read_text())
    record |= {"clips": 2, "config": dataclasses.asdict(Config(task="synthme-7"))}
    (run / "run.json").write_text(json.dumps(record))
    (run / "history.csv").write_text("fold,epoch,loss\n1,0,0.5\n")
    for table, code in ((rows, 0), (rows.rsplit("\n", 2)[0] + "\n", 2)):
        (run / "predictions.csv").write_text(table)
        assert main(["runs", "show", "run", "--runs-dir", str(tmp_path)]) == code
    assert "predictions.csv does not hold all 2 clips" in capsys.readouterr().err
    (listed,) = list_runs(tmp_path).to_dict("records")
    assert "does not hold all 2 clips" in listed["differs"] and listed["uf1"] != listed["uf1"]
