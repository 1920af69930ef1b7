"""Weights files: ours, and published checkpoints of CLIP, UniFormerV2, ViCLIP and MER-CLIP.

`load` builds the network of a configuration, `key_layouts` tells checkpoints apart, `transfer`
starts from another run's network (paper, pretraining). A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "load": ["BUNDLED", "build_model", "load_text_tower", "split_towers"],
        "adapt": ["load_into"],
        "files": ["read_weights"],
        "transfer": ["NETWORK"],
    },
)
