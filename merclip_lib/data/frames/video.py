"""Frames of a video file, upright and with their times, read by PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from merclip_lib.data.limits import check_limits, check_size

if TYPE_CHECKING:
    import av


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The opened file with the size of its pictures checked; errors of FFmpeg become ValueError."""
    try:
        import av
    except ModuleNotFoundError:
        remedy = "pip install 'merclip[look]', or save its frames as pictures"
        raise ValueError(f"{path.name}: videos are read by PyAV; {remedy}") from None
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            check_size(stream.width, stream.height, path.name)
            yield container
    except (av.FFmpegError, IndexError) as error:
        why = getattr(error, "strerror", "it holds no pictures")
        raise ValueError(f"{path.name} cannot be read as a video ({why}); copy it again") from None


def read_frames(path: Path, notes: list[str]) -> Iterator[av.VideoFrame]:
    """The frames of a video, one after the other, see `upright`; `frame.time` is in seconds.

    Args:
        path: the file.
        notes: where a video breaks off, the rest is left out and noted here.

    Raises:
        ValueError: for a file whose first frame cannot be read.
    """
    count = 0
    try:
        with _opened(path) as container:
            for frame in container.decode(video=0):
                count += 1
                yield frame
    except ValueError:
        if not count:
            raise
        notes.append(f"damaged after frame {count}; the rest is left out")


def upright(frame: av.VideoFrame) -> np.ndarray:
    """A frame as RGB uint8 (H, W, 3), turned as the file says."""
    turned = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
    return np.ascontiguousarray(turned)


def count_frames(path: Path) -> int:
    """How many frames a video has; ValueError where it cannot be read. None is decoded."""
    with _opened(path) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def frames_at(path: Path, positions: tuple[int, ...]) -> list[np.ndarray]:
    """Read the frames at `positions` (0 the first) of a video, each RGB uint8 (H, W, 3).

    Raises:
        ValueError: if it ends before the last of them, or cannot be read.
    """
    last, pictures = max(positions), dict[int, np.ndarray]()
    for k, frame in enumerate(read_frames(path, [])):
        if k in positions:
            check_limits(path.name, clip_pixels=frame.width * frame.height * len({*positions}))
            pictures[k] = upright(frame)
        if k == last:
            return [pictures[position] for position in positions]
    raise ValueError(f"{path.name} ends before frame {last + 1}; copy it again")
