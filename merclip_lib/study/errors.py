"""One line about an error: what happened, where, and what to do.

Our functions raise ValueError (an input) and RuntimeError (a machine) with such a line. What an
input or a machine can cause below them, in Python or in a library, gets one here. Whatever is left
is a fault of this program. The command line prints the line, a notebook shows it in the place of
its traceback. What is said of which error stands in errors.toml.
"""

import errno
import re
import tomllib
import traceback
from pathlib import Path
from typing import NamedTuple

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_REMEDIES = {name: remedy for remedy, names in _TABLE.items() for name in names}


class Verdict(NamedTuple):
    """What is said of an error.

    Attributes:
        line: what happened, where, and what to do.
        caused: whether an input or the machine caused it; False: a fault of this program, or a cell
            of a notebook that failed.
    """

    line: str
    caused: bool


def explain(error: BaseException) -> Verdict:
    """The line about an error, from whichever library it comes."""
    text = " ".join(str(error).split()) or type(error).__name__
    for kind in type(error).__mro__:
        for name in (kind.__name__, f"{kind.__module__}.{kind.__name__}"):
            if name in _REMEDIES:
                return Verdict(f"{_REMEDIES[name]} ({text})", True)
    if isinstance(error, OSError) and error.strerror:
        number = errno.errorcode.get(error.errno or 0, "")
        remedy = _REMEDIES.get(number, "check that it is there and can be used")
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return Verdict(f"{': '.join([*names, error.strerror])}; {remedy}", True)
    if isinstance(error, RuntimeError) and re.search("tried to allocate|allocate memory", text):
        return Verdict(f"{_REMEDIES['MemoryError']} ({text})", True)  # torch, on the CPU
    for frame, _ in [*traceback.walk_tb(error.__traceback__)][-1:]:
        if type(error) is RuntimeError and frame.f_globals["__name__"].startswith("pathlib"):
            path = frame.f_locals.get("self", "a path")  # of an unknown ~user, or links in a circle
            return Verdict(f"{path}: {text.rstrip('.')}; write it without ~ and links", True)
    if isinstance(error, ValueError | OSError | ModuleNotFoundError) or is_ours(error):
        return Verdict(text, type(error).__name__ != "NotebookError")
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    fault = f"{type(error).__name__}: {text}{place}; this is a fault of merclip: please report it "
    return Verdict(f"{fault}where you have merclip from, with what `--debug` shows", False)


def is_ours(error: BaseException) -> bool:
    """Whether a function of this library raised a ValueError or RuntimeError: a line of ours."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files += re.findall(r'File "(.+?)", line', str(error.__cause__))  # in a worker process
    known = isinstance(error, ValueError | RuntimeError)
    return known and bool(files) and "merclip_lib" in Path(files[-1]).parts
