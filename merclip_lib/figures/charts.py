"""Charts of results: numbers with their intervals, differences, courses over time.

A table in, a matplotlib Figure out. Colours and style are in `style`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from merclip_lib.figures import style
from merclip_lib.figures.style import BLUE, GREY, INK, ORANGE, SERIES, YELLOW, minus, panels

MARKERS = "osD^v"


def results_bars(table: pd.DataFrame, title: str = "Results on SynthME") -> Figure:
    """Bars with intervals, a panel per metric; table [name, metric, value, low, high]."""
    metrics, names = table.groupby("metric", sort=False), table.name.nunique()
    figure, [axes] = panels(title, 0.9 + 0.28 * names, 1, len(metrics), sharey=True)
    line = {"lw": 1, "capsize": 2, "ecolor": INK}
    for panel, (metric, rows) in zip(axes, metrics, strict=True):
        spread = np.maximum([rows.value - rows.low, rows.high - rows.value], 0)
        panel.barh(rows.name, rows.value, xerr=spread, color="#9CC5E0", height=0.65, error_kw=line)
        panel.set(title=metric, xlim=(0, 1), ylim=(-0.6, names - 0.4), xticks=np.linspace(0, 1, 5))
        panel.xaxis.set_major_formatter("{x:g}")
    axes[0].invert_yaxis()
    return figure


def interval_dots(
    table: pd.DataFrame,
    title: str,
    label: str,
    chance: float | None = None,
    limits: tuple[float, float] = (0, 1),
) -> Figure:
    """Dots with intervals, the groups of a name side by side; [name, group, value, low, high]."""
    names, groups = pd.Index(table.name.unique()), table.groupby("group", sort=False)
    figure, [[axes]] = panels(title, 0.9 + (0.1 + 0.07 * len(groups)) * len(names))
    for k, (group, rows) in enumerate(groups):
        y, colour = names.get_indexer(rows.name) + 0.2 * (k - (len(groups) - 1) / 2), SERIES[k % 9]
        axes.hlines(y, rows.low, rows.high, color=colour, lw=1.2)
        axes.scatter(rows.value, y, 14, colour, marker=MARKERS[k % 5], label=group, zorder=3)
    if chance is not None:
        axes.axvline(chance, color=GREY, ls=":", lw=1)
    axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
    axes.set(xlabel=label, xlim=limits)
    if len(groups) > 1:
        style.legend_below(figure, [axes], ncols=5)
    return figure


def courses(
    times: np.ndarray,
    courses: pd.DataFrame,
    spans: Sequence[tuple[float, float, float]],
    title: str,
    label: str,
) -> Figure:
    """Courses over time; the five highest in colour, the others grey.

    Args:
        times: (T,) seconds.
        courses: a column per course, T rows.
        spans: stretches to shade, each with a moment to mark within: onset, apex, offset.
        title: of the figure.
        label: of the values.
    """
    figure, [[axes]] = panels(title, 2.6)
    ranked = courses.max().sort_values(ascending=False).index
    axes.plot(times, courses[ranked[:4:-1]], color="#CCCCCC", lw=0.7)
    for name, colour in zip(ranked[:5], SERIES, strict=False):
        axes.plot(times, courses[name], color=colour, label=name)
    for onset, apex, offset in spans:
        axes.axvspan(onset, offset, color=YELLOW, alpha=0.15, lw=0)
        axes.axvline(apex, color=INK, lw=0.8, ls="--")
    axes.set(xlabel="seconds", ylabel=label, xlim=(times[0], times[-1]), ylim=(0, None))
    style.legend_below(figure, [axes], ncols=5)
    return figure


def two_ways(
    table: pd.DataFrame, title: str, label: str = "", names: tuple[str, str] = ("honest", "trapped")
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
    figure, [[axes]] = panels(title, 0.95 + 0.34 * len(table))
    rows = np.arange(len(table))
    looks = (("honest", -0.14, BLUE, "o"), ("trapped", 0.14, ORANGE, "s"))
    for (way, shift, colour, marker), name in zip(looks, names, strict=True):
        y = rows + shift
        if "low" in table:
            axes.hlines(y, table[f"{way}_low"], table[f"{way}_high"], color=colour, lw=1.4)
        axes.scatter(table[way], y, 24, colour, marker=marker, label=name, zorder=3)
    for k, row in enumerate(table.to_dict("records")):
        clear, text = True, f"{row['change']:+.3f}"
        if "low" in row:
            clear = row["p_holm"] < 0.05 if "p_holm" in row else row["low"] > 0 or row["high"] < 0
            text += f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        at_right(axes, k, text, color=INK if clear else GREY)
    at_right(axes, -0.75, "change", style="italic")
    axes.hlines(rows[:-1] + 0.5, 0, 1, "#E5E5E5", lw=0.6, transform=axes.get_yaxis_transform())
    axes.set(yticks=rows, yticklabels=table.name, xlabel=label, ylim=(len(table) - 0.4, -1.05))
    axes.tick_params(axis="y", length=0)
    style.legend_below(figure, [axes], ncols=2, handletextpad=0.2)
    return figure


def at_right(axes: Axes, y: float, text: str, **options: Any) -> None:
    """A text beside the axes, in the row `y`."""
    axes.text(1.02, y, minus(text), transform=axes.get_yaxis_transform(), va="center", **options)
