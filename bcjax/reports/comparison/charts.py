"""The charts of a comparison: metrics, differences, costs, learning curves, recalls."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcjax.metrics import Estimate
from bcjax.metrics.names import metric_name
from bcjax.metrics.resampling import Difference
from bcjax.reports.comparison.comparison import ComparedRun, Comparison
from bcjax.reports.pages import by_setting, charts
from bcjax.reports.pages.by_setting import Measured
from bcjax.reports.pages.page import Chart

_MARKERS = "osD^vP*X<>"  # beside the colours, for people who cannot tell these apart
_SIZE = (4.6, 3.0)  # inches
_LEGEND_ROW = 0.19  # inches
_LEGEND_WIDTH = 60  # letters
_LOGARITHMIC = 10  # a cost that varies by more than this factor has a logarithmic axis


class CostAxis(NamedTuple):
    """How a cost is drawn: the label of its axis, and the unit that its values are divided by."""

    label: str
    unit: float


COST_AXES = {
    "flops": CostAxis("GFLOPs for a picture", 1e9),
    "parameters": CostAxis("parameters, in millions", 1e6),
    "seconds_per_picture": CostAxis("training time for a picture, in ms", 1e-3),
}


@charts.style()
def metric_charts(comparison: Comparison) -> list[Chart]:
    """Draws the metric of each run, and how far each config is from the first one."""
    metric, reference = metric_name(comparison.metric), comparison.reference
    looks = list(_looks(comparison))
    look_of = {run.name: look for run, look in looks}
    figure, axes = charts.figure_with_rows(comparison.names)
    for row, (run, look) in enumerate(looks):
        _whisker(axes, run.metrics[comparison.metric], row, look)
    axes.set_xlabel(metric)
    drawn = [
        Chart("metric", f"{_capitalised(metric)} of each run", figure, "With 95 % intervals."),
    ]
    others = comparison.groups[1:]
    if not others:
        return drawn
    differences, axes = charts.figure_with_rows([group.name for group in others])
    for row, (test, group) in enumerate(zip(comparison.tests, others, strict=True)):
        _whisker(axes, test.difference, row, look_of[group.runs[0]])
    axes.axvline(0, color=charts.INK, lw=0.8)
    axes.set_xlabel(f"{metric} minus that of {reference}")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    return [
        *drawn,
        Chart(
            "difference",
            f"Difference from {reference}",
            differences,
            "On the same pictures, with 95 % intervals, not corrected for their number.",
        ),
    ]


@charts.style()
def setting_chart(comparison: Comparison, key: str) -> Chart:
    """Draws the metric of each config over a setting in which they differ."""
    (values,) = (setting.values for setting in comparison.settings if setting.key == key)
    value_of = dict(zip(comparison.names, values, strict=True))
    estimates = {run.name: run.metrics[comparison.metric] for run in comparison.runs}
    measured = []
    for group in comparison.groups:
        first = group.runs[0]
        several, one = group.metric, estimates[first]
        value = value_of[first]
        if len(group.runs) > 1 and several.mean is not None:
            each = [estimates[name].value for name in group.runs]
            dots = [dot for dot in each if dot is not None]
            measured.append(Measured(value, several.mean, several.low, several.high, dots))
        elif one.value is not None:
            measured.append(Measured(value, one.value, one.low, one.high))
    metric = metric_name(comparison.metric)
    return Chart(
        "by_setting",
        f"{_capitalised(metric)} over {key}",
        by_setting.draw(key, metric, measured),
        "A point or a bar for each config, with its 95 % interval: of a single run over pictures, "
        "of several seeds over seeds and pictures. Other settings may differ, too: see below.",
    )


@charts.style()
def cost_charts(comparison: Comparison) -> list[Chart]:
    """Draws the metric against each cost that differs."""
    metric = _capitalised(metric_name(comparison.metric))
    return [
        Chart(
            f"cost_{cost}",
            f"{metric} against {COST_AXES[cost].label}",
            _metric_against_cost(comparison, cost),
            "The line joins the runs that no other run beats in both.",
        )
        for cost in comparison.pareto
    ]


@charts.style()
def learning_charts(comparison: Comparison) -> list[Chart]:
    """Draws how the runs learned; nothing if no run recorded it."""
    metric = _capitalised(metric_name(comparison.metric))
    titles = {"loss": "Training loss", "metric": f"{metric} in the evaluations during training"}
    return [
        Chart(f"curve_{curve}", title, _learning_curves(comparison, curve))
        for curve, title in titles.items()
        if any(getattr(run.curves, curve) for run in comparison.runs)
    ]


@charts.style()
def recall_chart(comparison: Comparison) -> Chart:
    """Draws the recall of each class in each run."""
    count = len(comparison.runs)
    figure, axes = charts.figure_with_rows(comparison.classes)
    figure.set_figheight(figure.get_figheight() * max(1.0, count / 3))
    offsets = np.linspace(-0.3, 0.3, count)
    for (run, look), offset in zip(_looks(comparison), offsets, strict=True):
        for row, class_ in enumerate(comparison.per_class):
            _whisker(axes, class_.recall[run.name], row + offset, look)
    axes.set_xlabel("recall")
    return Chart("classes", "Recall of each class", _add_legend(figure), "With 95 % intervals.")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _looks(comparison: Comparison) -> Iterator[tuple[ComparedRun, Mapping[str, Any]]]:
    """Yields each run with its colour, marker and label in all charts."""
    colours = charts.class_colours(len(comparison.runs))
    for i, (run, colour) in enumerate(zip(comparison.runs, colours, strict=True)):
        yield run, {"color": colour, "marker": _MARKERS[i % len(_MARKERS)], "label": run.name}


def _whisker(
    axes: Axes, estimate: Estimate | Difference | None, row: float, look: Mapping[str, Any]
) -> None:
    """Draws a value and its interval in a row."""
    if estimate is None or estimate.value is None:
        return
    if estimate.low is not None and estimate.high is not None:
        axes.plot((estimate.low, estimate.high), (row, row), color=look["color"], lw=1.2)
    axes.plot(estimate.value, row, ls="", ms=5, **look)


def _metric_against_cost(comparison: Comparison, kind: str) -> Figure:
    figure, axes = charts.new_figure(*_SIZE)
    label, unit = COST_AXES[kind]
    front, costs = [], []
    for run, look in _looks(comparison):
        metric, cost = run.metrics[comparison.metric], getattr(run.cost, kind)
        if cost is None or metric.value is None:
            continue
        costs.append(cost / unit)
        if metric.low is not None and metric.high is not None:
            ends = (metric.low, metric.high)
            axes.plot((costs[-1],) * 2, ends, color=look["color"], lw=1, alpha=0.6)
        axes.plot(costs[-1], metric.value, ls="", ms=6, **look)
        if run.name in comparison.pareto[kind]:
            front.append((costs[-1], metric.value))
    x, y = zip(*sorted(front), strict=True)
    axes.step(x, y, where="post", color=charts.INK, lw=0.8, alpha=0.5, zorder=0)
    if max(costs) > _LOGARITHMIC * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel(label)
    axes.set_ylabel(metric_name(comparison.metric))
    return _add_legend(figure)


def _learning_curves(comparison: Comparison, curve: str) -> Figure:
    figure, axes = charts.new_figure(*_SIZE)
    for run, look in _looks(comparison):
        if points := getattr(run.curves, curve):
            x, y = np.array(points).T
            # Few markers, because a line of markers would be no line.
            axes.plot(x, y, lw=1.3, ms=3.5, markevery=max(1, len(x) // 8), **look)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("pictures seen")
    axes.set_ylabel("loss" if curve == "loss" else metric_name(comparison.metric))
    return _add_legend(figure)


def _add_legend(figure: Figure) -> Figure:
    """Adds the names of the runs below a figure."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    by_name = dict(zip(names, handles, strict=True))
    columns = max(1, min(len(by_name), _LEGEND_WIDTH // (max(map(len, by_name)) + 4)))
    rows = -(-len(by_name) // columns)
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW * rows)
    figure.legend(
        by_name.values(), by_name, loc="outside lower left", ncols=columns, handlelength=1.2
    )
    return figure
