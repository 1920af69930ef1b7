"""The first two commands: the demo says what the README shows, the doctor never fails."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from merclip_lib.__main__ import main
from merclip_lib.cli import start

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"[+-]?\d+\.\d+|\d+%")


def test_the_demo_says_what_the_readme_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gif = tmp_path / "small.gif"
    assert main(["demo", "--out", str(tmp_path / "runs" / "demo"), "--gif", str(gif)]) == 0
    said = capsys.readouterr().out
    shown = re.search(r"^merclip demo\n```\n+```\n(.*?)```", readme(), re.M | re.S)[1]
    assert NUMBER.sub("", said).split() == NUMBER.sub("", shown).split()
    for here, there in zip(NUMBER.findall(said), NUMBER.findall(shown), strict=True):
        last = 1 if "%" in here else 0.01  # of the digits shown; another processor rounds otherwise
        assert float(here.strip("%")) == pytest.approx(float(there.strip("%")), abs=1.1 * last)
    (page,) = (tmp_path / "runs" / "demo").glob("*.html")
    text = page.read_text(encoding="utf-8")
    assert page.with_suffix(".gif").read_bytes().startswith(b"GIF")
    with Image.open(gif) as made, Image.open(ROOT / "figures" / "demo.gif") as committed:
        assert (made.size, made.n_frames) == (committed.size, committed.n_frames)
        made.seek(made.n_frames // 2)
        committed.seek(made.n_frames // 2)
        apart = np.subtract(made.convert("RGB"), committed.convert("RGB"), dtype=float)
        assert np.abs(apart).mean() < 3  # grey levels: the same face at the same moment
    assert not re.findall(r"""(?:src|href)=["']?(?!data:)[\w/.]""", text)  # it needs no other file


def test_the_moving_picture_replaces_no_other_file(tmp_path, capsys):
    mine = tmp_path / "thesis.gif"
    mine.write_text("two years of work")
    assert main(["demo", "--out", str(tmp_path / "demo"), "--gif", str(mine)]) == 2
    assert capsys.readouterr().err.endswith("something else, which stays; name another file\n")
    assert mine.read_text() == "two years of work" and not (tmp_path / "demo").exists()


def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_demo_names_the_clips_that_there_are(capsys):
    assert main(["demo", "p002/c4"]) == 2
    assert "p002/c04" in capsys.readouterr().err


def test_the_person_of_the_demo_is_nobody_whom_the_network_has_seen():
    from merclip_lib.look.network import load_network
    from merclip_lib.synthme.populations import EXAMPLE

    assert not [person for person in load_network().people if EXAMPLE.name in person]


def test_the_doctor_tells_all_facts(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == list(start.FACTS)
    assert "instructions" in told["torch"] and "dfme" in told["weights"]
    assert all(name in lines for name in told)


def test_the_doctor_goes_on_where_a_fact_cannot_be_told(monkeypatch, capsys):
    def broken(*_):
        raise OSError("no such disk")

    monkeypatch.setattr(shutil, "disk_usage", broken)
    assert main(["doctor", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["machine"] == "cannot be told (OSError: no such disk)"
    assert told["Python"].startswith("3.")


def test_the_doctor_says_how_to_get_what_is_not_there(monkeypatch):
    def absent(package):
        raise start.PackageNotFoundError(package)

    monkeypatch.setattr(start, "version", absent)
    for package, remedy in start.EXTRAS.items():
        assert start.FACTS[package]() == f"not there: {remedy}"


def test_the_doctor_finds_stores_tables_and_variables(tmp_path, monkeypatch, capsys):
    store = tmp_path / "stores" / "mine"
    store.mkdir(parents=True)
    (store / "meta.json").write_text("{}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_text("clip_id\n")
    monkeypatch.setattr("merclip_lib.study.checkout.find_root", lambda: tmp_path)
    monkeypatch.setenv("MERCLIP_MAX_CLIPS", "7")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["data"]
    assert str(Path("data", "mine.csv")) in found and str(Path("stores", "mine")) in found
    assert "MERCLIP_MAX_CLIPS=7" in found
