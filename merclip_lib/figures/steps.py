"""Charts of the steps: data, sentences, the mix, folds, a training, the network's embeddings.

Arrays or a table in, a matplotlib Figure out. Colours and style are in `style`.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from merclip_lib.figures import style
from merclip_lib.figures.style import CLASS_COLOURS, INK, SERIES, WIDTH, panels

TRAINED = "#D9E6F2"
LABELS = {name: f"{name} loss" for name in ("emotion", "motion")}  # of columns of a history
LABELS |= {"align": "alignment loss", "units": "action-unit loss", "accuracy": "training accuracy"}


def counts(class_counts: pd.Series, au_counts: pd.Series) -> Figure:
    """Two bar charts: clips by class name, and clips by action unit number."""
    title = "SynthME: clips per class and per action unit"
    figure, [[left, right]] = panels(title, 2.5, 1, 2, width_ratios=[1, 1.7])
    colours = [CLASS_COLOURS.get(name, style.GREY) for name in class_counts.index]
    left.bar_label(left.barh(class_counts.index, class_counts, color=colours), padding=2)
    left.invert_yaxis()
    left.set(xlabel="clips", xlim=(0, 1.18 * class_counts.max()))
    units = [f"{unit}" for unit in au_counts.index]
    right.bar(units, au_counts, color=[style.AU_COLOURS[style.au_group(unit)] for unit in units])
    right.set(xlabel="action unit", ylabel="clips")
    keys = [Patch(color=colour, label=part) for part, colour in style.AU_COLOURS.items()]
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
    right.legend(handles=keys, ncols=4, handlelength=1, columnspacing=1, **above)
    return figure


def heat_map(
    table: pd.DataFrame,
    title: str,
    label: str = "",
    size: tuple[float, float] = (WIDTH, 3.2),
    colours: str = "YlGnBu",
    limits: tuple[float | None, float | None] = (0, 1),
) -> Figure:
    """Annotated heat map of a table (rows x columns); blank for missing values and zeros.

    Args:
        table: the values.
        title: of the figure.
        label: of the colour bar.
        size: width and height in inches.
        colours: a colour map of matplotlib.
        limits: the values at its ends; None: those of the table.
    """
    figure, [[panel]] = panels(title, size[1], width=size[0])
    notes = table.map(lambda value: style.minus(f"{value:.2f}") if value and value == value else "")
    options = {"cmap": colours, "lw": 0.4, "cbar_kws": {"label": label, "pad": 0.02}}
    options |= {"vmin": limits[0], "vmax": limits[1]}
    sns.heatmap(table, annot=notes, fmt="", ax=panel, annot_kws={"size": 7}, **options)
    panel.tick_params(length=0, rotation=0)
    return figure


def au_emotion_map(shares: pd.DataFrame) -> Figure:
    """Heat map of shares (emotion x action unit): of an emotion's clips, how many show the unit."""
    title = "SynthME: how often an action unit goes with an emotion"
    figure = heat_map(shares, title, "share of the emotion's clips", (WIDTH, 2.7))
    figure.axes[0].set(xlabel="action unit", ylabel="")
    return figure


def similarity_matrix(table: pd.DataFrame, title: str) -> Figure:
    """Heat map of cosine similarities (sentence x sentence) on the full scale from -1 to 1.

    Rows are named by long sentences, columns by short codes.
    """
    table = table.set_axis([textwrap.fill(name, 46) for name in table.index])
    size = (WIDTH, 0.6 + 0.27 * len(table))
    return heat_map(table, title, "cosine similarity", size, "vlag", (-1, 1))


def motion_plot(table: pd.DataFrame) -> Figure:
    """Frame-to-frame change over time; table [step, region, state, energy], a panel per region."""
    title = "SynthME: the mix leaves the motion in place"
    regions = table.groupby("region", sort=False)
    figure, [axes] = panels(title, 2.5, 1, len(regions), sharey=True)
    looks = ((style.BLUE, "-"), (style.VERMILION, "--"), (style.GREY, ":"))
    for panel, (region, rows) in zip(axes, regions, strict=True):
        states = rows.groupby("state", sort=False)
        for (state, of), (colour, line) in zip(states, looks, strict=False):
            panel.plot(of.step, of.energy, line, color=colour, label=state, marker="o", ms=3)
        panel.set(title=region, xlabel="step between frames")
    axes[0].set(ylabel="mean absolute change", ylim=(0, None))
    figure.legend(handles=axes[0].lines, loc="outside lower center", ncols=len(looks))
    return figure


def loso_split(
    subjects: Sequence[str],
    labels: Sequence[str],
    tests: Sequence[Sequence[int]],
    title: str = "SynthME: leave one subject out",
) -> Figure:
    """Folds as rows over clips as columns; two strips below show class and subject.

    Args:
        subjects: of each clip (N,), in the order of the columns.
        labels: of each clip (N,).
        tests: positions of the held-out clips of each fold.
        title: of the figure.
    """
    figure, [[axes]] = panels(title, 0.9 + 0.17 * (len(tests) + 2))
    n, kinds = len(subjects), {label: CLASS_COLOURS.get(label, style.GREY) for label in labels}
    folds = [np.where(np.isin(range(n), test), INK, TRAINED) for test in tests]
    people = np.where(pd.factorize(np.asarray(subjects))[0] % 2, "#555555", "#BBBBBB")
    for y, strip in enumerate([*folds, [kinds[label] for label in labels], people]):
        axes.bar(np.arange(n), 0.8, width=1.0, bottom=y - 0.4, color=strip, lw=0)
    names = [f"fold {i + 1}" for i in range(len(tests))] + ["class", "subject"]
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="clip", xlim=(-0.5, n - 0.5))
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    colours = {"train": TRAINED, "test": INK} | kinds
    keys = [Patch(color=colour, label=name) for name, colour in colours.items()]
    looks = {"columnspacing": 1, "handlelength": 1, "ncols": min(len(keys), 9)}
    figure.legend(handles=keys, loc="outside lower center", **looks)
    return figure


def curves(
    history: pd.DataFrame, columns: Sequence[str], title: str, x: str = "epoch", each: str = "fold"
) -> Figure:
    """Curves of a training, a panel each: thin lines for each fold, their mean in bold.

    A fold that occurs several times (several seeds) is several thin lines.

    Args:
        history: a row per fold and step.
        columns: what is drawn, a panel each.
        title: of the figure.
        x: the column that counts steps.
        each: the column that tells the thin lines apart; it may be missing.
    """
    figure, [axes] = panels(title, 2.3, 1, len(columns), min(WIDTH, 2.4 * len(columns)))
    for panel, column in zip(axes, columns, strict=True):
        if each in history:
            again = history.groupby([each, x]).cumcount()
            for _, rows in history.groupby([history[each], again]):
                panel.plot(rows[x], rows[column], color=style.BLUE, alpha=0.25, lw=0.6)
        mean = history.groupby(x)[column].mean()
        look = {"color": INK if each in history else style.BLUE, "lw": 1.8}
        panel.plot(mean.index, mean, marker="o" if len(mean) == 1 else "", **look)
        panel.set(xlabel=x, ylabel=LABELS.get(column, column))
        panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True, min_n_ticks=1))
    return figure


def confusion_matrix(
    matrix: np.ndarray,
    classes: Sequence[str],
    title: str = "SynthME: confusion matrix, all folds pooled",
) -> Figure:
    """Counts, and the same by row in per cent; matrix (C, C), rows are the truth."""
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, [[left, right]] = panels(title, 0.75 + 0.36 * len(classes), 1, 2)
    looks: dict[str, Any] = {"annot": True, "fmt": ".0f", "cmap": "Blues", "lw": 0.4, "vmin": 0}
    looks |= {"cbar": False, "annot_kws": {"size": 7.5}, "xticklabels": classes}
    sns.heatmap(matrix, ax=left, yticklabels=classes, **looks)
    sns.heatmap(share, ax=right, yticklabels=False, vmax=100, **looks)
    left.set(title="clips", xlabel="predicted", ylabel="true")
    right.set(title="per cent of the row", xlabel="predicted", ylabel="")
    for panel in (left, right):
        panel.tick_params(axis="x", length=0, rotation=40)
        panel.tick_params(axis="y", length=0, rotation=0)
    return figure


def tsne_panels(
    points: Mapping[str, np.ndarray],
    colourings: Mapping[str, Sequence],
    title: str = "SynthME: clip embeddings, t-SNE",
    notes: Mapping[tuple[str, str], str] | None = None,
) -> Figure:
    """A row of panels per embedding, a column per colouring.

    Args:
        points: place of each clip (N, 2), by name of the embedding.
        colourings: label of each clip (N,), by name.
        title: of the figure.
        notes: a text in the corner of a panel, by embedding and colouring, such as the purity.
    """
    figure, axes = panels(title, 0.9 + 2.1 * len(points), len(points), len(colourings))
    for r, (embedding, at) in enumerate(points.items()):
        axes[r, 0].set_ylabel(embedding)
        for c, (name, labels) in enumerate(colourings.items()):
            panel = axes[r, c]
            kinds = _scatter_labels(panel, at, np.asarray(labels).astype(str))
            panel.set(title="" if r else name, xticks=[], yticks=[])
            panel.spines[:].set_visible(True)
            if notes:
                panel.margins(y=0.15)
                box = {"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1}
                place = {"xy": (0.02, 0.98), "xycoords": "axes fraction", "va": "top"}
                panel.annotate(notes[embedding, name], fontsize=7, bbox=box, **place)
            if r == len(points) - 1 and kinds <= len(SERIES):
                below = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 3}
                panel.legend(handletextpad=0, columnspacing=0.6, markerscale=1.6, **below)
    return figure


def _scatter_labels(panel: Axes, at: np.ndarray, labels: np.ndarray) -> int:
    """Points (N, 2) coloured by their labels (N,); returns how many labels there are."""
    kinds = sorted(set(labels), key=lambda kind: (not kind.isdigit(), kind.zfill(3)))
    many = mpl.colormaps["viridis"](np.linspace(0, 1, len(kinds)))
    shades = SERIES if len(kinds) <= len(SERIES) else many
    for kind, shade in zip(kinds, shades, strict=False):
        x, y = at[labels == kind].T
        panel.scatter(x, y, s=9, color=CLASS_COLOURS.get(kind, shade), lw=0, label=kind)
    return len(kinds)
