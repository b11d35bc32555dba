"""Which class is taken for which, drawn."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bcjax.reports.pages.charts import INK, style
from bcjax.reports.pages.story import Chart

_CELL = 0.46  # inches
_MOST = 30  # classes whose names can be read
_COLOUR = "#7a5ea8"


def charts(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> list[Chart]:
    """Draws the matrix as counts and as shares of each true class; nothing for many classes."""
    if len(classes) > _MOST:
        return []
    counts = np.array(matrix)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    caption = "Rows: the true class; columns: the answer. Darker: a larger share of the row."
    return [
        _chart("confusion_counts", "Confusion matrix, pictures", counts, shares, classes, caption),
        _chart(
            "confusion_shares", "Confusion matrix, percent of the true class",
            100 * shares, shares, classes, "Each row with pictures sums to 100.",
        ),
    ]  # fmt: skip


def _chart(
    name: str,
    title: str,
    values: np.ndarray,
    shares: np.ndarray,
    classes: Sequence[str],
    caption: str,
) -> Chart:
    count = len(classes)
    # From nothing, so that an empty cell is the page, be it light or dark.
    colours = LinearSegmentedColormap.from_list("share", [_COLOUR + "00", _COLOUR])
    with style():
        side = 1.0 + _CELL * count
        figure = Figure(figsize=(side + 0.4, side), layout="constrained")
        axis = figure.add_subplot()
        for (row, column), value in np.ndenumerate(values):
            # As rectangles and not as a picture: an empty cell takes no bytes.
            share = shares[row, column]
            if not value:
                continue
            axis.add_patch(
                Rectangle((column - 0.5, row - 0.5), 1, 1, color=colours(0.12 + 0.88 * share))
            )
            whole = values.dtype.kind == "i" or value >= 9.95
            text = f"{value:,.0f}" if whole else f"{value:.1f}"
            ink = "white" if share > 0.5 else INK
            axis.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
        axis.set_xlim(-0.5, count - 0.5)
        axis.set_ylim(count - 0.5, -0.5)
        axis.set_aspect("equal")
        axis.set_xticks(range(count), classes, rotation=40, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(count), classes)
        axis.set_xlabel("answered")
        axis.set_ylabel("true")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        edges = np.arange(count + 1) - 0.5
        axis.hlines(edges, -0.5, count - 0.5, color=INK, lw=0.4, alpha=0.25)
        axis.vlines(edges, -0.5, count - 0.5, color=INK, lw=0.4, alpha=0.25)
    return Chart(name, title, figure, caption)
