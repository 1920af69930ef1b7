"""A photograph that moves, the network that reads, and the page: the whole way."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from merclip_lib import figures
from merclip_lib.__main__ import main
from merclip_lib.data.store import open_store
from merclip_lib.look import network, page, photo
from merclip_lib.look.explorer import Explorer
from merclip_lib.look.face import Aligned
from merclip_lib.look.reading import Reader
from merclip_lib.look.video import Footage, write_video
from merclip_lib.synthme.populations import EXAMPLE, FPS

astronaut = pytest.importorskip("skimage.data").astronaut


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """The public-domain portrait that scikit-image brings, as a file."""
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    Image.fromarray(astronaut()).save(path)
    return path


@pytest.fixture(scope="module")
def moved(portrait):
    """The folder that `merclip synth --face` writes."""
    out = portrait.parent / "moved"
    given = ["--units", "4+R12", "--intensity", "0.5", "--out", str(out)]
    assert main(["synth", "--face", str(portrait), *given]) == 0
    return out


def test_the_same_frames_are_the_same_bytes_of_video(moved, tmp_path):
    frames = np.stack(
        [np.asarray(Image.open(path)) for path in sorted((moved / "frames").iterdir())]
    )
    for name in "ab":
        write_video(tmp_path / name, frames, FPS)
    wanted = (moved / "moved.mp4").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == wanted


def test_a_photograph_moves_where_its_units_pull():
    face = photo.photo_face(astronaut(), 112)
    still, brow = (
        photo.move_photo(face, photo.Moved("1+2", strength, 112, 5, nuisance=False))
        for strength in (0.0, 0.8)
    )
    assert np.array_equal(still[0], still[2])
    change = np.abs(brow[2].astype(int) - still[2]).mean(-1)
    assert change[: 112 // 2].sum() > 4 * change[112 // 2 :].sum()
    with pytest.raises(ValueError, match="45 cannot be shown"):
        photo.move_photo(face, photo.Moved("45"))
    for intensity in (1.5, -0.1, (0.1, 0.2), float("nan")):
        with pytest.raises(ValueError, match="give one from 0 to 1, or one for each unit"):
            photo.move_photo(face, photo.Moved("4+7+12", intensity))
    with pytest.raises(ValueError, match="no face found in the photograph"):
        photo.photo_face(np.zeros((90, 90, 3), np.uint8))


def test_a_moved_photograph_goes_the_whole_way(moved, tmp_path, capsys):
    """Prepared by the mesh, stored, looked at, read: times and places as they were drawn."""
    table, store = moved / "table.csv", tmp_path / "store"
    given = ["--out", str(store), "--align", "mesh", "--size", "96", "--workers", "1"]
    assert main(["prepare", "--table", str(table), "--data-root", str(moved), *given]) == 0
    assert "--align none fits, not mesh" in capsys.readouterr().out  # it is a crop already
    clips = open_store(store)
    assert clips.frames.shape == (1, 32, 96, 96, 3)
    for source in (moved / "moved.mp4", f"{store}:photo/astronaut"):
        seen = page.look(str(source), page.LookSettings(network=False))
        best = seen.intervals[0]
        assert abs(best.apex - 0.15) < 0.03
        assert best.region in ("left brow, inner", "right brow, inner", "right lip corner")
        corners = seen.motion.strength.max(0)[[5, 11]]
        assert corners[1] > 2 * corners[0]
    reading = page.look(str(moved / "moved.mp4")).reading
    assert len(reading.units) == 17 and reading.units["score"].is_monotonic_decreasing
    assert reading.relevance.shape == (4, 8, 8) and sum(reading.emotions.values()) == pytest.approx(
        1
    )


def test_look_writes_one_page_that_needs_no_other_file(tmp_path, capsys):
    assert main(["look", "synthme:p003/c05", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "SynthME-casme2-like-77021-p003-c05.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', text) and "$" not in text.replace("$$", "")
    assert page.DRAWN_ONLY in text and "THIS PERSON WAS SEEN IN TRAINING" not in text
    assert "lowering the brows" in text
    assert {path.suffix for path in tmp_path.iterdir()} == {".html", ".gif", ".mp4"}
    assert "inner" in capsys.readouterr().out


def test_look_without_a_network(tmp_path):
    given = ["--no-network", "--factor", "4"]
    assert main(["look", "synthme:p001/c02", "--out", str(tmp_path), *given]) == 0
    text = (tmp_path / "SynthME-casme2-like-77021-p001-c02.html").read_text(encoding="utf-8")
    assert "No network was asked" in text and page.DRAWN_ONLY not in text


@pytest.mark.parametrize("name", ["me.mp4", "me.gif"])
def test_what_is_looked_at_is_never_replaced(tmp_path, capsys, name):
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    if name == "me.gif":
        (tmp_path / name).write_bytes(figures.gif(frames, 60))
    else:
        write_video(tmp_path / name, frames, 30)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for out in (tmp_path, tmp_path / ".." / tmp_path.name):
        assert main(["look", str(tmp_path / name), "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and f"{name}: is or holds the input" in said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_long_part_is_announced_where_a_page_is_written(tmp_path, capsys):
    path = tmp_path / "me.mp4"
    write_video(path, np.zeros((6, 64, 64, 3), np.uint8), 30)
    for folder, lines in ((tmp_path / "page", 1), (None, 0)):
        with pytest.raises(ValueError, match="me: no face found in the first 6 frames"):
            page.look(str(path), page.LookSettings(network=False), folder)
        said = capsys.readouterr().err
        assert said.count("\n") == said.count("me: following the face frame by frame") == lines


def test_a_page_replaces_files_of_ours_alone(tmp_path):
    footage = Footage("me", iter(()), source=tmp_path / "videos" / "me.mp4")
    (tmp_path / "me.gif").write_text("mine")
    with pytest.raises(ValueError, match="me.gif: holds something else, which stays"):
        page.page_place(tmp_path, footage)
    (tmp_path / "me.html").write_text("mine")
    with pytest.raises(ValueError, match="me.html: holds something else, which stays"):
        page.page_place(tmp_path, footage)
    (tmp_path / "me.html").write_text(page.TEMPLATE.template)  # with it the GIF is ours
    assert page.page_place(tmp_path, footage) == tmp_path / "me.html"


def test_a_photograph_in_the_folder_to_write_stays(moved, capsys):
    photograph = moved / "frames" / "img001.png"
    before = photograph.read_bytes()
    assert main(["synth", "--face", str(photograph), "--out", str(moved)]) == 2
    assert "is or holds the input" in capsys.readouterr().err
    assert photograph.read_bytes() == before


def test_bad_photographs_are_one_line(portrait, tmp_path, capsys):
    Image.new("RGB", (90, 90)).save(tmp_path / "plain.png")
    for name, units, line in (
        ("none.png", "4", "none.png: no such file; name a photograph"),
        ("plain.png", "4", "no face found in plain.png"),
        (portrait, "", "--units: no action unit; write some"),
    ):
        given = ["--face", str(tmp_path / name), "--units", units, "--out", str(tmp_path / "o")]
        assert main(["synth", *given]) == 2
        assert line in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_nothing_to_see_is_said(tmp_path, capsys):
    """A face at rest, filmed by three frames a second."""
    still = np.repeat(astronaut()[None, :400, 50:450], 6, axis=0)
    write_video(tmp_path / "rest.mp4", still, 3)
    out = ["--out", str(tmp_path / "page")]
    assert main(["look", str(tmp_path / "rest.mp4"), "--no-network", *out]) == 0
    said = capsys.readouterr().out
    assert "Nothing rises above the noise" in said
    assert "note: 3 frames per second miss what is short" in said


def test_bad_requests_are_one_line(tmp_path, capsys):
    assert main(["look", str(tmp_path / "no.mp4")]) == 2
    assert main(["look", "synthme:p001/c01", "--run", str(tmp_path)]) == 2
    assert main(["look", "synthme:p001/c01", "--factor", "0"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("merclip: error: ") for line in lines)


def test_the_network_that_comes_with_us_has_seen_drawn_people_but_none_of_the_example():
    loaded = network.load_network()
    assert loaded.drawn_only and len(loaded.people) == 176
    assert not any(EXAMPLE.name in person for person in loaded.people)
    assert not loaded.model.training


def test_a_network_with_a_crop_reads_the_centre_and_shows_it():
    loaded = network.load_network()
    cropped = replace(loaded, config=replace(loaded.config, crop=0.5))
    frames = np.stack([astronaut()[:256, 128:384]] * 12)
    whole, centre = Reader(loaded), Reader(cropped)
    part = frames[:, 64:192, 64:192]
    np.testing.assert_allclose(centre.video_of(frames), whole.video_of(part), atol=0.1)
    aligned = Aligned(frames, np.arange(12) / 30, np.zeros((2, 2)), None, 1.0, ())
    shown = centre.read(aligned, None).pictures
    assert np.array_equal(shown, part[:: 12 // len(shown)][: len(shown)])


def test_the_sentences_shown_are_those_of_the_network(tmp_path):
    phrases = tmp_path / "mine.csv"
    phrases.write_text("action_unit,phrase\n12,smiling a little\n")
    loaded = network.load_network()
    own = replace(loaded, config=replace(loaded.config, phrases=str(phrases)))
    frames = np.stack([astronaut()[:256, 128:384]] * 12)
    aligned = Aligned(frames, np.arange(12) / 30, np.zeros((2, 2)), None, 1.0, ())
    reader = Reader(own)
    reader.sentences = ["12"]
    reader.bank = reader.bank[:1].repeat(1 + len(reader.units), 0)
    assert list(reader.read(aligned, None).sentences["sentence"]) == ["smiling a little"]


def test_the_explorer_says_shows_and_reads():
    explorer = Explorer(Reader(network.load_network()), astronaut())
    for person in ("p001", "photo"):
        shown = explorer.show(person, "12", [0.8])
        assert "image/gif" in shown
        assert '"text-align: left">AU12 pulling the corners of the lips</th>' in shown


def test_the_explorer_has_a_slider_for_each_unit():
    explorer = Explorer(Reader(network.load_network()))
    head, sliders, view = explorer.widget("p002", "12+L4", [0.4, 0.7]).children
    assert [(box.description, box.value) for box in sliders.children] == [("12", 0.4), ("L4", 0.7)]
    assert "at 0.4, 0.7: a combination of pulling" in view.value
    before = view.value
    sliders.children[1].value = 0.0
    assert "at 0.4, 0: " in view.value and view.value != before
    units = head.children[1]
    units.value = "45"
    assert "cannot be shown" in view.value
    units.value = "9+12"
    assert [(box.description, box.value) for box in sliders.children] == [("9", 0.4), ("12", 0.4)]
    assert "wrinkling the nose" in view.value
