"""One's own video: the face found, the motion measured and magnified, what a network reads.

Not in the paper. `video` reads frames, `face` aligns them, `flow` measures, `spotting` proposes
times, `magnification` makes motion visible, `photo` moves a photograph, `network` and `reading`
ask a trained network, `page` puts all on one page, `explorer` plays. A notebook may use the names
below.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "video": ["open_footage", "write_video"],
        "face": ["align_footage", "show_marks"],
        "flow": ["REGIONS", "measure", "region_middles"],
        "spotting": ["Interval", "score_spotting", "spot"],
        "long_video": ["LongVideo", "draw_long"],
        "magnification": ["magnify", "shown_frames"],
        "photo": ["Moved", "move_photo", "photo_face", "write_moved"],
        "network": ["load_network"],
        "reading": ["Reader"],
        "explorer": ["Explorer"],
        "page": (
            "LookSettings course_figure faces_figure interval_table look relevance_figure "
            "write_page"
        ).split(),
    },
)
