"""The charts of the notebooks: plain arrays or a table in, a matplotlib Figure out.

Style, colours and `save_figure` come from `merclip_lib.style`; pictures of faces are in
`merclip_lib.pictures`.
"""

import textwrap

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.patches import Patch

from merclip_lib.figures.style import (
    AU_COLOURS,
    BLUE,
    CLASS_COLOURS,
    GREY,
    INK,
    LOSSES,
    ORANGE,
    OTHERS,
    WIDTH,
    au_group,
    minus,
    panels,
)


def counts(class_counts, au_counts, title="SynthME: clips per class and per action unit"):
    """Two bar charts of Series: class name -> clips, and action unit number -> clips."""
    figure, axes = panels(title, WIDTH, 2.5, 1, 2, width_ratios=[1, 1.7])
    left, right = axes[0]
    colours = [CLASS_COLOURS.get(name, GREY) for name in class_counts.index]
    left.bar_label(left.barh(class_counts.index, class_counts, color=colours), padding=2)
    left.invert_yaxis()
    left.set(xlabel="clips", xlim=(0, 1.18 * class_counts.max()))
    units = [f"{unit}" for unit in au_counts.index]
    right.bar(units, au_counts, color=[AU_COLOURS[au_group(unit)] for unit in units])
    right.set(xlabel="action unit", ylabel="clips")
    right.legend(
        handles=[Patch(color=c, label=part) for part, c in AU_COLOURS.items()],
        ncols=4,
        loc="lower center",
        bbox_to_anchor=(0.5, 1),
        handlelength=1,
        columnspacing=1,
    )
    return figure


def heat_map(table, title, label="", fmt=".2f", size=(WIDTH, 3.2), colours="YlGnBu", limits=(0, 1)):
    """Annotated heat map of a DataFrame (rows x columns); blank for missing values and zeros."""
    figure, axes = panels(title, *size)
    notes = table.map(lambda value: minus(format(value, fmt)) if value and value == value else "")
    sns.heatmap(
        table,
        annot=notes,
        fmt="",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        lw=0.4,
        ax=axes[0, 0],
        annot_kws={"size": 7},
        cbar_kws={"label": label, "pad": 0.02},
    )
    axes[0, 0].tick_params(length=0, rotation=0)
    return figure


def au_emotion_map(shares, title="SynthME: how often an action unit goes with an emotion"):
    """Heat map: shares, DataFrame emotion x action unit, share of the emotion's clips (0..1)."""
    figure = heat_map(shares, title, "share of the emotion's clips", ".2f", (WIDTH, 2.7))
    figure.axes[0].set(xlabel="action unit", ylabel="")
    return figure


def similarity_matrix(table, title):
    """Heat map of cosine similarities, DataFrame sentence x sentence, full scale -1..1."""
    numbers = range(1, len(table) + 1)
    names = [
        f"{textwrap.fill(name, 46)}\u2002({i})"
        for i, name in zip(numbers, table.index, strict=True)
    ]
    return heat_map(
        table.set_axis(names).set_axis(numbers, axis=1),
        title,
        "cosine similarity",
        ".2f",
        (WIDTH, 0.6 + 0.27 * len(table)),
        "vlag",
        (-1, 1),
    )


def motion_plot(table, title="SynthME: the mix leaves the motion in place"):
    """Frame-to-frame change over time; table [step, region, state, energy], a panel per region."""
    regions = list(dict.fromkeys(table.region))
    figure, axes = panels(title, WIDTH, 2.5, 1, len(regions), sharey=True)
    looks = ((BLUE, "-"), ("#D55E00", "--"), (GREY, ":"))
    for state, (colour, line) in zip(dict.fromkeys(table.state), looks, strict=False):
        for panel, region in zip(axes[0], regions, strict=True):
            rows = table[(table.region == region) & (table.state == state)]
            panel.plot(rows.step, rows.energy, line, color=colour, label=state, marker="o", ms=3)
            panel.set(title=region, xlabel="step between frames")
    axes[0, 0].set(ylabel="mean absolute change", ylim=(0, None))
    figure.legend(handles=axes[0, 0].lines, loc="outside lower center", ncols=len(looks))
    return figure


def curves(history, columns, title, x="epoch", each="fold"):
    """A panel per column of `history` against `x`: thin lines for each `each`, the mean in bold.

    A fold that occurs several times (several seeds) is several thin lines.
    """
    figure, axes = panels(title, min(WIDTH, 2.4 * len(columns)), 2.3, 1, len(columns))
    for panel, column in zip(axes[0], columns, strict=True):
        if each in history:
            again = history.groupby([each, x]).cumcount()
            for _, rows in history.groupby([history[each], again]):
                panel.plot(rows[x], rows[column], color=BLUE, alpha=0.25, lw=0.6)
        mean = history.groupby(x)[column].mean()
        panel.plot(mean.index, mean, color=INK if each in history else BLUE, lw=1.8)
        panel.set(xlabel=x, ylabel=LOSSES.get(column, column))
        panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
    return figure


def learning_curves(history, columns=("align", "emotion"), title="Training losses on SynthME"):
    """Losses of all folds; history DataFrame [fold, epoch, ...]."""
    return curves(history, columns, title)


def pretraining_curves(history, columns, title="Pretraining on SynthME-macro"):
    """Losses and held-out figures of the pretraining; history DataFrame [step, ...]."""
    return curves(history, columns, title, x="step", each="stage")


def confusion_matrix(matrix, classes, title="SynthME: confusion matrix, all folds pooled"):
    """Counts, and the same by row in per cent; matrix (C, C), rows are the truth."""
    matrix = np.asarray(matrix)
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, axes = panels(title, WIDTH, 0.75 + 0.36 * len(classes), 1, 2)
    for panel, values in zip(axes[0], (matrix, share), strict=True):
        sns.heatmap(
            values,
            annot=True,
            fmt=".0f",
            cmap="Blues",
            lw=0.4,
            ax=panel,
            cbar=False,
            vmin=0,
            vmax=100 if values is share else None,
            annot_kws={"size": 7.5},
            xticklabels=classes,
            yticklabels=classes if values is matrix else False,
        )
        panel.set(
            title="per cent of the row" if values is share else "clips",
            xlabel="predicted",
            ylabel="" if values is share else "true",
        )
        panel.tick_params(length=0)
        panel.tick_params(axis="x", rotation=40)
        panel.tick_params(axis="y", rotation=0)
    return figure


def loso_split(subjects, labels, tests, title="SynthME: leave one subject out"):
    """Folds as rows over clips as columns; tests: per fold the positions of its held-out clips.

    subjects, labels: (N,) per clip, in column order. Two strips below show class and subject.
    """
    figure, axes = panels(title, WIDTH, 0.9 + 0.17 * (len(tests) + 2))
    axes, n = axes[0, 0], len(subjects)
    strips = [["#D9E6F2"] * n for _ in tests]
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
    keys = {"train": "#D9E6F2", "test": INK}
    keys |= {str(label): CLASS_COLOURS.get(label, GREY) for label in dict.fromkeys(labels)}
    figure.legend(
        handles=[Patch(color=c, label=k) for k, c in keys.items()],
        loc="outside lower center",
        ncols=min(len(keys), 9),
        columnspacing=1,
        handlelength=1,
    )
    return figure


def results_bars(table, title="Results on SynthME", chance=None):
    """Bars with intervals, a panel per metric; table [name, metric, value, low, high]."""
    metrics = list(dict.fromkeys(table.metric))
    names = table.name.nunique()
    figure, axes = panels(title, WIDTH, 0.9 + 0.28 * names, 1, len(metrics), sharey=True)
    for panel, metric in zip(axes[0], metrics, strict=True):
        rows = table[table.metric == metric]
        spread = np.maximum([rows.value - rows.low, rows.high - rows.value], 0)
        panel.barh(
            rows.name,
            rows.value,
            xerr=spread,
            color="#9CC5E0",
            height=0.65,
            error_kw={"lw": 1, "capsize": 2, "ecolor": INK},
        )
        panel.set(
            title=metric,
            xlim=(0, 1),
            ylim=(-0.6, names - 0.4),
            xticks=np.linspace(0, 1, 5),
            xticklabels=("0", "0.25", "0.5", "0.75", "1"),
        )
        if chance is not None:
            panel.axvline(chance, color=GREY, ls=":", lw=1)
    axes[0, 0].invert_yaxis()
    return figure


def ablation_forest(table, title="SynthME: what each part is worth", label="difference in UF1"):
    """Paired differences with intervals about zero, and as numbers; table [name, mean, low, high].

    A row far off the others (its interval begins beyond twice their range) would squeeze them:
    it is an arrow at the edge, and its numbers say the rest.
    """
    figure, axes = panels(title, WIDTH, 0.9 + 0.25 * len(table))
    axes, rows = axes[0, 0], np.arange(len(table))
    nearest = np.where(table.low * table.high > 0, np.minimum(abs(table.low), abs(table.high)), 0)
    ends = np.maximum(abs(table.low), abs(table.high)).to_numpy()
    far = nearest > 2 * np.median(ends)
    edge = 1.15 * (ends[~far].max() if (~far).any() else ends.max())
    axes.axvline(0, color=GREY, lw=0.8)
    for y, (row, off) in enumerate(zip(table.itertuples(), far, strict=True)):
        colour = BLUE if row.low > 0 or row.high < 0 else GREY
        if off:
            tip = edge if row.mean > 0 else -edge
            axes.annotate(
                "",
                (tip, y),
                (0.8 * tip, y),
                arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.6},
            )
        else:
            axes.hlines(y, row.low, row.high, color=colour, lw=1.6)
            axes.scatter(row.mean, y, color=colour, s=22, zorder=3)
        axes.text(
            1.02,
            y,
            minus(f"{row.mean:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=7.5,
        )
    axes.set(
        yticks=rows,
        yticklabels=table.name,
        xlabel=f"{label} (grey: interval holds zero)",
        xlim=(-edge, edge),
        ylim=(len(table) - 0.4, -0.6),
    )
    return figure


def interval_dots(table, title, label, chance=None, limits=(0, 1)):
    """Dots with intervals, the groups of a name side by side; [name, group, value, low, high]."""
    names, groups = list(dict.fromkeys(table.name)), list(dict.fromkeys(table.group))
    figure, axes = panels(title, WIDTH, 0.9 + (0.1 + 0.07 * len(groups)) * len(names))
    axes = axes[0, 0]
    for k, (group, colour) in enumerate(zip(groups, OTHERS, strict=False)):
        rows = table[table.group == group]
        y = np.array([names.index(name) for name in rows.name]) + 0.2 * (k - (len(groups) - 1) / 2)
        axes.hlines(y, rows.low, rows.high, color=colour, lw=1.2)
        axes.scatter(
            rows.value, y, s=14, color=colour, marker="osD^v"[k % 5], label=group, zorder=3
        )
    if chance is not None:
        axes.axvline(chance, color=GREY, ls=":", lw=1)
    axes.set(
        yticks=range(len(names)),
        yticklabels=names,
        xlabel=label,
        xlim=limits,
        ylim=(len(names) - 0.5, -0.5),
    )
    if len(groups) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def lines(table, title, x, y, chance=None):
    """Lines with bands (intervals), one per name; table [name, x, value, low, high]."""
    figure, axes = panels(title, WIDTH / 1.6, 2.6)
    axes = axes[0, 0]
    for k, (name, rows) in enumerate(table.groupby("name", sort=False)):
        axes.plot(rows.x, rows.value, "osD^v"[k % 5] + "-", ms=3.5, color=OTHERS[k], label=name)
        axes.fill_between(rows.x, rows.low, rows.high, color=OTHERS[k], alpha=0.15, lw=0)
    if chance is not None:
        axes.axhline(chance, color=GREY, ls=":", lw=1)
    axes.set(xlabel=x, ylabel=y)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def two_ways(table, title, label="", names=("honest", "trapped")):
    """A number made two ways, a row each: table [name, honest, trapped, change] and, where there
    are intervals, [honest_low, honest_high, trapped_low, trapped_high, low, high].

    The change stands at the right, grey where its interval (low, high) holds zero.
    """
    figure, axes = panels(title, WIDTH, 0.95 + 0.34 * len(table))
    axes, rows = axes[0, 0], np.arange(len(table))
    looks = zip(("honest", "trapped"), (-0.14, 0.14), (BLUE, ORANGE), "os", names, strict=True)
    for column, shift, colour, marker, name in looks:
        if "low" in table:
            axes.hlines(
                rows + shift, table[f"{column}_low"], table[f"{column}_high"], color=colour, lw=1.4
            )
        axes.scatter(
            table[column], rows + shift, color=colour, marker=marker, s=24, zorder=3, label=name
        )
    for y, row in zip(rows, table.to_dict("records"), strict=True):
        clear, text = True, f"{row['change']:+.3f}"
        if "low" in row:
            clear = row["low"] > 0 or row["high"] < 0
            text += f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        axes.text(
            1.02,
            y,
            minus(text),
            transform=axes.get_yaxis_transform(),
            va="center",
            color=INK if clear else GREY,
        )
    axes.text(
        1.02, -0.75, "change", transform=axes.get_yaxis_transform(), va="center", style="italic"
    )
    axes.hlines(rows[:-1] + 0.5, 0, 1, "#E5E5E5", lw=0.6, transform=axes.get_yaxis_transform())
    axes.set(yticks=rows, yticklabels=table.name, xlabel=label, ylim=(len(table) - 0.4, -1.05))
    axes.tick_params(axis="y", length=0)
    figure.legend(
        *axes.get_legend_handles_labels(), ncols=2, handletextpad=0.2, loc="outside lower center"
    )
    return figure


def tsne_panels(points, colourings, title="SynthME: clip embeddings, t-SNE", notes=None):
    """A row per embedding, {name: (N, 2)}, and a column per colouring, {name: (N,) labels}.

    `notes` {(row, column): text} stands in the corner of a panel, such as the purity.
    """
    figure, axes = panels(title, WIDTH, 0.9 + 2.1 * len(points), len(points), len(colourings))
    for r, (embedding, at) in enumerate(points.items()):
        axes[r, 0].set_ylabel(embedding)
        for c, (name, labels) in enumerate(colourings.items()):
            panel, labels = axes[r, c], np.asarray(labels).astype(str)
            kinds = sorted(set(labels), key=lambda kind: (not kind.isdigit(), kind.zfill(3)))
            many = mpl.colormaps["viridis"](np.linspace(0, 1, len(kinds)))
            shades = dict(zip(kinds, OTHERS if len(kinds) <= len(OTHERS) else many, strict=False))
            for kind in kinds:
                x, y = at[labels == kind].T
                colour = CLASS_COLOURS.get(kind, shades[kind])
                panel.scatter(x, y, s=9, color=colour, lw=0, label=kind)
            panel.set(title="" if r else name, xticks=[], yticks=[])
            panel.spines[:].set_visible(True)
            if notes:
                panel.margins(y=0.15)
                panel.text(
                    0.02,
                    0.98,
                    notes[embedding, name],
                    transform=panel.transAxes,
                    va="top",
                    fontsize=7,
                    bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1},
                )
            if r == len(points) - 1 and len(kinds) <= len(OTHERS):
                panel.legend(
                    loc="upper center",
                    bbox_to_anchor=(0.5, 0),
                    ncols=3,
                    handletextpad=0,
                    columnspacing=0.6,
                    markerscale=1.6,
                )
    return figure
