"""What is known about one key of the config."""

import dataclasses
import math
from typing import Any, Literal

Kind = Literal["bool", "int", "float", "text", "length", "ints", "floats", "texts"]

TYPES: dict[str, type] = {
    "bool": bool, "int": int, "float": float, "text": str, "length": str,
    "ints": tuple, "floats": tuple, "texts": tuple,
}  # fmt: skip
ITEM_TYPES: dict[str, type] = {"ints": int, "floats": float, "texts": str}


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers between two bounds; infinity and NaN are in no range.

    Attributes:
      low: The lower bound.
      high: The upper bound.
      open_low: Whether the lower bound itself is left out.
      open_high: Whether the upper bound itself is left out.
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number: float) -> bool:
        above = self.low < number if self.open_low else self.low <= number
        below = number < self.high if self.open_high else number <= self.high
        return above and below and math.isfinite(number)

    def __str__(self) -> str:
        if self.open_high:
            return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g})"
        bounds = [f"{'more than' if self.open_low else 'at least'} {self.low:g}"]
        if self.high < math.inf:
            bounds.append(f"at most {self.high:g}")
        return " and ".join(bounds)


def at_least(low: float) -> Range:
    return Range(low)


POSITIVE = Range(0, open_low=True)
FRACTION = Range(0, 1, open_high=True)  # in [0, 1)
SHARE = Range(0, 1)  # in [0, 1]
POSITIVE_SHARE = Range(0, 1, open_low=True)  # in (0, 1]
BYTE = Range(0, 255)


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of the config.

    Attributes:
      default: The value that it has where nobody sets it.
      meaning: One line of plain English.
      kind: What a value is. "length" is a text such as "20 epochs"; "ints", "floats" and "texts"
        are tuples.
      optional: Whether it may be None, "not set".
      choices: The values that it may have; (): any of its kind.
      range: The numbers that it may be. Of a length the number, of a tuple each item.
      size: The number of items that a tuple must have; None: any number.
      unit: The unit of the number.
      may_change: Whether a run that is resumed may be given another value: nothing here changes
        a bit of the result, except `mesh`, which changes the rounding of its sums.
      also: What other tools (timm, Keras, Ultralytics, PyTorch, ...) call it.
      advice: What to add to the sentence that refuses a value.
    """

    default: Any
    meaning: str
    kind: Kind
    optional: bool = False
    choices: tuple[Any, ...] = ()
    range: Range | None = None
    size: int | None = None
    unit: str = ""
    may_change: bool = False
    also: tuple[str, ...] = ()
    advice: str = ""

    @property
    def type(self) -> type:
        """The Python type of a value that is not None."""
        return TYPES[self.kind]
