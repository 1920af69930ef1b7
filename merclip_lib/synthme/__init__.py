"""SynthME: populations of drawn faces that move their muscles as a plan says, with known truth.

Not in the paper: it takes the place of licensed films. `populations` defines one, `person` and
`annotator` say who shows what and what is written down, `plan` lists the clips, `traits`, `paint`
and `face` make a face, `motion` and `camera` move and film it, `draw` makes a clip store,
`calibration` compares with real sets. A notebook may use the names below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "populations": ["EXAMPLE", "PRESETS", "Population", "population"],
        "plan": ["plan_population"],
        "calibration": ["calibrate"],
        "draw": ["draw_clip", "draw_expression", "draw_population", "render_face"],
    },
)
