"""The charts that set the classes beside each other."""

import dataclasses

import numpy as np
from jaxtyping import Int

from bcjax.data.curate.measured_pictures import Measures
from bcjax.data.prepared import PreparedSet
from bcjax.reports.dataset import plots


@dataclasses.dataclass(frozen=True)
class Charts:
    """Of a set.

    Attributes:
      counts: Pictures of each class in each split.
      sizes: Widths and heights of each class; empty where all pictures have one size.
      sharpness: Of each class.
      smallest: Least width and least height, in pixels.
      largest: Most width and most height.
    """

    counts: str
    sizes: list[str]
    sharpness: str
    smallest: tuple[int, int]
    largest: tuple[int, int]


def charts(prepared: PreparedSet, measures: Measures, labels: Int[np.ndarray, "N"]) -> Charts:
    """Draws them.

    Args:
      prepared: The set.
      measures: Of its N pictures.
      labels: Likewise.
    """

    def ranges(name: str, values: np.ndarray, what: str) -> str:
        each = [values[labels == label] for label in range(len(prepared.classes))]
        return plots.ranges(name, each, prepared.classes, what)

    width, height = measures.width, measures.height
    smallest, largest = ((int(f(width)), int(f(height))) for f in (np.min, np.max))
    return Charts(
        counts=plots.counts(prepared.counts, prepared.classes),
        sizes=[]
        if smallest == largest
        else [ranges("width", width, "width (px)"), ranges("height", height, "height (px)")],
        sharpness=ranges("sharpness", measures.sharpness, "sharpness (variance of the Laplacian)"),
        smallest=smallest,
        largest=largest,
    )
