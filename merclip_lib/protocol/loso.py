"""The protocol: train each fold on its own people, predict the others, keep what was predicted.

Leave one subject out (LOSO, paper section on protocol): the held-out subject decides nothing,
neither the epoch (the last, or the best on inner validation people) nor any setting. Every
prediction carries its clip id. Folds run side by side, in several processes or on several
machines; where they are kept, and how an interrupted run resumes, is in `runs.store`.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from merclip_lib.files import remove, write_csv, write_text, writing
from merclip_lib.progress import Progress, say
from merclip_lib.protocol.folds import Fold
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import START, RunPlan
from merclip_lib.runs import store as run_store
from merclip_lib.runs.arithmetic import as_recorded, choose, of_begun_run
from merclip_lib.runs.code import loaded_code
from merclip_lib.runs.executors import Execution, check_execution, run_jobs, workers_for
from merclip_lib.runs.store import Run, read_run
from merclip_lib.scores.metrics import read_predictions
from merclip_lib.training.memory import memory_bytes
from merclip_lib.training.whole_batch import wait_for_all
from merclip_lib.weights.transfer import NETWORK, save_network

WAIT = 1.0  # seconds between looks at a fold that another process is training


@dataclass(frozen=True)
class FoldJob:
    """What a process, here or on another machine, needs to train one fold.

    Attributes:
        plan: of the run; its store is memory-mapped again there.
        fold: one of the plan's.
        folder: of the run.
        data_workers: processes that read clips ahead.
        keep_network: whether the trained network is stored with the fold.
    """

    plan: RunPlan
    fold: Fold
    folder: Path
    data_workers: int = 0
    keep_network: bool = False


def run_fold(job: FoldJob) -> bool:
    """Train one fold into the run store; False when another process is doing so, or did."""
    plan, fold = job.plan, job.fold
    if plan.code != loaded_code():
        why = "another version of the code is at work here than where the run began"
        raise ValueError(f"{job.folder}: {why}; start again, with the same version everywhere")
    with run_store.hold(job.folder, fold.name) as mine:
        if not mine or run_store.is_done(job.folder, fold.name, job.keep_network):
            return False
        _check_there(job.folder)
        part = run_store.open_part(job.folder, fold.name)
        with as_recorded(job.folder, plan.config):
            trained = train_fold(plan, fold, part, plan.network(job.folder), job.data_workers)
            write_text(part / "environment.json", json.dumps(run_store.environment(), indent=1))
        if (part / "checkpoint.pt.damaged").exists():
            say(f"{part / 'checkpoint.pt'} was damaged: {fold.name} was trained anew")
        for name in ("predictions", "history", "epochs"):
            write_csv(getattr(trained, name), part / f"{name}.csv", run_store.DIGITS)
        write_text(part / "seconds.json", json.dumps(round(trained.seconds, 2)))
        if job.keep_network:
            people = plan.people[fold.train]
            save_network(part / NETWORK, trained.model, plan.config, plan.classes, people)
        _check_there(job.folder)
        wait_for_all()  # where several processes train this fold together
        run_store.finish_part(job.folder, fold.name)
    return True


def cross_validate(
    plan: RunPlan,
    runs_dir: str | Path = "runs",
    execution: Execution | None = None,
    keep_network: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Run:
    """All folds of a run; those already in the run store are not trained again.

    Every fold has one thread, so the predictions do not depend on `execution`. Folds that
    another process is training are left to it and collected when they are done.

    Args:
        plan: what is trained and who is held out.
        runs_dir: the run store.
        execution: where the folds run; by default in processes, one per core or GPU.
        keep_network: store each fold's network, for `init_from` of another run.
        progress: receives a line per fold; by default a bar shows them.

    Returns:
        The finished run, with the predictions of all held-out clips.

    Raises:
        ValueError: bad input, before any training; or a fold whose files are damaged.
    """
    execution, folds, folder = execution or Execution(), plan.folds, Path(runs_dir) / plan.hash

    def waiting() -> list[Fold]:
        return [fold for fold in folds if not run_store.is_done(folder, fold.name, keep_network)]

    if not waiting() and run_store.is_whole(folder):
        return read_run(folder)
    if waiting():
        plan.check()
        device, memory = plan.config.device, memory_bytes(plan.config)
        check_execution(execution, device, memory)
        workers = workers_for(len(waiting()), execution, device, memory)
        execution = replace(execution, workers=workers)
    begin_run(plan, folder, bool(waiting()))
    others = list[str]()
    with Progress("folds", len(folds), len(folds) - len(waiting()), progress) as bar:
        while waiting():
            free = [fold for fold in waiting() if not run_store.is_held(folder, fold.name)]
            how = folder.resolve(), execution.data_workers, keep_network
            jobs = [FoldJob(plan, fold, *how) for fold in free]
            for k, mine in run_jobs(run_fold, jobs, execution, plan.config.device):
                if mine:
                    done = len(folds) - len(waiting())
                    bar.step(f"fold {done}/{len(folds)}: {free[k].name} of {folder.name}", done)
            if not free:
                busy = [f"{fold.name} {run_store.holder(folder, fold.name)}" for fold in waiting()]
                if busy != others:
                    say(f"waiting for {', '.join(busy)}")
                others = busy
                time.sleep(WAIT)
    collect(folder, folds)
    return read_run(folder)


def begin_run(plan: RunPlan, folder: Path, trains: bool = True) -> None:
    """Make the folder of a run, with run.json and the network with which its folds begin.

    How its products are computed is chosen here, once: all its folds are computed alike.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with run_store.hold(folder, run_store.WHOLE, wait=True):
        try:
            run_store.read_record(folder)
        except ValueError:
            record = plan.record() | {"arithmetic": of_begun_run(folder) or choose(plan.config)}
            write_text(folder / "run.json", json.dumps(record, indent=1))
        if trains:
            plan.write_start(folder)


def _check_there(folder: Path) -> None:
    """ValueError when somebody deleted the folder of the run, else it would be half a run."""
    if not (folder / "run.json").is_file():
        remedy = "start again, all of it is trained anew"
        raise ValueError(f"{folder}: was deleted while it was at work; {remedy}")


def collect(folder: Path, folds: list[Fold]) -> None:
    """Write the tables of the whole run from those of its folds.

    Raises:
        ValueError: a fold is damaged; it is set aside, and the next start trains it again.
    """
    with run_store.hold(folder, run_store.WHOLE, wait=True):
        predictions, history = [], []
        for fold in folds:
            part = folder / fold.name
            if why := run_store.damage(part):
                raise run_store.set_aside(part, why)
            predictions.append(read_predictions(part / "predictions.csv"))
            history.append(pd.read_csv(part / "history.csv"))
            if len(predictions[-1]) != len(fold.test):
                raise run_store.set_aside(part, "predictions of clips are missing")
            run_store.drop_checkpoint(part)
        write_csv(pd.concat(history), folder / "history.csv", run_store.DIGITS)
        write_csv(pd.concat(predictions), folder / "predictions.csv", run_store.DIGITS)
        with writing(folder):
            remove(folder / START)
