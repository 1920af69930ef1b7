"""The charts of a study: what each set of parts reaches, differences by verdict, effect curves.

Tables in, a matplotlib Figure out. Colours and fillings show the verdicts that the tables hold.
"""

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from merclip_lib.figures import style
from merclip_lib.figures.charts import MARKERS, at_right
from merclip_lib.figures.style import GREY, INK, SERIES, panels

VERDICT_COLOURS = {"helps": style.BLUE, "hurts": style.VERMILION, "equivalent": style.GREEN}
VERDICT_COLOURS |= {"cannot tell": GREY, "passed": style.BLUE, "failed": style.VERMILION}
DASHES = ("-", "--", ":", "-.")
DOUBTED = " \N{DAGGER}"  # a control failed


def build_up(
    parts: pd.DataFrame, references: pd.DataFrame, title: str, here: pd.DataFrame | None = None
) -> Figure:
    """UF1 of each set of parts with its interval; a row of panels per preset, a column per start.

    Args:
        parts: [preset, start, name, uf1, low, high]; the names are such as "text + EIM", "none".
        references: [preset, start, reference, uf1], a row per population; the means are lines.
        title: of the figure.
        here: trainings of one's own, [preset, start, name, uf1].
    """
    own = parts[:0] if here is None else here
    shown = pd.concat([parts, own])
    sets = sorted(set(parts["name"]), key=lambda name: (name != "none", name.count("+"), name))
    names = pd.Index(dict.fromkeys([*sets, *shown["name"]]))
    presets, starts = shown["preset"].unique(), shown["start"].unique()
    colours = dict(zip(references["reference"].unique(), SERIES, strict=False))
    height = len(presets) * (0.45 + 0.17 * len(names)) + 0.8
    figure, axes = panels(title, height, len(presets), len(starts), sharex=True, sharey=True)
    for (preset, start), panel in zip(product(presets, starts), axes.flat, strict=True):
        rows, trained, lines = (
            t[(t["preset"] == preset) & (t["start"] == start)] for t in (parts, own, references)
        )
        panel.set(title=f"{preset}, from {start}", xlabel="UF1", ylim=(len(names) - 0.4, -0.6))
        panel.tick_params(labelbottom=True)
        _reference_lines(panel.axvline, lines, colours)
        y, above = names.get_indexer(rows["name"]), names.get_indexer(trained["name"])
        panel.hlines(y, rows["low"], rows["high"], color=INK, lw=1.4)
        panel.scatter(rows["uf1"], y, 16, INK, label="UF1, 95 % interval", zorder=3)
        if len(trained):
            look = {"marker": "D", "edgecolor": style.WINE, "label": "trained here", "zorder": 4}
            panel.scatter(trained["uf1"], above, 26, "none", **look)
        panel.set_visible(len(rows) + len(trained) > 0)
    _names_at_left(axes.flat, names)
    style.legend_below(figure, axes.flat, loc="outside lower left", ncols=4)
    return figure


def training_courses(courses: pd.DataFrame, references: pd.DataFrame, title: str) -> Figure:
    """UF1 on fresh people while each entry is trained, a panel per start.

    Args:
        courses: [start, entry, epoch, uf1].
        references: [start, reference, uf1]; the means are lines.
        title: of the figure.
    """
    starts = courses.groupby("start", sort=False)
    figure, [axes] = panels(title, 3.2, 1, len(starts), sharey=True)
    for panel, (start, trained) in zip(axes, starts, strict=True):
        entries = trained.groupby("entry", sort=False)
        for (entry, rows), colour, marker in zip(entries, SERIES, MARKERS, strict=False):
            label = str(entry).replace("_", " ")
            panel.plot(rows["epoch"], rows["uf1"], color=colour, marker=marker, ms=3, label=label)
        _reference_lines(panel.axhline, references[references["start"] == start], {})
        panel.set(title=f"from {start}", xlabel="epoch")
    axes[0].set(ylabel="UF1", ylim=(0, None))
    style.legend_below(figure, axes, loc="outside lower left", ncols=4)
    return figure


def verdict_forest(table: pd.DataFrame, title: str, label: str = "difference in UF1") -> Figure:
    """Differences with intervals, coloured by verdict.

    Args:
        table: [name, difference, low, high, verdict], and perhaps smallest_findable, a pale band,
            and doubt: where it says something the name gets a dagger.
        title: of the figure.
        label: of the axis.
    """
    figure, [[axes]] = panels(title, 1.1 + 0.2 * len(table))
    y, keys = np.arange(len(table)), []
    if "smallest_findable" in table:
        found = table["smallest_findable"]
        axes.barh(y, 2 * found, left=-found, color="#EEEEEE", height=0.8)
        keys = [Patch(color="#EEEEEE", label="may be missed in more than one of five studies")]
    axes.use_sticky_edges = False
    axes.axvline(0, color=GREY, lw=0.8)
    for verdict in dict.fromkeys(table["verdict"]):
        rows = (table["verdict"] == verdict).to_numpy()
        colour, of = VERDICT_COLOURS[verdict], table[rows]
        axes.hlines(y[rows], of["low"], of["high"], color=colour, lw=1.6)
        keys.append(axes.scatter(of["difference"], y[rows], color=colour, s=20, label=verdict))
    for k, row in enumerate(table.to_dict("records")):
        text = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        at_right(axes, k, text, fontsize=7.5)
    axes.set(yticks=y, ylim=(len(table) - 0.4, -0.6), xlabel=label)
    doubts = list(map(bool, table.get("doubt", [""] * len(table))))
    _names_at_left([axes], list(table["name"] + np.where(doubts, DOUBTED, "")))
    keys += [Patch(alpha=0, label=f"{DOUBTED.strip()} a control failed")] * any(doubts)
    figure.legend(handles=keys, loc="outside lower left", ncols=5)
    return figure


def effect_curves(table: pd.DataFrame, title: str, full: Mapping[str, str] | None = None) -> Figure:
    """Differences against the levels of each factor, a panel each; filled: after Holm not zero.

    Args:
        table: [factor, level, part, difference, low, high, verdict], and perhaps doubt, as
            there; levels are text, in order (numbers are put in order).
        title: of the figure.
        full: by factor the level of the full method itself, black at zero.
    """
    factors, parts = table.groupby("factor", sort=False), table["part"].unique()
    columns, lines = min(len(factors), 4), -(-len(factors) // 4)
    figure, axes = panels(title, 0.7 + 1.8 * lines, lines, columns, sharey=True)
    for (factor, of), panel in zip(factors, axes.flat, strict=False):
        if full and factor in full:
            own = {"level": full[factor], "part": parts[0], "difference": 0.0, "verdict": "full"}
            of = pd.concat([pd.DataFrame([own]), of])
            panel.scatter([], [], 20, INK, label="the full method")
        numbers = pd.to_numeric(of["level"], errors="coerce").notna().all()
        levels = pd.Index(sorted(set(of["level"]), key=float) if numbers else of["level"].unique())
        for k, (part, colour, marker) in enumerate(zip(parts, SERIES, MARKERS * 2, strict=False)):
            rows = of[of["part"] == part].sort_values("level", key=levels.get_indexer)
            x = levels.get_indexer(rows["level"]) + 0.16 * (k - (len(parts) - 1) / 2)
            panel.vlines(x, rows["low"], rows["high"], color=colour, lw=1.2, zorder=0)
            panel.plot(x, rows["difference"], color=colour, lw=0.8 if numbers else 0, zorder=0)
            fills = {"helps": colour, "hurts": colour, "full": INK}
            fill = [fills.get(verdict, "white") for verdict in rows["verdict"]]
            panel.scatter(x, rows["difference"], 20, fill, marker=marker, edgecolor=colour)
            key = part + DOUBTED * ("doubt" in rows and any(rows["doubt"]))
            panel.scatter([], [], 20, colour, marker=marker, label=key)
        panel.axhline(0, color=GREY, lw=0.8, zorder=-1)
        panel.set(xlabel=factor.replace("_", " "), xlim=(-0.5, len(levels) - 0.5))
        long = not numbers and max(map(len, levels)) > 7
        look = {"rotation": 35, "ha": "right"} if long else {}
        panel.set_xticks(range(len(levels)), [each.replace("_", " ") for each in levels], **look)
    for panel in axes.flat[len(factors) :]:
        panel.set_visible(False)
    figure.supylabel("difference in UF1", fontsize="medium")
    axes[0, 0].scatter([], [], 20, "white", edgecolor=INK, label="not told from zero after Holm")
    style.legend_below(figure, axes.flat, loc="outside lower left", ncols=4)
    return figure


def _reference_lines(line, references: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """The mean of each reference as a line; `line` draws it."""
    means = references.groupby("reference", sort=False)["uf1"].mean()
    for (name, value), dash in zip(means.items(), DASHES * 3, strict=False):
        line(value, color=colours.get(name, GREY), ls=dash, lw=1, label=name)


def _names_at_left(axes: Iterable[Axes], names: list[str]) -> None:
    """Names of rows, left-aligned."""
    widths = [TextPath((0, 0), name, size=7.5).get_extents().width for name in names]
    for panel in axes:
        panel.set_yticks(range(len(names)), names, ha="left")
        panel.tick_params(axis="y", length=0, pad=4 + max(widths, default=0))
