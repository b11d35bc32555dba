"""The charts of the page about a data set: counts, sizes, sharpness, levels of each class."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from bcjax.data.curate.measured_pictures import Measures
from bcjax.data.prepared import PreparedSet
from bcjax.data.records import SPLITS
from bcjax.reports.pages.charts import (
    ACCENT,
    CHANNEL_COLOURS,
    INK,
    SPLIT_COLOURS,
    draw_grid,
    figure_with_rows,
    new_figure,
    style,
    svg,
    ticker,
)

_LOGARITHMIC = 30  # a quantity that varies by more than this factor has a logarithmic axis
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclasses.dataclass(frozen=True)
class DatasetCharts:
    """The charts that compare the classes, as SVG.

    Attributes:
      counts: Pictures of each class in each split.
      sizes: Widths and heights of each class; empty if all pictures have one size.
      sharpness: Sharpness of each class.
      smallest: Least width and least height, in pixels.
      largest: Greatest width and greatest height, in pixels.
    """

    counts: str
    sizes: Sequence[str]
    sharpness: str
    smallest: tuple[int, int]
    largest: tuple[int, int]


def dataset_charts(
    prepared: PreparedSet, measures: Measures, labels: Int[np.ndarray, "N"]
) -> DatasetCharts:
    """Draws the charts of a set from the measures and labels of its N pictures."""

    def ranges_of(name: str, values: np.ndarray, quantity: str) -> str:
        by_class = [values[labels == label] for label in range(len(prepared.classes))]
        return ranges(name, by_class, prepared.classes, quantity)

    width, height = measures.width, measures.height
    smallest, largest = ((int(f(width)), int(f(height))) for f in (np.min, np.max))
    sizes = []
    if smallest != largest:
        sizes = [
            ranges_of("width", width, "width (px)"),
            ranges_of("height", height, "height (px)"),
        ]
    sharpness = "sharpness (variance of the Laplacian)"
    return DatasetCharts(
        counts=counts(prepared.counts, prepared.classes),
        sizes=sizes,
        sharpness=ranges_of("sharpness", measures.sharpness, sharpness),
        smallest=smallest,
        largest=largest,
    )


def counts(by_split: Mapping[str, Sequence[int]], classes: Sequence[str]) -> str:
    """Draws how many pictures of each class are in each split."""
    with style():
        figure, axes = figure_with_rows(classes)
        start = np.zeros(len(classes))
        rows = np.arange(len(classes))
        for split in (split for split in SPLITS if split in by_split):
            count = np.array(by_split[split])
            axes.barh(rows, count, 0.66, start, color=SPLIT_COLOURS[split], label=split)
            start += count
        axes.set_xlabel("pictures")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        figure.legend(ncols=3, loc="outside upper right", borderpad=0, handlelength=1)
        return svg(figure, "counts", "Pictures of each class in each split")


def ranges(
    name: str, values: Sequence[Float[np.ndarray, "n"]], classes: Sequence[str], quantity: str
) -> str:
    """Draws where a quantity lies in each class: median, middle half and middle nine tenths.

    Args:
      name: Name of the chart, unique on a page.
      values: Values of each class's pictures.
      classes: Names of the classes.
      quantity: The quantity and its unit.
    """
    with style():
        figure, axes = figure_with_rows(classes)
        for row, each in enumerate(values):
            if len(each):
                low, left, middle, right, high = np.quantile(each, _QUANTILES)
                axes.plot((low, high), (row, row), color=INK, lw=0.8, alpha=0.6)
                axes.plot((left, right), (row, row), color=ACCENT, lw=5, solid_capstyle="butt")
                axes.plot(middle, row, "o", ms=4, mfc="white", mec=INK, mew=0.8)
        everything = np.concatenate(values)
        low, high = np.quantile(everything, (_QUANTILES[0], _QUANTILES[-1]))
        if low > 0 and high > _LOGARITHMIC * low:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
            axes.xaxis.set_minor_locator(ticker.NullLocator())
        else:
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=(1, 2, 5, 10)))
        axes.xaxis.set_major_formatter("{x:,g}")
        draw_grid(axes, "x")
        axes.set_xlabel(quantity)
        return svg(figure, name, f"{quantity} of each class: median, quartiles, 5 % and 95 %")


def levels(
    name: str,
    luma: Float[np.ndarray, "B"],
    channels: Float[np.ndarray, "3 B"],
    highest: float,
    title: str,
) -> str:
    """Draws how light, and how red, green and blue, the pixels of a class are.

    Heights are square roots: else the plain background of the slide would dwarf the cell.

    Args:
      name: Name of the chart, unique on a page.
      luma: Share of the pixels in each bin of 0..255.
      channels: The same for R, G and B.
      highest: The highest share that the axis must show, the same for all classes.
      title: What is drawn, for people who cannot see it.
    """
    with style():
        figure, axes = new_figure(2.7, 1.25)
        edges = np.linspace(0, 256, len(luma) + 1)
        axes.stairs(np.sqrt(luma), edges, fill=True, color=INK, alpha=0.16)
        for colour, shares in zip(CHANNEL_COLOURS.values(), channels, strict=True):
            axes.stairs(np.sqrt(shares), edges, color=colour, lw=1.3, baseline=None)
        axes.set_xlim(0, 255)
        axes.set_ylim(0, 1.05 * np.sqrt(highest))
        axes.set_xticks((0, 64, 128, 192, 255))
        axes.set_yticks(())
        axes.spines.left.set_visible(False)
        return svg(figure, name, title)
