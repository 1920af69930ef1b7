"""Weights files: ours, and published checkpoints of CLIP, UniFormerV2, ViCLIP and MER-CLIP.

`load` builds the network of a configuration, `transfer` starts it from another run's network
(paper, pretraining). Below them: `files` reads and writes, `published` fetches, `key_layouts`
tells checkpoints apart by names and `sizes` by shapes, `adapt` copies what fits; `inspect` says
all of it about a file. A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "load": ["BUNDLED", "bundled", "build_model", "load_text_tower", "read_checkpoint"],
        "adapt": ["load_into"],
        "files": ["read_weights"],
        "transfer": ["NETWORK"],
    },
)
