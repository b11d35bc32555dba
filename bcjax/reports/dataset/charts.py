"""The charts of the page about a data set: counts, sizes, sharpness, levels of each class."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib import ticker

from bcjax.data.curate.measured_pictures import Measures
from bcjax.data.records import SPLITS
from bcjax.reports.pages import charts
from bcjax.reports.pages.page import Chart

_LOGARITHMIC = 30  # a quantity that varies by more than this factor has a logarithmic axis
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@charts.style()
def count_chart(by_split: Mapping[str, Sequence[int]], classes: Sequence[str]) -> Chart:
    """Draws how many pictures of each class are in each split."""
    figure, axes = charts.figure_with_rows(classes)
    start = np.zeros(len(classes))
    rows = np.arange(len(classes))
    for split in (split for split in SPLITS if split in by_split):
        count = np.array(by_split[split])
        axes.barh(rows, count, 0.66, start, color=charts.SPLIT_COLOURS[split], label=split)
        start += count
    axes.set_xlabel("pictures")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    figure.legend(ncols=3, loc="outside upper right", borderpad=0, handlelength=1)
    return Chart("counts_chart", "Pictures of each class in each split", figure)


def range_charts(
    measures: Measures,
    labels: Int[np.ndarray, "N"],
    classes: Sequence[str],
    drawn: Sequence[int],
) -> list[Chart]:
    """Draws where width, height (if they differ between pictures) and sharpness lie in each class.

    Args:
      measures: Of N pictures.
      labels: Their labels.
      classes: Names of the classes.
      drawn: The labels of the classes that are drawn.
    """
    quantities = {"width": "px", "height": "px", "sharpness": "variance of the Laplacian"}
    values = {name: getattr(measures, name) for name in quantities}
    return [
        _ranges(
            name,
            [values[name][labels == label] for label in drawn],
            [classes[label] for label in drawn],
            f"{name} ({unit})",
        )
        for name, unit in quantities.items()
        if name == "sharpness" or np.ptp(values["width"]) or np.ptp(values["height"])
    ]


@charts.style()
def _ranges(
    name: str, values: Sequence[Float[np.ndarray, "n"]], classes: Sequence[str], quantity: str
) -> Chart:
    """Draws the median, the middle half and the middle nine tenths of each class's pictures."""
    figure, axes = charts.figure_with_rows(classes)
    for row, each in enumerate(values):
        if len(each):
            low, left, middle, right, high = np.quantile(each, _QUANTILES)
            axes.plot((low, high), (row, row), color=charts.INK, lw=0.8, alpha=0.6)
            axes.plot((left, right), (row, row), color=charts.ACCENT, lw=5, solid_capstyle="butt")
            axes.plot(middle, row, "o", ms=4, mfc="white", mec=charts.INK, mew=0.8)
    low, high = np.quantile(np.concatenate(values), (_QUANTILES[0], _QUANTILES[-1]))
    if low > 0 and high > _LOGARITHMIC * low:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
        axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel(quantity)
    return Chart(name, f"{name.capitalize()} of each class", figure)


@charts.style()
def level_chart(
    name: str,
    luma: Float[np.ndarray, "B"],
    channels: Float[np.ndarray, "3 B"],
    highest: float,
    title: str,
) -> Chart:
    """Draws how light, and how red, green and blue, the pixels of a class are.

    Heights are square roots: else the plain background of the slide would dwarf the cell.

    Args:
      name: Name of the chart, unique on a page.
      luma: Share of the pixels in each bin of 0..255.
      channels: The same for R, G and B.
      highest: The highest share that the axis must show, the same for all classes.
      title: Name of the class.
    """
    figure, axes = charts.new_figure(2.7, 1.25, grid="")
    edges = np.linspace(0, 256, len(luma) + 1)
    axes.stairs(np.sqrt(luma), edges, fill=True, color=charts.INK, alpha=0.16)
    for colour, shares in zip(charts.CHANNEL_COLOURS, channels, strict=True):
        axes.stairs(np.sqrt(shares), edges, color=colour, lw=1.3, baseline=None)
    axes.set_xlim(0, 255)
    axes.set_ylim(0, 1.05 * np.sqrt(highest))
    axes.set_xticks((0, 64, 128, 192, 255))
    axes.set_yticks(())
    axes.spines.left.set_visible(False)
    return Chart(name, title, figure)
