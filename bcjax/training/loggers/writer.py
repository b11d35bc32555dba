"""What every place that a run writes to can be told."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8


class Writer:
    """Takes what a run has to tell, step after step; what it has no place for, it lets pass."""

    def tell(self, story: Callable[["Writer"], None]) -> None:
        """Takes what is long to make, in the making: called with what has a place for it."""

    def write(self, step: int, values: dict[str, float]) -> None:
        """Takes the numbers of a step."""

    def show(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        """Takes a picture."""

    def spread(self, step: int, name: str, values: Float[np.ndarray, "..."]) -> None:
        """Takes numbers of which the histogram matters."""

    def keep(self, path: Path) -> None:
        """Takes a file that will change no more."""

    def close(self) -> None:
        """Ends the writing."""
