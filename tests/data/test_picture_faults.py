"""Pictures of every depth, and folders with more in them than frames: right, or named."""

import json
import os

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from merclip_lib.__main__ import main
from merclip_lib.data.frames import find
from merclip_lib.data.frames.decode import SHARES, PictureSettings, read_picture, used_bits
from merclip_lib.data.frames.find import DataRoot, frame_numbers
from merclip_lib.data.frames.prepare import prepare
from merclip_lib.data.table import COLUMNS

SMALL = PictureSettings(size=16, length=8)


def shades(k):
    """A picture (20, 18) uint8 of many shades, different for each k."""
    y, x = np.mgrid[:20, :18]
    return ((x * 11 + y * 5 + 9 * k) % 250).astype(np.uint8)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if values.ndim == 3:
        assert cv2.imwrite(str(path), values[..., ::-1])  # Pillow writes no colours of 16 bits
    else:
        Image.fromarray(values).save(path)


def clip(folder, values=shades, name="img{}.png", numbers=range(1, 9)):
    """A folder of frames; `values` makes the picture of each number."""
    for k in numbers:
        save(folder / name.format(k), values(k))
    return folder


def table(onset=1, offset=8, frames="01/a"):
    row = ["c1", "dfme", "01", "a", onset, "", offset, 200, "4", "fear", frames]
    return pd.DataFrame([row], columns=COLUMNS)


def decoded(tmp_path, **row):
    """The stored clip (T, H, W, 3) of the folder data/01/a, and the notes about it."""
    store = prepare(table(**row), tmp_path / "data", tmp_path / "store", SMALL, workers=1)
    return store.frames[0], " ".join(text for _, text in store.meta["notes"])


DEPTHS = {
    "8 bits in 16": ("png", lambda k: shades(k).astype(np.uint16), ""),
    "10 bits in 16": ("png", lambda k: shades(k).astype(np.uint16) * 4, "10 bits"),
    "12 bits in 16": ("png", lambda k: shades(k).astype(np.uint16) * 16, "12 bits"),
    "12 bits in a tif": ("tif", lambda k: shades(k).astype(np.uint16) * 16, "12 bits"),
    "14 bits in 16": ("png", lambda k: shades(k).astype(np.uint16) * 64, "14 bits"),
    "16 bits": ("png", lambda k: shades(k).astype(np.uint16) * 257, "16 bits"),
    "16 bits of a pgm": ("pgm", lambda k: shades(k).astype(np.uint16) * 257, "16 bits"),
    "32 bits, 8 in use": ("tif", lambda k: shades(k).astype(np.int32), ""),
    "32 bits, 16 in use": ("tif", lambda k: shades(k).astype(np.int32) * 257, "16 bits"),
    "32 bits, 20 in use": ("tif", lambda k: shades(k).astype(np.int32) << 12, "20 bits"),
    "32 bits, 28 in use": ("tif", lambda k: shades(k).astype(np.int32) << 20, "28 bits"),
    "shares": ("tif", lambda k: shades(k).astype(np.float32) / 255, "shares from 0 to 1"),
    "floats to 255": ("tif", lambda k: shades(k).astype(np.float32), ""),
    "12 bits, coloured": (
        "png",
        lambda k: np.repeat(shades(k).astype(np.uint16)[..., None] * 16, 3, 2),
        "12 bits",
    ),
    "12 bits, coloured, tif": (
        "tif",
        lambda k: np.repeat(shades(k).astype(np.uint16)[..., None] * 16, 3, 2),
        "12 bits",
    ),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_depth_gives_the_clip_that_8_bits_give(tmp_path, depth):
    ending, values, note = DEPTHS[depth]
    clip(tmp_path / "usual" / "data/01/a")
    clip(tmp_path / "deep" / "data/01/a", values, f"img{{}}.{ending}")
    usual, _ = decoded(tmp_path / "usual")
    deep, notes = decoded(tmp_path / "deep")
    assert np.array_equal(deep, usual) and (note in notes if note else notes == "")


def test_channels_of_16_bits_keep_their_order(tmp_path):
    colours = np.stack([shades(1), shades(2), shades(3)], -1).astype(np.uint16) * 257
    save(tmp_path / "a.png", colours)
    assert np.array_equal(read_picture(tmp_path / "a.png"), colours >> 8)


def test_a_dark_frame_does_not_change_the_scale_of_its_clip(tmp_path):
    """All frames are scaled alike, or the face would flicker."""

    def values(k):
        return (shades(k).astype(np.uint16) >> (4 if k == 3 else 0)) * 16

    folder = clip(tmp_path / "data/01/a", values)
    assert used_bits([folder / "img3.png"]) == 8 and used_bits(folder.iterdir()) == 12
    frames, _ = decoded(tmp_path)
    assert frames[2].max() < 16 < frames[1].max()


def test_a_black_frame_among_shares(tmp_path):
    def values(k):
        return (shades(k) * (k != 3)).astype(np.float32) / 255

    folder = clip(tmp_path / "data/01/a", values, "img{}.tif")
    assert used_bits(folder.iterdir()) == SHARES
    frames, _ = decoded(tmp_path)
    assert frames[2].max() == 0 and frames[1].max() > 200


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (lambda k: np.full((20, 18), 7, np.uint8), "all its pixels are of one shade"),
        (lambda k: np.zeros((20, 18), np.uint16), "all its pixels are of one shade"),
        (lambda k: (shades(k) > 99).astype(np.int32), "all its pixels are of one shade"),
        (lambda k: shades(k).astype(np.float32) - 99, "img1.tif: holds values"),
        (lambda k: np.full((20, 18), np.nan, np.float32), "holds values that are no shades"),
        (lambda k: np.full((20, 18), 1e12, np.float32), "holds values that are no shades"),
    ],
)
def test_a_clip_that_shows_nothing_is_refused(tmp_path, values, told):
    clip(tmp_path / "data/01/a", values, "img{}.tif")
    with pytest.raises(ValueError, match=f"clip c1: .*{told}"):
        decoded(tmp_path)


def test_several_pictures_in_one_file(tmp_path):
    pages = [Image.fromarray(shades(k)) for k in range(3)]
    for name in ("a.tif", "a.gif", "a.webp"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        os.rename(tmp_path / name, tmp_path / "a.jpg")
        with pytest.raises(ValueError, match="a.jpg: holds 3 pictures; save each"):
            read_picture(tmp_path / "a.jpg")


STRAYS = [
    ["apex.jpg"],
    ["onset.jpg", "offset.png"],
    ["img3 (1).jpg"],
    ["img3 - Copy.jpg"],
    ["img5_mask.png"],
    ["cover_12.png"],
    ["score_0.93.jpg"],
    ["IMG_0004_copy.JPG", "x1_y2_w3.png"],
]


@pytest.mark.parametrize("strays", STRAYS)
@pytest.mark.parametrize(("first", "last"), [(1, 9), (40, 60)])
def test_a_stray_picture_is_left_aside_and_said(tmp_path, strays, first, last):
    folder = clip(tmp_path / "data/01/a", name="img{}.jpg", numbers=range(first, last))
    for name in strays:
        save(folder / name, np.full((20, 18), 255, np.uint8))
    chosen = find.choose_frames(folder, first + 1, first + 6, 6, "clip x")
    assert [path.stem for path in chosen.files] == [f"img{first + k}" for k in range(1, 7)]
    assert chosen.numbering == "number" and sorted(chosen.strays) == sorted(strays)
    _, notes = decoded(tmp_path, onset=first + 1, offset=first + 6)
    assert f"{len(strays)} pictures are no frames and left aside" in notes


def test_where_frames_and_others_cannot_be_told_apart_it_is_an_error(tmp_path):
    folder = clip(tmp_path / "a", name="img{}.jpg")
    clip(folder, name="img{}_mask.png")
    with pytest.raises(ValueError, match="have the same frame number; keep one"):
        find.choose_frames(folder, 1, 8, 8, "clip x")
    folder = clip(tmp_path / "b", name="img{}.jpg", numbers=range(1, 6))
    for name in ("onset.jpg", "apex.jpg"):
        save(folder / name, shades(0))
    with pytest.raises(ValueError, match="apex.jpg has no frame number as others do; move it"):
        find.choose_frames(folder, 1, 5, 5, "clip x")


@pytest.mark.parametrize(
    "name",
    [
        "frame_{k:05d}_conf0.{other}.jpg",
        "frame_{k:05d}_t{time}.jpg",
        "2021-03-04_{k}_224x224.jpg",
        "{k}_box{other}_{k}0.jpg",
        "img²_{k}.jpg",
        "图像{wide}.jpg",
        "img{circled}.jpg",
        "img{arabic}.jpg",
    ],
)
def test_the_frame_number_among_other_numbers(tmp_path, name):
    numbers = range(1, 16)
    for k in numbers:
        forms = {"wide": chr(0xFF10 + k % 10), "circled": chr(0x245F + k), "arabic": chr(0x660 + k)}
        if k < 10 or not {"{wide}", "{arabic}"} & {name[3:-4], name[2:-4]}:
            other = (k * 7919) % 1000
            save(tmp_path / name.format(k=k, other=other, time=5 * k, **forms), shades(k))
    files = find.list_pictures(tmp_path)
    found = frame_numbers(files, "clip x", 3, 8)
    assert sorted(found) == list(range(1, len(files) + 1)) and len(files) >= 9
    chosen = find.choose_frames(tmp_path, 3, 8, 6, "clip x")
    assert (chosen.numbering, chosen.missing, len(set(chosen.files))) == ("number", 0, 6)


def test_pipes_folders_and_broken_links_are_no_pictures(tmp_path):
    folder = clip(tmp_path / "data/01/a")
    for k, make in enumerate((os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)), 3):
        (folder / f"img{k}.png").unlink()
        make(folder / f"img{k}.png")
    _, notes = decoded(tmp_path)
    assert notes == "3 frames missing, the nearest taken"
    os.mkfifo(tmp_path / "data/b.avi")
    for name in ("b", "b.avi"):
        with pytest.raises(ValueError, match="no folder|neither a folder nor a video"):
            DataRoot(tmp_path / "data").find(name, "clip x")


@pytest.mark.parametrize(
    "junk", ["__MACOSX/CASME2/01/a", "01/@eaDir/a", ".Trash/01/a", "01/.ipynb_checkpoints/a"]
)
def test_what_programs_leave_beside_the_pictures(tmp_path, junk):
    folder = clip(tmp_path / "CASME2/01/a")
    clip(tmp_path / junk, name="._img{}.png")
    assert DataRoot(tmp_path).find("01/a", "clip x") == folder


@pytest.mark.parametrize(
    ("frames", "folder"),
    [
        ("01/a", "01/a/a"),
        ("01/a", "x/x/01/a/a"),
        ("01/a", "01/a "),
        ("01\\a", "01/a"),
        ("01/a/", "X/01/a"),
        ("01/a", "01/a/frames"),
        ("01/Müller", "01/Mu\u0308ller"),
        ("01/ａ１", "x/1/A1"),
    ],
)
def test_folders_as_unzipping_and_other_systems_leave_them(tmp_path, frames, folder):
    clip(tmp_path / folder)
    assert DataRoot(tmp_path).find(frames, "clip x") == tmp_path / folder


def test_depth_is_not_taken_for_colour(tmp_path):
    clip(tmp_path / "spNO.1/a/depth")
    with pytest.raises(ValueError, match="holds no frames"):
        DataRoot(tmp_path).find("spNO.1/a/color", "clip x")


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ("D:/CASME2/01/a", "lies outside the data root"),
        ("D:\\CASME2\\01\\a", "lies outside the data root"),
        ("\\\\server\\share\\a", "lies outside the data root"),
        ("x" * 300, "cannot be looked for .File name too long"),
    ],
)
def test_names_that_no_copy_can_have(tmp_path, frames, told):
    with pytest.raises(ValueError, match=f"clip x: .*{told}"):
        DataRoot(tmp_path).find(frames, "clip x")


def test_a_link_is_named_and_what_to_do(tmp_path):
    clip(tmp_path / "disk/CASME2/01/a")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/CASME2").symlink_to(tmp_path / "disk/CASME2")
    with pytest.raises(ValueError, match="or copy what CASME2 links to: links are not followed"):
        DataRoot(tmp_path / "data").find("01/a", "clip x")
    with pytest.raises(
        ValueError, match="links out of the data root; copy it, or name a data root"
    ):
        DataRoot(tmp_path / "data").find("CASME2/01/a", "clip x")


def test_signs_that_break_lines_stay_out_of_the_message(tmp_path):
    for frames in ("01/\x1b[1m", "01/a\nb", "01/\u2028"):
        with pytest.raises(ValueError, match="1 of 1 clips cannot be read") as told:
            (tmp_path / "data").mkdir(exist_ok=True)
            decoded(tmp_path, frames=frames)
        assert len(str(told.value).splitlines()) == 2 and "\x1b" not in str(told.value)


def test_pictures_larger_than_a_limit(tmp_path, monkeypatch):
    Image.new("1", (60_000, 1)).save(tmp_path / "long.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="long.png: 60000 x 1 pixels are no picture of a face"):
        read_picture(tmp_path / "long.png")
    with pytest.raises(
        ValueError, match=r"large.png: 400,000,000 pixels, the limit is .*MAX_PIXELS"
    ):
        read_picture(tmp_path / "large.png")
    clip(tmp_path / "data/01/a")
    monkeypatch.setenv("MERCLIP_MAX_FRAMES", "7")
    with pytest.raises(
        ValueError, match="clip c1: 8 frames, the limit is 7; .*MERCLIP_MAX_FRAMES=8"
    ):
        decoded(tmp_path)
    monkeypatch.setenv("MERCLIP_MAX_FRAMES", "8")
    monkeypatch.setenv("MERCLIP_MAX_CLIP_PIXELS", "2500")
    with pytest.raises(ValueError, match="2,880 clip pixels, the limit is 2,500"):
        decoded(tmp_path)
    with pytest.raises(ValueError, match="1000000 frames: .* clip pixels, the limit is"):
        PictureSettings(length=1_000_000).check()


def arguments(tmp_path, out):
    table().to_csv(tmp_path / "t.csv", index=False)
    clip(tmp_path / "data/01/a")
    line = f"prepare --table {tmp_path}/t.csv --data-root {tmp_path}/data --out {out}"
    return [*line.split(), "--size", "16", "--frames", "4", "--workers", "1"]


def everything(folder):
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


OUTS = ["data", "data/01", "data/new", ".", "thesis", "holds_table", "t.csv", "t.csv/new"]


@pytest.mark.parametrize("out", OUTS)
def test_prepare_never_removes_what_is_not_its_own(tmp_path, capsys, monkeypatch, out):
    monkeypatch.chdir("/")
    command = arguments(tmp_path, tmp_path / out)
    for name in ("thesis/chapter.txt", "holds_table/notes.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("two years of work")
    before = everything(tmp_path)
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1 and everything(tmp_path) == before


def test_prepare_replaces_a_store_and_refuses_its_own_table_as_input(tmp_path, capsys):
    command = arguments(tmp_path, tmp_path / "store")
    assert main(command) == 0
    assert main([*command, "--grey"]) == 0
    assert json.loads((tmp_path / "store/meta.json").read_text())["grey"]
    command[command.index("--table") + 1] = str(tmp_path / "store/table.csv")
    assert main(command) == 2 and "is or holds the input" in capsys.readouterr().err
    (tmp_path / "store/meta.json").write_text("[]")
    assert main(arguments(tmp_path, tmp_path / "store")) == 2
    assert "store: meta.json is damaged" in capsys.readouterr().err


def test_no_command_writes_over_its_input(tmp_path, capsys):
    command = arguments(tmp_path, tmp_path / "store")
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "thesis.csv").write_text("two years of work")
    path = str(tmp_path / "t.csv")
    for words in (
        ["describe", "--table", path],
        ["task", "dfme-7", "--table", path],
        ["manifest", "dfme", "--annotations", path],
    ):
        assert main([*words, "--out", path, "--force"]) == 2
        assert "is or holds the input" in capsys.readouterr().err
        assert main([*words, "--out", str(tmp_path / "thesis.csv")]) == 2
        assert "holds something else, which stays; name another file, or --force" in (
            capsys.readouterr().err
        )
    assert (tmp_path / "t.csv").read_text() == text and command
    assert (tmp_path / "thesis.csv").read_text() == "two years of work"
    phrases = tmp_path / "mine.csv"
    phrases.write_text("action_unit,phrase\n4,frowning\n")
    words = ["describe", "--table", path, "--phrases", str(phrases), "--out", str(phrases)]
    assert main([*words, "--force"]) == 2 and "is or holds the input" in capsys.readouterr().err
    words = ["describe", "--table", path, "--out", str(tmp_path / "thesis.csv"), "--force"]
    assert main(words) == 0 and main(words[:-1]) == 0  # ours now
