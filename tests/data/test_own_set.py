"""A set that nobody has described: its columns named once, then all the way to a training."""

import re

import numpy as np
import pytest
import tiny_runs
from PIL import Image

from merclip_lib.__main__ import main
from merclip_lib.config import config_from
from merclip_lib.data.annotations.own_release import own_release, own_values
from merclip_lib.data.annotations.read import read_annotations
from merclip_lib.data.store import open_store
from merclip_lib.data.table import read_table
from merclip_lib.data.tasks import ANY, apply_task, task_named

HEAD = "Person;Video;Start;End;Gefühl;FACS"
ROWS = ["p{s};a;3;8;Freude;12", "p{s};b;1;6;Ekel;4+9", "p{s};c;2;7;surprise;1+2"]
NAMED = "subject=Person clip=Video onset=Start offset=End emotion=Gefühl action_units=FACS".split()


@pytest.fixture
def own(tmp_path):
    """An annotation file with headings of its own, and pictures in folders of their own."""
    lines = [row.format(s=s) for s in range(3) for row in ROWS]
    (tmp_path / "coding.csv").write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    generator = np.random.default_rng(0)
    for s in range(3):
        for clip in "abc":
            folder = tmp_path / "pictures" / f"{clip} of p{s}"
            folder.mkdir(parents=True)
            for k in range(1, 9):
                picture = generator.integers(0, 256, (70, 80, 3), dtype=np.uint8)
                Image.fromarray(picture).save(folder / f"img{k}.png")
    return tmp_path


def manifest(folder, *further, name="mine"):
    files = ["--annotations", str(folder / "coding.csv"), "--out", str(folder / "mine.csv")]
    return main(["manifest", name, *files, *further])


FIRST = ["--columns", *NAMED, "--fps", "100", "--pictures", "{clip} of {subject}"]
FIRST += ["--emotions", "Freude=happiness", "Ekel=disgust"]


def test_from_the_annotation_file_to_a_training(own, capsys):
    assert manifest(own, *FIRST) == 0
    assert "9 clips in" in (said := capsys.readouterr().out) and "mine.release.yaml" in said
    table = read_table(own / "mine.csv")
    assert table.loc[0, ["dataset", "subject", "onset", "fps"]].tolist() == ["mine", "p0", 3, 100]
    assert table["emotion"].tolist()[:3] == ["happiness", "disgust", "surprise"]
    assert table["action_units"].tolist()[1] == "4+9" and table["frames"][1] == "b of p0"
    assert main(["task", "any-3", "--table", str(own / "mine.csv")]) == 0
    assert "any-3: 9 clips, 3 subjects" in (said := capsys.readouterr().out)
    assert "no such card" not in said
    root, store = ["--data-root", str(own / "pictures")], own / "store"
    options = ["--size", "64", "--frames", "2", "--workers", "1"]
    files = ["--table", str(own / "mine.csv"), *root, "--out", str(store)]
    assert main(["prepare", *files, *options]) == 0
    said = capsys.readouterr().out
    assert "not aligned: short side resized, centre cropped; 2 frames of 64 pixels" in said
    config = config_from({**vars(tiny_runs.FAST), "epochs": 1, "task": "any-3"})
    run = tiny_runs.run(config, open_store(store), own / "runs", executor="serial")
    assert set(run.predictions["truth"]) == set(task_named("any-3").classes)
    assert main(["runs", "list", "--runs-dir", str(own / "runs")]) == 0
    assert "any-3" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_spreadsheets_write(own, encoding):
    text = (own / "coding.csv").read_text(encoding="utf-8")
    (own / "coding.csv").write_bytes(text.encode(encoding))
    assert manifest(own, *FIRST) == 0 and len(read_table(own / "mine.csv")) == 9


def test_a_file_that_is_not_unicode_is_doubted(own, capsys):
    text = (own / "coding.csv").read_text(encoding="utf-8")
    (own / "coding.csv").write_bytes(text.encode("latin-1"))
    assert manifest(own, *FIRST) == 2
    assert "read as gb18030; better save it as CSV UTF-8" in capsys.readouterr().err


def test_what_was_named_is_found_again_and_can_be_changed(own):
    assert manifest(own, *FIRST) == 0
    first, kept = (own / "mine.csv").read_bytes(), own / "mine.release.yaml"
    (own / "mine.csv").unlink()
    assert manifest(own) == 0 and (own / "mine.csv").read_bytes() == first
    assert manifest(own, "--emotions", "Ekel=anger", "--fps", "50") == 0
    table = read_table(own / "mine.csv")
    assert set(table["fps"]) == {50} and set(table["emotion"]) == {"happiness", "anger", "surprise"}
    release = own_release(kept, own_values(kept, {}))
    reading = read_annotations(own / "coding.csv", release)
    assert reading.table.equals(table)


def test_without_frame_numbers_the_folder_is_the_clip(own):
    text = (own / "coding.csv").read_text(encoding="utf-8")
    rows = [line.split(";") for line in text.splitlines()]
    short = "\n".join(";".join([row[0], row[1], row[4]]) for row in rows)
    (own / "coding.csv").write_text(short + "\n", encoding="utf-8")
    named = [pair for pair in NAMED if pair.split("=")[0] in ("subject", "clip", "emotion")]
    further = ["--columns", *named, *FIRST[FIRST.index("--fps") :]]
    assert manifest(own, *further, "--data-root", str(own / "pictures")) == 0
    table = read_table(own / "mine.csv")
    assert set(table["onset"]) == {1} and set(table["offset"]) == {8}
    assert set(table["action_units"]) == {""}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "'mine' is unknown.*headings once, such as --columns subject=Person"),
        (["--columns", "subject"], "is not of the form FIELD=HEADING"),
        (["--columns", *NAMED], "fps is None; give the frames per second, such as --fps 100"),
        ([*FIRST, "--fps", "0"], "fps is 0"),
        *(
            ([*FIRST, "--pictures", text], "mine.release.yaml: pictures is .*; write such as")
            for text in ("{video}", "{subject", "{0}", "{subject!x}", "{clip:d}", "{clip.name}")
        ),
        ([*FIRST[:-1], "Ekel="], "emotions makes 'ekel' '', which is unknown; known are"),
        ([*FIRST[:-1], "Ekel=disgus"], "which is unknown; did you mean 'disgust'"),
        ([*FIRST, "--columns", *NAMED, "clip=Person"], "--columns .*: a name stands there twice"),
        ([each.replace("=End", "=Start") for each in FIRST], "two fields the same heading"),
        ([*FIRST, "--columns", "person=Person"], "columns names 'person'; known are"),
        (["--columns", "clip=Vid", "--fps", "9"], "no row of the first 40 .* heading for subject"),
        (["--columns", *NAMED[1:], "--fps", "9"], "heading for subject.*--columns subject=HEADING"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(own, capsys, arguments, message):
    assert manifest(own, *arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert re.search(message, said), said
    assert not (own / "mine.csv").exists() and not (own / "mine.release.yaml").exists()


@pytest.mark.parametrize("name", ["Mine", "my-set", "synthme", "any"])
def test_names_that_would_mean_something_else(own, name, capsys):
    assert manifest(own, *FIRST, name=name) == 2
    assert "in small letters and digits" in capsys.readouterr().err


def test_a_damaged_release_file(own, capsys):
    texts = ["columns: [", "columns: {}\n", "columns: {}\nemotions: {}\nrate: 1\n"]
    texts += ["columns: {}\nemotions: [joy]\n", "columns: Person\nemotions:\n"]
    for text in texts:
        (own / "mine.release.yaml").write_text(text)
        assert manifest(own) == 2
        said = capsys.readouterr().err
        assert "mine.release.yaml: " in said and "delete it" in said


def test_lines_taken_out_of_the_release_file_count_as_empty(own, capsys):
    assert manifest(own, *FIRST, "--pictures", "7") == 0
    file = own / "mine.release.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index("emotions:")] + "emotions:\n", encoding="utf-8")
    assert "pictures: '7'" in text and manifest(own) == 0
    assert "emotion 'freude' is unknown" in capsys.readouterr().out
    file.write_text(text.replace("'7'", "7"), encoding="utf-8")  # a number, as YAML reads it
    assert manifest(own) == 0 and set(read_table(own / "mine.csv")["frames"]) == {"7"}


def test_options_of_an_own_set_are_refused_for_a_known_one(own, capsys):
    assert manifest(own, "--fps", "10", name="samm") == 2
    assert "for a set of your own" in capsys.readouterr().err


@pytest.mark.parametrize("name", ANY)
def test_tasks_on_any_set(tmp_path, name):
    own = tiny_runs.make_store(tmp_path / "set", dataset="ours").table
    chosen = apply_task(own, name)
    assert set(chosen["label"]) == set(task_named(name).classes)
    left = set(own["emotion"]) - set(chosen["emotion"])
    assert left == ({"others"} if name == "any-3" else set())


def test_notes_in_the_release_file_stay_and_the_table_does_not_take_its_place(own, capsys):
    assert manifest(own, *FIRST) == 0
    release = own / "mine.release.yaml"
    release.write_text("# coded by two people\n" + release.read_text(encoding="utf-8"))
    before = release.read_bytes()
    assert manifest(own) == 0 and manifest(own, "--fps", "100") == 0
    assert release.read_bytes() == before
    release.unlink()
    files = ["--annotations", str(own / "coding.csv"), "--out", str(release)]
    assert main(["manifest", "mine", *files, *FIRST]) == 2
    assert "is or holds the input" in capsys.readouterr().err and not release.exists()
