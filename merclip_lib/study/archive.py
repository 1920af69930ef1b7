"""The archive of a study: what its networks predicted, readable when the code has changed.

A folder beside the design. `block-001.csv.gz` has a row per training: what names it, one letter
per clip of its test, and what made it (design, code, commit, processor); `test-....csv` says which
clips these are and what is true. Nothing in it is scored.
"""

import gzip
import zlib
from pathlib import Path
from string import ascii_lowercase

import pandas as pd

from merclip_lib.data.tasks import task_named
from merclip_lib.files import write_bytes, write_csv
from merclip_lib.study.design import Cell, Study, Trial

MADE_BY = ("design", "code", "commit", "processor", "torch")
CLIPS = ["clip_id", "subject", "truth"]


def block_file(archive: Path, number: int) -> Path:
    """The file of a block, counted from 1."""
    return archive / f"block-{number:03d}.csv.gz"


def write_block(file: Path, rows: list[dict]) -> None:
    """Write the trainings of a block, whole or not at all, the same bytes for the same rows."""
    text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    write_bytes(file, gzip.compress(text.encode(), mtime=0))


def row_of(trial: Trial, predictions: pd.DataFrame, file: Path) -> dict:
    """One training as a row of the archive.

    Args:
        trial: the training.
        predictions: as `score` reads them.
        file: the clips of its test, written if they are not there.

    Raises:
        ValueError: other clips are there.
    """
    if not file.is_file():
        write_csv(predictions[CLIPS], file)
    elif not predictions[CLIPS].equals(_read(file)):
        raise ValueError(
            f"{file}: its clips are not those that were predicted now; populations are drawn "
            "otherwise since: go back to the code of the earlier blocks, or make all of them anew"
        )
    classes = task_named(trial.config.task).classes
    letters = predictions["prediction"].map(dict(zip(classes, ascii_lowercase, strict=False)))
    answer = {"classes": " ".join(classes), "predictions": "".join(letters)}
    return {**trial.cell._asdict(), "test": file.name, **answer}


def read_blocks(study: Study, archive: Path, blocks: int) -> pd.DataFrame:
    """All archived trainings, one a row, with the number of their `block`.

    Raises:
        ValueError: a block is damaged, or was made for another design.
    """
    tables = []
    for number in range(1, blocks + 1):
        file = block_file(archive, number)
        if not file.is_file():
            continue
        try:
            table = _read(file).astype({"population": int}).assign(block=number)
            made_for = set(table["design"])
        except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
            raise ValueError(f"{file} is damaged ({error}); take it from git again") from None
        if made_for != {study.hash}:
            raise ValueError(
                f"{file} was made for the design {min(made_for)}, {study.path} is {study.hash}; "
                "give every design an archive of its own"
            )
        tables.append(table)
    return pd.concat([pd.DataFrame(columns=[*Cell._fields, *MADE_BY, "block"]), *tables])


def predictions_of(row: pd.Series, archive: Path) -> pd.DataFrame:
    """The predictions of one archived training, as `score` reads them."""
    names = dict(zip(ascii_lowercase, row["classes"].split(), strict=False))
    answer = [names[letter] for letter in row["predictions"]]
    return _read(archive / row["test"]).assign(prediction=answer)


def _read(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, dtype=str, keep_default_na=False)
