"""What a classifier's probabilities are worth: figures with intervals, curves, paired tests.

A metric is defined once, for weighted pictures (a `predictions.Measure`): with a weight of one
each it gives the value, with the counts of a resample a draw of the bootstrap.
"""

from bcjax.metrics.evaluation import evaluate
from bcjax.metrics.intervals import wilson

__all__ = ["evaluate", "wilson"]
