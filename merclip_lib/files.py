"""Where may be written, files whole or not at all, errors of the disk, commit, "did you mean".

Everything is written beside its place and renamed into it, so that a killed process or a full disk
leaves the old file or the new one, never half of one. `output_place` decides what may be replaced.
"""

import contextlib
import difflib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

if TYPE_CHECKING:  # importing the package does not import pandas
    import pandas as pd

_LITTER = {".DS_Store", "Thumbs.db", "desktop.ini"}  # left in folders by file browsers
_REMEDIES: dict[int | None, str] = {
    errno.ENOENT: "its folder was removed meanwhile; start again",
    errno.ENAMETOOLONG: "give it a shorter name",
}
_USUAL = "free some space or make the folder writable, then start again: what is finished stays"


def commit_of(folder: Path) -> str:
    """The commit that a folder is checked out at, with "+" where a file differs; "" without git."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn an error of the disk in the block into one ValueError that names `path` and a remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        remedy = _REMEDIES.get(getattr(error, "errno", None), _USUAL)
        raise ValueError(f"{path}: cannot be written ({why}); {remedy}") from error


@dataclass(frozen=True)
class Kind:
    """How what we wrote is told from what is the user's.

    Attributes:
        words: stand at the beginning of every such file.
        files: for a folder, the names that every one of them holds.
        more: names that it may hold besides; "*" for a folder that is added to, never removed.
    """

    words: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def fits(self, path: Path) -> bool:
        """Whether what is at `path` is empty or of this kind."""
        if path.is_dir():
            names = {inner.name for inner in path.iterdir()} - _LITTER
            more = names if "*" in self.more else {*self.more}
            return not names or {*self.files} <= names <= {*self.files, *more}
        with path.open("rb") as file:
            start = file.read(4096)
        return not start or all(word.encode() in start for word in self.words)


def output_place(
    path: str | Path,
    kind: Kind,
    inputs: Iterable[Path] = (),
    root: Path | None = None,
    force: bool | None = None,
) -> Path:
    """Decide whether a command may write at `path`; every command asks here before it works.

    Only what is absent, empty, or of the kind that is written may be replaced, so that nothing of
    the user's is lost.

    Args:
        path: the file or folder to write.
        kind: what is written: a folder where it has `files`.
        inputs: files that the command reads; they are never replaced.
        root: the user's pictures; nothing is written over, in or above them.
        force: replace a file of another kind (a folder never is); None where one cannot wish so.

    Returns:
        The path without links.

    Raises:
        ValueError: naming what is in the way and what to do.
    """
    with writing(path):
        try:
            place = Path(path).resolve()
        except RuntimeError:  # links in a circle
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
        for taken in inputs:
            if _lies_in(taken, place):
                raise ValueError(f"{path}: is or holds the input {taken}; name another place")
        if root is not None and (_lies_in(place, root) or _lies_in(root, place)):
            raise ValueError(f"{path}: is, holds or lies in the data root; name a place outside it")
        if _lies_in(Path.cwd(), place):
            raise ValueError(f"{path}: is or holds the folder you are in; name a folder in it")
        if files := [above for above in place.parents if above.exists() and not above.is_dir()]:
            raise ValueError(f"{path}: {files[0]} is no folder; name another place")
        if place.exists():
            wanted = "a folder" if kind.files else "a file"
            if not (place.is_dir() if kind.files else place.is_file()):
                raise ValueError(f"{path}: is there and is not {wanted}; name another place")
            if not kind.fits(place) and not (force and place.is_file()):
                other = "folder" if kind.files else "file" if force is None else "file, or --force"
                raise ValueError(f"{path}: holds something else, which stays; name another {other}")
    return place


def _lies_in(inner: Path, outer: Path) -> bool:
    """Whether `inner` is `outer` or below it, whatever the links, the case and the spelling."""
    inner = inner.resolve()
    if not outer.exists():
        return inner.is_relative_to(outer.resolve())
    return any(path.exists() and path.samefile(outer) for path in (inner, *inner.parents))


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what the block wrote there then takes its place.

    The folder of `path` is made if need be. When the block raises, `path` stays as it was and the
    temporary file is deleted; after a kill it stays, as `.<name>.<process>.part`.

    Raises:
        ValueError: as `writing`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            remove(temporary)


@contextlib.contextmanager
def replacing_folder(path: str | Path, kind: Kind) -> Iterator[Path]:
    """Yield a new temporary folder; filled by the block, it then takes the place of `path`.

    An older folder waits as `.<name>.old` until the new one is in its place: a kill between the
    two loses neither, and the next call puts the older one back.

    Args:
        path: the folder; an older one of the same kind is deleted at the end.
        kind: what is written, see `output_place`.

    Raises:
        ValueError: as `output_place` and `writing`.
    """
    place = output_place(path, kind)
    old = place.with_name(f".{place.name}.old")
    with replacing(place) as temporary:
        if old.is_dir() and kind.fits(old):  # left by a kill
            remove(old) if place.exists() else os.replace(old, place)
        remove(temporary)  # left by a killed process of the same number
        temporary.mkdir()
        yield temporary
        replaced = place.exists()
        if replaced:
            os.replace(place, old)
    if replaced:
        with writing(place):
            remove(old)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all, its folder too; ValueError as `writing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file as `write_bytes`."""
    write_bytes(path, text.encode())


def write_csv(table: "pd.DataFrame", path: str | Path, float_format: str | None = None) -> None:
    """Write a table without its index, whole or not at all.

    Args:
        table: any table.
        path: the file; its folder is made if need be.
        float_format: such as "%.7g"; None writes every digit.

    Raises:
        ValueError: as `writing`.
    """
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format=float_format))


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """How a message about an unknown name ends: the nearest known one, or all of them.

    Returns:
        "; did you mean 'x'?" or "; known are a, b, c".
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
