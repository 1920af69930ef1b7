"""Blocks of a study: trained one papermill call at a time, archived unscored, trained again.

A block is as many trainings as fit into its minutes on two cores. One that was killed resumes:
finished trainings are kept until the whole block is in the archive.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax

from merclip_lib.config import Config, config_from
from merclip_lib.data.store import ClipStore
from merclip_lib.explain.embeddings import embed
from merclip_lib.explain.sentences import sentence_embeddings
from merclip_lib.files import commit_of, write_csv
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.progress import Progress, track
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.protocol.predictions import prediction_table
from merclip_lib.runs.code import loaded_code
from merclip_lib.runs.executors import Execution, run_jobs
from merclip_lib.scores.metrics import COLUMNS, read_predictions, score
from merclip_lib.study.archive import block_file, predictions_of, read_blocks, row_of, write_block
from merclip_lib.study.design import Cell, Study, Trial
from merclip_lib.study.dfme_start import predict_fresh, train_everybody
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import Population
from merclip_lib.weights.transfer import check_people

CORES = 2  # trainings side by side, one thread each


def train_and_test(
    config: Config, training: ClipStore, test: ClipStore, read_out: str = "logits"
) -> pd.DataFrame:
    """Train on everybody of one store, predict the clips of another.

    Losses, augmentation and loop are those of a fold; here the held-out people are fresh ones. A
    class that the training lacks is never predicted.

    Args:
        config: every setting, with the seed.
        training: everybody trains.
        test: clips of other people.
        read_out: what answers, see `Entry`.

    Returns:
        One row per clip of `test`, see `prediction_table`.

    Raises:
        ValueError: somebody is in both, or is known to the network that `config.init_from` names.
    """
    plan, fresh = (RunPlan(config, store, every_class=False) for store in (training, test))
    if both := set(plan.people) & set(fresh.people):
        raise ValueError(f"{min(both)} is in {training.folder} and {test.folder}; test on others")
    if config.init_from:
        check_people(config, fresh.people)
    model = train_everybody(plan).model
    return predict_side(model, fresh) if read_out == "side" else predict_fresh(model, fresh)


def predict_side(model: MERCLIP, fresh: RunPlan) -> pd.DataFrame:
    """Where a unit shows by the sentences: the first class is the left, the second the right.

    Args:
        model: the network.
        fresh: clips with one unit each, on one side.
    """
    config = replace(fresh.config, device="cpu")
    z = embed(model.cpu(), fresh.dataset(np.arange(len(fresh.table))), config=config)[0]
    units, unit = np.unique(fresh.table["action_units"].str.lstrip("LR"), return_inverse=True)
    sentences = [sentence_embeddings(config, [side + u for u in units])[unit] for side in "LR"]
    probability = softmax(np.column_stack([(z * each).sum(1) for each in sentences]), axis=1)
    return prediction_table(fresh.table, fresh.classes, probability)


def train_trial(trial: Trial, populations: Path) -> pd.DataFrame:
    """Predictions of one training of a study, whose clips are drawn below `populations`."""
    training, test = (draw(each, populations) for each in (trial.training, trial.test))
    return train_and_test(trial.config, training, test, trial.read_out)


def draw(population: Population, folder: Path) -> ClipStore:
    """The clips of a population, drawn into a folder of its own unless they are there."""
    return draw_population(population, folder / _name(population))


def _name(population: Population) -> str:
    """A name that stands for all that defines a population."""
    digest = hashlib.sha256(str(population).encode()).hexdigest()[:8]
    return f"{population.preset}-{population.seed}-{digest}"


@dataclass(frozen=True)
class Workplace:
    """Where a study is carried out.

    Attributes:
        archive: the folder of all blocks.
        runs: populations are drawn here, and finished trainings kept until a block is whole.
        execution: where trainings run; the predictions do not depend on it.
        train: predictions of one training.
        device: "cpu", "cuda" or "auto"; trainings on another one differ as those of another seed.
    """

    archive: Path
    runs: Path
    execution: Execution = Execution("processes", CORES)
    train: Callable[[Trial, Path], pd.DataFrame] = train_trial
    device: Literal["cpu", "cuda", "auto"] = "cpu"


@dataclass(frozen=True)
class Job:
    """What a process needs for one training, and the file that takes the predictions."""

    trial: Trial
    place: Workplace
    file: Path


def run_job(job: Job) -> None:
    """Train and write what was predicted; nothing says how much of it is right."""
    began, config = time.monotonic(), replace(job.trial.config, device=job.place.device)
    trial = replace(job.trial, config=config_from(asdict(config)))
    predictions = job.place.train(trial, job.place.runs / "populations")[list(COLUMNS)]
    made = {"seconds": round(time.monotonic() - began, 2), "processor": _processor(trial.config)}
    write_csv(predictions.assign(**made, torch=torch.__version__), job.file)


def _processor(config: Config) -> str:
    """What computed: the name of the GPU, or the instructions that torch uses of the CPU."""
    if config.device == "cuda":
        return torch.cuda.get_device_name()
    return torch.backends.cpu.get_cpu_capability()


def _train(jobs: list[Job], place: Workplace) -> None:
    """Draw what is needed, then train what is not there yet."""
    todo = [job for job in jobs if not job.file.is_file()]
    needed = {str(p): p for job in todo for p in (job.trial.training, job.trial.test)}
    for population in track(needed.values(), "populations to draw", len(needed)):
        draw(population, place.runs / "populations")
    finished = len(jobs) - len(todo)
    with Progress("trainings", len(jobs), finished) as bar:
        for number, _ in enumerate(run_jobs(run_job, todo, place.execution), finished + 1):
            bar.step(f"training {number}/{len(jobs)}")


def plan_blocks(study: Study) -> list[list[Trial]]:
    """The trainings in parts that take at most the minutes of a block, in a fixed order."""
    parts = list[list[Trial]]()
    for trial in study.trials:
        if not parts or _minutes([*parts[-1], trial]) > study.design.block_minutes:
            parts.append([])
        parts[-1].append(trial)
    return parts


def plan_text(study: Study) -> str:
    """What the study will train, block by block, and how to freeze it."""
    parts = plan_blocks(study)
    lines = [
        f"block {number}: {len(part)} trainings, {_minutes(part):.0f} min"
        for number, part in enumerate(parts, 1)
    ]
    hours = sum(map(_minutes, parts)) * CORES / 60
    lines.append(f"{len(study.trials)} trainings, {hours:.1f} core-hours, design {study.hash}")
    if not study.design.frozen:
        lines.append(_how_to_freeze(study))
    return "\n".join(lines)


def _how_to_freeze(study: Study) -> str:
    return f'{study.path} is not frozen: add the line `frozen: "{study.hash}"` and commit it'


def _minutes(part: list[Trial]) -> float:
    """How long a block takes with all cores."""
    return sum(trial.seconds for trial in part) / 60 / CORES


def check_block(study: Study, number: int) -> None:
    """ValueError unless this block can be run: it is one of the plan, and the plan is frozen."""
    last = len(plan_blocks(study))
    if not 1 <= number <= last:
        raise ValueError(f"there is no block {number}: {study.path} makes blocks 1 to {last}")
    if not study.design.frozen:
        raise ValueError(_how_to_freeze(study))


def block_jobs(study: Study, number: int, place: Workplace) -> list[Job]:
    """The trainings of a block; their files are those of this design and this code."""
    folder = place.runs / f"{study.hash}-{loaded_code()}" / f"block-{number:03d}"
    jobs = enumerate(plan_blocks(study)[number - 1])
    return [Job(trial, place, folder / f"{k:03d}.csv") for k, trial in jobs]


def run_block(study: Study, number: int, place: Workplace) -> Path:
    """Train a block of a frozen study and archive what was predicted.

    Args:
        study: the design that was read.
        number: of the block, from 1.
        place: where it is carried out.

    Returns:
        The file of the block; one that is there stays as it is.

    Raises:
        ValueError: the design is not frozen, or there is no such block.
    """
    check_block(study, number)
    jobs, target = block_jobs(study, number, place), block_file(place.archive, number)
    if target.is_file():
        return target
    _train(jobs, place)
    commit = commit_of(study.path.parent) or "unknown"
    made_by = {"design": study.hash, "code": loaded_code(), "commit": commit}
    rows = []
    for job in jobs:
        table = read_predictions(job.file)
        test = place.archive / f"test-{_name(job.trial.test)}.csv"
        row = row_of(job.trial, table[list(COLUMNS)], test)
        rows.append(row | made_by | table[["processor", "torch", "seconds"]].iloc[0].to_dict())
    write_block(target, rows)
    return target


def status(study: Study, place: Workplace) -> pd.DataFrame:
    """How far each block is, and what made it; `code` is empty until it is in the archive."""
    parts = plan_blocks(study)
    archived, rows = read_blocks(study, place.archive, len(parts)), list[dict]()
    for number, part in enumerate(parts, 1):
        made = archived[archived["block"] == number]
        finished = len(made) or sum(job.file.is_file() for job in block_jobs(study, number, place))
        row = {"block": number, "trainings": len(part), "finished": finished}
        rows.append(row | {key: ", ".join(set(made[key])) for key in ("code", "commit")})
    return pd.DataFrame(rows)


def verify(study: Study, place: Workplace, sample: int = 3, seed: int = 0) -> pd.DataFrame:
    """Train some archived trainings again.

    Args:
        study: the design.
        place: where it is carried out.
        sample: how many.
        seed: draws them.

    Returns:
        What names each training; `equal`, the share of predictions that are the same again; and
        `uf1_difference`, by how much the new ones are better.

    Raises:
        ValueError: no block is in the archive, or the test has other clips now.
    """
    rows = read_blocks(study, place.archive, len(plan_blocks(study)))
    if rows.empty:
        raise ValueError(
            f"{place.archive}: no block is here yet; make one with `merclip study run`"
        )
    rows = rows.sample(min(sample, len(rows)), random_state=seed)
    trials, compared = {trial.cell: trial for trial in study.trials}, []
    with tempfile.TemporaryDirectory() as folder:
        cells = [Cell(*row) for row in rows[list(Cell._fields)].itertuples(index=False)]
        jobs = [Job(trials[cell], place, Path(folder, f"{k}.csv")) for k, cell in enumerate(cells)]
        _train(jobs, place)
        for job, (_, row) in zip(jobs, rows.iterrows(), strict=True):
            old, new = predictions_of(row, place.archive), read_predictions(job.file)
            row_of(job.trial, new, place.archive / row["test"])  # of the same clips
            uf1 = [score(table, row["classes"].split()).uf1 for table in (old, new)]
            equal = (old["prediction"] == new["prediction"]).mean()
            again = {"equal": equal, "uf1_difference": uf1[1] - uf1[0]}
            compared.append(job.trial.cell._asdict() | again)
    return pd.DataFrame(compared)
