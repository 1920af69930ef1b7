"""The predictions table: what was predicted for which clip, one row a clip, keyed by its id."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def prediction_table(
    clips: pd.DataFrame, classes: Sequence[str], probability: np.ndarray
) -> pd.DataFrame:
    """Predictions of clips in the format that `scores` reads and the run store keeps.

    Args:
        clips: The clips, one a row, with `clip_id`, `subject`, `dataset` and `label`.
        classes: Names of the K classes, in the order of the network's outputs.
        probability: Class probabilities (clips, K), paired with `clips` by row.

    Returns:
        Columns `clip_id`, `subject`, `database`, `truth` and `prediction` (the most probable
        class, of equals the first), then `p_<class>` for each class.
    """
    return pd.DataFrame(
        {
            "clip_id": clips["clip_id"].to_numpy(),
            "subject": clips["subject"].to_numpy(),
            "database": clips["dataset"].to_numpy(),
            "truth": clips["label"].to_numpy(),
            "prediction": [classes[k] for k in probability.argmax(1)],
            **{f"p_{name}": probability[:, k] for k, name in enumerate(classes)},
        }
    )
