"""Figures of a comparison as a person reads them; see `pages.numbers` for the others."""

from collections.abc import Mapping
from typing import Any

from bcjax.reports.pages.numbers import NONE


def difference(found: Mapping[str, Any]) -> str:
    """Returns "+0.0120 (+0.0011 to +0.0230)"."""
    if found["value"] is None:
        return NONE
    value = f"{found['value']:+.4f}"
    if found.get("low") is None:
        return value
    return f"{value} ({found['low']:+.4f} to {found['high']:+.4f})"


def probability(p: float | None) -> str:
    """Returns a p-value: "0.032", or "< 0.001"."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def rate(value: float | None) -> str:
    """Returns "1,203" or "3.4"."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def energy(joules: float | None) -> str:
    """Returns "12.3 Wh"."""
    return NONE if joules is None else f"{joules / 3600:,.1f} Wh"


def setting(value: Any) -> str:
    """Returns a value of the config."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"
