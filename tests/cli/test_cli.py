"""The command line as a student calls it."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from merclip_lib.__main__ import COMMANDS, main
from merclip_lib.cli.options import read_commands
from merclip_lib.data.store import open_store
from merclip_lib.study import notebooks, sweeps
from merclip_lib.study.notebooks import NotebookError
from merclip_lib.synthme.populations import EXAMPLE


def merclip(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "merclip_lib", *arguments], capture_output=True, text=True
    )


def test_describe_says_the_sentence():
    done = merclip("describe", "4+7+L10")
    assert done.returncode == 0
    assert done.stdout.strip() == (
        "a combination of lowering the brows, tightening the lids and raising the left upper lip"
    )


def test_describe_in_another_style(capsys):
    assert main(["describe", "4", "--style", "facs_names"]) == 0
    assert capsys.readouterr().out.strip() == "Brow Lowerer"


@pytest.mark.parametrize("arguments", [["describe", "4"], ["--help"]])
def test_light_commands_import_nothing_heavy(arguments):
    heavy = ("torch", "matplotlib", "pandas", "papermill", "numpy")
    code = (
        "import sys\nfrom merclip_lib.__main__ import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["describe", "4+banana"], ["run", "--profile", "nightly"], ["sweep", "no-such-grid.yaml"]],
)
def test_bad_input_is_one_line_and_code_2(arguments):
    done = merclip(*arguments)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("merclip: error: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("describe 4 --out x.csv", "--table and --out SENTENCES.csv go together"),
        ("describe --table t.csv", "--table and --out SENTENCES.csv go together"),
        ("describe 4 --style codes --phrases p.csv", "--phrases for the style phrases"),
        ("describe --table t --out s --templates w", "--templates are for one annotation"),
        ("synth --units 12", "--units is for --face PHOTO"),
        ("synth --face me.png --seed 0 --clips 9", "--clips is not for --face PHOTO"),
        ("look synthme:p001/c01 --fps 200", "--fps is for a folder of pictures"),
        ("look synthme:p001/c01 --factor inf", "--fps and --factor must be above 0 and"),
        ("sweep g.yaml -p epochs 2 -p epochs 3", "-p epochs=2 epochs=3: a name stands there twice"),
        ("sweep g.yaml -p epochs 010", "010 would be read as 8; write that, or quote it"),
        ("cost --set epochs=1:30", "1:30 would be read as 90"),
        ("cost --set frames=[", "--set frames=[: a value is not YAML"),
        ("cost --set lr=2020-13-45", "--set lr=2020-13-45: a value is not YAML"),
        ("cost --set name=x", "'name'"),
        ("pretrain --part text --frames 4 --out t.safetensors", "--part text does not use frames"),
        ("pretrain --part dfme --steps 5 --out d.safetensors", "--part dfme does not use steps"),
        ("pretrain --part dfme --steps 1 --out d.safetensors", "--part dfme does not use steps"),
        ("pretrain --no-text --no-mix --out m.safetensors", "motion does not use mix, use_text"),
        ("pretrain --device cuda --out m.safetensors", "--part motion does not use device"),
        ("cost --set epochs=2 --set epochs=3", "--set epochs=2 epochs=3: a name stands"),
        ("figures --paper --set epochs=2 --set epochs=3", "--set epochs=2 epochs=3: a name stands"),
        ("cost --clips -3", "clips is -3; it must be above 0"),
        ("cost --folds 0", "folds is 0; it must be above 0"),
        ("cost --folds 9 --clips 8", "folds is 9, but there are 8 clips"),
    ],
)
def test_what_would_be_passed_over_or_read_otherwise_is_refused(capsys, words, message):
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names")
def test_a_design_that_is_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "design.yaml")
    assert main(["study", "plan", "--design", str(tmp_path / "design.yaml")]) == 2
    assert "design.yaml: no such design" in capsys.readouterr().err


def test_a_home_folder_is_meant_where_the_shell_leaves_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    given = ["--people", "1", "--clips", "2", "--workers", "1"]
    assert main(["synth", "--out=~/drawn", *given]) == 0
    assert len(open_store(tmp_path / "drawn")) == 2 and not Path("~").exists()


def test_a_failed_notebook_gives_code_1(monkeypatch, capsys):
    def fail(*args, **options):
        raise NotebookError("05_train_loso.ipynb failed in cell [3]")

    monkeypatch.setattr(notebooks, "run", fail)
    assert main(["run"]) == 1
    assert "failed in cell [3]" in capsys.readouterr().err
    monkeypatch.setattr(sweeps, "sweep", lambda *args, **options: ["full-seed0: broken"])
    assert main(["sweep", "grid.yaml"]) == 1


def test_synth_draws_the_example_or_another_population(tmp_path, monkeypatch, capsys):
    small = dataclasses.replace(EXAMPLE, people=2, clips=4)
    monkeypatch.setattr("merclip_lib.synthme.populations.EXAMPLE", small)
    assert main(["synth", "--out", str(tmp_path / "one"), "--workers", "1"]) == 0
    assert "4 clips of 2 people" in capsys.readouterr().out
    assert len(open_store(tmp_path / "one").table) == 4
    given = ["--preset", "casme3-like", "--seed", "8", "--people", "1", "--clips", "3"]
    assert main(["synth", *given, "--out", str(tmp_path / "two"), "--workers", "1"]) == 0
    assert "SynthME-casme3-like-8: 3 clips of 1 people" in capsys.readouterr().out
    assert main(["synth", "--preset", "casme4", "--out", str(tmp_path / "three")]) == 2


def test_test_command_passes_arguments_through():
    here = ("tests/cli/test_cli.py", "-k", "page_of_commands", "-n0", "-p", "no:cacheprovider")
    assert "1 passed" in merclip("test", *here).stdout
    assert merclip("describe", "4", "--banana").returncode == 2


def test_tests_run_in_two_processes_and_all_of_them_if_wanted(monkeypatch):
    called = []
    monkeypatch.setattr("subprocess.call", lambda command, cwd: called.append(command) or 4)
    assert main(["test", "tests/text"]) == main(["test", "--all", "-x"]) == 4, "pytest's own code"
    usual, every = (command[3:] for command in called)
    assert usual == ["-n", "2", "--dist", "worksteal", "tests/text"]
    assert every[-3:] == ["-m", "", "-x"]


def test_the_page_of_commands_names_what_there_is_and_what_the_pages_show():
    assert set(read_commands()) == set(COMMANDS)
    root = Path(__file__).resolve().parents[2]
    for page, least in (("README.md", 2), ("docs/reference.md", 10)):
        text = (root / page).read_text(encoding="utf-8")
        shown = re.findall(r"^merclip (\w+)", text, re.MULTILINE)
        assert len(shown) >= least and set(shown) <= set(COMMANDS)


def test_help_names_both_words_of_a_setting(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    assert "-p KEY VALUE" in capsys.readouterr().out
