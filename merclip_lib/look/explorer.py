"""An explorer for notebook 10: choose face, units and their strengths; it moves and is read."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import ipywidgets as widgets
import numpy as np

from merclip_lib import figures
from merclip_lib.look.photo import Moved, move_photo, photo_face, units_shown
from merclip_lib.look.reading import Reader
from merclip_lib.runs.executors import in_one_thread
from merclip_lib.synthme.face import Face, draw_face
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.text.sentences import describe

PIXELS = 112  # of a drawn clip, both sides
TOLD = 6  # action units whose scores are shown
LEFT = '<th style="text-align: left">'  # words, which JupyterLab puts at the right


class Explorer:
    """A face that shows what is wished, its sentence, and what a network makes of it.

    Args:
        reader: the network that reads.
        photo: RGB uint8 (H, W, 3), a neutral face offered beside SynthME's people, or None.
    """

    def __init__(self, reader: Reader, photo: np.ndarray | None = None):
        self.reader, self.photo = reader, photo
        self.people = [f"p{k + 1:03d}" for k in range(EXAMPLE.people)]
        self.people += ["photo"] if photo is not None else []
        self.face: Callable[[str], Face] = lru_cache(maxsize=4)(self._face)

    def _face(self, person: str) -> Face:
        if person == "photo" and self.photo is not None:
            return photo_face(self.photo, PIXELS)
        return draw_face(EXAMPLE.seed, self.people.index(person), PIXELS)

    def show(self, person: str, annotation: str, intensities: Sequence[float]) -> str:
        """One state as HTML: the moving face, the sentence, the scores.

        Args:
            person: one of `people`.
            annotation: units in FACS notation, such as "4+7+L10".
            intensities: of each unit, from 0 to 1.

        Raises:
            ValueError: the annotation cannot be read or shown.
        """
        moved = Moved(annotation, tuple(intensities), PIXELS, frames=8, nuisance=False)
        frames = move_photo(self.face(person), moved)
        emotions, units = in_one_thread(self.reader.scores, frames)
        top = units.nlargest(TOLD).rename(lambda unit: f"AU{unit} {describe(unit)}")
        tables = [emotions.to_frame("probability"), top.to_frame("score")]
        cells = "".join(table.round(2).to_html(border=0) for table in tables).replace("<th>", LEFT)
        strengths = ", ".join(f"{intensity:g}" for intensity in intensities)
        return (
            f"<p><b>{annotation}</b> at {strengths}: {describe(annotation)}</p>"
            '<div style="display:flex;gap:1.5em;align-items:flex-start">'
            f"<div style='zoom:2'>{figures.animation(frames, 120)}</div>{cells}</div>"
        )

    def widget(self, person: str, annotation: str, intensities: Sequence[float]) -> widgets.Widget:
        """Controls and view, with a slider for each unit; it begins with the given state."""
        who = widgets.Dropdown(options=self.people, value=person, description="face")
        what = widgets.Text(annotation, description="units", continuous_update=False)
        sliders, view = widgets.VBox(), widgets.HTML()

        def renew(_: object = None) -> None:
            view.value = self.show(who.value, what.value, [box.value for box in sliders.children])

        def place(_: object = None) -> None:
            try:
                names = [f"{side[:1].upper()}{number}" for number, side in units_shown(what.value)]
            except ValueError as error:
                view.value = f"<p>{error}</p>"
                return
            values = dict(zip(names, intensities, strict=False))
            values |= {box.description: box.value for box in sliders.children}
            options = {"min": 0, "max": 1, "step": 0.05, "continuous_update": False}
            sliders.children = [
                widgets.FloatSlider(values.get(name, 0.5), description=name, **options)
                for name in names
            ]
            for box in sliders.children:
                box.observe(renew, "value")
            renew()

        who.observe(renew, "value")
        what.observe(place, "value")
        place()
        return widgets.VBox([widgets.HBox([who, what]), sliders, view])
