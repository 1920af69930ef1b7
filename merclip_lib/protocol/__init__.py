"""Leave one subject out (LOSO): who trains, who is held out, what is predicted (paper, protocol).

`plan` knows a run before it starts, `folds` divides the people, `one_fold` and `loso` train. A
notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "folds": ["make_folds"],
        "plan": ["RunPlan"],
        "loso": ["cross_validate"],
        "frozen_heads": (
            "HeadSettings cross_validate_heads encode_clips fold_probabilities pool_patches"
        ).split(),
    },
)
