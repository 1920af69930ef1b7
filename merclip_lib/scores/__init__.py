"""From predictions to figures that may be quoted: UF1, UAR, intervals, traps (paper, metrics).

`metrics` pools over folds, `bootstrap` draws people, `families` compares over populations, `traps`
shows what flatters a result, `published` holds the figures of others. A notebook may use the names
below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "metrics": ["confusion", "score"],
        "bootstrap": (
            "Resampling bootstrap_interval clip_differences holm paired_difference subject_interval"
        ).split(),
        "families": ["Finding", "Rules", "judge_family", "smallest_findable", "two_way_interval"],
        "predictions_file": ["score_file"],
        "published": (
            "ledger ledger_of_task licensed_rows our_rows read_published read_published_traps"
        ).split(),
        "traps": (
            "answer_trap answer_traps best_on_test matched_by_row_order mean_of_folds "
            "mean_of_folds_present measure_trap measured_together pooled_uar pooled_uf1 "
            "precision_as_uar read_epochs"
        ).split(),
        "verdicts": ["answer", "claims", "finding_in_words", "side_of_zero", "verdict"],
    },
)
