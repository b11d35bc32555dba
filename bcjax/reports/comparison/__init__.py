"""Runs compared with each other, from what they left in their folders."""

from bcjax.reports.comparison.comparison import ComparedRun, Comparison, compare

__all__ = ["ComparedRun", "Comparison", "compare"]
