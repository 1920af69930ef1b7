"""Ways in which published programs come to other numbers, each measured against ours.

Nothing here is used to train or to score: it takes predictions that are already made, does to
them what a trap does, and says by how much the number moves. Honest is: last epoch, held-out
subjects, one confusion matrix over all folds, labels found by clip id. Sources of the traps:
Varanka et al. 2023 (epoch, fold averages, split) and the programs named in
data/cards/published.yaml.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from merclip_lib.scores import bootstrap
from merclip_lib.scores.bootstrap import DEFAULT, Classes, Resampling, ScoringRule, Tables, pooled
from merclip_lib.scores.metrics import metric_of
from merclip_lib.scores.verdicts import answer, claims, in_numbers, side_of_change

pooled_uf1 = pooled("uf1")
pooled_uar = pooled("uar")
VERDICTS = {1: "inflates", -1: "deflates", 0: "no clear change"}
REMARKS = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


class TrapEffect(NamedTuple):
    """A number counted honestly and with a trap: each with its interval, and their difference.

    Values are means over seeds; all intervals come from the same resamples of subjects. `change`
    is trapped minus honest, `low` and `high` its interval, `p` two-sided.
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
    p: float

    @property
    def verdict(self) -> str:
        """What the p-value of the change says if nothing else is asked: one of VERDICTS."""
        return VERDICTS[side_of_change(self.change, self.p)]

    def __str__(self) -> str:
        return (
            f"{self.honest:.3f} [{self.honest_low:.3f}, {self.honest_high:.3f}] becomes "
            f"{self.trapped:.3f} [{self.trapped_low:.3f}, {self.trapped_high:.3f}], "
            f"a change of {in_numbers(self.change, self.low, self.high, self.p)}: {self.verdict}"
        )


def measure_trap(
    honest: Tables,
    trapped: Tables,
    classes: Classes,
    right: ScoringRule = pooled_uf1,
    wrong: ScoringRule = pooled_uf1,
    resampling: Resampling = DEFAULT,
) -> TrapEffect:
    """The honest number, the trapped one and the change between them, with intervals.

    Args:
        honest: predictions, one table per seed.
        trapped: predictions of the same clips and subjects, as the trap makes them.
        classes: all classes of the task.
        right: the rule that makes a number of the honest predictions.
        wrong: the rule for the trapped ones.
        resampling: how subjects are drawn, the same for all tables.

    Raises:
        ValueError: for other clips or subjects, and as `metrics.score`.
    """
    of_honest, of_trapped = bootstrap.paired_counts(honest, trapped, classes, ("subject",))
    a = bootstrap.resampled(of_honest, right, resampling)
    b = bootstrap.resampled(of_trapped, wrong, resampling)
    first, second, change = (bootstrap.estimate(values, resampling) for values in (a, b, b - a))
    return TrapEffect(*first, *second, *change, bootstrap.two_sided((b - a)[1:], len(of_honest[0])))


def measured_together(effects: Mapping[str, TrapEffect]) -> pd.DataFrame:
    """Several effects in one table, their p-values corrected for asking all of them (Holm).

    Args:
        effects: by the name of the question.

    Returns:
        A row per effect: name, its numbers, p_holm, verdict (by p_holm) and a sentence that says
        it all.
    """
    table = pd.DataFrame([{"name": name, **e._asdict()} for name, e in effects.items()])
    table["p_holm"] = bootstrap.holm(table["p"])
    table["verdict"] = [VERDICTS[s] for s in map(side_of_change, table["change"], table["p_holm"])]
    changes = table[["name", "change", "low", "high", "p", "p_holm"]]
    table["sentence"] = claims(changes.assign(name=table["name"] + ":"), *VERDICTS.values())
    return table


def answer_trap(trap: str, effect: TrapEffect, **numbers: Any) -> str:
    """What a trap did: the effect, and what traps.yaml remarks on such an effect.

    Args:
        trap: a key of that file.
        effect: as `measure_trap` gives it.
        **numbers: what the remarks name in braces.
    """
    remarks = [REMARKS[trap].get(key, "") for key in (effect.verdict, "always")]
    return " ".join([f"**Answer.** {effect}.", *filter(None, remarks)]).format(**numbers)


def answer_traps(together: pd.DataFrame, people: int) -> str:
    """What may be said of all traps together; `together` is what `measured_together` gives."""
    widest = together.loc[together["change"].idxmax()]
    head = f"With {people} subjects, corrected for all questions:"
    last = f"The largest gain is {widest['change']:+.3f}, {widest['name']}. The interval of that "
    last += f"honest number is {widest['honest_high'] - widest['honest_low']:.2f} wide: a reader "
    last += "cannot see from a number alone that something is wrong."
    return f"{answer(head, together['sentence'])}\n\n{last}"


def precision_as_uar(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """UAR with truth and prediction exchanged in the call: the mean over classes of precision."""
    return pooled_uar(counts.transpose(0, 2, 1), weights)


def mean_of_folds(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the UF1 of each LOSO fold; a class that the subject never showed scores 0."""
    return _mean(metric_of(counts, "uf1"), weights)


def mean_of_folds_present(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The same, but classes neither true nor predicted in a fold are dropped from its mean.

    This is what scikit-learn's macro F1 does when it is called fold by fold without `labels`.
    """
    present = (counts.sum(1) + counts.sum(2) > 0).sum(1)
    return _mean(metric_of(counts, "uf1") * counts.shape[1] / np.maximum(present, 1), weights)


def _mean(of_folds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over folds (S,) of each resample (B, S)."""
    return weights @ of_folds / weights.sum(1)


def read_epochs(run_folder: str | Path) -> pd.DataFrame:
    """What every epoch of a finished run predicted: fold, epoch, clip_id, prediction.

    Raises:
        ValueError: for a folder without this record.
    """
    folder, parts = Path(run_folder), []
    for fold in json.loads((folder / "run.json").read_text(encoding="utf-8"))["folds"]:
        path = folder / fold / "epochs.csv"
        if not path.is_file():
            remedy = f"delete the folder {folder.name} of the run store and train it again"
            raise ValueError(f"{path}: this run did not record its epochs; {remedy}")
        text = dict.fromkeys(("clip_id", "prediction"), str)
        parts.append(pd.read_csv(path, dtype=text, keep_default_na=False).assign(fold=fold))
    return pd.concat(parts, ignore_index=True)[["fold", "epoch", "clip_id", "prediction"]]


def best_on_test(predictions: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """The predictions of the epoch that is best on the clips that the fold held out.

    Best is the epoch with most clips right, the earliest of equals, chosen fold by fold: so the
    pooled accuracy can only rise.

    Args:
        predictions: of one run, probabilities may be there.
        epochs: what `read_epochs` gives for this run.

    Returns:
        The predictions with the chosen `epoch` and a stamp `selection`; probabilities are left
        out, being of the last epoch.

    Raises:
        ValueError: when an epoch does not cover the clips.
    """
    columns = ("clip_id", "subject", "database", "truth", "prediction")
    clips = predictions[[name for name in columns if name in predictions]].set_index("clip_id")
    if not clips.index.is_unique:
        raise ValueError("a clip is predicted more than once; give one run at a time")
    for (fold, epoch), rows in epochs.groupby(["fold", "epoch"]):
        held_out = set(epochs.loc[epochs["fold"] == fold, "clip_id"])
        if set(rows["clip_id"]) != held_out or rows["clip_id"].duplicated().any():
            raise ValueError(f"epoch {epoch} of fold {fold!r} does not predict each clip once")
    if set(epochs["clip_id"]) != set(clips.index):
        raise ValueError("the epochs are of other clips than the predictions")
    right = epochs["prediction"] == epochs["clip_id"].map(clips["truth"])
    best = right.groupby([epochs["fold"], epochs["epoch"]]).sum().groupby("fold").idxmax()
    chosen = epochs.set_index(["fold", "epoch"]).loc[list(best)].reset_index("epoch")
    clips[["prediction", "epoch"]] = chosen.set_index("clip_id")[["prediction", "epoch"]]
    return clips.assign(selection="best_on_test").reset_index()


def matched_by_row_order(predictions: pd.DataFrame, listed: Sequence[str]) -> pd.DataFrame:
    """Row k of the predictions gets the truth of the k-th clip that is `listed`.

    Right only where both happen to be in one order.

    Raises:
        ValueError: unless `listed` holds the same clips.
    """
    if sorted(listed) != sorted(predictions["clip_id"]):
        raise ValueError("the listed clips are not those of the predictions")
    truth = predictions.set_index("clip_id")["truth"]
    return predictions.assign(truth=truth.loc[list(listed)].to_numpy())
