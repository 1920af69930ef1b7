"""The study: notebooks run through papermill, grids of runs, their cost, what the paper shows.

Not in the paper. `notebooks` runs them, `kernel` sets them up, `sweeps` runs a grid, `paper`
collects tables and figures, `cost` says what a run will take, `progress` shows how far it is,
`checkout` knows where the notebooks are. A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkout": ["NOTEBOOKS"],
        "kernel": ["setup", "versions"],
        "notebooks": ["papermill_command"],
        "sweeps": ["Selection", "read_grid", "sweep"],
        "cost": ["estimate", "flops", "growth"],
    },
)
