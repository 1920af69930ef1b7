"""Figures: arrays in, a matplotlib Figure out, one style for all notebooks (paper, experiments).

`charts` draws numbers, `faces` clips, `drawings` the blocks of the network; `style` holds colours
and saves figures with their provenance. A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "charts": (
            "ablation_forest au_emotion_map confusion_matrix counts courses curves heat_map "
            "interval_dots lines loso_split motion_plot results_bars "
            "similarity_matrix tsne_panels two_ways"
        ).split(),
        "faces": (
            "animation clip_strip difference gif heated image_grid mix_grid montage overview "
            "relevance_overlay"
        ).split(),
        "drawings": ["drawing"],
        "style": ["Provenance", "png", "save_figure"],
    },
)
