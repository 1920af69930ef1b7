"""Every figure of the notebooks, in one style.

A drawing function takes plain arrays or a table and returns a matplotlib Figure; `save_figure`
writes it as PNG and PDF and notes in figures.json where it came from. A class, a face region and a
group of action units keep one colour in all figures (Okabe-Ito and Tol: safe for colour-blind
readers). A figure made of synthetic data must say "SynthME" in its title: `save_figure` checks.
"""
import json
import os
import subprocess
import textwrap
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import merclip_lib

WIDTH = 7.16  # inches: two columns of an IEEE page; text is set at 8 pt at this width
STYLE = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 8,
    "axes.titlesize": 8.5, "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5, "legend.frameon": False, "figure.titlesize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "lines.linewidth": 1.4,
    "figure.dpi": 110, "savefig.dpi": 200, "pdf.fonttype": 42, "svg.hashsalt": "merclip"}
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#E69F00", "#009E73", "#8A8A8A", "#222222"
CLASS_COLOURS = {
    "anger": "#D55E00", "disgust": GREEN, "fear": "#CC79A7", "happiness": ORANGE,
    "sadness": BLUE, "surprise": "#56B4E9", "others": GREY, "other": GREY, "contempt": "#882255",
    "repression": "#332288", "negative": "#882255", "positive": "#DDAA33"}
REGION_COLOURS = {"forehead": BLUE, "left_cheek": ORANGE, "right_cheek": GREEN, "chin": "#CC79A7"}
AU_COLOURS = {"brows": BLUE, "eyes and cheeks": "#56B4E9", "nose": GREEN, "mouth and chin": ORANGE}


def use_style():
    """Set the style for all figures drawn from now on."""
    mpl.rcParams.update(STYLE)


def au_group(number):
    """Part of the face that action unit `number` moves: a key of AU_COLOURS."""
    parts = {"brows": (1, 2, 4), "eyes and cheeks": (5, 6, 7, 43, 45), "nose": (9, 38, 39)}
    return next((part for part, units in parts.items() if int(number) in units), "mouth and chin")


def panels(title, width, height, rows=1, columns=1, **options):
    """A styled figure and its axes (rows, columns); made without pyplot, so that it shows once."""
    use_style()
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.suptitle(title)
    return figure, axes


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
    right.legend(handles=[Patch(color=c, label=part) for part, c in AU_COLOURS.items()], ncols=4,
                 loc="lower center", bbox_to_anchor=(0.5, 1), handlelength=1, columnspacing=1)
    return figure


def heat_map(table, title, label="", fmt=".2f", size=(WIDTH, 3.2), colours="YlGnBu",
             limits=(0, 1)):
    """Annotated heat map of a DataFrame (rows x columns); blank for missing values and zeros."""
    figure, axes = panels(title, *size)
    notes = table.map(lambda value: format(value, fmt) if value and value == value else "")
    sns.heatmap(table, annot=notes, fmt="", cmap=colours, vmin=limits[0], vmax=limits[1], lw=0.4,
                ax=axes[0, 0], annot_kws={"size": 7}, cbar_kws={"label": label, "pad": 0.02})
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
    names = [textwrap.fill(f"{name}  ({i})", 48)
             for i, name in zip(numbers, table.index, strict=True)]
    return heat_map(table.set_axis(names).set_axis(numbers, axis=1), title, "cosine similarity",
                    ".2f", (WIDTH, 0.6 + 0.27 * len(table)), "vlag", (-1, 1))


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


def curves(history, columns, title, x="epoch", each="fold", labels=None):
    """A panel per column of `history` against `x`: thin lines for each `each`, the mean in bold."""
    figure, axes = panels(title, min(WIDTH, 2.4 * len(columns)), 2.3, 1, len(columns))
    for panel, column in zip(axes[0], columns, strict=True):
        if each in history:
            for _, rows in history.groupby(each):
                panel.plot(rows[x], rows[column], color=BLUE, alpha=0.25, lw=0.7)
        mean = history.groupby(x)[column].mean()
        panel.plot(mean.index, mean, color=BLUE, lw=1.8)
        panel.set(xlabel=x, title=(labels or {}).get(column, column))
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
        sns.heatmap(values, annot=True, fmt=".0f", cmap="Blues", lw=0.4, ax=panel, cbar=False,
                    vmin=0, vmax=100 if values is share else None, annot_kws={"size": 7.5},
                    xticklabels=classes, yticklabels=classes if values is matrix else False)
        panel.set(title="per cent of the row" if values is share else "clips", xlabel="predicted",
                  ylabel="" if values is share else "true")
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
    strips += [[CLASS_COLOURS.get(label, GREY) for label in labels],
               ["#555555" if order[subject] % 2 else "#BBBBBB" for subject in subjects]]
    for y, strip in enumerate(strips):
        axes.bar(np.arange(n), 0.8, width=1.0, bottom=y - 0.4, color=strip, lw=0)
    names = [f"fold {i + 1}" for i in range(len(tests))] + ["class", "subject"]
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel="clip", xlim=(-0.5, n - 0.5))
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    keys = {"train": "#D9E6F2", "test": INK}
    keys |= {str(label): CLASS_COLOURS.get(label, GREY) for label in dict.fromkeys(labels)}
    figure.legend(handles=[Patch(color=c, label=k) for k, c in keys.items()],
                  loc="outside lower center", ncols=min(len(keys), 9), columnspacing=1,
                  handlelength=1)
    return figure


def results_bars(table, title="Results on SynthME", chance=None):
    """Bars with intervals, a panel per metric; table [name, metric, value, low, high]."""
    metrics = list(dict.fromkeys(table.metric))
    names = table.name.nunique()
    figure, axes = panels(title, WIDTH, 0.9 + 0.28 * names, 1, len(metrics), sharey=True)
    for panel, metric in zip(axes[0], metrics, strict=True):
        rows = table[table.metric == metric]
        spread = np.maximum([rows.value - rows.low, rows.high - rows.value], 0)
        panel.barh(rows.name, rows.value, xerr=spread, color="#9CC5E0", height=0.65,
                   error_kw={"lw": 1, "capsize": 2, "ecolor": INK})
        panel.set(title=metric, xlim=(0, 1))
        if chance is not None:
            panel.axvline(chance, color=GREY, ls=":", lw=1)
    axes[0, 0].invert_yaxis()
    return figure


def ablation_forest(table, title="SynthME: what each part is worth", label="difference in UF1"):
    """Paired differences with intervals about zero; table [name, mean, low, high]."""
    figure, axes = panels(title, 5.2, 0.9 + 0.25 * len(table))
    axes, rows = axes[0, 0], np.arange(len(table))
    clear = (table.low > 0) | (table.high < 0)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.hlines(rows, table.low, table.high, color=np.where(clear, BLUE, GREY), lw=1.6)
    axes.scatter(table["mean"], rows, color=np.where(clear, BLUE, GREY), s=22, zorder=3)
    axes.set(yticks=rows, yticklabels=table.name, xlabel=f"{label} (grey: interval holds zero)",
             ylim=(len(table) - 0.4, -0.6))
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
            axes.hlines(rows + shift, table[f"{column}_low"], table[f"{column}_high"],
                        color=colour, lw=1.4)
        axes.scatter(table[column], rows + shift, color=colour, marker=marker, s=24, zorder=3,
                     label=name)
    for y, row in zip(rows, table.to_dict("records"), strict=True):
        clear, text = True, f"{row['change']:+.3f}"
        if "low" in row:
            clear = row["low"] > 0 or row["high"] < 0
            text += f" [{row['low']:+.3f}, {row['high']:+.3f}]"
        axes.text(1.02, y, text, transform=axes.get_yaxis_transform(), va="center",
                  color=INK if clear else GREY)
    axes.text(1.02, -0.75, "change", transform=axes.get_yaxis_transform(), va="center",
              style="italic")
    axes.hlines(rows[:-1] + 0.5, 0, 1, "#E5E5E5", lw=0.6, transform=axes.get_yaxis_transform())
    axes.set(yticks=rows, yticklabels=table.name, xlabel=label, ylim=(len(table) - 0.4, -1.05))
    axes.tick_params(axis="y", length=0)
    figure.legend(*axes.get_legend_handles_labels(), ncols=2, handletextpad=0.2,
                  loc="outside lower center")
    return figure


def tsne_panels(points, colourings, title="SynthME: clip embeddings, t-SNE"):
    """The same points (N, 2), once per colouring: {name: (N,) labels}."""
    figure, axes = panels(title, WIDTH, 2.9, 1, len(colourings))
    for panel, (name, labels) in zip(axes[0], colourings.items(), strict=True):
        labels = np.asarray(labels).astype(str)
        kinds = sorted(set(labels))
        few = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#D55E00", GREY, INK, "#DDAA33")
        many = mpl.colormaps["viridis"](np.linspace(0, 1, len(kinds)))
        shades = dict(zip(kinds, few if len(kinds) <= len(few) else many, strict=False))
        for kind in kinds:
            x, y = points[labels == kind].T
            panel.scatter(x, y, s=7, color=CLASS_COLOURS.get(kind, shades[kind]), lw=0, label=kind)
        panel.set(title=name, xticks=[], yticks=[])
        if len(kinds) <= len(few):
            panel.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, handletextpad=0,
                         columnspacing=0.6, markerscale=1.6)
    return figure


def _write(path, content):
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def _commit(folder):
    """Commit that `folder` is checked out at, or "" outside git."""
    try:
        done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=folder,
                              capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def save_figure(figure, name, figures_dir, caption, notebook="", parameters=None, config_hash="",
                synthetic=True):
    """Write `name`.png, `name`.pdf (no dates) and their entry in figures.json; return figure.

    The entry holds notebook, parameters, config hash, caption, library version and commit.
    Raises ValueError when the title of a figure of synthetic data does not say SynthME, or that
    of a figure of other data does.
    """
    titles = [figure.get_suptitle()] + [axes.get_title() for axes in figure.axes]
    if synthetic != any("SynthME" in text for text in titles):
        raise ValueError(f"figure {name!r}: titles {titles} and synthetic={synthetic} disagree; "
                         f"a title says SynthME when, and only when, the data is synthetic.")
    folder = Path(figures_dir)
    folder.mkdir(parents=True, exist_ok=True)
    undated = {"png": {"Software": None},
               "pdf": {"Creator": None, "Producer": None, "CreationDate": None}}
    for kind, metadata in undated.items():
        buffer = BytesIO()
        with mpl.rc_context(STYLE):
            figure.savefig(buffer, format=kind, metadata=metadata)
        _write(folder / f"{name}.{kind}", buffer.getvalue())
    ledger = folder / "figures.json"
    entries = json.loads(ledger.read_text(encoding="utf-8")) if ledger.exists() else {}
    entries[name] = {
        "notebook": notebook, "parameters": parameters or {}, "config_hash": config_hash,
        "caption": caption, "synthetic": synthetic, "version": merclip_lib.__version__,
        "commit": _commit(folder)}
    _write(ledger, (json.dumps(entries, indent=1, sort_keys=True) + "\n").encode())
    return figure
