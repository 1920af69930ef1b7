"""Work that is killed at random moments: what it is, and what must hold afterwards. Not a test.

`Work` runs in a child process, which is killed (SIGKILL) and started again until it comes through;
then what it leaves behind is what it leaves undisturbed, and the user's files were never touched.
`benchmarks.kills` does the same for longer, with whole sweeps besides.
"""

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from merclip_lib.data.frames.decode import PictureSettings
from merclip_lib.data.frames.prepare import prepare
from merclip_lib.data.store import open_store
from merclip_lib.data.table import COLUMNS, read_table
from merclip_lib.runs.overview import clean
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import population
from merclip_lib.workers import fresh_processes


@dataclass(frozen=True)
class Work:
    """Something that is killed.

    Attributes:
        begin: fills an empty folder with what is there before.
        work: what is killed, called with the folder; one of this module's functions.
        sound: raises unless what is there after a kill can be used.
        results: below the folder, what is compared; hidden litter beside it is not.
        users: below the folder, what must never change.
    """

    begin: Callable[[Path], None]
    work: Callable[[Path], object]
    sound: Callable[[Path], object]
    results: str
    users: str


def files(folder: Path) -> dict[str, bytes]:
    """Content of all files by their paths, empty folders too, locks left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if ".locks" not in path.parts
    }


def pictures(folder: Path) -> None:
    """Six clips of pictures, their table, and an older store of another size."""
    rows = [",".join(COLUMNS)]
    for clip in range(6):
        place = folder / "users" / "data" / f"c{clip}"
        place.mkdir(parents=True)
        for k in range(1, 7):
            grey = (np.add.outer(np.arange(40), np.arange(40)) * (k + clip)) % 256
            cv2.imwrite(str(place / f"img{k}.png"), grey.astype(np.uint8))
        rows.append(f"c{clip},dfme,{clip % 2},c{clip},1,,6,200,4,fear,c{clip}")
    (folder / "users" / "t.csv").write_text("\n".join(rows) + "\n")
    prepare_at(folder, 16)


def prepare_at(folder: Path, size: int) -> None:
    table = read_table(folder / "users" / "t.csv")
    store, settings = folder / "stores" / "store", PictureSettings(size=size, length=4)
    prepare(table, folder / "users" / "data", store, settings, workers=1)


def prepare_again(folder: Path) -> None:
    prepare_at(folder, 24)


def drawings(folder: Path) -> None:
    (folder / "users").mkdir()
    (folder / "users" / "thesis.tex").write_text("mine")
    draw(folder, seed=1)


def draw(folder: Path, seed: int = 2) -> None:
    few = population("casme2-like", seed, people=2, clips=6, size=32, frames=4)
    draw_population(few, folder / "stores" / "synthme", workers=1)


def a_store(folder: Path) -> None:
    """The older store or the new one is there, or the older one waits beside its place."""
    (place,) = [path for path in (folder / "stores").iterdir() if path.name[0] != "."] or [
        path for path in (folder / "stores").iterdir() if path.name.endswith(".old")
    ]
    assert len(open_store(place)) == 6


def run_store(folder: Path) -> None:
    """A finished fold, what is left of others, and runs without one; a note of the user's."""
    record = {"config": {}, "data": {"name": "n", "hash": "0"}, "folds": ["1", "2"]}
    for run in ("kept", *(f"begun{k}" for k in range(8))):
        for fold in ("1", ".2.part", ".3.damaged")[0 if run == "kept" else 1 :]:
            (folder / "runs" / run / fold).mkdir(parents=True)
            for k in range(20):
                (folder / "runs" / run / fold / f"file{k}").write_text("x")
        (folder / "runs" / run / "run.json").write_text(json.dumps(record))
    done = folder / "runs" / "kept" / "1"
    (done / "predictions.csv").write_text("clip_id,subject,truth,prediction\na,1,x,x\n")
    (done / "history.csv").write_text("fold,epoch,loss\n1,0,0.5\n")
    (done / "seconds.json").write_text("1.5")
    done.rename(folder / "fold")
    shutil.copytree(folder / "fold", done)
    (folder / "fold").rename(folder / "users")


def clean_runs(folder: Path) -> None:
    clean(folder / "runs", yes=True)


def the_finished_fold(folder: Path) -> None:
    assert files(folder / "runs" / "kept" / "1") == files(folder / "users")


WORKS = {
    "prepare": Work(pictures, prepare_again, a_store, "stores", "users"),
    "synth": Work(drawings, draw, a_store, "stores", "users"),
    "runs clean": Work(run_store, clean_runs, the_finished_fold, "runs", "users"),
}


def say_and_work(work: Callable, folder: Path, begun) -> None:
    """In a child: say that all is imported and the work begins."""
    begun.set()
    work(folder)


def child(context, work: Callable, folder: Path, seconds: float | None = None) -> bool:
    """Whether the work came through; else it was killed some seconds after it had begun."""
    begun = context.Event()
    process = context.Process(target=say_and_work, args=(work, folder, begun))
    process.start()
    while not begun.wait(0.1):
        assert process.is_alive(), "the work did not begin"
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == 0


def shown(folder: Path) -> dict[str, bytes]:
    """`files` without hidden litter beside the results."""
    return {name: text for name, text in files(folder).items() if not name.startswith(".")}


def kill(
    name: str,
    place: Path,
    kills: int,
    seed: int = 0,
    works: dict[str, Work] = WORKS,
    results: Callable[[Path], dict[str, bytes]] = shown,
) -> int:
    """Kill a work so many times; raises where something is lost, returns how often it was killed.

    Args:
        name: of the work.
        place: an empty folder.
        kills: at least so many.
        seed: of the moments.
        works: by name.
        results: what is compared of a folder.
    """
    context, work = fresh_processes(), works[name]
    moments, done = random.Random(seed), 0
    whole = place / "whole"
    whole.mkdir(parents=True)
    work.begin(whole)
    users, began = files(whole / work.users), time.monotonic()
    assert child(context, work.work, whole)
    seconds, expected = time.monotonic() - began, results(whole / work.results)
    while done < kills:
        folder = place / "killed"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        work.begin(folder)
        for _ in range(3):
            if child(context, work.work, folder, moments.uniform(0, 1.1) * seconds):
                break
            done += 1
            work.sound(folder)
            assert files(folder / work.users) == users
        else:
            assert child(context, work.work, folder)
        assert results(folder / work.results) == expected
        assert files(folder / work.users) == users
    return done
