"""Files are whole or absent, errors name the path and a remedy, names get a hint."""

import errno
import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from merclip_lib.files import (
    Kind,
    commit_of,
    did_you_mean,
    output_place,
    remove,
    replacing,
    replacing_folder,
    write_csv,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "first\n")
    with pytest.raises(KeyboardInterrupt):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    assert path.read_bytes() == b"first\n" and names(path.parent) == ["a.txt"]
    with replacing(path) as temporary:
        temporary.write_text("second")
        assert path.read_bytes() == b"first\n"
    assert path.read_text() == "second" and names(path.parent) == ["a.txt"]


def test_an_error_of_the_disk_names_the_path_and_a_remedy(tmp_path):
    with pytest.raises(
        ValueError, match="a.txt: cannot be written .No space left.*free some space"
    ):
        with replacing(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="b.csv: cannot be written .*make the folder writable"):
        write_csv(pd.DataFrame({"a": [1]}), tmp_path / "file" / "b.csv")
    assert names(tmp_path) == ["file"]


def test_tables_in_both_formats(tmp_path):
    table = pd.DataFrame({"name": ["é", ""], "number": [1 / 3, 2.0]}, index=[5, 6])
    write_csv(table, tmp_path / "all.csv")
    write_csv(table, tmp_path / "seven.csv", "%.7g")
    text = "name,number\né,{}\n,{}\n"
    assert (tmp_path / "all.csv").read_bytes() == text.format(1 / 3, 2.0).encode()
    assert (tmp_path / "seven.csv").read_bytes() == text.format("0.3333333", 2).encode()


SET = Kind(files=("mark.json",), more=("0.txt", "1.txt"))
LIST = Kind(words=("name,", "number"))


def make_set(folder, number):
    with replacing_folder(folder, SET) as new:
        (new / "mark.json").write_text("{}")
        (new / f"{number}.txt").write_text("")


def test_a_folder_is_replaced_whole_and_only_by_its_kind(tmp_path):
    folder = tmp_path / "set"
    for number in range(2):
        make_set(folder, number)
        assert names(folder) == [f"{number}.txt", "mark.json"]
    with pytest.raises(KeyboardInterrupt):
        with replacing_folder(folder, SET):
            raise KeyboardInterrupt
    assert names(folder) == ["1.txt", "mark.json"] and names(tmp_path) == ["set"]
    (folder / "thesis.txt").write_text("two years of work")
    with pytest.raises(ValueError, match="holds something else, which stays; name another folder"):
        make_set(folder, 2)
    assert names(folder) == ["1.txt", "mark.json", "thesis.txt"]


@pytest.mark.parametrize("between", [True, False])
def test_a_kill_while_a_folder_is_swapped_loses_neither(tmp_path, between):
    """Killed between the two renames, or after them and before the old folder is deleted."""
    folder, old = tmp_path / "set", tmp_path / ".set.old"
    make_set(folder, 0)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from merclip_lib import files\n"
        "real, count = os.replace, []\n"
        "def replace(a, b):\n"
        "    real(a, b)\n"
        "    count.append(0)\n"
        "    if len(count) == int(sys.argv[2]):\n"
        "        os._exit(9)\n"
        "os.replace = replace\n"
        "kind = files.Kind(files=('mark.json',), more=('0.txt', '1.txt'))\n"
        "with files.replacing_folder(sys.argv[1], kind) as new:\n"
        "    (new / 'mark.json').write_text('{}')\n"
        "    (new / '1.txt').write_text('')\n"
    )
    command = [sys.executable, "-c", code, str(folder), "1" if between else "2"]
    assert subprocess.run(command).returncode == 9
    assert names(old) == ["0.txt", "mark.json"] and folder.exists() != between
    if not between:
        assert names(folder) == ["1.txt", "mark.json"]
    with pytest.raises(KeyboardInterrupt):  # the next call puts the older one back
        with replacing_folder(folder, SET):
            raise KeyboardInterrupt
    assert names(folder) == ["0.txt" if between else "1.txt", "mark.json"] and not old.exists()


def test_a_hidden_folder_of_the_users_is_not_taken_for_an_old_one(tmp_path):
    (tmp_path / ".set.old").mkdir()
    (tmp_path / ".set.old" / "thesis.txt").write_text("two years of work")
    make_set(tmp_path / "set", 0)
    assert names(tmp_path / ".set.old") == ["thesis.txt"]
    with pytest.raises(ValueError, match="set: cannot be written"):
        make_set(tmp_path / "set", 1)
    assert names(tmp_path / ".set.old") == ["thesis.txt"] and names(tmp_path / "set")[0] == "0.txt"


def test_what_stands_in_the_way_of_a_folder(tmp_path, monkeypatch):
    root = tmp_path / "data" / "casme2"
    root.mkdir(parents=True)
    (root / "table.csv").write_text("")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "link").symlink_to(root)
    for path, message in [
        (root, "in the data root"),
        (root / "new", "in the data root"),
        (root.parent, "in the data root"),
        (tmp_path / "link", "in the data root"),
        (tmp_path / "link" / "deep" / "new", "in the data root"),
        (tmp_path / "work", "the folder you are in"),
        (tmp_path / "pipe", "is not a folder"),
        (tmp_path / "pipe" / "deep" / "new", "pipe is no folder"),
        ("/dev/null", "is not a folder"),
        (tmp_path / "circle", "cannot be written"),
        (tmp_path / ("x" * 300), "give it a shorter name"),
    ]:
        with pytest.raises(ValueError, match=message):
            output_place(path, SET, root=root)
    with pytest.raises(ValueError, match="is or holds the input .*table.csv"):
        output_place(root, SET, [root / "table.csv"])
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent", "deep/absent"):
        assert output_place(tmp_path / name, SET, root=root) == tmp_path / name


def test_what_stands_in_the_way_of_a_file(tmp_path):
    mine, ours = tmp_path / "thesis.txt", tmp_path / "list.csv"
    mine.write_text("two years of work")
    write_csv(pd.DataFrame({"name": ["a"], "number": [1]}), ours)
    os.link(ours, tmp_path / "hard.csv")
    (tmp_path / "soft.csv").symlink_to(ours)
    for path in (ours, tmp_path / "hard.csv", tmp_path / "soft.csv"):
        assert output_place(path, LIST).is_file()
        with pytest.raises(ValueError, match="is or holds the input .*list.csv"):
            output_place(path, LIST, [ours], force=True)
    for force, remedy in ((None, "another file$"), (False, "another file, or --force$")):
        with pytest.raises(ValueError, match=f"thesis.txt: holds something else.*{remedy}"):
            output_place(mine, LIST, force=force)
    assert output_place(mine, LIST, force=True) == mine
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(ValueError, match="is not a file"):
            output_place(path, LIST, force=True)


def test_remove(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for name in ("link", "a", "absent"):
        remove(tmp_path / name)
    assert names(tmp_path) == []


def test_hints():
    assert did_you_mean("epoch", ["epochs", "seed"]) == "; did you mean 'epochs'?"
    assert did_you_mean(3, {"a": 1, "b": 2}) == "; known are a, b"


def test_it_is_light_to_import():
    code = "import sys, merclip_lib.files; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert not {"torch", "pandas", "numpy"} & set(loaded.split())


def test_the_commit_says_whether_a_file_was_changed(tmp_path, monkeypatch):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    assert commit_of(tmp_path) == ""
    git("init")
    (tmp_path / "a").write_text("one")
    git("add", "a")
    git("commit", "-m", "a")
    clean = commit_of(tmp_path)
    assert re.fullmatch("[0-9a-f]{12}", clean)
    (tmp_path / "a").write_text("two")
    assert commit_of(tmp_path) == f"{clean}+"
    monkeypatch.setenv("PATH", "")  # a machine without git
    assert commit_of(tmp_path) == ""
