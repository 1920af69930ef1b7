"""One style for every figure, and the only way to save one.

A class, a face region and a group of action units keep one colour in all figures (Okabe-Ito and
Tol: safe for colour-blind readers). `save_figure` writes PNG and PDF and notes in figures.json
where a figure came from and how to make it again. A figure made of synthetic data must say
"SynthME" in its title: `save_figure` checks.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from filelock import FileLock, Timeout
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch

import merclip_lib
from merclip_lib.files import commit_of, write_bytes, write_text

WIDTH = 7.16  # inches: two columns of an IEEE page; text is set at 8 pt at this width

STYLE = mpl.rc_params_from_file(
    Path(__file__).with_name("merclip.mplstyle"), use_default_template=False
)

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#8A8A8A", "#222222"
SKY, VERMILION, PURPLE, YELLOW = "#56B4E9", "#D55E00", "#CC79A7", "#DDAA33"
INDIGO, WINE = "#332288", "#882255"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, INDIGO, WINE)

CLASS_COLOURS = {"anger": VERMILION, "disgust": GREEN, "fear": PURPLE, "happiness": ORANGE}
CLASS_COLOURS |= {"sadness": BLUE, "surprise": SKY, "contempt": WINE, "repression": INDIGO}
CLASS_COLOURS |= {"others": GREY, "other": GREY, "negative": WINE, "positive": YELLOW}
CLASS_COLOURS |= {"first": BLUE, "second": ORANGE}
REGION_COLOURS = {"forehead": BLUE, "left_cheek": ORANGE, "right_cheek": GREEN, "chin": PURPLE}
AU_COLOURS = {"brows": BLUE, "eyes and cheeks": SKY, "nose": GREEN, "mouth and chin": ORANGE}

UNDATED = {"png": ["Software"], "pdf": ["Creator", "Producer", "CreationDate"]}  # what is left out


@dataclass(frozen=True)
class Provenance:
    """Where a figure came from and how to make it again.

    Attributes:
        notebook: its name, such as "05_train_loso".
        parameters: those of the notebook that the figure depends on.
        config_hash: name of the run that it shows.
        synthetic: whether the data is SynthME's.
    """

    notebook: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    config_hash: str = ""
    synthetic: bool = True


def save_figure(
    figure: Figure, name: str, figures_dir: str | Path, provenance: Provenance, caption: str
) -> Figure:
    """Write `name`.png, `name`.pdf (no dates) and their entry in figures.json; return the figure.

    The entry holds the provenance, the command that makes the figure again, the caption, and
    version and commit of the library.

    Args:
        figure: what a function of this room drew.
        name: name of the files.
        figures_dir: their folder; it is made if need be.
        provenance: where the figure came from.
        caption: what it shows, for readers.

    Raises:
        ValueError: when the title of a figure of synthetic data does not say SynthME, or that of
            a figure of other data does.
    """
    synthetic, notebook = provenance.synthetic, provenance.notebook
    titles = [figure.get_suptitle()] + [axes.get_title() for axes in figure.axes]
    if synthetic != any("SynthME" in text for text in titles):
        wrong = f"figure {name!r}: titles {titles} and synthetic={synthetic} disagree"
        raise ValueError(f"{wrong}; a title says SynthME if, and only if, the data is synthetic.")
    folder = Path(figures_dir)
    for kind in UNDATED:
        write_bytes(folder / f"{name}.{kind}", _rendered(figure, kind))
    command = f"merclip run --only {notebook[:2]}" if notebook else ""
    entry = asdict(provenance) | {"command": command, "caption": caption}
    entry |= {"version": merclip_lib.__version__, "commit": commit_of(folder)}
    ledger = folder / "figures.json"
    try:
        with FileLock(folder / ".figures.lock", timeout=60):  # another notebook may be saving, too
            entries = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
            write_text(ledger, json.dumps(entries | {name: entry}, indent=1, sort_keys=True) + "\n")
    except Timeout as held:
        raise ValueError(f"{held.lock_file}: held by a process, perhaps stopped; end it") from None
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG, for a page."""
    return _rendered(figure, "png", dpi=160)


def _rendered(figure: Figure, kind: str, **options: Any) -> bytes:
    """What a file of the figure holds: the same bytes whenever it is made."""
    buffer = BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=kind, metadata=dict.fromkeys(UNDATED[kind]), **options)
    return buffer.getvalue()


def panels(
    title: str, height: float, rows: int = 1, columns: int = 1, width: float = WIDTH, **options: Any
) -> tuple[Figure, np.ndarray]:
    """A styled figure and its axes (rows, columns); made without pyplot, so that it shows once.

    Args:
        title: above all panels.
        height: in inches.
        rows: of panels.
        columns: of panels.
        width: in inches.
        **options: what `Figure.subplots` takes.
    """
    mpl.rcParams.update(STYLE)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle(title)
    return figure, axes


def legend_below(figure: Figure, axes: Iterable[Axes], **options: Any) -> None:
    """One legend of all these axes, below them; what several share stands there once."""
    labelled = [zip(*each.get_legend_handles_labels()[::-1], strict=True) for each in axes]
    keys = {name: handle for pairs in labelled for name, handle in pairs}
    figure.legend(keys.values(), keys, **{"loc": "outside lower center"} | options)


def box(
    axes: Axes, place: Sequence[float], text: str, colour: str, rounding: float, **options: Any
) -> Patch:
    """Draw and return a box at `place` (x, y, width, height); its text stands in the middle."""
    x, y, width, height = place
    shape = f"round,pad=0,rounding_size={rounding}"
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", **options)
    return axes.add_patch(FancyBboxPatch((x, y), width, height, shape, fc=colour, ec=INK, lw=0.7))


def au_group(number: int | str) -> str:
    """Part of the face that action unit `number` moves: a key of AU_COLOURS."""
    parts = {"brows": (1, 2, 4), "eyes and cheeks": (5, 6, 7, 43, 45), "nose": (9, 38, 39)}
    return next((part for part, units in parts.items() if int(number) in units), "mouth and chin")


def minus(text: str) -> str:
    """The text with minus signs instead of hyphens, as on the axes."""
    return text.replace("-", "\N{MINUS SIGN}")
