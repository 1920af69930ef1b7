"""Pictures of faces: frames, what changed between them, where a model looks, and the method.

Like `charts`: arrays in, a matplotlib Figure out, one style and colours (`style`).
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from merclip_lib.figures import style
from merclip_lib.figures.style import INK, WIDTH, panels

Rows = Sequence[Sequence[np.ndarray] | np.ndarray] | np.ndarray  # of pictures
CELL = 0.95  # inches: a picture in a grid, if the grid is not too wide


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Signed brightness change from `first` to `second`, (..., H, W, 3) each -> (..., H, W)."""
    return np.asarray(second, float).mean(-1) - np.asarray(first, float).mean(-1)


def image_grid(
    images: Rows,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "SynthME",
    limit: float | None = None,
    cell: float = CELL,
) -> Figure:
    """Grid of pictures.

    Args:
        images: `images[r][c]` is an RGB picture (H, W, 3), or a signed map (H, W).
        rows: labels.
        columns: labels.
        title: of the figure.
        limit: end of the scale of the signed maps; None: each has its own.
        cell: width of a picture in inches.
    """
    margin = 0.07 * max(len(line) for label in rows for line in str(label).split("\n"))
    width = max(cell * len(columns) + margin, 0.07 * len(title))
    signed = any(np.ndim(image) == 2 for row in images for image in row)
    height = cell * len(rows) + 0.4 + 0.2 * signed
    figure, axes = panels(title, height, len(rows), len(columns), width)
    for r, row in enumerate(images):
        for c, image in enumerate(row):
            _picture(axes[r, c], image, limit)
            if r == 0:
                axes[r, c].set_title(columns[c], fontsize=8)
        axes[r, 0].set_ylabel(rows[r], rotation=0, ha="right", va="center")
    if signed:
        keys = [Patch(color="#E08214", label="brighter"), Patch(color="#8073AC", label="darker")]
        figure.legend(handles=keys, ncols=2, loc="outside lower center", handlelength=1)
    return figure


def mix_grid(
    images: Rows, rows: Sequence[str], columns: Sequence[str], regions: Sequence[str | None]
) -> Figure:
    """`image_grid` with a region of `augment` outlined in each column, where it is not None."""
    from merclip_lib.augment import region_slices  # torch comes with it

    figure = image_grid(images, rows, columns, "LocalStaticFaceMix on SynthME")
    height, width = np.shape(images[0][0])[:2]
    for axes, region in zip(figure.axes, list(regions) * len(rows), strict=True):
        if region is not None:
            y, x = region_slices(region, height, width)
            corner, size = (x.start - 0.5, y.start - 0.5), (x.stop - x.start, y.stop - y.start)
            colour = style.REGION_COLOURS[region]
            axes.add_patch(Rectangle(corner, *size, fill=False, lw=1.6, clip_on=False, ec=colour))
    return figure


def clip_strip(
    frames: np.ndarray, marks: Mapping[int, str], title: str = "A SynthME clip"
) -> Figure:
    """Frames of a clip (T, H, W, 3) above their change since the first; marks: {position: name}."""
    change = difference(frames[:1], frames)
    names = [marks.get(t, f"{t}") for t in range(len(frames))]
    rows = ["frame", "change\nsince onset"]
    return image_grid([frames, change], rows, names, title, _limit(change), _cell(len(frames)))


def animation(frames: np.ndarray, milliseconds: int = 90) -> str:
    """HTML of a looping GIF of frames (T, H, W, 3) uint8: show it with IPython.display.HTML."""
    return embedded(gif(frames, milliseconds), "gif")


def embedded(picture: bytes, kind: str = "png") -> str:
    """HTML of a picture, its content in it."""
    return f'<img alt="" src="data:image/{kind};base64,{b64encode(picture).decode()}">'


def gif(frames: np.ndarray, milliseconds: int = 90, height: int = 0) -> bytes:
    """A looping GIF of frames (T, H, W, 3) uint8, enlarged to a height in pixels if given."""
    if height:
        size = round(height * frames.shape[2] / frames.shape[1]), height
        frames = np.stack([np.asarray(Image.fromarray(f).resize(size, 3)) for f in frames])
    height, width = frames.shape[1:3]
    reel = Image.fromarray(frames.reshape(-1, width, 3))
    every_third = reel.resize((width // 3 or 1, reel.height // 3 or 1), Image.Resampling.NEAREST)
    # one palette: no flicker
    reel = reel.quantize(palette=every_third.quantize(128), dither=Image.Dither.NONE)
    first, *rest = [reel.crop((0, t, width, t + height)) for t in range(0, reel.height, height)]
    content = BytesIO()
    first.save(content, "gif", save_all=True, append_images=rest, loop=0, duration=milliseconds)
    return content.getvalue()


def heated(frames: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Frames (T, H, W, 3) uint8, grey under heat; relevance as a row of `relevance_overlay`."""
    largest, (height, width) = relevance.max() or 1, frames.shape[1:3]
    heat = np.stack([_enlarged(each / largest, height, width) for each in relevance])[..., None]
    grey = frames.mean(-1, keepdims=True) / 255
    colour = mpl.colormaps["inferno"](heat[..., 0])[..., :3]
    opacity = 0.85 * heat**0.7
    return (255 * (opacity * colour + (1 - opacity) * grey)).astype(np.uint8)


def montage(
    onset: np.ndarray,
    apex: np.ndarray,
    labels: Sequence[str],
    title: str = "SynthME: onset, apex and what changed",
) -> Figure:
    """Onset, apex and amplified signed difference, a column per clip; onset, apex (S, H, W, 3)."""
    images = {"onset": onset, "apex": apex, "difference": difference(onset, apex)}
    return image_grid([*images.values()], [*images], labels, title, cell=_cell(len(labels)))


def relevance_overlay(
    frames: np.ndarray,
    relevance: np.ndarray,
    columns: Sequence[str],
    rows: Sequence[str] = ("",),
    title: str = "SynthME: where the model looks",
    cell: float = 1.2,
) -> Figure:
    """Grey frames under heat.

    Args:
        frames: pictures (R, C, H, W, 3).
        relevance: maps (R, C, h, w), not negative; the largest value of a row is opaque, zero is
            transparent.
        columns: labels.
        rows: labels.
        title: of the figure.
        cell: width of a picture in inches.
    """
    grey = np.asarray(frames, float).mean(-1, keepdims=True).repeat(3, -1) / 255
    figure = image_grid(grey, rows, columns, title, cell=cell)
    height, width = np.shape(frames)[2:4]
    scaled = [heat / (row.max() or 1) for row in relevance for heat in row]
    for axes, heat in zip(figure.axes, scaled, strict=True):
        heat = _enlarged(heat, height, width)
        axes.imshow(mpl.colormaps["inferno"](heat), alpha=0.85 * heat**0.7, vmin=0, vmax=1)
    return figure


OVERVIEW = yaml.safe_load(Path(__file__).with_name("overview.yaml").read_text(encoding="utf-8"))


def overview(frames: np.ndarray, annotation: str, sentence: str) -> Figure:
    """The whole method, after the paper's overview figure.

    Args:
        frames: three of a clip (3, H, W, 3), the last in front.
        annotation: its action units.
        sentence: what they say, broken into lines.
    """
    figure, [[axes]] = panels("MER-CLIP in one picture (face: SynthME)", 4.6)
    axes.axis("off")
    for i, frame in enumerate(frames):
        x, y = 3.2 - 1.5 * i, 31.5 - 1.5 * i
        axes.imshow(frame, extent=(x, x + 10, y, y + 10), zorder=3 + i, interpolation="bilinear")
        axes.add_patch(Rectangle((x, y), 10, 10, fill=False, ec="white", lw=1, zorder=3 + i))
    axes.set(xlim=(0, 100), ylim=(-15, 47), aspect="equal")
    for *place, text, colour, size in OVERVIEW["boxes"]:
        style.box(axes, place, text, colour, 1, fontsize=size)
    style.box(axes, (1, 5.5, 13, 7), annotation, "white", 1, fontsize=8, family="monospace")
    style.box(axes, (19, 3, 24, 12), sentence, "#F7F1E3", 1, fontsize=7)
    for i, (name, length) in enumerate(OVERVIEW["bars"].items()):
        colour = style.CLASS_COLOURS[name]
        axes.add_patch(Rectangle((87, 41.2 - 1.6 * i), length, 1.2, color=colour))
        axes.text(87.5 + length, 41.8 - 1.6 * i, name, va="center", fontsize=6)
    for i, j in np.ndindex(5, 5):
        corner, colour = (69.5 + 2.6 * j, 23.4 - 2.6 * i), style.BLUE if i == j else "#D3DFEA"
        axes.add_patch(Rectangle(corner, 2.4, 2.4, lw=0, color=colour))
    for x, y, text, look in OVERVIEW["texts"]:
        axes.text(x, y, text, **look)
    arrow = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0, "color": INK}
    for start, end, text, dx, dy in OVERVIEW["arrows"]:
        axes.annotate("", end, start, arrowprops=arrow)
        middle = (start[0] + end[0]) / 2 + dx, (start[1] + end[1]) / 2 + dy
        axes.text(*middle, text, ha="center", fontsize=7.5, style="italic")
    return figure


def _picture(axes: Axes, image: np.ndarray, limit: float | None) -> None:
    """Draw an RGB image, or a 2-D signed map on a diverging scale that is symmetric about zero."""
    if image.ndim == 2:
        limit = limit or _limit(image)
        axes.imshow(image, cmap="PuOr_r", vmin=-limit, vmax=limit, interpolation="nearest")
    else:
        axes.imshow(image, interpolation="bilinear")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _enlarged(heat: np.ndarray, height: int, width: int) -> np.ndarray:
    """A map (h, w) of values in [0, 1] in the size of a picture."""
    picture = Image.fromarray((255 * heat).astype(np.uint8))
    return np.asarray(picture.resize((width, height), 2)) / 255


def _limit(change: np.ndarray) -> float:
    """End of the scale of a signed map: nearly its largest value."""
    return float(np.percentile(np.abs(change), 99.5)) or 1.0


def _cell(columns: int) -> float:
    """Width of a picture such that all columns and their labels fit on the page."""
    return min(CELL, (WIDTH - 0.9) / columns)
