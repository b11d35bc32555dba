"""How figures are written."""

from collections.abc import Mapping
from typing import Any

NONE = "-"  # what is undefined


def number(value: float | None) -> str:
    """Returns "0.9620"."""
    return NONE if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    """Returns "96.2 %"."""
    return NONE if value is None else f"{100 * value:.1f} %"


def interval(figure: Mapping[str, Any] | None) -> str:
    """Returns "0.9510 - 0.9710"; of a figure as `metrics` makes them."""
    if not figure or figure.get("low") is None:
        return NONE
    return f"{number(figure['low'])} - {number(figure['high'])}"


def span(figure: Mapping[str, Any] | None) -> str:
    """Returns "95.1 - 97.1 %"."""
    if not figure or figure.get("low") is None:
        return NONE
    return f"{100 * figure['low']:.1f} - {percent(figure['high'])}"


def measured(figure: Mapping[str, Any] | None) -> str:
    """Returns "0.962 (0.951 - 0.971)"."""
    if not figure or figure["value"] is None:
        return NONE
    value = f"{figure['value']:.3f}"
    if figure.get("low") is None:
        return value
    return f"{value} ({figure['low']:.3f} - {figure['high']:.3f})"


def duration(seconds: float) -> str:
    """Returns "4.2 s", "14.6 min" or "3.1 h"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def listed(names: list[str]) -> str:
    """Returns "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
