"""What may be said of a sweep's best trial: chosen by its figure, it is often a lucky one."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bcjax.evaluation import answers
from bcjax.evaluation.guards import comparisons
from bcjax.evaluation.guards.pictures import about_watched
from bcjax.metrics import resampling
from bcjax.metrics import runs as several_runs
from bcjax.metrics.names import sign
from bcjax.metrics.resampling import Resampled
from bcjax.metrics.runs import MeanOverRuns
from bcjax.runtime.run_dir import RunDir
from bcjax.tune import objectives

_COMPARED = 10  # trials that are compared with the best, itself among them
_RESAMPLES = 200  # for an interval that holds 0 or does not


@dataclasses.dataclass(frozen=True)
class Setting:
    """Trials that tried the same values, and differ in the seed that was tried with them.

    Attributes:
      params: The values, without the seed.
      workdirs: The names of the trials' folders.
      metric: The objective over the trials.
    """

    params: dict[str, Any]
    workdirs: list[str]
    metric: MeanOverRuns


def over_seeds(
    tried: Mapping[Path, Mapping[str, Any]], names: Sequence[str], split: str
) -> list[Setting]:
    """Returns the settings of which several seeds were tried, the best mean first.

    Args:
      tried: What was tried, by the folder of each trial that came to its end.
      names: The objectives; there are settings for a single one, a metric.
      split: The split of the metric.
    """
    if len(names) > 1 or names[0] in objectives.COSTS:
        return []
    by_params: dict[str, list[Path]] = {}
    for path, params in tried.items():
        if "seed" in params and RunDir(path).answers(split).exists():
            others = sorted((key, repr(value)) for key, value in params.items() if key != "seed")
            by_params.setdefault(repr(others), []).append(path)
    settings = [
        Setting(
            {key: value for key, value in tried[paths[0]].items() if key != "seed"},
            [path.name for path in paths],
            several_runs.mean([_measure(path, split, names[0]) for path in paths]),
        )
        for paths in by_params.values()
        if len({tried[path]["seed"] for path in paths}) == len(paths) > 1
    ]
    return sorted(settings, key=lambda each: -sign(names[0]) * (each.metric.mean or 0.0))


def cautions(ranked: Sequence[Path], names: Sequence[str], split: str) -> tuple[str, ...]:
    """Returns sentences without which the figure of the best trial must not be read.

    Args:
      ranked: The folders of the trials that came to their end, the best one first.
      names: The objectives that they were ranked by.
      split: The split of the metrics.
    """
    if all(name in objectives.COSTS for name in names):
        return ()
    watched = about_watched(ranked[:1])
    if len(ranked) < 2:
        return watched
    measured: list[Resampled] = []
    if len(names) == 1:
        folders = [path for path in ranked[:_COMPARED] if RunDir(path).answers(split).exists()]
        # Without the best one, which may be on another host, there is nothing to compare with.
        if ranked[0] in folders:
            measured = [_measure(path, split, names[0]) for path in folders]
    best, *others = measured or (None,)
    alike = [
        each
        for each in others
        if best and len(each.units) == len(best.units)
        if (apart := resampling.difference(each, best)).low is None
        or apart.high is None
        or apart.low <= 0 <= apart.high
    ]
    return (*watched, *comparisons.about_best(len(ranked), split, len(others), len(alike)))


def _measure(workdir: Path, split: str, metric: str) -> Resampled:
    kept = answers.read(RunDir(workdir).answers(split))
    return resampling.resample(kept.predictions(), kept.groups, resamples=_RESAMPLES).metric(metric)
