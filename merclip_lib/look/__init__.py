"""One's own video: the face found, the motion measured and magnified, what a network reads.

Not in the paper. `video` reads frames, `face` aligns them, `flow` measures, `spotting` proposes
times, `magnification` makes motion visible, `photo` moves a photograph, `network` and `reading`
ask a trained network, `page` puts all on one page. A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "network": ["load_network"],
    },
)
