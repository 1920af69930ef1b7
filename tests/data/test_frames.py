"""Folders of pictures become a clip store; every bad clip is named before anything is written."""

import json
import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from merclip_lib.data.frames import decode, find, prepare
from merclip_lib.data.frames.decode import (
    PictureSettings,
    crop_pictures,
    read_picture,
    read_pictures,
)
from merclip_lib.data.frames.video import frames_at
from merclip_lib.data.store import open_store
from merclip_lib.synthme.draw import render_face

SMALL = PictureSettings(size=16, length=9)


@pytest.fixture
def data(tmp_path):
    """Two clips of 12 numbered pictures, each a single shade that says its number."""
    rows = []
    for clip in ("a", "b"):
        folder = tmp_path / "data" / clip
        folder.mkdir(parents=True)
        for n in range(1, 13):
            cv2.imwrite(str(folder / f"img{n}.png"), np.full((30, 40, 3), 10 * n, np.uint8))
        rows.append(
            {
                "clip_id": f"set/{clip}",
                "dataset": "casme2",
                "subject": "01",
                "clip": clip,
                "onset": 3,
                "apex": 5,
                "offset": 11,
                "fps": 200.0,
                "action_units": "4",
                "emotion": "disgust",
                "frames": clip,
            }
        )
    return tmp_path / "data", pd.DataFrame(rows)


def left_over(folder):
    return sorted(p.name for p in folder.iterdir() if p.name not in ("data", "store"))


def test_onset_to_offset_in_natural_order(data, tmp_path):
    root, table = data
    store = prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1)
    assert store.frames.shape == (2, 9, 16, 16, 3)
    assert store.frames[0, :, 0, 0, 0].tolist() == [10 * n for n in range(3, 12)]
    again = open_store(tmp_path / "store").meta
    assert again == store.meta and again["dropped"] == [] and again["align"] == "none"
    assert prepare.prepare_report(again).startswith(
        "cut by frame number: 2, the whole folder or video: 0"
    )
    assert left_over(tmp_path) == []


def test_short_clip_repeats_frames_and_stays_monotone(data, tmp_path):
    root, table = data
    store = prepare.prepare(table, root, tmp_path / "store", PictureSettings(16, 20), workers=1)
    shades = store.frames[0, :, 0, 0, 0].astype(int)
    assert (np.diff(shades) >= 0).all() and shades[0] == 30 and shades[-1] == 110


def cut(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def noisy_jpeg(folder):
    """A JPEG in the place of a frame, cut off behind its header and half of its body."""
    (folder / "img5.png").unlink()
    rng = np.random.default_rng(0)
    cv2.imwrite(str(folder / "img5.jpg"), rng.integers(0, 256, (30, 40, 3), np.uint8))
    cut(folder / "img5.jpg")


def odd_size(folder):
    cv2.imwrite(str(folder / "img7.png"), np.zeros((31, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: [p.unlink() for p in folder.iterdir()], "holds no frames"),
        (lambda folder: [(folder / f"img{n}.png").unlink() for n in range(4, 13)], "only 1 of the"),
        (lambda folder: (folder / "img5.png").write_bytes(b"not a picture"), "img5.png cannot"),
        (lambda folder: cut(folder / "img5.png"), "img5.png cannot be read"),
        (noisy_jpeg, "img5.jpg cannot be read as a picture .*truncated"),
        (odd_size, "frames differ in size .40 x 30 and 40 x 31 pixels"),
        (lambda folder: folder.rename(folder.with_name("elsewhere")), "no folder 'b'"),
    ],
)
def test_bad_clip_is_named_and_nothing_is_written(data, tmp_path, spoil, message):
    root, table = data
    spoil(root / "b")
    with pytest.raises(ValueError, match="1 of 2 clips cannot be read, nothing is written") as told:
        prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1)
    assert told.match(f"clip set/b: .*{message}")
    assert not (tmp_path / "store").exists()
    store = prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1, skip_bad=True)
    assert store.table["clip_id"].tolist() == ["set/a"]
    ((name, reason),) = store.meta["dropped"]
    assert name == "set/b" and reason in str(told.value)
    assert "left out: 1\nclip set/b: " in prepare.prepare_report(store.meta)
    with pytest.raises(ValueError, match="1 of 2 clips"):  # not satisfied by what was skipped
        prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1)


def test_all_bad_clips_are_listed_together_up_to_twenty(data, tmp_path):
    root, table = data
    rows = [table.iloc[0].to_dict() | {"clip_id": f"m{k:02d}", "frames": "gone"} for k in range(25)]
    cut(root / "b/img6.png")
    many = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    with pytest.raises(ValueError, match="26 of 27 clips") as told:
        prepare.prepare(many, root, tmp_path / "store", SMALL, workers=1)
    lines = str(told.value).splitlines()
    assert len(lines) == 22 and lines[-1] == "... and 6 more" and "img6.png" in lines[1]
    with pytest.raises(ValueError, match="25 of 25 clips"):
        prepare.prepare(many[2:], root, tmp_path / "store", SMALL, workers=1, skip_bad=True)


@pytest.mark.parametrize("frames_named", ["x" * 5000, "a\0b", "a/img5.png"])
def test_impossible_names_are_listed_too(data, tmp_path, frames_named):
    root, table = data
    table.loc[1, "frames"] = frames_named
    with pytest.raises(ValueError, match="1 of 2 clips cannot be read.*\nclip set/b: "):
        prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1)


def test_no_face_is_listed_like_a_damaged_clip(data, tmp_path):
    root, table = data
    face = render_face(0, 96)[..., ::-1]
    for n in range(1, 13):
        cv2.imwrite(str(root / f"a/img{n}.png"), face)
    look = PictureSettings(size=32, length=3, align="mesh")
    with pytest.raises(ValueError, match="1 of 2 clips.*\nclip set/b: no face found on the onset"):
        prepare.prepare(table, root, tmp_path / "store", look, workers=1)
    store = prepare.prepare(table, root, tmp_path / "store", look, workers=1, skip_bad=True)
    assert len(store) == 1 and store.meta["align"] == "mesh"


def test_a_link_to_a_picture_outside_is_refused(data, tmp_path):
    root, table = data
    (tmp_path / "secret.png").write_bytes((root / "a/img6.png").read_bytes())
    (root / "b/img6.png").unlink()
    (root / "b/img6.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match="img6.png links out of the data root"):
        prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1)


def test_hash_changes_with_settings_table_and_files(data, tmp_path):
    root, table = data

    def made(name, table=table, chosen=SMALL):
        return prepare.prepare(table, root, tmp_path / name, chosen, workers=1).meta["hash"]

    seen = [
        made("0"),
        made("1", chosen=PictureSettings(16, 8)),
        made("2", chosen=PictureSettings(18, 9)),
        made("3", chosen=PictureSettings(16, 9, grey=True)),
        made("4", chosen=PictureSettings(16, 9, margin=0.1)),
        made("5", chosen=PictureSettings(16, 9, stabilise=True)),
        made("6", table.assign(offset=10)),
        made("7", table.assign(emotion="fear")),
        made("8", table[:1]),
    ]
    assert made("9") == seen[0]
    cv2.imwrite(str(root / "a/img6.png"), np.eye(40, dtype=np.uint8)[:30] * 200)
    seen.append(made("10"))
    assert len(set(seen)) == len(seen)


def test_pictures_replaced_by_others_of_the_same_size_are_decoded_again(data, tmp_path):
    root, table = data
    files = sorted(root.glob("a/*.png"))
    for file in files:
        cv2.imwrite(str(file.with_suffix(".bmp")), cv2.imread(str(file)))
        file.unlink()
    files = [file.with_suffix(".bmp") for file in files]
    folder, size = tmp_path / "store", files[0].stat().st_size

    def made():
        store = prepare.prepare(table, root, folder, SMALL, workers=1)
        return store.meta["hash"], store.frames[0].copy()

    before, pixels = made()
    for number, file in enumerate(files):  # the same pixels, copied again
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
        os.utime(file, (10**9 + number,) * 2)
    assert made()[0] == before
    for number, file in enumerate(files):  # cropped anew under the same names
        cv2.imwrite(str(file), cv2.imread(str(file))[:, ::-1] // 2)
        os.utime(file, (10**9 + 100 + number,) * 2)
        assert file.stat().st_size == size
    after, others = made()
    assert after != before and not np.array_equal(others, pixels)


def test_what_is_read_once_is_not_read_again(data, tmp_path, monkeypatch):
    root, table = data
    cut(root / "b/img6.png")
    with pytest.raises(ValueError, match="img6.png"):
        prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1)
    (waiting,) = tmp_path.glob(".store.*.clips")
    assert len(list(waiting.iterdir())) == 1  # clip a waits for the second try

    read = []
    real = read_picture
    monkeypatch.setattr(decode, "read_picture", lambda p, bits: read.append(p) or real(p, bits))
    prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1, skip_bad=True)
    assert {path.parent.name for path in read} == {"b"}
    assert left_over(tmp_path) == []
    read.clear()
    prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1, skip_bad=True)
    assert {path.parent.name for path in read} <= {"b"}


def test_the_same_pictures_under_two_names_are_noted(data, tmp_path):
    """One of them may be of another person: seen in training and tested on."""
    root, table = data
    cv2.imwrite(str(root / "b/img6.png"), np.full((30, 40, 3), 9, np.uint8))
    again = pd.concat([table, table[:1].assign(clip_id="twice", subject="other")])
    store = prepare.prepare(again, root, tmp_path / "store", SMALL, workers=1)
    assert store.meta["notes"] == [["twice", f"the same pictures as clip {table['clip_id'][0]}"]]


def test_a_clip_in_which_nothing_moves_is_noted(data, tmp_path):
    root, table = data
    cv2.imwrite(str(root / "b/img5.png"), np.tile(np.arange(40, dtype=np.uint8) * 6, (30, 1)))
    table = table.assign(onset=[3, 5], apex=[5, 5], offset=[11, 5])  # the second: one frame
    store = prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1)
    assert store.meta["notes"] == [["set/b", "nothing moves: all its frames are the same"]]


def test_clips_that_wait_for_a_store_of_a_longer_name_stay(data, tmp_path):
    root, table = data
    for name in (".store.b.0123456789ab.clips", ".store.0123456789ab.clips"):
        (tmp_path / name).mkdir()
    prepare.prepare(table, root, tmp_path / "store", SMALL, workers=1, skip_bad=True)
    assert left_over(tmp_path) == [".store.b.0123456789ab.clips"]


def test_a_killed_run_goes_on(data, tmp_path):
    """The process is killed after its first clip; the next run reads the other one alone."""
    root, table = data
    table.to_csv(tmp_path / "table.csv", index=False)
    code = (
        "import sys, time\n"
        "from merclip_lib.data.frames import decode, prepare\n"
        "from merclip_lib.data.table import read_table\n"
        "real = decode.read_picture\n"
        "def slow(path, bits):\n"
        "    if path.parent.name == 'b':\n"
        "        time.sleep(600)\n"
        "    return real(path, bits)\n"
        "decode.read_picture = slow\n"
        "settings = decode.PictureSettings(16, 9)\n"
        "prepare.prepare(read_table(sys.argv[1]), sys.argv[2], sys.argv[3], settings, workers=1)\n"
    )
    run = subprocess.Popen(
        [
            sys.executable,
            "-c",
            code,
            str(tmp_path / "table.csv"),
            str(root),
            str(tmp_path / "store"),
        ]
    )
    try:
        for _ in range(1200):
            if list(tmp_path.glob(".store.*.clips/*.npz")) or run.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        run.kill()
        run.wait()
    assert not (tmp_path / "store").exists()
    (done,) = tmp_path.glob(".store.*.clips/*.npz")
    stamp = done.stat().st_mtime_ns
    for path in (root / "a").iterdir():  # sizes and times stay: clip a is taken from where it waits
        before = path.stat()
        path.write_bytes(b"\0" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert done.stat().st_mtime_ns == stamp
    from merclip_lib.data.table import read_table

    read = read_table(tmp_path / "table.csv")
    store = prepare.prepare(read, root, tmp_path / "store", SMALL, workers=1)
    assert store.frames[:, :, 0, 0, 0].tolist() == [[10 * n for n in range(3, 12)]] * 2


def test_processes_give_the_same_bytes(data, tmp_path):
    root, table = data
    one = prepare.prepare(table, root, tmp_path / "one", SMALL, workers=1)
    two = prepare.prepare(table, root, tmp_path / "two", SMALL, workers=2)
    assert np.array_equal(one.frames, two.frames) and one.meta == two.meta


@pytest.mark.parametrize("value", [0, 1, 77, 255])
def test_kinds_of_pictures_agree(tmp_path, value):
    """The same grey as 8 bits, 16 bits, with palette, with transparency, one channel or three."""
    rng = np.random.default_rng(value)
    grey = rng.integers(0, 256, (9, 7), np.uint8)
    grey[0, 0] = value
    picture = Image.fromarray(grey)
    picture.save(tmp_path / "grey.png")
    picture.convert("RGB").save(tmp_path / "rgb.bmp")
    picture.convert("RGBA").save(tmp_path / "rgba.png")
    picture.convert("P").save(tmp_path / "palette.png")
    for name in ("deep.png", "deep.tif"):
        cv2.imwrite(str(tmp_path / name), grey.astype(np.uint16) * 257)
    for path in sorted(tmp_path.iterdir()):
        read = read_picture(path)
        assert read.dtype == np.uint8 and read.shape == (9, 7, 3), path.name
        assert np.array_equal(read, np.repeat(grey[..., None], 3, 2)), path.name


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from([".png", ".jpg", ".bmp"]), st.floats(0.05, 0.9))
def test_a_cut_off_file_is_never_taken_for_a_picture(tmp_path, suffix, share):
    path = tmp_path / f"img1{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    cut(path, share)
    with pytest.raises(ValueError, match=f"img1{suffix} cannot be read as a picture"):
        read_picture(path)


def test_frames_of_a_video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"FFV1"), 25, (32, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write lossless video")
    for n in range(12):
        writer.write(np.full((32, 32, 3), 20 * n, np.uint8))
    writer.release()
    found = find.choose_frames(path, 3, 7, 5, "clip x")
    clip, _ = crop_pictures(read_pictures(found).frames, PictureSettings(16, 5))
    assert np.abs(clip[:, 8, 8, 0].astype(int) - [40, 60, 80, 100, 120]).max() <= 1
    with pytest.raises(ValueError, match="clip.avi ends before frame 100"):
        frames_at(path, (2, 99))


def test_grey_takes_colour_away(data, tmp_path):
    root, table = data
    for path in root.rglob("*.png"):
        cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    store = prepare.prepare(
        table, root, tmp_path / "store", PictureSettings(16, 2, grey=True), workers=1
    )
    assert np.array_equal(store.frames[..., 0], store.frames[..., 1])
    assert np.array_equal(store.frames[..., 0], store.frames[..., 2])
    assert json.loads((tmp_path / "store/meta.json").read_text())["grey"] is True


@pytest.mark.parametrize(
    "wrong", [PictureSettings(size=4), PictureSettings(length=0), PictureSettings(margin=0.5)]
)
def test_settings_that_make_no_clip(data, tmp_path, wrong):
    with pytest.raises(ValueError, match="at least|must lie"):
        prepare.prepare(data[1], data[0], tmp_path / "store", wrong)
