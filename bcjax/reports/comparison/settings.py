"""The settings in which runs differ."""

from collections.abc import Sequence
from typing import Any

from bcjax import config as configs
from bcjax.reports.comparison.runs import Run

# Where a run is written is no difference between two runs.
_LEFT_OUT = ("workdir",)


def differing(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Returns {"key": "optim.lr", "values": one for each run} for each key that is not the same."""
    flat = [configs.flatten(run.config) for run in runs]
    rows = [{"key": key, "values": [each[key] for each in flat]} for key in flat[0]]
    return [
        row
        for row in rows
        if row["key"] not in _LEFT_OUT and any(v != row["values"][0] for v in row["values"])
    ]
