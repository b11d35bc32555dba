"""How good the network is: the headline figures, every metric, each class, what it confuses."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bcjax.metrics.names import metric_name
from bcjax.reports import cost
from bcjax.reports.pages import charts
from bcjax.reports.pages.formatting import (
    NONE,
    enumeration,
    interval,
    number,
    percent,
    percent_interval,
    value_with_interval,
)
from bcjax.reports.pages.page import Block, Chart, Charts, Details, Facts, Table, Text
from bcjax.reports.run_record import RunRecord
from bcjax.runtime.errors import UserError

HEADLINE = ("accuracy", "balanced_accuracy", "macro_f1")

_MAX_TABLE = 40  # classes; the table of more is folded away
_MAX_MATRIX = 30  # classes; the names of more could not be read
_CELL = 0.46  # inches of a cell of the matrix
_COLOUR = "#7a5ea8"


def overall(run: RunRecord) -> list[Block]:
    """Returns the headline figures, what they must be read with, and every metric."""
    metrics = run.evaluation.metrics
    headline = [
        (
            metric_name(key),
            percent(metrics[key].value),
            f"{percent_interval(metrics[key])} (95 %), n = {metrics[key].n:,}",
        )
        for key in HEADLINE
        if key in metrics
    ]
    return [
        *(Text(caution, "bad") for caution in run.cautions),
        Facts(headline),
        metrics_table(run),
    ]


def metrics_table(run: RunRecord) -> Table:
    """Returns every metric with its interval and its n."""
    rows = [
        [
            metric_name(key),
            number(estimate.value),
            interval(estimate),
            estimate.interval or NONE,
            f"{estimate.n:,}",
        ]
        for key, estimate in run.evaluation.metrics.items()
    ]
    head = ["metric", "value", "95 % interval", "how", "n"]
    caption = (
        f"Every metric; intervals by bootstrap are from {run.evaluation.resamples:,} resamples"
    )
    return Table(head, rows, caption)


def by_class(run: RunRecord) -> list[Block]:
    """Returns the confusion matrix and the figures of each class."""
    result = run.evaluation
    blocks: list[Block] = []
    if drawn := confusion_charts(result.confusion_matrix, result.classes):
        blocks.append(Charts(drawn))
    table = class_table(run)
    blocks.append(
        table
        if (count := len(result.classes)) <= _MAX_TABLE
        else Details(f"All {count:,} classes", [table])
    )
    blocks += [
        Text(
            f"The {metric_name(key)} is undefined for these classes: {enumeration(names)}.",
            "soft",
        )
        for key, names in result.undefined.items()
        if names and len(names) <= _MAX_TABLE
    ]
    return blocks


def class_table(run: RunRecord) -> Table:
    """Returns the figures of each class, and below them their macro average."""
    result = run.evaluation
    keys = [key for key, _ in result.per_class[0].items()]
    rows = [
        [row.name, f"{row.n:,}", *(value_with_interval(estimate) for _, estimate in row.items())]
        for row in (*result.per_class, result.average)
    ]
    head = ["class", "n", *map(metric_name, keys)]
    caption = (
        "Each class against the rest, with 95 % intervals; n: pictures of the class. The macro "
        "average is the mean over the classes: of the recalls, it is the balanced accuracy."
    )
    return Table(head, rows, caption)


def confusion_table(run: RunRecord) -> Table | None:
    """Returns the confusion matrix as numbers; None if it has too many classes to be read."""
    result = run.evaluation
    if len(result.classes) > _MAX_MATRIX:
        return None
    rows = [
        [name, *(f"{count:,}" for count in row)]
        for name, row in zip(result.classes, result.confusion_matrix, strict=True)
    ]
    caption = "Confusion matrix, pictures: a row for each true class, a column for each predicted"
    return Table(["true", *result.classes], rows, caption)


def costs(run: RunRecord) -> list[Block]:
    """Returns what the network, its training and its answers cost."""
    try:
        spent = cost.cost(run)
    except UserError as error:
        return [Text(f"What the network costs is not known: {error}", "soft")]
    missing = (
        [] if spent.inference else [Text(f"{run.command('report')} measures answers.", "soft")]
    )
    return [Table(["cost", "value", "how"], cost.rows(spent), text_columns=3), *missing]


def drawn_network(run: RunRecord) -> list[Block]:
    """Returns the diagram of the network, as it reads the run's pictures."""
    # Here, because they import JAX, and the rest of a report does without it.
    from bcjax.config import ImageSize
    from bcjax.engine import network
    from bcjax.models.stages import stages
    from bcjax.reports import network_diagram

    config = run.config
    try:
        model = network.build(config, len(run.evaluation.classes))
    except UserError as error:
        return [Text(f"The network cannot be drawn: {error}", "soft")]
    size, channels = ImageSize.of(config.data.image_size), config.model.channels
    found = stages(model, size, channels)
    picture = (*size, channels)
    return [Charts([network_diagram.chart(found, picture, config.model.name)])]


def confusion_charts(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> list[Chart]:
    """Draws the confusion matrix as counts and as shares of each true class.

    Args:
      matrix: Pictures by true class (rows) and predicted class (columns).
      classes: Names of the classes.

    Returns:
      Two charts, or none if there are too many classes to name.
    """
    if len(classes) > _MAX_MATRIX:
        return []
    counts = np.array(matrix)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    return [
        Chart(
            "confusion_counts",
            "Confusion matrix, pictures",
            _matrix(counts, shares, classes),
            "Rows: the true class; columns: the predicted class. Darker: a larger share of the "
            "row.",
        ),
        Chart(
            "confusion_shares",
            "Confusion matrix, percent of the true class",
            _matrix(100 * shares, shares, classes),
            "Each row with pictures sums to 100.",
        ),
    ]


@charts.style()
def _matrix(values: np.ndarray, shares: np.ndarray, classes: Sequence[str]) -> Figure:
    count = len(classes)
    # From transparent, so that an empty cell shows the page, be it light or dark.
    colours = LinearSegmentedColormap.from_list("share", [_COLOUR + "00", _COLOUR])
    side = 1.0 + _CELL * count
    figure, axes = charts.new_figure(side + 0.4, side, grid="")
    # Rectangles instead of an image: an empty cell takes no bytes.
    for (row, column), value in np.ndenumerate(values):
        share = shares[row, column]
        if not value:
            continue
        colour = colours(0.12 + 0.88 * share)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour))
        whole = values.dtype.kind == "i" or value >= 9.95
        text = f"{value:,.0f}" if whole else f"{value:.1f}"
        ink = "white" if share > 0.5 else charts.INK
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks(range(count), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    edges = np.arange(count + 1) - 0.5
    axes.hlines(edges, -0.5, count - 0.5, color=charts.INK, lw=0.4, alpha=0.25)
    axes.vlines(edges, -0.5, count - 0.5, color=charts.INK, lw=0.4, alpha=0.25)
    return figure
