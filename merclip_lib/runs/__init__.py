"""Where trainings run and where their predictions are kept.

Not in the paper. `store` keeps finished folds whole, `executors` trains folds side by side,
`overview` lists what is there. A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"store": ["read_run", "read_runs"], "executors": ["Execution"]}
)
