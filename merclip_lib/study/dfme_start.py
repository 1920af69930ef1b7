"""The `dfme` start: the method itself on a large set, before the set that counts (paper, DFME).

The paper trains on DFME first and starts all its other sets from that network, by `init_from`. Here
a DFME-like population takes its place: other people, classes, cameras and annotation noise.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from merclip_lib.config import config_from
from merclip_lib.data.store import ClipStore
from merclip_lib.files import write_text
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.protocol.predictions import prediction_table
from merclip_lib.scores.metrics import score
from merclip_lib.training.loop import fit, predict
from merclip_lib.weights.transfer import save_network

SETTINGS = {"task": "synthme-dfme-7", "epochs": 16}


class Everybody(NamedTuple):
    """A network trained on all people of a set."""

    model: MERCLIP
    history: list[dict]  # one entry per epoch, see `training.train_epoch`


def train_everybody(plan: RunPlan) -> Everybody:
    """Train on all clips of a plan; nobody is held out, so the test needs another set."""
    model = plan.network()
    training = fit(model, plan.training_data(np.arange(len(plan.table))), plan.config)
    return Everybody(model, training.history)


def predict_fresh(model: MERCLIP, fresh: RunPlan) -> pd.DataFrame:
    """Predictions of all clips of a plan of other people, see `prediction_table`."""
    clips = fresh.dataset(np.arange(len(fresh.table)))
    probability = predict(model, clips, config=fresh.config).numpy()
    return prediction_table(fresh.table, fresh.classes, probability)


def make_dfme_start(store: ClipStore, fresh: ClipStore, out: Path, **changes) -> dict:
    """Train on a DFME-like population, and write the network (half precision) and its card.

    Args:
        store: everybody of it trains.
        fresh: other people of the same preset, for the figures of the card alone.
        out: the weights file; the card stands beside it.
        changes: fields of `Config` other than SETTINGS, such as the seed.

    Returns:
        The card: data, settings, curve, UF1 and UAR on the fresh people.

    Raises:
        ValueError: a bad setting, or a file that cannot be written.
    """
    started, config = time.monotonic(), config_from({**SETTINGS, **changes})
    plan, test = RunPlan(config, store), RunPlan(config, fresh)
    trained = train_everybody(plan)
    scores = score(predict_fresh(trained.model, test), test.classes)
    card = {
        "name": out.stem,
        "data": store.meta["name"],
        "data_hash": store.meta["hash"],
        "people": len(set(plan.people)),
        "clips": len(plan.table),
        "weights": plan.contents,
        "config": asdict(config),
        "seconds": round(time.monotonic() - started),
        "curve": trained.history,
        "fresh_clips": len(test.table),
        "uf1": scores.uf1,
        "uar": scores.uar,
    }
    save_network(out, trained.model.half(), config, plan.classes, plan.people)
    write_text(out.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return card
