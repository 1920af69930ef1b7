"""Drawings of the blocks: complete, legible, nothing over anything else."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from merclip_lib.figures.drawings import DRAWINGS, drawing


@pytest.mark.parametrize("block", DRAWINGS)
def test_every_text_fits_and_no_box_lies_on_another(block):
    figure = drawing(block)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    boxes = [patch.get_window_extent() for patch in axes.patches]
    assert len(boxes) == len(DRAWINGS[block]["boxes"])
    for text, box in zip(axes.texts, boxes, strict=False):  # the text of each box comes after it
        extent = text.get_window_extent()
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1, text.get_text()
        assert box.y0 <= extent.y0 and extent.y1 <= box.y1, text.get_text()
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i]), DRAWINGS[block]["boxes"][i]
    width, height = canvas.get_width_height()
    for text in axes.texts:
        extent = text.get_window_extent()
        assert 0 <= extent.x0 and extent.x1 <= width and 0 <= extent.y0 and extent.y1 <= height
    assert all(isinstance(patch, FancyBboxPatch) for patch in axes.patches)


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match="no drawing of 'head'; choose one of stem, local"):
        drawing("head")
