"""Epochs and learning rates, on development populations: `python -m benchmarks.study.budgets`.

Trains the method and the method without each of its parts for 20, 40 and 60 epochs at two learning
rates, from both starts, on one population of each preset, and writes `figures/budgets.csv`; then
each once for 80 epochs, scored every fifth: `figures/development.csv`; and what is reached there
without the method: `figures/development_references.csv`. `notebooks/design.yaml` has the budgets
that follow. 104 trainings: some 8 hours of a core, 5 minutes of a large GPU.
"""

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from merclip_lib.config import Config, config_from
from merclip_lib.data.store import ClipStore
from merclip_lib.files import write_csv
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.runs.executors import Execution, run_jobs
from merclip_lib.scores.metrics import score
from merclip_lib.study.blocks import draw
from merclip_lib.study.dfme_start import predict_fresh
from merclip_lib.study.references import references
from merclip_lib.synthme.populations import population
from merclip_lib.training.loop import fit

TASKS = {"casme2-like": "synthme-5", "casme3-like": "synthme-7"}
STARTS = {"motion": {"weights": "motion"}, "dfme": {"init_from": "dfme"}}
RATES = {"motion": (2.5e-4, 5e-4), "dfme": (1e-4, 2e-4)}
ENTRIES = {
    "full": {},
    "no_text": {"use_text": False},
    "no_eim": {"use_eim": False},
    "no_mix": {"mix": False},
}
SEED, FRESH = 70_000, 79_000  # of the range `development` of notebooks/design.yaml
POPULATIONS = Path("runs/study/populations")


def plan_of(preset: str, seed: int, people: int, config: Config) -> RunPlan:
    """A plan on a population with ten clips a person."""
    store: ClipStore = draw(population(preset, seed, people, 10 * people), POPULATIONS)
    return RunPlan(config, store, every_class=False)


def train(job: dict) -> list[dict]:
    """UF1 on fresh people at the end of a training, or every fifth epoch of one of 80."""
    preset, start, entry, epochs, lr, device = job.values()
    settings = {"task": TASKS[preset], "seed": SEED, "epochs": epochs, "lr": lr, "device": device}
    config = config_from(settings | STARTS[start] | ENTRIES[entry])
    plan, fresh = plan_of(preset, SEED, 16, config), plan_of(preset, FRESH, 60, config)

    def uf1(model: MERCLIP) -> float:
        return round(score(predict_fresh(model, fresh), fresh.classes).uf1, 4)

    row = {"preset": preset, "start": start, "entry": entry, "epochs": epochs, "lr": lr}
    rows, model = list[dict](), plan.network()

    def every_fifth(training) -> None:
        epoch = len(training.history)
        if epochs == 80 and epoch % 5 == 0:
            rows.append(row | {"epoch": epoch, "uf1": uf1(training.model)})

    fit(model, plan.training_data(np.arange(len(plan.table))), config, every_fifth)
    return rows or [row | {"uf1": uf1(model)}]


def reference_rows(preset: str, start: str) -> list[dict]:
    """UF1 of every reference, also of the readings of the start before any training."""
    config = config_from({"task": TASKS[preset], "seed": SEED} | STARTS[start])
    plan, fresh = plan_of(preset, SEED, 16, config), plan_of(preset, FRESH, 60, config)
    row = {"preset": preset, "start": start}
    return [
        row | {"reference": name, "uf1": round(score(table, fresh.classes).uf1, 4)}
        for name, table in references(plan, fresh).items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    names = ("preset", "start", "entry", "epochs", "lr", "device")
    grid = [
        dict(zip(names, (preset, start, entry, epochs, lr, given.device), strict=True))
        for preset, start, entry, epochs in product(TASKS, STARTS, ENTRIES, (20, 40, 60))
        for lr in RATES[start]
    ]
    rates = {"motion": 5e-4, "dfme": 2e-4}
    curves = [
        dict(zip(names, ("casme2-like", *at, 80, rates[at[0]], given.device), strict=True))
        for at in product(STARTS, ENTRIES)
    ]
    for preset, task in TASKS.items():  # drawn once, before the trainings share them
        for seed, people in ((SEED, 16), (FRESH, 60)):
            plan_of(preset, seed, people, config_from({"task": task}))
    for jobs, name in ((grid, "budgets"), (curves, "development")):
        done = dict(run_jobs(train, jobs, Execution("processes", given.workers)))
        table = pd.DataFrame([row for number in sorted(done) for row in done[number]])
        write_csv(table, Path("figures") / f"{name}.csv")
    rows = [row for at in product(TASKS, STARTS) for row in reference_rows(*at)]
    write_csv(pd.DataFrame(rows), Path("figures") / "development_references.csv")


if __name__ == "__main__":
    main()
