"""Clips and their table: SynthME's and those of the licensed sets (paper, data sets).

`table` and `tasks` say which clips take part, `annotations` reads published sheets, `frames`
decodes and aligns pictures, `store` and `dataset` hand clips to torch. A notebook may use the
names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "table": ["check_table", "read_table", "write_table"],
        "tasks": ["TASKS", "apply_task", "compare_totals", "read_card", "task_named"],
        "store": ["open_store"],
        "dataset": ["ClipDataset", "Sampling"],
        "annotations.read": ["read_annotations"],
        "annotations.report": ["manifest_report", "manifest_text"],
        "frames.align": ["find_eyes"],
        "frames.decode": ["PictureSettings", "crop_pictures"],
        "frames.prepare": ["prepare", "prepare_report"],
    },
)
