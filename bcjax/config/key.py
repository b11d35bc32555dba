"""What is known about one key of the config."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the values of a key are.

    Attributes:
      python: The Python type of a value.
      written: What to write, as messages and the page say it.
      item: The type of each item of a tuple; None: the value is no tuple.
      size: The number of items that a tuple must have; None: any number.
      alone: Whether one item, without a tuple, stands for as many that are the same.
    """

    python: type
    written: str
    item: type | None = None
    size: int | None = None
    alone: bool = False


BOOL = Kind(bool, "true or false")
INT = Kind(int, "a whole number")
FLOAT = Kind(float, "a number")
TEXT = Kind(str, "text")
PATH = Kind(str, "a path")
LENGTH = Kind(str, 'a length such as "20 epochs"')
INTS = Kind(tuple, "a list of whole numbers, such as (64, 32), on the command line 64,32", int)
FLOATS = Kind(tuple, "a list of numbers, such as (0.5, 0.75), on the command line 0.5,0.75", float)
SIDES = Kind(
    tuple,
    "a whole number, the side of a square, or height and width, such as (96, 128), on the command "
    "line 96,128",
    int, size=2, alone=True,
)  # fmt: skip
COLOUR = Kind(tuple, "three whole numbers from 0 to 255", int, size=3)
TEXTS = Kind(tuple, 'a list of texts, such as ("A", "B"), on the command line A,B', str)


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers between two bounds; NaN is in no range.

    Attributes:
      low: The lower bound.
      high: The upper bound.
      open_low: Whether the lower bound itself is left out.
      open_high: Whether the upper bound itself is left out.
    """

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number: float) -> bool:
        above = self.low < number if self.open_low else self.low <= number
        below = number < self.high if self.open_high else number <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"more than {self.low}" if self.open_low else f"at least {self.low}"
        high = f"less than {self.high}" if self.open_high else f"at most {self.high}"
        return f"{low} and {high}"


COUNT = Range(0, 2**31 - 1)  # what a device counts in 32 bits
COUNT_FROM_1 = Range(1, 2**31 - 1)
SEED = Range(0, 2**32 - 1)
FRACTION = Range(0, 1, open_high=True)
SHARE = Range(0, 1)
BETWEEN_0_AND_1 = Range(0, 1, open_low=True, open_high=True)
POSITIVE_SHARE = Range(0, 1, open_low=True)
STRENGTH = Range(0, 1000)  # of what is added to a gradient: beyond it, every run diverges
TINY = Range(1e-30, 1000)  # less is 0 in float32
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
      fixed: Why a sweep or an ablation may not vary it, as a clause; "": it may, unless
        `may_change` says that it changes no result.
    """

    default: Any
    meaning: str
    kind: Kind
    choices: tuple[Any, ...] = ()
    range: Range | None = None
    unit: str = ""
    may_change: bool = False
    with_change: bool = False
    fixed: str = ""

    @property
    def why_not_tuned(self) -> str:
        """Why a sweep or an ablation may not vary it, as a clause; "": it may."""
        return self.fixed or ("it changes no result" if self.may_change else "")

    @property
    def optional(self) -> bool:
        """Whether it may be None."""
        return self.default is None
