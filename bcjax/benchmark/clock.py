"""Timing on a machine that does other things as well: in turns, and by medians."""

import time
from collections.abc import Callable
from typing import Any


def seconds(work: Callable[[], Any]) -> float:
    """Returns how long `work` takes, which must wait for what it dispatches."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(repeats: int, **works: Callable[[], Any]) -> dict[str, list[float]]:
    """Times several works A B A B ..., so that what slows the machine for a while slows all alike.

    Args:
      repeats: Turns of each.
      **works: By name; each has been done before, so that none compiles.

    Returns:
      The seconds of each turn, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times
