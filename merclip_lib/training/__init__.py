"""Training one network: batches, losses, schedule and the loop (paper, training).

`loop` is the place to begin; `losses` and `optimiser` hold the paper's equations. A notebook may
use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batches": ["normalise"],
        "loop": ["TrainingData", "fit", "predict", "train_epoch"],
        "losses": ["alignment_loss", "focal_loss"],
        "optimiser": ["alignment_weight"],
    },
)
