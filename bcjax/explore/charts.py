"""The charts that set the classes beside each other."""

import dataclasses

import numpy as np
from jaxtyping import Int
from markupsafe import Markup

from bcjax.data.curate.measure import Measures
from bcjax.data.prepared import Prepared
from bcjax.explore import plots


@dataclasses.dataclass(frozen=True)
class Charts:
    """Of a set.

    Attributes:
      counts: Pictures of each class in each split.
      sizes: Widths and heights of each class; empty where all pictures have one size.
      sharpness: Of each class.
      size: "96 × 96", or from the smallest to the largest side: "118 × 117 to 130 × 125".
    """

    counts: Markup
    sizes: list[Markup]
    sharpness: Markup
    size: str


def charts(prepared: Prepared, measures: Measures, labels: Int[np.ndarray, "N"]) -> Charts:
    """Draws them.

    Args:
      prepared: The set.
      measures: Of its N pictures.
      labels: Likewise.
    """

    def ranges(name: str, values: np.ndarray, what: str) -> Markup:
        each = [values[labels == label] for label in range(len(prepared.classes))]
        return plots.ranges(name, each, prepared.classes, what)

    width, height = measures.width, measures.height
    small, large = ((f(width), f(height)) for f in (np.min, np.max))
    one_size = small == large
    return Charts(
        counts=plots.counts(prepared.counts, prepared.classes),
        sizes=[]
        if one_size
        else [ranges("width", width, "width (px)"), ranges("height", height, "height (px)")],
        sharpness=ranges("sharpness", measures.sharpness, "sharpness (variance of the Laplacian)"),
        size=f"{small[0]} × {small[1]}" + ("" if one_size else f" to {large[0]} × {large[1]}"),
    )
