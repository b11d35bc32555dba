"""A network, drawn: its stages from the picture to the logits, with shapes and parameters."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bcjax.models.stages import Stage
from bcjax.reports.pages import charts
from bcjax.reports.pages.page import Chart
from bcjax.runtime.errors import UserError

FORMATS = (".svg", ".pdf", ".png")

_WIDTH = 4.6  # inches: as wide as a phone at the size that is drawn, or a column of a paper
_ROW = 0.5  # inches of a stage
_BOX_MIDDLE, _TEXT, _RIGHT = 0.41, 0.88, 4.56  # inches from the left
_MOST = 0.42, 0.76  # inches: height and width of the largest box
_CAPTION = (
    "The height of a box grows with the side of the map (logarithm), its width with the channels; "
    "the bar below a stage is its share of the parameters. Shapes are height x width x channels."
)


def chart(stages: Sequence[Stage], picture: tuple[int, int, int], title: str) -> Chart:
    """Draws a network.

    Args:
      stages: Its stages in forward order.
      picture: The shape of the picture that it reads, (H, W, C).
      title: What the network is called.
    """
    return Chart("network", title, _figure(stages, picture), _CAPTION)


def write(drawn: Chart, path: Path) -> None:
    """Writes the diagram into a file, by its ending as SVG, PDF or PNG (300 dpi).

    Raises:
      UserError: If the file has another ending.
    """
    if path.suffix not in FORMATS:
        raise UserError(
            f"A diagram cannot be written as {path.name}: give a file that ends in "
            f"{', '.join(FORMATS)}."
        )
    with charts.style():
        charts.write(drawn.figure, path)


def shape_in_words(shape: Sequence[int]) -> str:
    """Returns "56 x 56 x 64", "197 tokens x 192" or "1,000"; "" if the shape is not known."""
    parts = [f"{size:,}" for size in shape]
    if len(parts) == 2:
        parts[0] += " tokens"
    return " x ".join(parts)


def layers_in_words(stage: Stage) -> str:
    """Returns "2 blocks: 4 conv 3x3, 1 conv 1x1"."""
    blocks = f"{stage.blocks} block{'s' * (stage.blocks > 1)}: " if stage.blocks else ""
    return blocks + ", ".join(f"{count} {kind}" for kind, count in stage.layers.items())


@charts.style()
def _figure(stages: Sequence[Stage], picture: tuple[int, int, int]) -> Figure:
    height = _ROW * (len(stages) + 1) + 0.1
    figure, axes = charts.new_figure(_WIDTH, height, grid="")
    figure.set_layout_engine("none")
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(height, 0)  # downwards, in inches
    total = sum(stage.parameters for stage in stages)
    most_channels = max(shape[-1] for shape in (picture, *(s.shape for s in stages)) if shape)
    boxes = []
    for row, stage in enumerate((None, *stages)):
        middle = 0.05 + _ROW * (row + 0.5)
        shape = stage.shape if stage else picture
        boxes.append(_box(axes, middle, shape, picture[0], most_channels, stage is None))
        axes.text(
            _TEXT, middle - 0.09, stage.name if stage else "picture", weight="bold", va="center"
        )
        axes.text(_RIGHT, middle - 0.09, shape_in_words(shape), ha="right", va="center")
        if stage is None:
            continue
        share = f"{stage.parameters:,} ({100 * stage.parameters / max(total, 1):.1f} %)"
        small: dict[str, Any] = {"fontsize": 8, "va": "center", "alpha": 0.8}
        axes.text(_TEXT, middle + 0.08, _shortened(layers_in_words(stage)), **small)
        axes.text(_RIGHT, middle + 0.08, share, ha="right", **small)
        length = (_RIGHT - _TEXT) * stage.parameters / max(total, 1)
        bar = (_TEXT, middle + 0.19), length, 0.03
        axes.add_patch(Rectangle(*bar, color=charts.ACCENT, lw=0))
    for (_, above), (below, _) in itertools.pairwise(boxes):
        arrow = {"arrowstyle": "-|>", "color": charts.INK, "lw": 0.7, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", (_BOX_MIDDLE, below), (_BOX_MIDDLE, above), arrowprops=arrow)
    return figure


def _box(
    axes: Axes,
    middle: float,
    shape: Sequence[int],
    side: int,
    most_channels: int,
    is_picture: bool,
) -> tuple[float, float]:
    """Draws the output of a stage; returns its upper and its lower edge, in inches."""
    # Of tokens and vectors, which have no sides, a flat box.
    rows = shape[0] if len(shape) == 3 else 1
    tall = max(0.07, _MOST[0] * math.log1p(rows) / math.log1p(side) * 0.9)
    wide = _MOST[1] * math.log1p(shape[-1] if shape else 1) / math.log1p(most_channels)
    colour = charts.CHANNEL_COLOURS[1] if is_picture else charts.ACCENT
    corner = (_BOX_MIDDLE - wide / 2, middle - tall / 2)
    axes.add_patch(Rectangle(corner, wide, tall, facecolor=colour, alpha=0.75, lw=0))
    return middle - tall / 2, middle + tall / 2


def _shortened(text: str) -> str:
    most = 44  # characters that fit beside the parameters
    return text if len(text) <= most else text[: most - 3].rsplit(",", 1)[0] + ", ..."
