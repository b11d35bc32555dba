"""What may be said of a sweep's best trial: chosen by its figure, it is often a lucky one."""

from collections.abc import Sequence
from pathlib import Path

from bcjax.evaluation import answers
from bcjax.evaluation.guards import comparisons
from bcjax.evaluation.guards.pictures import about_watched
from bcjax.metrics import resampling
from bcjax.metrics.resampling import Resampled
from bcjax.runtime.run_dir import RunDir
from bcjax.tune import objectives

_COMPARED = 10  # trials that are compared with the best, itself among them
_RESAMPLES = 200  # for an interval that holds 0 or does not


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
