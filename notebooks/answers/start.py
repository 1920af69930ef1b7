"""The answers of notebook 00, start here, each from the numbers above it."""

import numpy as np
from IPython.display import Markdown

from merclip_lib import figures


def strip(weak):
    """Where the picture differs most from the onset, and why that is not the apex alone."""
    change = np.abs(figures.difference(weak[:1], weak)).mean((1, 2))  # grey levels, by frame
    largest, apex = int(change.argmax()), 8
    where = "at the apex, but" if largest == apex else f"not at the apex (frame {apex}), because"
    return Markdown(
        f"**Answer.** The whole picture differs most from the onset in frame {largest}, {where} "
        f"not all of the change is expression. It is {change[apex]:.1f} grey levels a pixel at the "
        f"apex and still {change[15]:.1f} in the last frame, where the expression has faded: the "
        "head has drifted, and the camera has noise. A difference of frames mixes all three; the "
        "model has to tell them apart."
    )
