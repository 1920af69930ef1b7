"""The one door of the command line: whatever goes wrong is one line and a code."""

import csv
import errno
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import time
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors import SafetensorError

from merclip_lib.__main__ import main
from merclip_lib.config import Config, size_of
from merclip_lib.scores import predictions_file
from merclip_lib.study.errors import explain, is_ours
from merclip_lib.training.memory import empty_video
from merclip_lib.workers import pool

COMMAND = [sys.executable, "-m", "merclip_lib"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and /dev as POSIX has them")


def fails_with(error):
    """`merclip score` with this error in its inside."""

    def fail(*arguments):
        raise error

    return fail


@pytest.fixture
def code_and_line(monkeypatch, capsys):
    def call(error, *more):
        monkeypatch.setattr(predictions_file, "score_file", fails_with(error))
        code = main(["score", "p.csv", *more])
        return code, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(errno.ENOSPC, "No space left", "a.csv"), "a.csv: No space left; free some space"),
        (PermissionError(errno.EACCES, "denied", "a.csv"), "a.csv: denied; change its permissions"),
        (FileNotFoundError(errno.ENOENT, "none", "a", None, "b"), "a: b: none; check the path"),
        (OSError("a library's words"), "a library's words"),
        (Image.UnidentifiedImageError("a.jpg"), "a.jpg"),
        (Image.DecompressionBombError("179478 pixels"), "more pixels than can be right"),
        (yaml.YAMLError("line 3"), r"not YAML; see the place \(line 3\)"),
        (cv2.error("assertion"), r"OpenCV .* \(assertion\)"),
        (zipfile.BadZipFile("no zip"), "damaged or of another kind"),
        (zlib.error("Error -3"), "damaged or of another kind"),
        (csv.Error("NUL"), "damaged or of another kind"),
        (struct.error("unpack"), "damaged or of another kind"),
        (EOFError(), "damaged or of another kind"),
        (pickle.UnpicklingError("opcode"), "damaged or of another kind"),
        (SafetensorError("header"), "damaged or of another kind"),
        (MemoryError(), "not enough memory; choose fewer workers"),
        (np._core._exceptions._ArrayMemoryError((9,), np.dtype("f8")), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "not enough memory"),
        (RecursionError("depth"), "nested too deeply"),
        (ModuleNotFoundError("No module named 'ray'"), "pip install .*No module named 'ray'"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), "not text in UTF-8"),
        (ValueError("two\nlines\n  become one"), "two lines become one"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_an_input_or_a_machine_causes_is_one_line_and_code_2(code_and_line, error, words):
    code, said = code_and_line(error)
    assert code == 2 and said.count("\n") == 1
    assert re.match(f"merclip: error: .*{words}", said), said


def test_torch_without_memory_is_one_line():
    with pytest.raises(RuntimeError) as here:
        torch.empty(2**60)
    with pytest.raises(RuntimeError) as in_ours:
        empty_video(size_of(Config()), 2**40)
    for caught in (here, in_ours):
        assert explain(caught.value).caused and "fewer workers" in explain(caught.value).line


def test_an_error_of_ours_is_known_also_from_a_worker():
    with pytest.raises(ValueError) as here:
        predictions_file.score_file("none.csv")
    with pool(1) as processes, pytest.raises(ValueError) as there:
        processes.submit(predictions_file.score_file, "none.csv").result()
    with pytest.raises(ValueError) as python_s:
        int("x")
    assert [is_ours(caught.value) for caught in (here, there, python_s)] == [True, True, False]


def test_a_fault_of_the_program_says_where_to_report_it(code_and_line):
    code, said = code_and_line(KeyError("subject"))
    assert code == 1 and said.count("\n") == 1
    assert "KeyError: 'subject' in fail, " in said and "report" in said and "--debug" in said


@pytest.mark.parametrize("before", [True, False])
def test_debug_shows_the_traceback(monkeypatch, capsys, before):
    monkeypatch.setattr(predictions_file, "score_file", fails_with(KeyError("subject")))
    assert main(["--debug", "score", "p.csv"] if before else ["score", "p.csv", "--debug"]) == 1
    said = capsys.readouterr().err
    assert "Traceback (most recent call last)" in said and "raise error" in said
    assert said.splitlines()[-1].startswith("merclip: error: KeyError")


@posix
def test_a_path_that_leads_nowhere_is_one_line(tmp_path, capsys):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    manifest = ["manifest", "casme2", "--out", str(tmp_path / "o.csv"), "--annotations"]
    commands = {"~nosuchuser/x": ["weights", "inspect"], str(tmp_path / "a"): manifest}
    for path, command in commands.items():
        assert main([*command, path]) == 2
        said = capsys.readouterr().err
        assert path in said and said.count("\n") == 1 and "fault of merclip" not in said


def test_ctrl_c_says_that_the_work_goes_on(code_and_line):
    code, said = code_and_line(KeyboardInterrupt())
    assert code == 130 and said.count("\n") == 1 and "it goes on from there" in said


def hear_interrupts():
    """A shell's background job, as these tests may be, starts its children deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@posix
def test_a_real_ctrl_c(tmp_path):
    arguments = [*COMMAND, "synth", "--preset", "dfme-like", "--out", str(tmp_path / "set")]
    child = subprocess.Popen(
        arguments,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_interrupts,
    )
    while not list(tmp_path.rglob("clips.npy")):  # the array that is filled
        assert child.poll() is None
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does, to all of them
    said = child.communicate(timeout=60)[1]
    assert child.returncode == 130
    assert "merclip: stopped; start the same command again" in said
    assert not list(tmp_path.rglob("clips.npy"))  # nothing half drawn


@posix
@pytest.mark.parametrize("arguments", [["describe", "4"], ["--help"], ["runs", "--help"]])
def test_a_closed_pipe_is_silent(arguments):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, *arguments], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@posix
def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "describe", "4"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines() == [
        "merclip: error: No space left on device; free some space, then start again: what is "
        "finished stays"
    ]
