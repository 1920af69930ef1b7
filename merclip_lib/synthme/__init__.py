"""SynthME: drawn faces that move their muscles as a plan says, so that the truth is known.

Not in the paper: it takes the place of licensed films. `plan` says who shows what and when,
`traits`, `paint` and `face` make a person, `motion` moves the face, `draw` makes a clip store. A
notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "plan": ["CLASSES", "MACRO", "STUDY", "UNSEEN_COMBINATIONS", "plan_set"],
        "draw": ["draw_clip", "draw_expression", "draw_set", "render_face"],
    },
)
