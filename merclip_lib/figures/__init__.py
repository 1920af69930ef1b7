"""Figures: arrays in, a matplotlib Figure out, one style for all notebooks (paper, experiments).

`steps` draws what the method does, `drawings` the blocks of the network, `charts` results,
`effects` those of a study, `faces` clips; `style` holds colours and saves figures with their
provenance. A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "steps": (
            "au_emotion_map confusion_matrix counts curves heat_map loso_split motion_plot "
            "similarity_matrix tsne_panels"
        ).split(),
        "charts": "courses interval_dots results_bars two_ways".split(),
        "effects": ["build_up", "effect_curves", "training_courses", "verdict_forest"],
        "faces": (
            "animation clip_strip difference embedded gif heated image_grid mix_grid montage "
            "overview relevance_overlay"
        ).split(),
        "drawings": ["drawing"],
        "style": ["Provenance", "png", "save_figure"],
    },
)
