"""Training of one fold: who trains, which epoch counts, what is predicted for the held-out clips.

The held-out people decide nothing (paper section on protocol): the last epoch counts, or the one
that is best on validation people taken from the training people. Choosing it on the held-out
clips, as the authors' program does, is there to show the gap; its tables say so.
"""

import contextlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from merclip_lib.config import Config
from merclip_lib.data.dataset import ClipDataset
from merclip_lib.data.store import ClipStore
from merclip_lib.data.tasks import task_named
from merclip_lib.files import writing
from merclip_lib.model.merclip import MERCLIP
from merclip_lib.protocol.folds import Fold, inner_validation, people
from merclip_lib.protocol.plan import choose_clips, start_model, text_targets
from merclip_lib.scores.metrics import score
from merclip_lib.text.bank import TextTargets
from merclip_lib.training.loop import fit, predict
from merclip_lib.weights.files import read_weights, save_weights


@dataclass(frozen=True)
class Trained:
    """One trained fold: what it predicted for its held-out clips, its losses, its network.

    `epochs` (epoch, clip_id, prediction) is what each epoch would have predicted: by default no
    choice is made with it; it shows what choosing the epoch on the held-out subject would pretend.
    `model` is the network of the epoch that made the predictions.
    """

    predictions: pd.DataFrame
    history: pd.DataFrame
    epochs: pd.DataFrame
    seconds: float
    model: MERCLIP


def train_fold(
    config: Config,
    store: ClipStore,
    fold: Fold,
    text: TextTargets | None = None,
    folder: Path | None = None,
    data_workers: int = 0,
) -> Trained:
    """Train on one fold and predict its held-out clips, in this process.

    `text` are the sentences of the chosen clips, encoded (`text_targets`); they are computed
    here when absent and wanted. `folder` takes a checkpoint after every epoch, from which an
    interrupted training goes on; the same predictions come out. `data_workers` read clips.
    """
    table, classes = choose_clips(config, store), task_named(config.task).classes
    labels, person = table["label"].map(classes.index).to_numpy(), people(table)
    rows = table.index.to_numpy()
    subjects = np.zeros(len(store), int)
    subjects[rows] = pd.factorize(person)[0]
    model = start_model(config, len(classes))
    if config.use_text and text is None:
        text = text_targets(config, table, len(store))

    def clips(part: np.ndarray, training: bool = False) -> ClipDataset:
        return ClipDataset(
            store,
            rows[part],
            labels[part],
            config.frames,
            training,
            config.seed,
            config.short_clips,
        )

    def answers(part: np.ndarray) -> Tensor:  # (len(part), classes)
        return predict(model, clips(part), config=config)

    train, judged = fold.train, fold.test  # the clips by which an epoch is chosen, if it is
    if config.selection == "inner_validation":
        train, judged = inner_validation(person.to_numpy(), fold.train, config.seed)
    recorded, tick = [], time.monotonic()  # what `record` returned, also before an interruption
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        best_file = place / "checkpoint_best.safetensors"

        def record(means: dict) -> dict:
            nonlocal tick
            probability, merit = answers(fold.test), 0.0
            if config.selection != "last":
                chosen_by = probability if judged is fold.test else answers(judged)
                merit = merit_of(config, chosen_by.argmax(1).numpy(), labels[judged], classes)
                merits = [*(entry["merit"] for entry in recorded), merit]
                if best_epoch(config, merits) == len(recorded):
                    with writing(best_file):
                        save_weights(best_file, model.state_dict(), {})
            spent, tick = time.monotonic() - tick, time.monotonic()
            return {"probability": probability, "merit": merit, "seconds": spent}

        history = pd.DataFrame(
            fit(
                model,
                clips(train, training=True),
                subjects,
                text,
                config,
                record,
                checkpoint=folder and folder / "checkpoint.pt",
                recorded=recorded,
                data_workers=data_workers,
            )
        )
        if config.selection != "last":
            model.load_state_dict(read_weights(best_file)[0])
    history.insert(0, "fold", fold.name)
    probabilities = [entry["probability"].numpy() for entry in recorded]
    held_out, best = table.iloc[fold.test], best_epoch(config, [e["merit"] for e in recorded])
    epochs = pd.concat(
        [
            pd.DataFrame(
                {
                    "epoch": number,
                    "clip_id": held_out["clip_id"].to_numpy(),
                    "prediction": [classes[k] for k in probability.argmax(1)],
                }
            )
            for number, probability in enumerate(probabilities)
        ]
    )
    predictions = _predictions(config, held_out, classes, probabilities[best], best)
    seconds = sum(entry["seconds"] for entry in recorded)
    return Trained(predictions, history, epochs, seconds, model)


def merit_of(config: Config, answer: np.ndarray, truth: np.ndarray, classes: tuple) -> float:
    """What an epoch is chosen by: UF1 on validation people; accuracy, as the authors' program."""
    if config.selection == "best_on_test":
        return float((answer == truth).mean())
    names = np.array(classes)
    table = pd.DataFrame(
        {
            "clip_id": np.arange(len(truth)),
            "subject": "",
            "truth": names[truth],
            "prediction": names[answer],
        }
    )
    return score(table, classes).uf1


def best_epoch(config: Config, merits: list[float]) -> int:
    """The epoch whose predictions count: the last; the best, of equals the later; or, as the
    authors' program keeps it, the best on the held-out clips, of equals the earlier."""
    if config.selection == "last":
        return len(merits) - 1
    if config.selection == "best_on_test":
        return int(np.argmax(merits))
    return len(merits) - 1 - int(np.argmax(merits[::-1]))


def _predictions(
    config: Config, held_out: pd.DataFrame, classes: tuple, probability: np.ndarray, epoch: int
) -> pd.DataFrame:
    """One row per held-out clip. A table that is not of the default protocol says so."""
    columns = {
        "clip_id": held_out["clip_id"].to_numpy(),
        "subject": held_out["subject"].to_numpy(),
        "database": held_out["dataset"].to_numpy(),
        "truth": held_out["label"].to_numpy(),
        "prediction": [classes[k] for k in probability.argmax(1)],
        **{f"p_{name}": probability[:, k] for k, name in enumerate(classes)},
    }
    if config.held_out == "split":
        columns["split"] = held_out["split"].to_numpy()
    said = {key: getattr(config, key) for key in ("protocol", "selection", "held_out")}
    if said != {key: getattr(Config(), key) for key in said}:
        columns |= {**said, "epoch": epoch}
    return pd.DataFrame(columns)
