"""Pictures of faces: frames, what changed between them, where a model looks, and the method.

Like `plots`: arrays in, a matplotlib Figure out, one style and colours (`style`).
"""

from base64 import b64encode
from io import BytesIO

import matplotlib as mpl
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch, Rectangle
from PIL import Image

from merclip_lib.figures.style import BLUE, CLASS_COLOURS, INK, REGION_COLOURS, WIDTH, panels


def difference(first, second):
    """Signed brightness change from `first` to `second`, (..., H, W, 3) each -> (..., H, W)."""
    return np.asarray(second, float).mean(-1) - np.asarray(first, float).mean(-1)


def _picture(axes, image, limit=None):
    """Draw an RGB image, or a 2-D signed map on a diverging scale that is symmetric about zero."""
    image = np.asarray(image)
    if image.ndim == 2:
        limit = limit or np.percentile(np.abs(image), 99.5) or 1.0
        axes.imshow(image, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
    else:
        axes.imshow(image, interpolation="bilinear")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def image_grid(images, rows, columns, title="SynthME", limit=None, cell=0.95):
    """Grid of pictures: images[r][c] is (H, W, 3), or (H, W) for a signed map; labels as given.

    `limit` fixes the scale of the signed maps (else each has its own); `cell` in inches.
    """
    margin = 0.07 * max(len(line) for label in rows for line in str(label).split("\n"))
    size = (cell * len(columns) + margin, cell * len(rows) + 0.4)
    signed = any(np.ndim(image) == 2 for row in images for image in row)
    figure, axes = panels(title, size[0], size[1] + 0.2 * signed, len(rows), len(columns))
    for r, row in enumerate(images):
        for c, image in enumerate(row):
            _picture(axes[r, c], image, limit)
            if r == 0:
                axes[r, c].set_title(columns[c], fontsize=8)
        axes[r, 0].set_ylabel(rows[r], rotation=0, ha="right", va="center")
    if signed:
        figure.legend(
            handles=[
                Patch(color="#E08214", label="brighter"),
                Patch(color="#8073AC", label="darker"),
            ],
            ncols=2,
            loc="outside lower center",
            handlelength=1,
        )
    return figure


def mix_grid(images, rows, columns, regions, title="LocalStaticFaceMix on SynthME"):
    """`image_grid` with a region outlined in each column; regions: names of `augment`, or None."""
    from merclip_lib.augment import region_slices  # torch comes with it

    figure = image_grid(images, rows, columns, title)
    height, width = np.shape(images[0][0])[:2]
    for axes, region in zip(figure.axes, list(regions) * len(rows), strict=True):
        if region is not None:
            y, x = region_slices(region, height, width)
            axes.add_patch(
                Rectangle(
                    (x.start - 0.5, y.start - 0.5),
                    x.stop - x.start,
                    y.stop - y.start,
                    fill=False,
                    lw=1.6,
                    clip_on=False,
                    ec=REGION_COLOURS[region],
                )
            )
    return figure


def clip_strip(frames, marks, title="A SynthME clip"):
    """Frames of a clip (T, H, W, 3) above their change since the first; marks: {position: name}."""
    frames = np.asarray(frames)
    change = difference(frames[:1], frames)
    names = [marks.get(t, f"{t}") for t in range(len(frames))]
    limit = np.percentile(np.abs(change), 99.5) or 1.0
    cell = min(0.95, (WIDTH - 0.9) / len(frames))
    return image_grid([frames, change], ["frame", "change\nsince onset"], names, title, limit, cell)


def animation(frames, milliseconds=90):
    """HTML of a looping GIF of frames (T, H, W, 3) uint8: show it with IPython.display.HTML."""
    height, width = frames.shape[1:3]
    reel = Image.fromarray(frames.reshape(-1, width, 3)).quantize(128)  # one palette: no flicker
    pages = [reel.crop((0, t, width, t + height)) for t in range(0, reel.height, height)]
    content = BytesIO()
    pages[0].save(
        content, "gif", save_all=True, append_images=pages[1:], loop=0, duration=milliseconds
    )
    return f'<img src="data:image/gif;base64,{b64encode(content.getvalue()).decode()}">'


def montage(onset, apex, labels, title="SynthME: onset, apex and what changed"):
    """Onset, apex and amplified signed difference, a column per clip; onset, apex (S, H, W, 3)."""
    change = difference(onset, apex)
    cell = min(0.95, (WIDTH - 0.9) / len(labels))
    return image_grid(
        [onset, apex, change], ["onset", "apex", "difference"], labels, title, cell=cell
    )


def relevance_overlay(
    frames, relevance, columns, rows=("",), title="SynthME: where the model looks", cell=1.2
):
    """Grey frames under heat: frames (R, C, H, W, 3), relevance (R, C, h, w) >= 0.

    One scale per row: the largest value is opaque, nothing is transparent.
    """
    grey = np.asarray(frames, float).mean(-1, keepdims=True).repeat(3, -1) / 255
    figure = image_grid(grey, rows, columns, title, cell=cell)
    height, width = np.shape(frames)[2:4]
    for i, axes in enumerate(figure.axes):
        row, column = divmod(i, len(columns))
        heat = np.asarray(relevance[row][column]) / (np.max(relevance[row]) or 1)
        picture = Image.fromarray((255 * heat).astype(np.uint8)).resize((width, height), 2)
        heat = np.asarray(picture) / 255
        axes.imshow(mpl.colormaps["inferno"](heat), alpha=0.85 * heat**0.7, vmin=0, vmax=1)
    return figure


def overview(frames, annotation, sentence, title="MER-CLIP in one picture (face: SynthME)"):
    """The whole method; frames (3, H, W, 3) of a clip, its AU annotation, its sentence in lines."""
    figure, axes = panels(title, WIDTH, 3.5)
    axes = axes[0, 0]
    axes.set(xlim=(0, 100), ylim=(0, 47), aspect="equal")
    axes.axis("off")

    def box(x, y, w, h, text, colour, size=7.5, **options):
        shape = FancyBboxPatch(
            (x, y), w, h, boxstyle="round,pad=0,rounding_size=1", fc=colour, ec=INK, lw=0.7
        )
        axes.add_patch(shape)
        axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", fontsize=size, **options)

    def arrow(start, end, text="", dx=0.0, dy=1.2):
        axes.add_patch(
            FancyArrowPatch(
                start,
                end,
                arrowstyle="-|>",
                mutation_scale=9,
                lw=1,
                color=INK,
                shrinkA=0,
                shrinkB=0,
            )
        )
        axes.text(
            (start[0] + end[0]) / 2 + dx,
            (start[1] + end[1]) / 2 + dy,
            text,
            ha="center",
            fontsize=7.5,
            style="italic",
        )

    for i, frame in enumerate(frames):
        x, y = 3.2 - 1.5 * i, 31.5 - 1.5 * i
        axes.imshow(frame, extent=(x, x + 10, y, y + 10), zorder=3 + i, interpolation="bilinear")
        axes.add_patch(Rectangle((x, y), 10, 10, fill=False, ec="white", lw=1, zorder=3 + i))
    axes.set(xlim=(0, 100), ylim=(0, 47))
    axes.text(6.8, 26.6, "clip, onset to offset", ha="center", va="top")
    box(18, 30, 14, 10, "LocalStatic-\nFaceMix\n(training)", "#F6EBD3")
    box(37, 22, 25, 23.5, "", "#E3EEF7")
    axes.text(49.5, 43.2, "video encoder", ha="center", weight="bold")
    box(38, 38.6, 23, 3.2, "1 stem: patches of two frames", "white", 6.5)
    box(38, 33.2, 23, 4.6, "2 local blocks: attention in\nspace, convolution in time", "white", 6.5)
    box(38, 27.8, 23, 4.6, "3 global blocks: one query\nreads the whole clip", "white", 6.5)
    box(38, 23.6, 23, 3.2, "4 fusion: query + class tokens", "white", 6.5)
    box(70, 33, 12, 9.5, "Emotion\nInference\nModule", "#DDF0E8")
    scores = {
        "anger": 2,
        "disgust": 5,
        "fear": 1.5,
        "happiness": 1,
        "sadness": 2,
        "surprise": 1.2,
        "others": 2.6,
    }  # for show
    for i, (name, long) in enumerate(scores.items()):
        axes.add_patch(Rectangle((87, 41.2 - 1.6 * i), long, 1.2, color=CLASS_COLOURS[name]))
        axes.text(86.6 + long + 0.9, 41.8 - 1.6 * i, name, va="center", fontsize=6)
    box(1, 5.5, 13, 7, annotation, "white", 8, family="monospace")
    axes.text(7.5, 4.2, "AU annotation", ha="center", va="top")
    box(19, 3, 24, 12, sentence, "#F7F1E3", 7)
    box(48, 5, 14, 8, "text tower\n(frozen)", "#E8E2F1")
    for i in range(5):
        for j in range(5):
            axes.add_patch(
                Rectangle(
                    (69.5 + 2.6 * j, 23.4 - 2.6 * i),
                    2.4,
                    2.4,
                    lw=0,
                    color=BLUE if i == j else "#D3DFEA",
                )
            )
    axes.text(
        83.4,
        19.4,
        "alignment: a clip and\nits own sentence agree,\nother pairs do not",
        va="center",
        fontsize=7,
    )
    axes.text(67, 7.4, r"$L = \lambda\, L_{align} + (2-\lambda)\, L_{emotion}$", fontsize=8)
    axes.text(
        67,
        4.4,
        r"$\lambda$ falls from 2 to 1: alignment first,"
        "\nemotion grows from 0 to 1",
        fontsize=7,
        va="top",
    )
    arrow((13.6, 35), (17.6, 35))
    arrow((32.3, 35), (36.7, 35))
    arrow((62.3, 37.7), (69.7, 37.7), "tokens F")
    arrow((82.3, 37.7), (86.3, 37.7))
    arrow((62.3, 24.6), (69.2, 24.6), "clip z", 0)
    arrow((14.3, 9), (18.7, 9))
    arrow((43.3, 9), (47.7, 9))
    arrow((58, 13.3), (69.2, 15.4), "text v", -1.5, 1.3)
    return figure
