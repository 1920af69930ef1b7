"""How much a file may hold, so that a broken or hostile one cannot eat the machine.

What is at a limit is read in less than two seconds and one GB.
"""

import os

LIMITS = {
    "bytes": 8_000_000,  # of a text table
    "unpacked_bytes": 10_000_000,  # of a workbook, pictures in it left out
    "rows": 15_000,
    "columns": 1_000,
    "cells": 500_000,  # of a text table
    "workbook_cells": 80_000,  # of a sheet of a workbook, which is read ten times as slowly
    "signs_of_a_cell": 1_000,  # of a clip table
    "characters": 10_000_000,
    "frames": 1_000_000,  # pictures of a folder, or frames of a video
    "pixels": 40_000_000,  # of one picture
    "clip_pixels": 400_000_000,  # of all pictures that one clip takes
}


_LONGEST_SIDE = 20  # times the shorter one; what is longer is no picture of a face


def check_limits(where: str, **counts: float) -> None:
    """Refuse a file that holds too much.

    Args:
        where: the file, for the message.
        counts: how much there is of a key of LIMITS; the variable MERCLIP_MAX_<KEY> of the
            environment lifts its limit.

    Raises:
        ValueError: there is more than a limit; it is named, and how to lift it.
    """
    for what, count in counts.items():
        variable = f"MERCLIP_MAX_{what.upper()}"
        written = os.environ.get(variable, LIMITS[what])
        try:
            limit = float(written)
        except ValueError:
            wrong = f"{variable} is {written!r} in the environment"
            raise ValueError(f"{wrong}; write a number") from None
        if count > limit:
            much = f"{count:,} {what.replace('_', ' ')}, the limit is {limit:,.0f}"
            remedy = f"if that is right, set the environment variable {variable}={count:.0f}"
            raise ValueError(f"{where}: {much}; {remedy}")


def check_size(width: int, height: int, where: str) -> None:
    """Refuse pictures of more pixels than the limit, and those far longer than wide."""
    check_limits(where, pixels=width * height)
    if max(width, height) > _LONGEST_SIDE * min(width, height):
        raise ValueError(f"{where}: {width} x {height} pixels are no picture of a face")
