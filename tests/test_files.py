"""Files are whole or absent, errors name the path and a remedy, names get a hint."""

import errno
import os
import subprocess
import sys

import pandas as pd
import pytest

from merclip_lib.files import (
    did_you_mean,
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


def test_a_folder_is_replaced_whole_and_only_by_its_kind(tmp_path):
    folder = tmp_path / "set"
    for number in range(2):
        with replacing_folder(folder, "mark.json") as new:
            (new / "mark.json").write_text("{}")
            (new / f"{number}.txt").write_text("")
        assert names(folder) == [f"{number}.txt", "mark.json"]
    with pytest.raises(KeyboardInterrupt):
        with replacing_folder(folder, "mark.json"):
            raise KeyboardInterrupt
    assert names(folder) == ["1.txt", "mark.json"] and names(tmp_path) == ["set"]
    (folder / "mark.json").unlink()
    for other in (folder, folder / "1.txt"):
        with pytest.raises(ValueError, match="holds something else .no mark.json.; name another"):
            with replacing_folder(other, "mark.json"):
                pytest.fail("the block is entered")
    assert names(folder) == ["1.txt"]


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
