"""Files written whole or not at all, errors of the disk in one sentence, and "did you mean".

Everything is written beside its place and renamed into it, so that a killed process or a full disk
leaves the old file or the new one, never half of one.
"""

import contextlib
import difflib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

if TYPE_CHECKING:  # importing the package does not import pandas
    import pandas as pd


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn an error of the disk in the block into one ValueError that names `path` and a remedy."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{path}: cannot be written ({why}); free some space or make the folder writable, "
            "then start again: what is finished stays"
        ) from error


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
def replacing_folder(path: str | Path, mark: str) -> Iterator[Path]:
    """Yield a new temporary folder; filled by the block, it then takes the place of `path`.

    Args:
        path: the folder; an older one of the same kind is deleted at the end.
        mark: a file that every folder of this kind holds.

    Raises:
        ValueError: as `check_output_folder` and `writing`.
    """
    path = Path(path)
    check_output_folder(path, mark)
    old = path.with_name(f".{path.name}.old")
    with replacing(path) as temporary:
        remove(temporary)  # left by a killed process of the same number
        temporary.mkdir()
        yield temporary
        if path.exists():
            remove(old)
            os.replace(path, old)
    with writing(path):
        remove(old)


def check_output_folder(path: Path, mark: str) -> None:
    """Raise ValueError if `path` holds something without a file `mark`, which must not be lost."""
    with writing(path):
        occupied = path.is_file() or path.is_dir() and any(path.iterdir())
    if occupied and not (path / mark).is_file():
        raise ValueError(f"{path}: holds something else (no {mark}); name another folder")


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all, its folder too; ValueError as `writing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


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
