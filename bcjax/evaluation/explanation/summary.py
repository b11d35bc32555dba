"""What explain.json says: the pictures that were explained, and how far to trust their maps."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class RandomisationTest(Result):
    """Whether the maps of a method depend on what was learnt.

    Attributes:
      rank_correlation: Mean rank correlation, in [-1, 1], of the first few images' maps with those
        drawn for the same class after all parameters were randomised: near 0 where a map shows
        what was learnt, near 1 where it shows the image. None: it is defined in no image.
      n: Number of images in which it is defined.
    """

    rank_correlation: float | None
    n: int


@dataclasses.dataclass(frozen=True)
class MapsOnCell(Result):
    """How much of the maps of a method lies on the cell, in 0..1.

    Attributes:
      energy: Mean share of a map that lies on the cell.
      pointing: Share of the images where a map's maximum lies on the cell.
    """

    energy: float
    pointing: float


@dataclasses.dataclass(frozen=True)
class Localisation(Result):
    """How much of the maps lies on the cell, in images that are drawn.

    Attributes:
      n: Number of images.
      area: The cell's mean share of the image, in 0..1, which is what chance gives.
      methods: The figures of each method, by its name; in JSON they stand beside `n` and `area`.
    """

    n: int
    area: float
    methods: Mapping[str, MapsOnCell]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON."""
        page = super().to_dict()
        return page | page.pop("methods")

    @classmethod
    def from_dict(cls, page: Mapping[str, Any]) -> Self:
        """Returns the figures that `to_dict` turned into plain values."""
        methods = {name: each for name, each in page.items() if name not in ("n", "area")}
        return super().from_dict({**page, "methods": methods})


@dataclasses.dataclass(frozen=True)
class ExplainedImage(Result):
    """An image that was explained.

    Attributes:
      file: Name of the file with its maps, in the folder of explain.json.
      id: Its stable name in the data set or, for a file, the path.
      label: Its class; None: it is not known.
      predicted: The most probable class.
      probability: Probability of that class, in 0..1.
      target: The class that the maps speak for.
      integrated_gradients_gap: See `Explainer.completeness_gap`; None without that method.
    """

    file: str
    id: str
    label: str | None
    predicted: str
    probability: float
    target: str
    integrated_gradients_gap: float | None = None


@dataclasses.dataclass(frozen=True)
class ExplanationSummary(Result):
    """All that explain.json says.

    Attributes:
      checkpoint: Step of the checkpoint.
      split: The split that the pictures are from; "" for pictures that were named.
      chosen: How the pictures were chosen: "named", "most wrong" or "evenly".
      target: The class that was asked for: "predicted", "true" or a name.
      methods: Names of the methods.
      stage: The stage that Grad-CAM read; "" where it was not used.
      map: Height and width of that stage's output.
      sanity: The randomisation test of each method, by its name; None: it was not made.
      localisation: How much of the maps lies on the cell; None: the images are not drawn.
      sheet: Name of the file that shows the first pictures together; "" before it is drawn.
      pictures: The pictures, in the order of their files; empty before they are drawn.
    """

    checkpoint: int
    split: str
    chosen: str
    target: str
    methods: tuple[str, ...]
    stage: str
    map: tuple[int, ...]
    sanity: Mapping[str, RandomisationTest] | None = None
    localisation: Localisation | None = None
    sheet: str = ""
    pictures: tuple[ExplainedImage, ...] = ()
