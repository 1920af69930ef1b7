"""Ways in which published programs come to other numbers, each measured against ours.

Nothing here is used to train or to score: it takes predictions that are already made, does to
them what a trap does, and says by how much the number moves. Honest is: last epoch, held-out
subjects, one confusion matrix over all folds, labels found by clip id. Sources of the traps:
Varanka et al. 2023 (epoch, fold averages, split) and the programs named in
data/cards/published.yaml.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from merclip_lib.scores import bootstrap
from merclip_lib.scores.bootstrap import draw_subjects
from merclip_lib.scores.metrics import confusion_by_subject, metric_of

KEPT = ["clip_id", "subject", "database", "truth", "prediction"]  # of a predictions table


# A way to a number: confusion counts by subject (S, C, C) and the weight of every subject in
# each of B resamples (B, S) -> (B,).
Way = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """Two ways to a number: each with its interval, and `change` = trapped minus honest.

    Values are means over seeds; all intervals come from the same resamples of subjects.
    """

    honest: float
    honest_low: float
    honest_high: float
    trapped: float
    trapped_low: float
    trapped_high: float
    change: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "inflates", "deflates" or "no clear change", as the interval of the change says."""
        if self.low > 0:
            return "inflates"
        return "deflates" if self.high < 0 else "no clear change"

    def __str__(self) -> str:
        return (
            f"{self.honest:.3f} [{self.honest_low:.3f}, {self.honest_high:.3f}] becomes "
            f"{self.trapped:.3f} [{self.trapped_low:.3f}, {self.trapped_high:.3f}], "
            f"a change of {self.change:+.3f} [{self.low:+.3f}, {self.high:+.3f}]: "
            f"{self.verdict}"
        )


def read_epochs(run_folder: str | Path) -> pd.DataFrame:
    """What every epoch of a finished run predicted: fold, epoch, clip_id, prediction.

    Raises ValueError for a folder without this record.
    """
    folder, parts = Path(run_folder), []
    for fold in json.loads((folder / "run.json").read_text(encoding="utf-8"))["folds"]:
        path = folder / fold / "epochs.csv"
        if not path.is_file():
            raise ValueError(
                f"{path}: this run did not record its epochs; delete the folder "
                f"{folder.name} of the run store and train it again"
            )
        text = {"clip_id": str, "prediction": str}
        part = pd.read_csv(path, dtype=text, keep_default_na=False)
        parts.append(part.assign(fold=fold))
    return pd.concat(parts, ignore_index=True)[["fold", "epoch", "clip_id", "prediction"]]


def best_on_test(predictions: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """The predictions of the epoch that is best on the clips that the fold held out.

    Best is the epoch with most clips right, the earliest of equals, chosen fold by fold: so the
    pooled accuracy can only rise. Returns the table with the chosen `epoch` and a stamp
    `selection`; probabilities are left out, being of the last epoch. Raises ValueError when an
    epoch does not cover the clips.
    """
    clips = predictions[[name for name in KEPT if name in predictions]].set_index("clip_id")
    if not clips.index.is_unique:
        raise ValueError("a clip is predicted more than once; give one run at a time")
    for (fold, epoch), rows in epochs.groupby(["fold", "epoch"]):
        held_out = set(epochs.loc[epochs.fold == fold, "clip_id"])
        if set(rows.clip_id) != held_out or rows.clip_id.duplicated().any():
            raise ValueError(f"epoch {epoch} of fold {fold!r} does not predict each clip once")
    if set(epochs.clip_id) != set(clips.index):
        raise ValueError("the epochs are of other clips than the predictions")
    right = epochs.prediction.to_numpy() == clips.truth.loc[epochs.clip_id].to_numpy()
    count = epochs.assign(right=right).groupby(["fold", "epoch"]).right.sum()
    best = {fold: rows.droplevel("fold").idxmax() for fold, rows in count.groupby("fold")}
    chosen = epochs[epochs.epoch == epochs.fold.map(best)].set_index("clip_id").loc[clips.index]
    return clips.assign(
        prediction=chosen.prediction, epoch=chosen.epoch, selection="best_on_test"
    ).reset_index()


def matched_by_row_order(predictions: pd.DataFrame, listed: Sequence[str]) -> pd.DataFrame:
    """Row k of the predictions gets the truth of the k-th clip that is `listed`.

    Right only where both happen to be in one order. Raises ValueError unless `listed` holds the
    same clips.
    """
    if sorted(listed) != sorted(predictions.clip_id):
        raise ValueError("the listed clips are not those of the predictions")
    truth = predictions.set_index("clip_id").truth
    return predictions.assign(truth=truth.loc[list(listed)].to_numpy())


def pooled_uf1(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """UF1 of the confusion matrix over all folds, as the protocol wants it."""
    return bootstrap.resampled(matrices, weights, "uf1")


def pooled_uar(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """UAR of the confusion matrix over all folds, as the protocol wants it."""
    return bootstrap.resampled(matrices, weights, "uar")


def precision_as_uar(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """UAR with truth and prediction exchanged in the call: the mean over classes of precision."""
    return bootstrap.resampled(matrices.transpose(0, 2, 1), weights, "uar")


def mean_of_folds(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the UF1 of each LOSO fold; a class that the subject never showed scores 0."""
    return _mean(metric_of(matrices, "uf1"), weights)


def mean_of_folds_present(matrices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The same, but classes neither true nor predicted in a fold are dropped from its mean.

    This is what scikit-learn's macro F1 does when it is called fold by fold without `labels`.
    """
    present = (matrices.sum(1) + matrices.sum(2) > 0).sum(1)
    classes = matrices.shape[1]
    return _mean(metric_of(matrices, "uf1") * classes / np.maximum(present, 1), weights)


def _mean(of_folds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights @ of_folds / weights.sum(1)


def measure_trap(
    honest: Sequence[pd.DataFrame],
    trapped: Sequence[pd.DataFrame],
    classes: Sequence[str],
    right: Way = pooled_uf1,
    wrong: Way = pooled_uf1,
    samples: int = 1000,
    seed: int = 0,
) -> Measured:
    """The honest number, the trapped one and the change between them, with 95 % intervals.

    `honest` and `trapped` are lists of predictions, one per seed, of the same clips; `right` and
    `wrong` are the ways from them to a number. Every resample draws the same subjects for all of
    them. Raises ValueError for other clips or subjects, and as `metrics.score` does.
    """
    tables = [*honest, *trapped]
    if not honest or not trapped:
        raise ValueError("give at least one table of predictions on either side")
    clips = tables[0].set_index("clip_id").subject.sort_index()
    for table in tables[1:]:
        if not clips.equals(table.set_index("clip_id").subject.sort_index()):
            raise ValueError(
                "the tables are not of the same clips and subjects; compare runs of "
                "one task and one set"
            )
    values = []
    for frames, way in ((honest, right), (trapped, wrong)):
        matrices = [confusion_by_subject(frame, classes) for frame in frames]
        people = len(matrices[0])
        weights = np.vstack([np.ones(people), draw_subjects(people, samples, seed)])
        values.append(np.mean([way(matrix, weights) for matrix in matrices], axis=0))
    a, b = values  # the first entry is the observed value, the others are the resamples
    return Measured(
        float(a[0]),
        *bootstrap.interval(a[1:]),
        float(b[0]),
        *bootstrap.interval(b[1:]),
        float(b[0] - a[0]),
        *bootstrap.interval((b - a)[1:]),
    )
