"""Training of one fold: who trains, which epoch counts, what is predicted for the held-out clips.

The held-out people decide nothing (paper section on protocol): the last epoch counts, or the one
that is best on validation people taken from the training people. Choosing it on the held-out
clips, as the authors' program does, is there to show the gap; its tables say so.
"""

import contextlib
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from merclip_lib.config import Config, Protocol
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.folds import Fold, inner_validation
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.protocol.predictions import prediction_table
from merclip_lib.scores.metrics import score
from merclip_lib.training.loop import Training, fit, predict
from merclip_lib.weights.files import read_weights, save_weights


@dataclass(frozen=True)
class Trained:
    """One trained fold.

    Attributes:
        predictions: one row per held-out clip, see `prediction_table`.
        history: fold, epoch and the means of `train_epoch`.
        epochs: epoch, clip_id, prediction: what each epoch would have predicted. By default no
            choice is made with it; it shows what choosing the epoch on the held-out subject
            would pretend.
        seconds: of training and predicting, interruptions left out.
        model: the network of the epoch that made the predictions.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    epochs: pd.DataFrame
    seconds: float
    model: MERCLIP


def train_fold(
    plan: RunPlan,
    fold: Fold,
    folder: Path | None = None,
    model: MERCLIP | None = None,
    data_workers: int = 0,
) -> Trained:
    """Train on one fold and predict its held-out clips, in this process.

    Args:
        plan: of the run.
        fold: one of `plan.folds`.
        folder: takes a checkpoint after every epoch, from which an interrupted training resumes;
            the same predictions come out.
        model: the network to train, as `plan.network` gives it.
        data_workers: processes that read clips ahead.
    """
    config, model = plan.config, plan.network() if model is None else model
    train, judged = fold.train, fold.test  # the clips by which an epoch is chosen, if it is
    if config.selection == "inner_validation":
        train, judged = inner_validation(plan.people, fold.train, config.seed)
    ticks = [time.monotonic()]
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        best_file = place / "checkpoint_best.safetensors"

        def on_epoch(training: Training) -> dict:
            probability, merit = predict(model, plan.dataset(fold.test), config=config), 0.0
            if config.selection != "last":
                judging = probability
                if judged is not fold.test:
                    judging = predict(model, plan.dataset(judged), config=config)
                answer = judging.argmax(1).numpy()
                merit = merit_of(config, answer, plan.labels[judged], plan.classes)
                merits = [*(entry["merit"] for entry in training.recorded), merit]
                if best_epoch(config, merits) == len(merits) - 1:
                    save_weights(best_file, model.state_dict(), {})
            ticks.append(time.monotonic())
            return {"probability": probability, "merit": merit, "seconds": ticks[-1] - ticks[-2]}

        data = plan.training_data(train, data_workers)
        training = fit(model, data, config, on_epoch, folder and folder / "checkpoint.pt")
        if config.selection != "last":
            model.load_state_dict(read_weights(best_file)[0])
    return _trained(plan, fold, training)


def merit_of(
    protocol: Protocol, answer: np.ndarray, truth: np.ndarray, classes: Sequence[str]
) -> float:
    """What an epoch is chosen by: UF1 on validation people; accuracy, as the authors' program."""
    if protocol.selection == "best_on_test":
        return float((answer == truth).mean())
    names = np.array(classes)
    table = pd.DataFrame({"truth": names[truth], "prediction": names[answer]})
    return score(table.assign(clip_id=np.arange(len(truth)), subject=""), classes).uf1


def best_epoch(protocol: Protocol, merits: Sequence[float]) -> int:
    """The epoch whose predictions count: the last; the best, of equals the later; or, as the
    authors' program keeps it, the best on the held-out clips, of equals the earlier."""
    if protocol.selection == "last":
        return len(merits) - 1
    if protocol.selection == "best_on_test":
        return int(np.argmax(merits))
    return len(merits) - 1 - int(np.argmax(merits[::-1]))


def _trained(plan: RunPlan, fold: Fold, training: Training) -> Trained:
    """The tables of a fold from what its epochs recorded."""
    recorded, held_out = training.recorded, plan.table.iloc[fold.test]
    best = best_epoch(plan.config, [entry["merit"] for entry in recorded])
    tables = [
        prediction_table(held_out, plan.classes, entry["probability"].numpy()) for entry in recorded
    ]
    history = pd.DataFrame(training.history)
    history.insert(0, "fold", fold.name)
    epochs = [
        table[["clip_id", "prediction"]].assign(epoch=number) for number, table in enumerate(tables)
    ]
    return Trained(
        _stamped(plan.config, tables[best], held_out, best),
        history,
        pd.concat(epochs)[["epoch", "clip_id", "prediction"]],
        sum(entry["seconds"] for entry in recorded),
        training.model,
    )


def _stamped(
    config: Config, predictions: pd.DataFrame, held_out: pd.DataFrame, epoch: int
) -> pd.DataFrame:
    """A table that is not of the default protocol says so in columns of its own."""
    if config.held_out == "split":
        predictions = predictions.assign(split=held_out["split"].to_numpy())
    protocol = {key: getattr(config, key) for key in ("protocol", "selection", "held_out")}
    if protocol != {key: getattr(Config(), key) for key in protocol}:
        predictions = predictions.assign(**protocol, epoch=epoch)
    return predictions
