"""The network: video encoder, Emotion Inference Module, and how they are computed (paper, model).

`plain` is the network as the paper draws it; `encoder`, `perceptron` and `head` are its fast
equals, `merclip` puts them together, `precision` is about bfloat16. A notebook may use the names
below: `PlainMERCLIP` and its parts, and the fast network `MERCLIP` that is trained.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "plain": ["LMHRA", "LinearHead", "PlainMERCLIP"],
        "encoder": ["VideoEncoder"],
        "head": ["EmotionInference"],
        "merclip": ["MERCLIP"],
    },
)
