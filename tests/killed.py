"""Work that is killed at random moments: what it is, and what must hold afterwards. Not a test.

`Work` runs in a child process, which is killed (SIGKILL) and started again until it comes through;
then what it leaves behind is what it leaves undisturbed, and the user's files were never touched.
Moments are drawn from the seconds that the work takes undisturbed, and a kill counts if the work
was still going on. `benchmarks.kills` does the same for longer, with whole sweeps besides.
"""

import contextlib
import io
import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
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

KEPT = "0123456789ab"  # a run with a finished fold


def files(folder: Path) -> dict[str, bytes]:
    """Content of all files by their paths, empty folders too, locks left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if ".locks" not in path.parts
    }


def shown(folder: Path) -> dict[str, bytes]:
    """`files` without hidden litter beside the results."""
    return {name: text for name, text in files(folder).items() if not name.startswith(".")}


@dataclass(frozen=True)
class Work:
    """Something that is killed.

    Attributes:
        begin: fills an empty folder with what is there before.
        work: what is killed, called with the folder; one of this module's functions.
        sound: raises unless what is there after a kill can be used.
        results: below the folder, what is compared in the end.
        users: below the folder, what must never change.
        compared: what is compared of the folder of results.
    """

    begin: Callable[[Path], None]
    work: Callable[[Path], object]
    sound: Callable[[Path], object]
    results: str
    users: str
    compared: Callable[[Path], dict[str, bytes]] = shown


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
    with contextlib.redirect_stderr(io.StringIO()):  # its bar
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
    for run in (KEPT, *(f"{k:012x}" for k in range(8))):
        for fold in ("1", ".2.part", ".3.damaged")[0 if run == KEPT else 1 :]:
            (folder / "runs" / run / fold).mkdir(parents=True)
            for k in range(20):
                (folder / "runs" / run / fold / f"file{k}").write_text("x")
        (folder / "runs" / run / "run.json").write_text(json.dumps(record))
    done = folder / "runs" / KEPT / "1"
    (done / "predictions.csv").write_text("clip_id,subject,truth,prediction\na,1,x,x\n")
    (done / "history.csv").write_text("fold,epoch,loss\n1,0,0.5\n")
    (done / "seconds.json").write_text("1.5")
    done.rename(folder / "fold")
    shutil.copytree(folder / "fold", done)
    (folder / "fold").rename(folder / "users")


def clean_runs(folder: Path) -> None:
    clean(folder / "runs", yes=True)


def the_finished_fold(folder: Path) -> None:
    assert files(folder / "runs" / KEPT / "1") == files(folder / "users")


WORKS = {
    "prepare": Work(pictures, prepare_again, a_store, "stores", "users"),
    "synth": Work(drawings, draw, a_store, "stores", "users"),
    "runs clean": Work(run_store, clean_runs, the_finished_fold, "runs", "users"),
}


def say_and_work(work: Callable, folder: Path, begun) -> None:
    """In a child: say that all is imported and the work begins."""
    begun.set()
    work(folder)


def child(context, work: Callable, folder: Path, limit: float | None = None) -> float | None:
    """The seconds that a work took in a process of its own; None if it was killed at the limit."""
    begun = context.Event()
    process = context.Process(target=say_and_work, args=(work, folder, begun))
    process.start()
    while not begun.wait(0.1):
        assert process.is_alive(), "the work did not begin"
    began = time.monotonic()
    process.join(limit)
    seconds = time.monotonic() - began
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return seconds if process.exitcode == 0 else None


def kills(context, work: Work, place: Path, seed: int = 0) -> Iterator[int]:
    """Kill a work without end; raises where something is lost.

    Args:
        context: of multiprocessing: how processes begin.
        work: what is killed, up to three times before it may come through.
        place: an empty folder.
        seed: of the moments.

    Yields:
        How often it has been killed, each time that it came through.
    """
    moments, done = random.Random(seed), 0
    begun, whole, folder = (place / name for name in ("begun", "whole", "killed"))
    begun.mkdir(parents=True)
    child(context, work.begin, begun)  # this process computes nothing, and can be forked
    users = files(begun / work.users)
    shutil.copytree(begun, whole)
    seconds = child(context, work.work, whole)
    assert seconds is not None
    expected = work.compared(whole / work.results)
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(begun, folder)
        limits = [moments.uniform(0, 1.1) * seconds for _ in range(3)]
        for limit in (*limits, None):
            if child(context, work.work, folder, limit) is not None:
                break
            done += 1
            work.sound(folder)
            assert files(folder / work.users) == users
        assert work.compared(folder / work.results) == expected
        assert files(folder / work.users) == users
        yield done
