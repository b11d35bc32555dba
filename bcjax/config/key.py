"""What is known about one key of the config."""

import dataclasses
import math
from typing import Any


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the values of a key are.

    Attributes:
      python: The Python type of a value.
      written: What to write, as messages and the page say it.
      item: The type of each item of a tuple; None: the value is no tuple.
      size: The number of items that a tuple must have; None: any number.
    """

    python: type
    written: str
    item: type | None = None
    size: int | None = None


BOOL = Kind(bool, "true or false")
INT = Kind(int, "a whole number")
FLOAT = Kind(float, "a number")
TEXT = Kind(str, "text")
PATH = Kind(str, "a path")
LENGTH = Kind(str, 'a length such as "20 epochs"')
INTS = Kind(tuple, "a list of whole numbers, such as (64, 32)", int)
FLOATS = Kind(tuple, "a list of numbers, such as (0.5, 0.75)", float)
COLOUR = Kind(tuple, "three whole numbers from 0 to 255", int, size=3)
TEXTS = Kind(tuple, 'a list of texts, such as ("A", "B")', str)


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
      default: The value that it has where nobody sets it; None: "not set", which a user may say
        too.
      meaning: One line of plain English.
      kind: What a value is.
      choices: The values that it may have; (): any of its kind.
      range: The numbers that it may be. Of a length the number, of a tuple each item.
      unit: The unit of the number.
      may_change: Whether a run that is resumed may be given another value: nothing here changes
        a bit of the result, except `mesh`, which changes the rounding of its sums.
      with_change: Whether a run that is resumed may be given another value with --change: the state
        of the run fits both values, and the run's record says when it changed.
    """

    default: Any
    meaning: str
    kind: Kind
    choices: tuple[Any, ...] = ()
    range: Range | None = None
    unit: str = ""
    may_change: bool = False
    with_change: bool = False

    @property
    def optional(self) -> bool:
        """Whether it may be None."""
        return self.default is None
