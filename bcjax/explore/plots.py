"""Charts as SVG that takes its ink from the page, so that it reads on light and on dark."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from bcjax.data.records import SPLITS
from bcjax.explore import palette

_INK = "#010203"  # stands for the page's own, and is replaced by it
_ACCENT = "#5b7db1"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched, and set in any font
    "svg.hashsalt": "bcjax",  # the same chart is the same bytes
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "text.parse_math": False,  # a class may be named with dollars
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
}
_ROW = 0.27  # inches of a class in a chart with a row for each
_DECADES = 30  # times that a quantity must span for a logarithmic axis
_CSS_PER_POINT = 4 / 3
_SVG = re.compile(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>(?:.*?</metadata>)?(.*)', re.DOTALL)
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def counts(by_split: Mapping[str, Sequence[int]], classes: Sequence[str]) -> str:
    """Draws how many pictures of each class each split holds."""
    with mpl.rc_context(_STYLE):
        figure, axis = _rows(classes)
        start = np.zeros(len(classes))
        for split in (split for split in SPLITS if split in by_split):
            held = np.array(by_split[split])
            rows = np.arange(len(classes))
            axis.barh(rows, held, 0.66, start, color=palette.SPLITS[split], label=split)
            start += held
        axis.set_xlabel("pictures")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        figure.legend(ncols=3, loc="outside upper right", borderpad=0, handlelength=1)
        return _svg(figure, "counts", "Pictures of each class in each split")


def ranges(
    name: str, values: Sequence[Float[np.ndarray, "n"]], classes: Sequence[str], what: str
) -> str:
    """Draws where a quantity lies in each class: median, middle half, middle nine tenths.

    Args:
      name: Of the chart, unique on a page.
      values: Of each class's pictures.
      classes: Names.
      what: The quantity and its unit.
    """
    with mpl.rc_context(_STYLE):
        figure, axis = _rows(classes)
        for row, each in enumerate(values):
            if len(each):
                low, left, middle, right, high = np.quantile(each, _QUANTILES)
                axis.plot((low, high), (row, row), color=_INK, lw=0.8, alpha=0.6)
                axis.plot((left, right), (row, row), color=_ACCENT, lw=5, solid_capstyle="butt")
                axis.plot(middle, row, "o", ms=4, mfc="white", mec=_INK, mew=0.8)
        everything = np.concatenate(values)
        low, high = np.quantile(everything, (_QUANTILES[0], _QUANTILES[-1]))
        if low > 0 and high > _DECADES * low:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.xaxis.set_minor_locator(NullLocator())
        else:
            axis.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
        axis.xaxis.set_major_formatter("{x:,g}")
        axis.grid(axis="x", color=_INK, alpha=0.12, lw=0.6)
        axis.set_xlabel(what)
        return _svg(figure, name, f"{what} of each class: median, quartiles, 5 % and 95 %")


def levels(
    name: str,
    luma: Float[np.ndarray, "B"],
    channels: Float[np.ndarray, "3 B"],
    most: float,
    title: str,
) -> str:
    """Draws how light, and how red, green and blue, the pixels of a class are.

    Heights are square roots: the slide's plain ground would dwarf the cell.

    Args:
      name: Of the chart, unique on a page.
      luma: Share of the pixels in each bin of 0..255.
      channels: Of R, G and B, likewise.
      most: The highest share that the axis must show, to be shared by the classes.
      title: What is drawn, for those who cannot see it.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(2.7, 1.25), layout="constrained")
        axis = figure.add_subplot()
        edges = np.linspace(0, 256, len(luma) + 1)
        axis.stairs(np.sqrt(luma), edges, fill=True, color=_INK, alpha=0.16)
        for colour, shares in zip(palette.CHANNELS.values(), channels, strict=True):
            axis.stairs(np.sqrt(shares), edges, color=colour, lw=1.3, baseline=None)
        axis.set_xlim(0, 255)
        axis.set_ylim(0, 1.05 * np.sqrt(most))
        axis.set_xticks((0, 64, 128, 192, 255))
        axis.set_yticks(())
        axis.spines.left.set_visible(False)
        return _svg(figure, name, title)


def _rows(classes: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure with a row for each class, the first on top."""
    figure = Figure(figsize=(4.6, 0.75 + _ROW * len(classes)), layout="constrained")
    axis = figure.add_subplot()
    axis.set_yticks(range(len(classes)), classes)
    axis.set_ylim(len(classes) - 0.5, -0.5)
    axis.tick_params(axis="y", length=0)
    axis.spines.left.set_visible(False)
    return figure, axis


def _svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an element of a page, its ids unique there."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    ((box, drawn),) = _SVG.findall(buffer.getvalue())
    drawn = drawn.replace(_INK, "currentColor").replace("xlink:href=", "href=")
    drawn = re.sub(r'((?:id|href)="#?|url\(#)', rf"\g<1>{name}-", drawn)
    width = float(box.split()[2]) * _CSS_PER_POINT
    return (
        f'<svg class="chart" viewBox="{box}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="{html.escape(title)}">{drawn}'
    )
