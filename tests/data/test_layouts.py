"""A clip's folder is found however a copy was unpacked, and never a wrong one."""

import sys

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merclip_lib.data.frames import find
from merclip_lib.data.frames.find import DataRoot, frame_numbers


def draw(folder, names, shade=100):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.full((12, 12, 3), shade, np.uint8))
    return folder


@pytest.mark.parametrize(
    ("frames", "folder"),
    [
        ("sub01/EP02_01f", "sub01/EP02_01f"),
        ("sub01/EP02_01f", "CASME2/Cropped/Cropped/sub01/EP02_01f"),
        ("sub01/EP02_01f", "Cropped/Sub1/ep02_01F"),
        ("006/006_1_2", "SAMM/6/006_1_2"),
        ("s1/micro/negative/s1_ne_01", "HS/s01/micro/negative/s1_ne_01"),
        ("s1/micro/negative/s1_ne_01", "SMIC-HS-E/s01/s1_ne_01"),
        ("spNO.1/a/color", "part_A/spNO.1/spNO.1/a/color"),
        ("spNO.1/a/color", "ME_A/spNO.1/a"),
        ("spNO.1/a", "part_A/spNO.1/a/color"),
        ("s15/anger1_1", "cropped/15/anger1_1"),
        ("anger/S01-01-001", "MMEW_Final/Micro_Expression/Anger/S01-01-001"),
        ("clip_7", "train/part_1/clip_7"),
    ],
)
def test_finds_the_folder(tmp_path, frames, folder):
    draw(tmp_path / folder, ["1.jpg"])
    draw(tmp_path / "other/sub99/EP02_01f", ["1.jpg"])
    draw(tmp_path / "other/s99/anger1_1", ["1.jpg"])
    assert DataRoot(tmp_path).find(frames, "clip x") == (tmp_path / folder)


def test_another_subject_is_no_substitute(tmp_path):
    draw(tmp_path / "Cropped/sub02/EP02_01f", ["1.jpg"])
    with pytest.raises(ValueError, match="clip x: no folder 'sub01/EP02_01f' below"):
        DataRoot(tmp_path).find("sub01/EP02_01f", "clip x")


def test_two_versions_of_a_set_are_not_mixed(tmp_path):
    draw(tmp_path / "Cropped/sub01/EP02_01f", ["1.jpg"])
    draw(tmp_path / "CASME2-RAW/sub01/EP02_01f", ["1.jpg"])
    with pytest.raises(ValueError, match="may be .*RAW.* and .*Cropped.*; name a data root"):
        DataRoot(tmp_path).find("sub01/EP02_01f", "clip x")
    found = DataRoot(tmp_path / "Cropped").find("sub01/EP02_01f", "clip x")
    assert found == tmp_path / "Cropped/sub01/EP02_01f"


@pytest.mark.parametrize("frames", ["../data/a", "a/../../b", "/etc"])
def test_paths_that_leave_the_root(tmp_path, frames):
    draw(tmp_path / "root/a", ["1.jpg"])
    with pytest.raises(ValueError, match="outside the data root"):
        DataRoot(tmp_path / "root").find(frames, "clip x")


def test_links_that_leave_the_root(tmp_path):
    draw(tmp_path / "elsewhere/a", ["1.jpg"])
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").symlink_to(tmp_path / "elsewhere/a")
    with pytest.raises(ValueError, match="links out of the data root"):
        DataRoot(tmp_path / "root").find("a", "clip x")


def test_no_root_no_frames_named_no_pictures(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        DataRoot(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="write its folder in the column"):
        DataRoot(tmp_path).find("", "clip x")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/notes.txt").write_text("nothing to see")
    with pytest.raises(ValueError, match="folder 'a' holds no frames"):
        DataRoot(tmp_path).find("a", "clip x")


def test_a_single_picture_is_no_clip(tmp_path):
    draw(tmp_path / "a", ["1.jpg"])
    with pytest.raises(ValueError, match="'a/1.jpg' is neither a folder nor a video"):
        DataRoot(tmp_path).find("a/1.jpg", "clip x")


def test_natural_order_and_files_that_are_no_frames(tmp_path):
    folder = draw(tmp_path / "a", ["img10.jpg", "img2.jpg", "img1.PNG"])
    (folder / "._img3.jpg").write_bytes(b"left by an archive")
    assert [p.name for p in find.list_pictures(folder)] == ["img1.PNG", "img2.jpg", "img10.jpg"]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["006_05562.jpg", "006_05563.jpg"], [5562, 5563]),
        (["reg_EP01_12-046.jpg", "reg_EP01_12-047.jpg"], [46, 47]),
        (["f1_crop224.png", "f2_crop224.png"], [1, 2]),
        (["a.jpg", "b.jpg"], None),
    ],
)
def test_frame_numbers(tmp_path, names, numbers):
    folder = draw(tmp_path / "a", names)
    assert frame_numbers(find.list_pictures(folder), "clip x") == numbers


def test_two_pictures_of_one_number(tmp_path):
    folder = draw(tmp_path / "a", ["1.jpg", "1.png"])
    with pytest.raises(ValueError, match="1.jpg and 1.png have the same frame number"):
        find.choose_frames(folder, 1, 2, 2, "clip x")


def taken(folder, onset, offset, length):
    found = find.choose_frames(folder, onset, offset, length, "clip x")
    return [path.stem for path in found.files], found.numbering, found.missing


def test_cut_by_frame_number(tmp_path):
    folder = draw(tmp_path / "a", [f"img{n}.jpg" for n in range(1, 31)])
    assert taken(folder, 8, 12, 3) == (["img8", "img10", "img12"], "number", 0)
    assert taken(folder, 8, 9, 4) == (["img8", "img8", "img9", "img9"], "number", 0)


def test_gaps_are_filled_by_the_nearest_frame_in_time(tmp_path):
    folder = draw(tmp_path / "a", [f"{n}.jpg" for n in (10, 11, 12, 18, 19, 20)])
    names, numbering, missing = taken(folder, 10, 20, 11)
    assert names == ["10", "11", "12", "12", "12", "12", "18", "18", "18", "19", "20"]
    assert (numbering, missing) == ("number", 5)


def test_renumbered_folder_is_the_clip(tmp_path):
    folder = draw(tmp_path / "a", [f"{n}.jpg" for n in range(1, 6)])
    assert taken(folder, 46, 50, 5) == (["1", "2", "3", "4", "5"], "position", 0)
    for onset in (5, 3, 2):  # also where half of the clip and more have such numbers
        assert taken(folder, onset, onset + 4, 5) == (["1", "2", "3", "4", "5"], "position", 0)
    from_0 = draw(tmp_path / "c", [f"{n}.jpg" for n in range(5)])
    assert taken(from_0, 1, 5, 5) == (["0", "1", "2", "3", "4"], "position", 0)
    with_a_gap = draw(tmp_path / "d", [f"{n}.jpg" for n in (1, 2, 3, 4, 6)])
    assert taken(with_a_gap, 2, 6, 5)[1:] == ("number", 1)
    assert taken(draw(tmp_path / "b", ["x.jpg", "y.jpg"]), 3, 9, 2)[1] == "position"


def test_a_small_part_of_the_clip_is_refused(tmp_path):
    folder = draw(tmp_path / "a", [f"{n}.jpg" for n in range(1, 13)])
    with pytest.raises(ValueError, match="only 3 of the 41 frames 10-50 are there"):
        find.choose_frames(folder, 10, 50, 4, "clip x")


@given(
    st.sets(st.integers(0, 60), min_size=1, max_size=40),
    st.integers(0, 60),
    st.integers(0, 40),
    st.integers(1, 20),
)
def test_time_never_runs_backwards(tmp_path_factory, there, onset, longer, length):
    folder = tmp_path_factory.mktemp("clip")
    for n in there:
        (folder / f"{n}.jpg").touch()
    try:
        names, numbering, missing = taken(folder, onset, onset + longer, length)
    except ValueError:
        inside = [n for n in there if onset <= n <= onset + longer]
        assert 0 < 2 * len(inside) < longer + 1
        return
    numbers = [int(name) for name in names]
    assert len(numbers) == length and numbers == sorted(numbers)
    if numbering == "number":
        assert all(onset <= n <= onset + longer for n in numbers)
        assert missing == sum(n not in there for n in range(onset, onset + longer + 1))


@pytest.fixture
def video(tmp_path):
    """Twelve frames of rising shade, without loss."""
    path = tmp_path / "root/SAMM/006/006_1_2.avi"
    path.parent.mkdir(parents=True)
    code = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path), code, 25, (32, 32))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write lossless video")
    for n in range(12):
        writer.write(np.full((32, 32, 3), 20 * n, np.uint8))
    writer.release()
    return path


def test_a_video_stands_for_a_folder(tmp_path, video):
    for frames in ("006/006_1_2", "006/006_1_2.avi"):
        assert DataRoot(tmp_path / "root").find(frames, "clip x") == video
    found = find.choose_frames(video, 3, 7, 5, "clip x")
    assert found.files == (video,) and found.positions == (2, 3, 4, 5, 6)
    for onset in (101, 5):
        found = find.choose_frames(video, onset, onset + 11, 3, "clip x")
        assert found.positions == (0, 6, 11)


def test_without_pyav_it_is_named(video, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"006_1_2.avi: videos are read by PyAV; pip install .mer"):
        find.choose_frames(video, 3, 7, 5, "clip x")


def test_a_broken_video(tmp_path):
    (tmp_path / "a.avi").write_bytes(b"RIFF but no more")
    path = DataRoot(tmp_path).find("a", "clip x")
    with pytest.raises(ValueError, match="a.avi cannot be read as a video"):
        find.choose_frames(path, 1, 5, 3, "clip x")
