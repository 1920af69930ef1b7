"""Where the time of one fold goes: `python -m benchmarks.protocol.fold`.

Prints seconds and shares for drawing and storing the clips, encoding the sentences, training
one fold of the quick profile and predicting its held-out clips, all in one run.
"""

import tempfile
import time
from pathlib import Path

import torch

from merclip_lib.config import config_from
from merclip_lib.protocol.one_fold import train_fold
from merclip_lib.protocol.plan import RunPlan
from merclip_lib.study.notebooks import PROFILES
from merclip_lib.synthme.draw import draw_population
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.training.loop import predict


def main() -> None:
    given = dict(PROFILES["quick"]["05_train_loso"])
    given.pop("extra_seeds")
    config = config_from(given)
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        store = draw_population(EXAMPLE, Path(folder) / "synthme")
        seconds["draw and store the study set"] = time.monotonic() - start

        plan = RunPlan(config, store)
        fold = plan.folds[0]
        start = time.monotonic()
        _ = plan.text
        seconds["encode the sentences"] = time.monotonic() - start

        start = time.monotonic()
        trained = train_fold(plan, fold)
        seconds["train one fold and predict it"] = time.monotonic() - start

        start = time.monotonic()
        predict(trained.model, plan.dataset(fold.test))
        seconds["of it: predict"] = time.monotonic() - start
    folds = len(plan.folds)
    print(f"{len(fold.train)} clips, {config.epochs} epochs, {torch.get_num_threads()} threads")
    for name, value in seconds.items():
        print(f"{name:<32}{value:7.2f} s")
    training = folds * (seconds["train one fold and predict it"] - seconds["of it: predict"])
    other = seconds["draw and store the study set"] + seconds["encode the sentences"]
    other += folds * seconds["of it: predict"]
    print(f"drawing, encoding and predicting / training, all folds: {other / training:.3f}")


if __name__ == "__main__":
    main()
