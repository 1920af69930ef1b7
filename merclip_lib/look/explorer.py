"""An explorer for notebook 10: choose units, a strength and a face; it moves and is read."""

from collections.abc import Callable
from functools import lru_cache

import ipywidgets as widgets
import numpy as np

from merclip_lib import figures
from merclip_lib.look.photo import Moved, move_photo, photo_face
from merclip_lib.look.reading import Reader
from merclip_lib.synthme.face import Face, draw_face
from merclip_lib.synthme.populations import EXAMPLE
from merclip_lib.text.sentences import describe

PIXELS = 112  # of a drawn clip, both sides
FRAMES = 8
TOLD = 6  # action units whose scores are shown


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

    def show(self, person: str, annotation: str, intensity: float) -> str:
        """One state as HTML: the moving face, the sentence, the scores.

        Raises:
            ValueError: the annotation cannot be read or shown.
        """
        moved = Moved(annotation, intensity, PIXELS, FRAMES, nuisance=False)
        frames = move_photo(self.face(person), moved)
        emotions, units = self.reader.scores(frames)
        top = units.nlargest(TOLD).rename(lambda unit: f"AU{unit} {describe(unit)}")
        tables = [emotions.rename("probability").to_frame(), top.rename("score").to_frame()]
        cells = "".join(table.round(2).to_html(border=0) for table in tables)
        return (
            f"<p><b>{annotation}</b> at {intensity:g}: {describe(annotation)}</p>"
            '<div style="display:flex;gap:1.5em;align-items:flex-start">'
            f"<div style='zoom:2'>{figures.animation(frames, 120)}</div>{cells}</div>"
        )

    def widget(self, person: str, annotation: str, intensity: float) -> widgets.Widget:
        """Controls and view; it begins with the given state."""
        view = widgets.HTML()
        controls = {
            "person": widgets.Dropdown(options=self.people, value=person, description="face"),
            "annotation": widgets.Text(annotation, description="units", continuous_update=False),
            "intensity": widgets.FloatSlider(intensity, min=0, max=1, step=0.05),
        }

        def renew(_: object = None) -> None:
            try:
                view.value = self.show(**{name: box.value for name, box in controls.items()})
            except ValueError as error:
                view.value = f"<p>{error}</p>"

        for box in controls.values():
            box.observe(renew, "value")
        renew()
        return widgets.VBox([widgets.HBox(list(controls.values())), view])
