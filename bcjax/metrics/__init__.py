"""Metrics of a classifier's probabilities, with intervals; curves; paired comparisons."""

from bcjax.metrics.intervals import Estimate, wilson
from bcjax.metrics.measurements import ClassMetrics, Measurements, measure

__all__ = ["ClassMetrics", "Estimate", "Measurements", "measure", "wilson"]
