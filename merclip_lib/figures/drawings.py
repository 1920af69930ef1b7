"""The blocks of the network, drawn (paper, figures of the video encoder and of the EIM).

What is in a drawing is data: `drawings.yaml`.
"""

from pathlib import Path

import yaml
from matplotlib.figure import Figure

from merclip_lib.figures.style import INK, WIDTH, box, legend_below, panels

DRAWINGS: dict[str, dict] = yaml.safe_load(
    Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
)
COLOURS = {"data": "white", "clip": "#E3EEF7", "new": "#F6EBD3", "sum": "#EEEEEE"}
MEANING = {"data": "tensor", "clip": "CLIP's weights", "new": "added to CLIP"}


def drawing(block: str) -> Figure:
    """One block of the network: what goes in, what is done to it, what comes out.

    Args:
        block: "stem", "local", "global", "fusion" or "eim".

    Raises:
        ValueError: there is no such drawing.
    """
    if block not in DRAWINGS:
        raise ValueError(f"no drawing of {block!r}; choose one of {', '.join(DRAWINGS)}")
    content, height = DRAWINGS[block], DRAWINGS[block]["height"]
    figure, [[axes]] = panels(content["title"], 0.6 + height * WIDTH / 100)
    axes.set(xlim=(0, 100), ylim=(0, height), aspect="equal")
    axes.axis("off")
    for *place, kind, text in content["boxes"]:
        box(axes, place, text, COLOURS[kind], 0.8, fontsize=6.5).set_label(MEANING.get(kind, "_"))
    for points in content["arrows"]:
        axes.plot(*zip(*points[:-1], strict=True), color=INK, lw=0.9)
        tip = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "color": INK, "lw": 0.9}
        axes.annotate("", points[-1], points[-2], arrowprops=tip)
    for x, y, text in content["texts"]:
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, style="italic")
    legend_below(figure, [axes], ncols=len(MEANING))
    return figure
