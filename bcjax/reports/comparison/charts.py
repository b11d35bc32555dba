"""The charts that set runs beside each other."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from bcjax.metrics.names import describe
from bcjax.reports.pages import palette
from bcjax.reports.pages.charts import INK, grid, rows, style
from bcjax.reports.pages.story import Chart

_MARKERS = "osD^vP*X<>"  # beside the colours, for those who do not see these
_SIZE = (4.6, 3.0)  # inches
_LEGEND_ROW = 0.19  # inches
_LEGEND_WIDTH = 60  # letters
_DECADE = 10  # times that a cost must span for a logarithmic axis

Comparison = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Axis:
    """Of a cost: its name, and its unit in the comparison's own."""

    label: str
    unit: float


COSTS = {
    "flops": Axis("GFLOPs for a picture", 1e9),
    "parameters": Axis("parameters, in millions", 1e6),
    "seconds_per_picture": Axis("training time for a picture, in ms", 1e-3),
}


def scores(comparison: Comparison) -> list[Chart]:
    """The metric of each run, and how far it is from the first's."""
    metric, reference = describe(comparison["metric"]).title, comparison["reference"]
    looks = list(_looks(comparison))
    with style():
        figure, axis = rows([run["name"] for run in comparison["runs"]])
        for row, (run, look) in enumerate(looks):
            _whisker(axis, run["metrics"][comparison["metric"]], row, look)
        _finish(axis, metric)
        beside, axis = rows([test["run"] for test in comparison["tests"]])
        for row, (test, (_, look)) in enumerate(zip(comparison["tests"], looks[1:], strict=True)):
            _whisker(axis, test["difference"], row, look)
        axis.axvline(0, color=INK, lw=0.8)
        _finish(axis, f"{metric}, less that of {reference}")
        axis.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    return [
        Chart("metric", f"{metric.capitalize()} of each run", figure, "With 95 % intervals."),
        Chart(
            "difference",
            f"Difference from {reference}",
            beside,
            "On the same pictures, with 95 % intervals, not corrected for the number of runs.",
        ),
    ]


def costs(comparison: Comparison) -> list[Chart]:
    """The metric against each cost that differs."""
    metric = describe(comparison["metric"]).title
    with style():
        return [
            Chart(
                f"cost_{cost}",
                f"{metric.capitalize()} against {COSTS[cost].label}",
                _against(comparison, cost, COSTS[cost]),
                "The line joins the runs that no other beats on both counts.",
            )
            for cost in comparison["pareto"]
        ]


def curves(comparison: Comparison) -> list[Chart]:
    """How the runs learned; none where none wrote it down."""
    metric = describe(comparison["metric"]).title
    titles = {"loss": "Training loss", "metric": f"{metric.capitalize()}, as training watched it"}
    with style():
        return [
            Chart(f"curve_{curve}", title, _curve(comparison, curve))
            for curve, title in titles.items()
            if any(run["curves"][curve] for run in comparison["runs"])
        ]


def classes(comparison: Comparison) -> Chart:
    """The recall of each class in each run."""
    count = len(comparison["runs"])
    with style():
        figure, axis = rows(comparison["classes"])
        figure.set_figheight(figure.get_figheight() * max(1.0, count / 3))
        for (run, look), offset in zip(
            _looks(comparison), np.linspace(-0.3, 0.3, count), strict=True
        ):
            for row, of_class in enumerate(comparison["per_class"]):
                _whisker(axis, of_class["recall"][run["name"]], row + offset, look)
        _finish(axis, "recall")
        return Chart("classes", "Recall of each class", _named(figure), "With 95 % intervals.")


def _looks(comparison: Comparison) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each run with what it looks like on all charts."""
    runs = comparison["runs"]
    for at, (run, colour) in enumerate(zip(runs, palette.of_classes(len(runs)), strict=True)):
        yield run, {"color": colour, "marker": _MARKERS[at % len(_MARKERS)], "label": run["name"]}


def _whisker(axis: Axes, figure: dict[str, Any] | None, row: float, look: dict[str, Any]) -> None:
    if figure is None or figure["value"] is None:
        return
    if figure.get("low") is not None:
        axis.plot((figure["low"], figure["high"]), (row, row), color=look["color"], lw=1.2)
    axis.plot(figure["value"], row, ls="", ms=5, **look)


def _finish(axis: Axes, label: str) -> None:
    axis.set_xlabel(label)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    grid(axis, "x")


def _against(comparison: Comparison, cost: str, of: Axis) -> Figure:
    figure, axis = _plain()
    metric, front, spent = comparison["metric"], [], []
    for run, look in _looks(comparison):
        found = run["metrics"][metric]
        if run[cost] is None or found["value"] is None:
            continue
        spent.append(run[cost] / of.unit)
        if found.get("low") is not None:
            ends = (found["low"], found["high"])
            axis.plot((spent[-1],) * 2, ends, color=look["color"], lw=1, alpha=0.6)
        axis.plot(spent[-1], found["value"], ls="", ms=6, **look)
        if run["name"] in comparison["pareto"][cost]:
            front.append((spent[-1], found["value"]))
    stairs = zip(*sorted(front), strict=True)
    axis.step(*stairs, where="post", color=INK, lw=0.8, alpha=0.5, zorder=0)
    if max(spent) > _DECADE * min(spent):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.margins(x=0.1)
    axis.xaxis.set_major_formatter("{x:,g}")
    axis.set_xlabel(of.label)
    axis.set_ylabel(describe(metric).title)
    return _named(figure)


def _curve(comparison: Comparison, curve: str) -> Figure:
    figure, axis = _plain()
    for run, look in _looks(comparison):
        if run["curves"][curve]:
            seen, values = np.array(run["curves"][curve]).T
            # Few marks, for a line of marks would be no line.
            axis.plot(seen, values, lw=1.3, ms=3.5, markevery=max(1, len(seen) // 8), **look)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("pictures seen")
    axis.set_ylabel("loss" if curve == "loss" else describe(comparison["metric"]).title)
    return _named(figure)


def _plain() -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    axis = figure.add_subplot()
    grid(axis)
    return figure, axis


def _named(figure: Figure) -> Figure:
    """Adds the names of the runs below a figure."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    own = dict(zip(names, handles, strict=True))
    columns = max(1, min(len(own), _LEGEND_WIDTH // (max(map(len, own)) + 4)))
    added = _LEGEND_ROW * -(-len(own) // columns)
    figure.set_figheight(figure.get_figheight() + added)
    figure.legend(own.values(), own, loc="outside lower left", ncols=columns, handlelength=1.2)
    return figure
