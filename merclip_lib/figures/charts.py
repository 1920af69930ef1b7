"""The charts of the notebooks: arrays or a table in, a matplotlib Figure out.

Colours and style are in `style`; pictures of faces in `faces`.
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

from merclip_lib.figures.style import (
    AU_COLOURS,
    BLUE,
    CLASS_COLOURS,
    GREY,
    INK,
    ORANGE,
    SERIES,
    VERMILION,
    WIDTH,
    YELLOW,
    au_group,
    minus,
    panels,
)

TRAINED = "#D9E6F2"
MARKERS = "osD^v"
LABELS = {
    "align": "alignment loss",
    "emotion": "emotion loss",
    "accuracy": "training accuracy",
    "motion": "motion loss",
    "units": "action-unit loss",
}  # of the columns of a training's history


def counts(
    class_counts: pd.Series,
    au_counts: pd.Series,
    title: str = "SynthME: clips per class and per action unit",
) -> Figure:
    """Two bar charts: clips by class name, and clips by action unit number."""
    figure, axes = panels(title, WIDTH, 2.5, 1, 2, width_ratios=[1, 1.7])
    left, right = axes[0]
    colours = [CLASS_COLOURS.get(name, GREY) for name in class_counts.index]
    left.bar_label(left.barh(class_counts.index, class_counts, color=colours), padding=2)
    left.invert_yaxis()
    left.set(xlabel="clips", xlim=(0, 1.18 * class_counts.max()))
    units = [f"{unit}" for unit in au_counts.index]
    right.bar(units, au_counts, color=[AU_COLOURS[au_group(unit)] for unit in units])
    right.set(xlabel="action unit", ylabel="clips")
    keys = [Patch(color=colour, label=part) for part, colour in AU_COLOURS.items()]
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
    figure, axes = panels(title, *size)
    panel = axes[0, 0]
    notes = table.map(lambda value: minus(f"{value:.2f}") if value and value == value else "")
    bar = {"label": label, "pad": 0.02}
    low, high = limits
    options = {"cmap": colours, "vmin": low, "vmax": high, "lw": 0.4, "cbar_kws": bar}
    sns.heatmap(table, annot=notes, fmt="", ax=panel, annot_kws={"size": 7}, **options)
    panel.tick_params(length=0, rotation=0)
    return figure


def au_emotion_map(
    shares: pd.DataFrame, title: str = "SynthME: how often an action unit goes with an emotion"
) -> Figure:
    """Heat map of shares (emotion x action unit): of an emotion's clips, how many show the unit."""
    figure = heat_map(shares, title, "share of the emotion's clips", (WIDTH, 2.7))
    figure.axes[0].set(xlabel="action unit", ylabel="")
    return figure


def similarity_matrix(table: pd.DataFrame, title: str) -> Figure:
    """Heat map of cosine similarities (sentence x sentence) on the full scale from -1 to 1."""
    numbers = range(1, len(table) + 1)
    names = [
        f"{textwrap.fill(name, 46)}\u2002({i})"
        for i, name in zip(numbers, table.index, strict=True)
    ]
    table = table.set_axis(names).set_axis(numbers, axis=1)
    size = (WIDTH, 0.6 + 0.27 * len(table))
    return heat_map(table, title, "cosine similarity", size, "vlag", (-1, 1))


def motion_plot(
    table: pd.DataFrame, title: str = "SynthME: the mix leaves the motion in place"
) -> Figure:
    """Frame-to-frame change over time; table [step, region, state, energy], a panel per region."""
    regions = list(dict.fromkeys(table.region))
    figure, axes = panels(title, WIDTH, 2.5, 1, len(regions), sharey=True)
    looks = ((BLUE, "-"), (VERMILION, "--"), (GREY, ":"))
    for state, (colour, line) in zip(dict.fromkeys(table.state), looks, strict=False):
        for panel, region in zip(axes[0], regions, strict=True):
            rows = table[(table.region == region) & (table.state == state)]
            panel.plot(rows.step, rows.energy, line, color=colour, label=state, marker="o", ms=3)
            panel.set(title=region, xlabel="step between frames")
    axes[0, 0].set(ylabel="mean absolute change", ylim=(0, None))
    figure.legend(handles=axes[0, 0].lines, loc="outside lower center", ncols=len(looks))
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
    figure, axes = panels(title, min(WIDTH, 2.4 * len(columns)), 2.3, 1, len(columns))
    for panel, column in zip(axes[0], columns, strict=True):
        if each in history:
            again = history.groupby([each, x]).cumcount()
            for _, rows in history.groupby([history[each], again]):
                panel.plot(rows[x], rows[column], color=BLUE, alpha=0.25, lw=0.6)
        mean = history.groupby(x)[column].mean()
        panel.plot(mean.index, mean, color=INK if each in history else BLUE, lw=1.8)
        panel.set(xlabel=x, ylabel=LABELS.get(column, column))
        panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
    return figure


def confusion_matrix(
    matrix: np.ndarray,
    classes: Sequence[str],
    title: str = "SynthME: confusion matrix, all folds pooled",
) -> Figure:
    """Counts, and the same by row in per cent; matrix (C, C), rows are the truth."""
    matrix = np.asarray(matrix)
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, axes = panels(title, WIDTH, 0.75 + 0.36 * len(classes), 1, 2)
    looks: dict[str, Any] = {"annot": True, "fmt": ".0f", "cmap": "Blues", "lw": 0.4, "vmin": 0}
    looks |= {"cbar": False, "annot_kws": {"size": 7.5}, "xticklabels": classes}
    left, right = axes[0]
    sns.heatmap(matrix, ax=left, yticklabels=classes, **looks)
    sns.heatmap(share, ax=right, yticklabels=False, vmax=100, **looks)
    left.set(title="clips", xlabel="predicted", ylabel="true")
    right.set(title="per cent of the row", xlabel="predicted", ylabel="")
    for panel in axes[0]:
        panel.tick_params(length=0)
        panel.tick_params(axis="x", rotation=40)
        panel.tick_params(axis="y", rotation=0)
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
    figure, grid = panels(title, WIDTH, 0.9 + 0.17 * (len(tests) + 2))
    axes, n = grid[0, 0], len(subjects)
    strips = [[TRAINED] * n for _ in tests]
    for strip, test in zip(strips, tests, strict=True):
        for position in test:
            strip[position] = INK
    order = {name: i for i, name in enumerate(dict.fromkeys(subjects))}
    strips += [
        [CLASS_COLOURS.get(label, GREY) for label in labels],
        ["#555555" if order[subject] % 2 else "#BBBBBB" for subject in subjects],
    ]
    for y, strip in enumerate(strips):
        axes.bar(np.arange(n), 0.8, width=1.0, bottom=y - 0.4, color=strip, lw=0)
    names = [f"fold {i + 1}" for i in range(len(tests))] + ["class", "subject"]
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="clip", xlim=(-0.5, n - 0.5))
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    colours = {"train": TRAINED, "test": INK}
    colours |= {str(label): CLASS_COLOURS.get(label, GREY) for label in dict.fromkeys(labels)}
    keys = [Patch(color=colour, label=name) for name, colour in colours.items()]
    looks = {"columnspacing": 1, "handlelength": 1, "ncols": min(len(keys), 9)}
    figure.legend(handles=keys, loc="outside lower center", **looks)
    return figure


def results_bars(
    table: pd.DataFrame, title: str = "Results on SynthME", chance: float | None = None
) -> Figure:
    """Bars with intervals, a panel per metric; table [name, metric, value, low, high]."""
    metrics = list(dict.fromkeys(table.metric))
    names = table.name.nunique()
    figure, axes = panels(title, WIDTH, 0.9 + 0.28 * names, 1, len(metrics), sharey=True)
    ticks = ("0", "0.25", "0.5", "0.75", "1")
    line = {"lw": 1, "capsize": 2, "ecolor": INK}
    for panel, metric in zip(axes[0], metrics, strict=True):
        rows = table[table.metric == metric]
        spread = np.maximum([rows.value - rows.low, rows.high - rows.value], 0)
        panel.barh(rows.name, rows.value, xerr=spread, color="#9CC5E0", height=0.65, error_kw=line)
        panel.set(title=metric, xlim=(0, 1), ylim=(-0.6, names - 0.4))
        panel.set(xticks=np.linspace(0, 1, 5), xticklabels=ticks)
        _chance(panel.axvline, chance)
    axes[0, 0].invert_yaxis()
    return figure


def ablation_forest(
    table: pd.DataFrame,
    title: str = "SynthME: what each part is worth",
    label: str = "difference in UF1",
) -> Figure:
    """Paired differences with intervals about zero, and as numbers; table [name, mean, low, high].

    A row far off the others (its interval begins beyond twice their range) would squeeze them:
    it is an arrow at the edge, and its numbers say the rest.
    """
    figure, grid = panels(title, WIDTH, 0.9 + 0.25 * len(table))
    axes = grid[0, 0]
    nearest = np.where(table.low * table.high > 0, np.minimum(abs(table.low), abs(table.high)), 0)
    ends = np.maximum(abs(table.low), abs(table.high)).to_numpy()
    far = nearest > 2 * np.median(ends)
    edge = 1.15 * (ends[~far].max() if (~far).any() else ends.max())
    axes.axvline(0, color=GREY, lw=0.8)
    for y, (row, off) in enumerate(zip(table.itertuples(), far, strict=True)):
        colour = BLUE if row.low > 0 or row.high < 0 else GREY
        if off:
            tip = edge if row.mean > 0 else -edge
            arrow = {"arrowstyle": "-|>", "color": colour, "lw": 1.6}
            axes.annotate("", (tip, y), (0.8 * tip, y), arrowprops=arrow)
        else:
            axes.hlines(y, row.low, row.high, color=colour, lw=1.6)
            axes.scatter(row.mean, y, color=colour, s=22, zorder=3)
        _at_right(axes, y, f"{row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]", fontsize=7.5)
    axes.set(yticks=range(len(table)), yticklabels=table.name, ylim=(len(table) - 0.4, -0.6))
    axes.set(xlabel=f"{label} (grey: interval holds zero)", xlim=(-edge, edge))
    return figure


def interval_dots(
    table: pd.DataFrame,
    title: str,
    label: str,
    chance: float | None = None,
    limits: tuple[float, float] = (0, 1),
) -> Figure:
    """Dots with intervals, the groups of a name side by side; [name, group, value, low, high]."""
    names, groups = list(dict.fromkeys(table.name)), list(dict.fromkeys(table.group))
    figure, grid = panels(title, WIDTH, 0.9 + (0.1 + 0.07 * len(groups)) * len(names))
    axes = grid[0, 0]
    for k, (group, colour) in enumerate(zip(groups, SERIES, strict=False)):
        rows = table[table.group == group]
        y = np.array([names.index(name) for name in rows.name]) + 0.2 * (k - (len(groups) - 1) / 2)
        axes.hlines(y, rows.low, rows.high, color=colour, lw=1.2)
        look = {"color": colour, "marker": MARKERS[k % 5], "s": 14, "zorder": 3}
        axes.scatter(rows.value, y, label=group, **look)
    _chance(axes.axvline, chance)
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.set(xlabel=label, xlim=limits)
    if len(groups) > 1:
        _legend_below(figure, axes, ncols=5)
    return figure


def lines(table: pd.DataFrame, title: str, x: str, y: str, chance: float | None = None) -> Figure:
    """Lines with bands (intervals), one per name; table [name, x, value, low, high]."""
    figure, grid = panels(title, WIDTH / 1.6, 2.6)
    axes = grid[0, 0]
    for k, (name, rows) in enumerate(table.groupby("name", sort=False)):
        axes.plot(rows.x, rows.value, MARKERS[k % 5] + "-", ms=3.5, color=SERIES[k], label=name)
        axes.fill_between(rows.x, rows.low, rows.high, color=SERIES[k], alpha=0.15, lw=0)
    _chance(axes.axhline, chance)
    axes.set(xlabel=x, ylabel=y)
    _legend_below(figure, axes, ncols=3)
    return figure


def courses(
    times: np.ndarray,
    courses: pd.DataFrame,
    spans: Sequence[tuple[float, float, float]],
    title: str,
    label: str,
    coloured: int = 5,
) -> Figure:
    """Courses over time; the highest in colour, the others grey.

    Args:
        times: (T,) seconds.
        courses: a column per course, T rows.
        spans: stretches to shade, each with a moment to mark within: onset, apex, offset.
        title: of the figure.
        label: of the values.
        coloured: how many are in colour.
    """
    figure, grid = panels(title, WIDTH, 2.6)
    axes = grid[0, 0]
    ranked = courses.max().sort_values(ascending=False).index
    for name in reversed(ranked[coloured:]):
        axes.plot(times, courses[name], color="#CCCCCC", lw=0.7)
    for name, colour in zip(ranked[:coloured], SERIES, strict=False):
        axes.plot(times, courses[name], color=colour, label=name)
    for onset, apex, offset in spans:
        axes.axvspan(onset, offset, color=YELLOW, alpha=0.15, lw=0)
        axes.axvline(apex, color=INK, lw=0.8, ls="--")
    axes.set(xlabel="seconds", ylabel=label, xlim=(times[0], times[-1]), ylim=(0, None))
    _legend_below(figure, axes, ncols=5)
    return figure


def two_ways(
    table: pd.DataFrame,
    title: str,
    label: str = "",
    names: tuple[str, str] = ("honest", "trapped"),
) -> Figure:
    """A number made two ways, a row each; the change stands at the right.

    Args:
        table: columns name, honest, trapped, change and, where there are intervals, honest_low,
            honest_high, trapped_low, trapped_high, and low and high of the change, which is grey
            where it is not clear: by p_holm where that is a column, else where these hold zero.
        title: of the figure.
        label: of the axis.
        names: of the two ways.
    """
    figure, grid = panels(title, WIDTH, 0.95 + 0.34 * len(table))
    axes, rows = grid[0, 0], np.arange(len(table))
    looks = (("honest", -0.14, BLUE, "o"), ("trapped", 0.14, ORANGE, "s"))
    for (way, shift, colour, marker), name in zip(looks, names, strict=True):
        if "low" in table:
            low, high = table[f"{way}_low"], table[f"{way}_high"]
            axes.hlines(rows + shift, low, high, color=colour, lw=1.4)
        look = {"color": colour, "marker": marker, "s": 24, "zorder": 3}
        axes.scatter(table[way], rows + shift, label=name, **look)
    for y, row in enumerate(table.to_dict("records")):
        clear, text = True, f"{row['change']:+.3f}"
        if "low" in row:
            clear = row["low"] > 0 or row["high"] < 0
            clear = row["p_holm"] < 0.05 if "p_holm" in row else clear
            text += f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        _at_right(axes, y, text, color=INK if clear else GREY)
    _at_right(axes, -0.75, "change", style="italic")
    axes.hlines(rows[:-1] + 0.5, 0, 1, "#E5E5E5", lw=0.6, transform=axes.get_yaxis_transform())
    axes.set(yticks=rows, yticklabels=table.name, xlabel=label, ylim=(len(table) - 0.4, -1.05))
    axes.tick_params(axis="y", length=0)
    _legend_below(figure, axes, ncols=2, handletextpad=0.2)
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
    figure, axes = panels(title, WIDTH, 0.9 + 2.1 * len(points), len(points), len(colourings))
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
                place = {"transform": panel.transAxes, "va": "top"}
                panel.text(0.02, 0.98, notes[embedding, name], fontsize=7, bbox=box, **place)
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


def _chance(line, chance: float | None) -> None:
    """A dotted line at the level of chance, where there is one; `line` draws it."""
    if chance is not None:
        line(chance, color=GREY, ls=":", lw=1)


def _at_right(axes: Axes, y: float, text: str, **options: Any) -> None:
    """A text beside the axes, in the row `y`."""
    side = axes.get_yaxis_transform()
    axes.text(1.02, y, minus(text), transform=side, va="center", **options)


def _legend_below(figure: Figure, axes: Axes, **options: Any) -> None:
    """The legend of the axes, below the figure."""
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", **options)
