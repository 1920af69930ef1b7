"""Footage of every kind: one clear line, or a choice that is stated."""

import struct
from fractions import Fraction

import av
import numpy as np
import pandas as pd
import pytest
import tiny_runs
from PIL import Image

from merclip_lib.data.frames.video import frames_at
from merclip_lib.look import face, video
from merclip_lib.synthme.draw import draw_expression, render_face


def in_a_room(picture, high=180, wide=320, left=90):
    """A face in a larger grey picture."""
    room = np.full((high, wide, 3), 110, np.uint8)
    room[20 : 20 + len(picture), left : left + picture.shape[1]] = picture
    return room


@pytest.fixture(scope="module")
def clip():
    """Twelve frames of a face in a room."""
    return np.stack([in_a_room(frame) for frame in draw_expression(1, "12", 0.5, 128, 12)])


def write(path, frames, fps=25):
    video.write_video(path, frames, fps)
    return path


def test_what_is_written_is_read(clip, tmp_path):
    footage = video.open_footage(str(write(tmp_path / "a.mp4", clip)))
    frames = list(footage.frames)
    assert [time for time, _ in frames] == pytest.approx([k / 25 for k in range(12)])
    assert np.abs(frames[5][1].astype(int) - clip[5]).mean() < 6
    assert footage.notes == [] and not footage.cropped and footage.name == "a"


def test_a_rotation_mark_is_obeyed(clip, tmp_path):
    """The matrix of the track's header is overwritten: a quarter turn, as phones write it."""
    path = write(tmp_path / "portrait.mp4", clip)
    content = path.read_bytes()
    one, unit = struct.pack(">i", 1 << 16), struct.pack(">i", 1 << 30)
    none = bytes(4)
    upright = one + none * 3 + one + none * 3 + unit
    turned = none + one + none + struct.pack(">i", -(1 << 16)) + none * 4 + unit
    start = content.index(upright, content.index(b"tkhd"))
    path.write_bytes(content[:start] + turned + content[start + 36 :])
    footage = video.open_footage(str(path))
    (_, first), *_ = footage.frames
    assert first.shape == (320, 180, 3)
    assert np.abs(np.rot90(first).astype(int) - clip[0]).mean() < 6
    assert "turned by -90 degrees, as the file says" in footage.notes
    (prepared,) = frames_at(path, (0,))  # as `merclip prepare` reads it
    assert np.array_equal(prepared, first)


def test_times_of_a_variable_frame_rate_are_the_files(clip, tmp_path):
    path, steps = tmp_path / "v.mp4", np.cumsum([1, 1, 1, 4, 1, 1, 1, 5, 1, 1, 1, 1]) - 1
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for step, picture in zip(steps, clip, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = int(step), Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    aligned = face.align_footage(video.open_footage(str(path)))
    assert aligned.times == pytest.approx(steps / 25)
    assert "the frame rate varies; each frame counts at its own time" in aligned.notes


def test_a_stream_without_times_is_refused(clip, tmp_path):
    path = tmp_path / "v.h264"
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for picture in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="v.h264: its frames have no times; save it as MP4"):
        face.align_footage(video.open_footage(str(path)))


def test_large_pictures_are_made_smaller_and_it_is_said(tmp_path):
    Image.fromarray(np.zeros((2160, 3840, 3), np.uint8)).save(tmp_path / "img1.png")
    footage = video.open_footage(str(tmp_path))
    (_, picture), *_ = footage.frames
    assert picture.shape == (720, 1280, 3)
    assert "pictures of 3840 x 2160 pixels made smaller: 1280 x 720" in footage.notes


def test_corrupt_files(clip, tmp_path):
    path = tmp_path / "noise.mp4"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(ValueError, match="noise.mp4 cannot be read as a video .*; copy it again"):
        list(video.open_footage(str(path)).frames)
    whole = write(tmp_path / "whole.mp4", clip).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut.mp4 cannot be read as a video"):
        list(video.open_footage(str(tmp_path / "cut.mp4")).frames)


def test_a_video_that_breaks_off(clip, tmp_path):
    """What comes before the damage is looked at; `prepare` wants every frame that it names."""
    path = tmp_path / "broken.avi"
    noise = np.random.default_rng(0).integers(0, 256, clip.shape, dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", 25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        for picture in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    seen = len(list(video.open_footage(str(path)).frames))
    assert 2 < seen < 12
    with pytest.raises(ValueError, match="broken.avi ends before frame 12; copy it again"):
        frames_at(path, (0, 11))


def test_a_film_of_sound_alone(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", 16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(ValueError, match="sound.mp4 cannot be read as a video .it holds no pict"):
        list(video.open_footage(str(path)).frames)


def test_pictures_that_are_no_frames_and_more_bits(tmp_path):
    """One scale for all frames of a folder, or the darker ones would flicker."""
    for k in range(1, 9):
        deep = np.full((40, 40), 400 * k, np.uint16)
        Image.fromarray(deep).save(tmp_path / f"img{k}.png")
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "thumb.png")
    footage = video.open_footage(str(tmp_path))
    assert [int(frame[0, 0, 0]) for _, frame in footage.frames] == [25 * k for k in range(1, 9)]
    assert "1 pictures are no frames and left aside: thumb.png" in footage.notes


def test_three_frames_are_too_few(clip, tmp_path):
    with pytest.raises(ValueError, match="short: 3 frames with a face; film at least 5"):
        face.align_footage(video.open_footage(str(write(tmp_path / "short.mp4", clip[:3]))))


def test_no_face(clip, tmp_path):
    path = write(tmp_path / "empty.mp4", np.full_like(clip, 110))
    with pytest.raises(ValueError, match="empty: no face found in the first 12 frames"):
        face.align_footage(video.open_footage(str(path)))


def test_a_face_that_comes_later_and_a_second_one(clip, tmp_path):
    frames = np.concatenate([np.full_like(clip[:2], 110), clip])
    frames[2:, 40:120, 230:310] = render_face(2, 80)
    aligned = face.align_footage(video.open_footage(str(write(tmp_path / "b.mp4", frames))))
    assert len(aligned.frames) == 12
    assert "no face on the first 2 frames, which are left out" in aligned.notes
    assert "2 faces; the largest is looked at" in aligned.notes


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="no such video or folder; STORE:CLIP"):
        video.open_footage(str(tmp_path / "none.mp4"))
    with pytest.raises(ValueError, match="holds no pictures"):
        video.open_footage(str(tmp_path))
    with pytest.raises(ValueError, match=r"synthme:zzz: no such clip; known are .* \[...\]$"):
        video.open_footage("synthme:zzz")
    with pytest.raises(ValueError, match="synthme:p001/c99: no such clip; did you mean"):
        video.open_footage("synthme:p001/c99")


def test_a_stored_clip_without_an_apex_and_one_of_a_single_frame(tmp_path):
    tiny_runs.make_store(tmp_path / "a", apex=pd.NA)
    footage = video.open_footage(f"{tmp_path / 'a'}:SynthME/s1/fear")
    assert footage.truth.keys() == {"action_units", "emotion", "onset", "offset"}
    assert [time for time, _ in footage.frames] == [0, 1 / 200]
    tiny_runs.make_store(tmp_path / "b", onset=3, apex=3, offset=3)
    with pytest.raises(ValueError, match="s1/fear: onset and offset are the same frame"):
        video.open_footage(f"{tmp_path / 'b'}:SynthME/s1/fear")


def test_a_drawn_clip_brings_its_truth():
    footage = video.open_footage("synthme:p002/c03")
    frames = list(footage.frames)
    assert footage.cropped and footage.people == "SynthME-casme2-like-77021/77021p002"
    assert frames[-1][0] == pytest.approx(footage.truth["offset"])
    assert {"action_units", "emotion", "apex"} <= footage.truth.keys()
