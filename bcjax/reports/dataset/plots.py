"""The charts of the page about a data set."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from bcjax.data.records import SPLITS
from bcjax.reports.pages import palette
from bcjax.reports.pages.charts import ACCENT, INK, grid, rows, style, svg

_DECADES = 30  # times that a quantity must span for a logarithmic axis
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def counts(by_split: Mapping[str, Sequence[int]], classes: Sequence[str]) -> str:
    """Draws how many pictures of each class each split holds."""
    with style():
        figure, axis = rows(classes)
        start = np.zeros(len(classes))
        for split in (split for split in SPLITS if split in by_split):
            held = np.array(by_split[split])
            axis.barh(
                np.arange(len(classes)), held, 0.66, start, color=palette.SPLITS[split], label=split
            )
            start += held
        axis.set_xlabel("pictures")
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        figure.legend(ncols=3, loc="outside upper right", borderpad=0, handlelength=1)
        return svg(figure, "counts", "Pictures of each class in each split")


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
    with style():
        figure, axis = rows(classes)
        for row, each in enumerate(values):
            if len(each):
                low, left, middle, right, high = np.quantile(each, _QUANTILES)
                axis.plot((low, high), (row, row), color=INK, lw=0.8, alpha=0.6)
                axis.plot((left, right), (row, row), color=ACCENT, lw=5, solid_capstyle="butt")
                axis.plot(middle, row, "o", ms=4, mfc="white", mec=INK, mew=0.8)
        everything = np.concatenate(values)
        low, high = np.quantile(everything, (_QUANTILES[0], _QUANTILES[-1]))
        if low > 0 and high > _DECADES * low:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.xaxis.set_minor_locator(NullLocator())
        else:
            axis.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
        axis.xaxis.set_major_formatter("{x:,g}")
        grid(axis, "x")
        axis.set_xlabel(what)
        return svg(figure, name, f"{what} of each class: median, quartiles, 5 % and 95 %")


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
    with style():
        figure = Figure(figsize=(2.7, 1.25), layout="constrained")
        axis = figure.add_subplot()
        edges = np.linspace(0, 256, len(luma) + 1)
        axis.stairs(np.sqrt(luma), edges, fill=True, color=INK, alpha=0.16)
        for colour, shares in zip(palette.CHANNELS.values(), channels, strict=True):
            axis.stairs(np.sqrt(shares), edges, color=colour, lw=1.3, baseline=None)
        axis.set_xlim(0, 255)
        axis.set_ylim(0, 1.05 * np.sqrt(most))
        axis.set_xticks((0, 64, 128, 192, 255))
        axis.set_yticks(())
        axis.spines.left.set_visible(False)
        return svg(figure, name, title)
