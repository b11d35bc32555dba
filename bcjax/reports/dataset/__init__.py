"""One page that shows a data set."""

from bcjax.reports.dataset.explore import Exploration, explore

__all__ = ["Exploration", "explore"]
