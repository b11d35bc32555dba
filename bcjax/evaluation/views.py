"""Test-time views: transformed copies of a picture whose answers are averaged.

"flip, turn, crop(0.9), scale(0.9)" is a product: the whole picture, its five crops and its smaller
copy, each in all eight orientations. So the average over flip and turn is the same for a picture
and for the picture turned. Ten-crop testing (Krizhevsky et al., NeurIPS 2012,
doi:10.1145/3065386) is "flip, crop(0.875)", plus the whole picture.
"""

import dataclasses
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding
from jaxtyping import Array, Float32

from bcjax.augment import Argument
from bcjax.augment.geometry import warp
from bcjax.config import nearest
from bcjax.engine.dispatch import Batch, StoredArrays
from bcjax.engine.step import gather
from bcjax.runtime.errors import UserError

Matrix = tuple[tuple[float, float, float], ...]

_TAKES = {
    "flip": None,
    "turn": None,
    "crop": Argument(0.9, 0.5, 1.0, "share of the side"),
    "scale": Argument(0.9, 0.5, 2.0, "times its size"),
}
_CORNERS = {"upper left": (-1, -1), "upper right": (1, -1),
            "lower left": (-1, 1), "lower right": (1, 1)}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class View:
    """One way to look at a picture.

    Attributes:
      name: Such as "crop(0.9) upper left, mirrored, turned by 90", or "as it is".
      matrix: (2, 3): where in the picture a point of the view lies, counted from the middle:
        (x', y') = matrix @ (x, y, 1), the last column in widths and heights of the picture. See
        `warp`.
    """

    name: str
    matrix: Matrix

    def __call__(self, batch: Batch, pictures: StoredArrays) -> Batch:
        """Returns the batch with this view of each picture, from whatever store it came.

        One compiled program makes all views. A view that maps pixels to pixels is exact; others are
        interpolated bilinearly and rounded to uint8.
        """
        matrix = np.asarray(self.matrix, np.float32)
        return _view(batch, pictures, matrix, batch["index"].sharding)


@functools.partial(jax.jit, static_argnames="sharding")
def _view(
    batch: Batch, pictures: StoredArrays, matrix: Float32[Array, "2 3"], sharding: Sharding
) -> Batch:
    gathered = gather(batch, pictures)
    height, width = gathered["image"].shape[1:3]
    in_pixels = matrix * jnp.array([[1, 1, width], [1, 1, height]], jnp.float32)
    warped = jax.vmap(warp, in_axes=(0, None))(gathered["image"].astype(jnp.float32), in_pixels)
    gathered["image"] = jnp.round(warped).astype(jnp.uint8)
    # Divided over the devices as the batch is, so that the network takes it like any batch.
    return jax.lax.with_sharding_constraint(gathered, sharding)


def parse(text: str, *, square: bool = True) -> tuple[View, ...]:
    """Parses a list such as "flip, turn, crop(0.9), scale(0.9)".

    - flip: also the mirror image. turn: also turned by 90, 180 and 270 degrees; where pictures are
      not square, by 180 degrees alone, for parts of the others would not fit.
    - crop(S): also the middle and the four corners of S times the side, enlarged to the whole.
    - scale(F): also the whole at F times its size; its mirror image surrounds a smaller copy.

    Args:
      text: The list.
      square: Whether the pictures are square.

    Returns:
      Every framing (whole, crops, scales) in every orientation (flips, turns), none twice; the
      first is the picture as it is.

    Raises:
      UserError: If an item is none of these, or its number is out of range.
    """
    calls = [_call(word.strip()) for word in text.split(",")]
    names = {name for name, _ in calls}
    framings = {"": _matrix()}
    for name, number in calls:
        if name == "crop":
            framings |= _crops(number)
        elif name == "scale":
            framings[f"scale({number:g})"] = _matrix(1 / number)
    turns = range(0, 4, 1 if square else 2) if "turn" in names else range(1)
    orientations = {
        _join("mirrored" * mirrored, f"turned by {90 * turn}" * bool(turn)): _orientation(
            bool(mirrored), turn
        )
        for mirrored in range(1 + ("flip" in names))
        for turn in turns
    }
    views: dict[Matrix, View] = {}
    for (framing, frame), (orientation, turned) in itertools.product(
        framings.items(), orientations.items()
    ):
        rows = (frame @ turned)[:2] + 0.0  # no -0.0, so that equal matrices are equal
        matrix: Matrix = tuple(tuple(row) for row in rows.tolist())
        views.setdefault(matrix, View(_join(framing, orientation) or "as it is", matrix))
    return tuple(views.values())


def _call(word: str) -> tuple[str, float]:
    """Parses "crop(0.9)"; without a number, the default one is taken."""
    written = re.fullmatch(r"(\w*)(?:\((.*)\))?", word)
    name, number = written.groups() if written else (word, None)
    if name not in _TAKES:
        hint = nearest(name, list(_TAKES))
        raise UserError(f"views has {word!r}, which is none of {', '.join(_TAKES)}{hint}")
    takes = _TAKES[name]
    if takes is None:
        if number is not None:
            raise UserError(f"views has {word!r}: {name} takes no number.")
        return name, 0.0
    try:
        value = takes.default if number is None else float(number)
    except ValueError:
        value = np.nan
    if not takes.low <= value <= takes.high:
        raise UserError(
            f"views has {word!r}: {name} takes a number from {takes.low:g} to {takes.high:g} "
            f"({takes.unit})."
        )
    return name, value


def _crops(share: float) -> dict[str, np.ndarray]:
    away = (1 - share) / 2
    places = {"middle": (0, 0)} | _CORNERS
    return {
        f"crop({share:g}) {place}": _matrix(share, x * away, y * away)
        for place, (x, y) in places.items()
    }


def _matrix(zoom: float = 1.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    return np.array([[zoom, 0, x], [0, zoom, y], [0, 0, 1]])


def _orientation(mirrored: bool, quarter_turns: int) -> np.ndarray:
    """First mirrored left-right, then turned clockwise."""
    mirror = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return mirror @ np.linalg.matrix_power(turn, quarter_turns)


def _join(*names: str) -> str:
    return ", ".join(filter(None, names))
