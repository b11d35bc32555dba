"""How runs learned: loss and a metric over the pictures seen."""

from typing import Any

from bcjax.reports.comparison.runs import Run

Curve = list[tuple[int, float]]


def of(run: Run, metric: str) -> dict[str, Any]:
    """Reads a run's learning curves.

    Args:
      run: The run.
      metric: Of the evaluations during training.

    Returns:
      `loss` and `metric`, each (pictures seen, value) in turn, so that runs of other batch sizes
      are comparable; empty where the run logged none.
    """

    def curve(key: str) -> Curve:
        size = run.config.train.batch_size
        return [(size * line["step"], line[key]) for line in run.lines if key in line]

    return {"loss": curve("train/loss"), "metric": curve(f"{run.config.eval.split}/{metric}")}
