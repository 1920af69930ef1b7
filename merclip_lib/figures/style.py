"""One style for every figure, and the only way to save one.

A class, a face region and a group of action units keep one colour in all figures (Okabe-Ito and
Tol: safe for colour-blind readers). `save_figure` writes PNG and PDF and notes in figures.json
where a figure came from and how to make it again. A figure made of synthetic data must say
"SynthME" in its title: `save_figure` checks.
"""

import json
import subprocess
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

import merclip_lib
from merclip_lib.files import replacing, write_text

WIDTH = 7.16  # inches: two columns of an IEEE page; text is set at 8 pt at this width


STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.4,
    "figure.dpi": 110,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "merclip",
}


BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#8A8A8A", "#222222"


OTHERS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00", "#DDAA33", "#332288", "#882255")


LOSSES = {
    "align": "alignment loss",
    "emotion": "emotion loss",
    "accuracy": "training accuracy",
    "motion": "motion loss",
    "units": "action-unit loss",
}  # how panels call columns


CLASS_COLOURS = {
    "anger": "#D55E00",
    "disgust": GREEN,
    "fear": "#CC79A7",
    "happiness": ORANGE,
    "sadness": BLUE,
    "surprise": "#56B4E9",
    "others": GREY,
    "other": GREY,
    "contempt": "#882255",
    "repression": "#332288",
    "negative": "#882255",
    "positive": "#DDAA33",
}


REGION_COLOURS = {"forehead": BLUE, "left_cheek": ORANGE, "right_cheek": GREEN, "chin": "#CC79A7"}


AU_COLOURS = {"brows": BLUE, "eyes and cheeks": "#56B4E9", "nose": GREEN, "mouth and chin": ORANGE}


def use_style():
    """Set the style for all figures drawn from now on."""
    mpl.rcParams.update(STYLE)


def au_group(number):
    """Part of the face that action unit `number` moves: a key of AU_COLOURS."""
    parts = {"brows": (1, 2, 4), "eyes and cheeks": (5, 6, 7, 43, 45), "nose": (9, 38, 39)}
    return next((part for part, units in parts.items() if int(number) in units), "mouth and chin")


def minus(text):
    """The number's text with a minus sign instead of a hyphen, as on the axes."""
    return text.replace("-", "\N{MINUS SIGN}")


def panels(title, width, height, rows=1, columns=1, **options):
    """A styled figure and its axes (rows, columns); made without pyplot, so that it shows once."""
    use_style()
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle(title)
    return figure, axes


def _commit(folder):
    """Commit that `folder` is checked out at, or "" outside git."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=folder, capture_output=True, text=True
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def save_figure(
    figure, name, figures_dir, caption, notebook="", parameters=None, config_hash="", synthetic=True
):
    """Write `name`.png, `name`.pdf (no dates) and their entry in figures.json; return figure.

    The entry holds notebook, the command that makes the figure again, parameters, config hash,
    caption, library version and commit.
    Raises ValueError when the title of a figure of synthetic data does not say SynthME, or that
    of a figure of other data does.
    """
    titles = [figure.get_suptitle()] + [axes.get_title() for axes in figure.axes]
    if synthetic != any("SynthME" in text for text in titles):
        raise ValueError(
            f"figure {name!r}: titles {titles} and synthetic={synthetic} disagree; "
            f"a title says SynthME when, and only when, the data is synthetic."
        )
    folder = Path(figures_dir)
    undated = {
        "png": {"Software": None},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    }
    for kind, metadata in undated.items():
        buffer = BytesIO()
        with mpl.rc_context(STYLE):
            figure.savefig(buffer, format=kind, metadata=metadata)
        with replacing(folder / f"{name}.{kind}") as temporary:
            temporary.write_bytes(buffer.getvalue())
    ledger = folder / "figures.json"
    entries = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
    entries[name] = {
        "notebook": notebook,
        "command": f"merclip run --only {notebook[:2]}" if notebook else "",
        "parameters": parameters or {},
        "config_hash": config_hash,
        "caption": caption,
        "synthetic": synthetic,
        "version": merclip_lib.__version__,
        "commit": _commit(folder),
    }
    write_text(ledger, json.dumps(entries, indent=1, sort_keys=True) + "\n")
    return figure
