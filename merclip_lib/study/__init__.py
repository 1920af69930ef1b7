"""The study: notebooks run through papermill, grids of runs, their cost, what the paper shows.

Not in the paper. `notebooks` runs them, `kernel` sets them up, `sweeps` runs a grid, `paper`
collects tables and figures, `cost` says what a run will take, `progress` shows how far it is,
`checkout` knows where the notebooks are. The frozen study: `design` says what is trained and
compared, `blocks` trains it, `archive` keeps what was predicted, `tables` scores it,
`answers` says it in words, `reference_lines` stand beside it, `own` trains beside it. A notebook
may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checkout": ["NOTEBOOKS"],
        "kernel": ["above_zero", "given", "setup", "versions"],
        "sweeps": ["compared"],
        "design": ["read_study"],
        "blocks": "Workplace plan_blocks plan_text run_block train_and_test verify".split(),
        "archive": ["predictions_of", "read_blocks"],
        "tables": ["questions", "read_results", "write_tables"],
        "reference_lines": ["read_references"],
        "own": ["Here", "compare_levels", "levels_of", "own_trials", "train_here"],
        "answers": (
            "answer_controls answer_curves answer_development answer_differences answer_here "
            "answer_parts named references_in_words with_doubts with_full"
        ).split(),
        "cost": ["estimate", "flops", "growth"],
    },
)
