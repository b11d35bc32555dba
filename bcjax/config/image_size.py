"""How large the pictures are that a network sees: height and width, of which a square has one."""

from collections.abc import Sequence
from typing import NamedTuple, Self


class ImageSize(NamedTuple):
    """Height and width in pixels.

    A config, JSON and the command line say one number for a square, and (height, width) for any
    other rectangle. All code has this type.
    """

    height: int
    width: int

    @classmethod
    def of(cls, stated: int | Sequence[int]) -> Self:
        """Returns the size that a config states: the side of a square, or height and width."""
        height, width = stated if isinstance(stated, Sequence) else (stated, stated)
        return cls(height, width)

    @property
    def stated(self) -> int | tuple[int, int]:
        """The size as a config states it."""
        return self.height if self.square else (self.height, self.width)

    @property
    def square(self) -> bool:
        """Whether height and width are the same."""
        return self.height == self.width

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.height * self.width

    def __str__(self) -> str:
        """Returns "96" for a square, else "96x128", the height first."""
        return str(self.height) if self.square else f"{self.height}x{self.width}"
