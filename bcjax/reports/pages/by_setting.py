"""A metric over the values of a setting: a line over numbers, bars of names."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from matplotlib import ticker
from matplotlib.figure import Figure

from bcjax.reports.pages import charts
from bcjax.reports.pages.formatting import setting

_LOGARITHMIC = 10  # numbers that differ by more than this factor have a logarithmic axis
_LONGEST = 40  # letters of a name


@dataclasses.dataclass(frozen=True)
class Measured:
    """What was measured where a setting has some value.

    Attributes:
      value: The value of the setting, or the name of a bar.
      mean: The metric.
      low: The lower end of its interval; None: it has none.
      high: The upper end.
      each: The metric of each run, where there are several.
    """

    value: Any
    mean: float
    low: float | None = None
    high: float | None = None
    each: Sequence[float] = ()


def draw(key: str, metric: str, measured: Sequence[Measured]) -> Figure:
    """Draws a metric over a setting, within `charts.style()`: one value of it or more."""
    values = [point.value for point in measured]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return _line(key, metric, sorted(measured, key=lambda point: point.value))
    return draw_bars(metric, measured)


def draw_bars(metric: str, measured: Sequence[Measured], *, signed: bool = False) -> Figure:
    """Draws a bar with its interval for each name.

    Args:
      metric: What the bars say.
      measured: One or more.
      signed: Whether they are differences, of which the sign is written.
    """
    names = [setting(point.value) for point in measured]
    names = [f"{name[:_LONGEST]}..." if len(name) > _LONGEST else name for name in names]
    figure, axes = charts.figure_with_rows(names)
    for row, point in enumerate(measured):
        axes.barh(row, point.mean, height=0.62, color=charts.ACCENT, alpha=0.75)
        if point.low is not None and point.high is not None:
            axes.plot((point.low, point.high), (row, row), color=charts.INK, lw=1.2)
        axes.plot(point.each, [row] * len(point.each), ".", color=charts.INK, ms=4, alpha=0.6)
    axes.axvline(0, color=charts.INK, lw=0.8)
    axes.set_xlabel(metric)
    if signed:
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:+g}" if x else "0")
    return figure


def _line(key: str, metric: str, measured: Sequence[Measured]) -> Figure:
    figure, axes = charts.new_figure(4.6, 3.0)
    x, y = [point.value for point in measured], [point.mean for point in measured]
    axes.plot(x, y, "o-", color=charts.ACCENT, lw=1.3, ms=5)
    for point in measured:
        if point.low is not None and point.high is not None:
            axes.plot((point.value,) * 2, (point.low, point.high), color=charts.ACCENT, lw=1.2)
        axes.plot(
            [point.value] * len(point.each), point.each, ".", color=charts.INK, ms=4, alpha=0.6
        )
    if x[0] > 0 and x[-1] > _LOGARITHMIC * x[0]:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(ticker.LogLocator())
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.margins(x=0.08)
    axes.set_xlabel(key)
    axes.set_ylabel(metric)
    return figure
