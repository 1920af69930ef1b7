"""The table of reference lines: what is reached without the method on the study's populations."""

from pathlib import Path

import pandas as pd

from merclip_lib.files import Kind, output_place, write_csv
from merclip_lib.progress import track
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.code import loaded_code
from merclip_lib.runs.executors import run_jobs
from merclip_lib.scores.metrics import score
from merclip_lib.study.blocks import Job, Workplace, draw
from merclip_lib.study.design import Study, Trial
from merclip_lib.study.references import references

COLUMNS = ["preset", "start", "population", "reference", "uf1"]


def read_references(file: Path) -> pd.DataFrame:
    """The table that `write_references` left, or none of its rows where it is not there."""
    return pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=COLUMNS)


def write_references(study: Study, place: Workplace, figures: Path) -> Path:
    """Score every reference on the training populations of the full method: `references.csv`.

    What was scored before by this code is taken from `place.runs`.

    Args:
        study: a design.
        place: where populations are drawn, and how many are scored side by side.
        figures: takes the table.
    """
    table_file = output_place(figures / "references.csv", Kind(tuple(COLUMNS[:2])))
    folder = place.runs / f"references-{study.hash}-{loaded_code()}"
    files = {folder / f"{'-'.join(map(str, t.cell))}.csv": t for t in full_trials(study)}
    jobs = [Job(trial, place, file) for file, trial in files.items()]
    todo = [job for job in jobs if not job.file.is_file()]
    needed = {str(p): p for job in todo for p in (job.trial.training, job.trial.test)}
    for population in track(needed.values(), "populations to draw", len(needed)):
        draw(population, place.runs / "populations")
    for _ in track(run_jobs(score_references, todo, place.execution), "references", len(todo)):
        pass
    write_csv(pd.concat([pd.read_csv(job.file) for job in jobs]), table_file, "%.7g")
    return table_file


def full_trials(study: Study) -> list[Trial]:
    """The trainings of the full method, by which the primary family begins, from every start."""
    families = [each for each in study.design.families.values() if each.primary]
    if not families:
        raise ValueError(f"{study.path}: no family has `primary: true`; references belong to it")
    return [each for each in study.trials if each.cell.entry == families[0].comparisons[0].a]


def score_references(job: Job) -> None:
    """Write UF1 of every reference that learns from the people of one training."""
    trial, drawn = job.trial, job.place.runs / "populations"
    stores = draw(trial.training, drawn), draw(trial.test, drawn)
    training, fresh = (RunPlan(trial.config, store, every_class=False) for store in stores)
    reached = references(training, fresh).items()
    rows = [[*trial.cell[1:], name, score(table, fresh.classes).uf1] for name, table in reached]
    write_csv(pd.DataFrame(rows, columns=COLUMNS), job.file)
