"""How numbers are written: estimates with their intervals, shares, times, p-values, settings."""

from collections.abc import Sequence
from typing import Any, Protocol

from bcjax.metrics.intervals import Estimate
from bcjax.metrics.resampling import Difference

NONE = "-"  # what is undefined


class HasInterval(Protocol):
    """What has an interval: its ends are None where it has none."""

    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def number(value: float | None) -> str:
    """Returns "0.9620"."""
    return NONE if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    """Returns "96.2 %"."""
    return NONE if value is None else f"{100 * value:.1f} %"


def interval(estimate: HasInterval | None) -> str:
    """Returns the interval of an estimate: "0.9510 - 0.9710"."""
    if not estimate or estimate.low is None:
        return NONE
    return f"{number(estimate.low)} - {number(estimate.high)}"


def percent_interval(estimate: HasInterval | None) -> str:
    """Returns the interval of an estimate in percent: "95.1 - 97.1 %"."""
    if not estimate or estimate.low is None:
        return NONE
    return f"{100 * estimate.low:.1f} - {percent(estimate.high)}"


def value_with_interval(estimate: Estimate | None) -> str:
    """Returns "0.962 (0.951 - 0.971)"."""
    if not estimate or estimate.value is None:
        return NONE
    if estimate.low is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} - {estimate.high:.3f})"


def difference(estimate: Difference) -> str:
    """Returns a difference with its interval: "+0.0120 (+0.0011 to +0.0230)"."""
    if estimate.value is None:
        return NONE
    if estimate.low is None:
        return f"{estimate.value:+.4f}"
    return f"{estimate.value:+.4f} ({estimate.low:+.4f} to {estimate.high:+.4f})"


def p_value(p: float | None) -> str:
    """Returns "0.032", or "< 0.001"."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float | None) -> str:
    """Returns "4.2 s", "14.6 min" or "3.1 h"."""
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def rate(value: float | None) -> str:
    """Returns "1,203" or "3.4"."""
    if value is None:
        return NONE
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def size(count: int | None) -> str:
    """Returns bytes as "512 kB", "12.3 MB" or "1.2 GB"."""
    if count is None:
        return NONE
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def milliseconds(value: float) -> str:
    """Returns "0.53 ms" or "12.6 ms": three significant digits."""
    return f"{value:.3g} ms" if value < 1000 else f"{value:,.0f} ms"


def energy(joules: float | None) -> str:
    """Returns "12.3 Wh"."""
    return NONE if joules is None else f"{joules / 3600:,.1f} Wh"


def setting(value: Any) -> str:
    """Returns a value of the config: "0.001", "flip, turn", or "none" for what is empty."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def enumeration(names: Sequence[str]) -> str:
    """Returns "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
