"""What an augmentation is: a pure function of one picture, and how strong it may be."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

# How a picture's strength follows from the magnitude m that the config gives:
# "signed": evenly from [-m, m]; "up_to": evenly from [0, m]; "exact": m; "share": m, the share of
# the result in a blend with the picture as it was, which in RandAugment is 1 at any magnitude.
Draw = Literal["signed", "up_to", "exact", "share"]


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that an argument may be.

    Attributes:
      default: Where the config gives none.
      low: The least allowed.
      high: The most.
      unit: "degrees", "share of the side", ...
    """

    default: float
    low: float
    high: float
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Op:
    """An augmentation of one picture.

    A picture is a float (H, W, C) in 0..1, and leaves as it came: same shape, same dtype, within
    0..1. Each op leaves it as it is, to the bit, at strength 0. Every number is traced, so that
    another magnitude is the same compiled program.

    Attributes:
      apply: `(key, image, strength, **options) -> image`; of a geometric op
        `(key, strength, (H, W), **options) -> matrix`, float32 (2, 3): where in the picture each
        pixel of the result lies, in pixels from the middle, (x', y') = matrix @ (x, y, 1).
      magnitude: Of its strength.
      draw: How a picture's strength follows from the magnitude.
      paper: Where it comes from.
      geometric: Whether `apply` gives a matrix: neighbours in a list are multiplied, and the
        picture is interpolated once.
      full: Strength at the highest magnitude of RandAugment and TrivialAugment; 0: not in them.
      options: Further numbers, by name.
    """

    apply: Callable
    magnitude: Range
    draw: Draw
    paper: str
    geometric: bool = False
    full: float = 0.0
    options: Mapping[str, Range] = dataclasses.field(default_factory=dict)
