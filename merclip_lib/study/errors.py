"""One line about an error: what happened, where, and what to do.

Our functions raise ValueError (an input) and RuntimeError (a machine) with such a line. What an
input or a machine can cause below them, in Python or in a library, gets one here. Whatever is left
is a fault of this program. The command line prints the line, a notebook shows it in the place of
its traceback.
"""

import errno
import re
import traceback
from pathlib import Path
from typing import NamedTuple

_DISK = {
    errno.ENOENT: "check the path",
    errno.EACCES: "change its permissions, or name another place",
    errno.EPERM: "change its permissions, or name another place",
    errno.EROFS: "name another place: this one can only be read",
    errno.EISDIR: "name a file in it",
    errno.ENOTDIR: "one part of the path is a file; check it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "free some space, then start again: what is finished stays",
    errno.EDQUOT: "free some space, then start again: what is finished stays",
    errno.EMFILE: "choose fewer workers, or raise `ulimit -n`",
}
_MEMORY = "not enough memory; choose fewer workers, a smaller batch, fewer frames or a smaller size"
_UNREADABLE = "a file cannot be read, it is damaged or of another kind; copy or export it again"
# By name: to import the libraries would take seconds.
_LIBRARIES = {
    "MemoryError": _MEMORY,
    "OutOfMemoryError": _MEMORY,
    "RecursionError": "an input is nested too deeply; write it flat",
    "UnicodeDecodeError": "a file is not text in UTF-8; save it so",
    "YAMLError": "a file is not YAML; see the place",
    "cv2.error": "OpenCV cannot work on a picture or video; see `merclip prepare --skip-bad`",
    "DecompressionBombError": "a picture has more pixels than can be right; look at it",
    "NoSuchKernel": "the kernel of the notebook is missing; pip install ipykernel",
    "BrokenProcessPool": "a worker process was killed, most often for want of memory; choose fewer "
    "workers, then start again: what is finished stays",
    **dict.fromkeys(("BadZipFile", "zlib.error", "LZMAError", "EOFError"), _UNREADABLE),
    **dict.fromkeys(("struct.error", "_csv.Error", "ParseError", "UnpicklingError"), _UNREADABLE),
    **dict.fromkeys(("InvalidFileException", "SafetensorError"), _UNREADABLE),
}


class Verdict(NamedTuple):
    """What is said of an error.

    Attributes:
        line: what happened, where, and what to do.
        caused: whether an input or the machine caused it; False: a fault of this program.
    """

    line: str
    caused: bool


def explain(error: BaseException) -> Verdict:
    """The line about an error, from whichever library it comes."""
    text = " ".join(str(error).split()) or type(error).__name__
    for kind in type(error).__mro__:
        for name in (kind.__name__, f"{kind.__module__}.{kind.__name__}"):
            if name in _LIBRARIES:
                return Verdict(f"{_LIBRARIES[name]} ({text})", True)
    if isinstance(error, OSError) and error.strerror:
        remedy = _DISK.get(error.errno or 0, "check that it is there and can be used")
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return Verdict(f"{': '.join([*names, error.strerror])}; {remedy}", True)
    if isinstance(error, RuntimeError) and "memory" in text and not is_ours(error):
        return Verdict(f"{_MEMORY} ({text})", True)  # torch, on the CPU
    if isinstance(error, ValueError | OSError | ModuleNotFoundError) or is_ours(error):
        return Verdict(text, True)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return Verdict(
        f"{type(error).__name__}: {text}{place}; this is a fault of merclip: please report it "
        "where you have merclip from, with what `--debug` shows",
        False,
    )


def is_ours(error: BaseException) -> bool:
    """Whether a function of this library raised a ValueError or RuntimeError: a line of ours."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    files += re.findall(r'File "(.+?)", line', str(error.__cause__))  # in a worker process
    known = isinstance(error, ValueError | RuntimeError)
    return known and bool(files) and "merclip_lib" in Path(files[-1]).parts
