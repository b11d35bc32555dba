"""Test-time views: other pictures of the same cell, whose answers are averaged.

"flip, turn, crop(0.9), scale(0.9)" is a product: the picture as it is, its five crops and its
smaller self, each of them laid down in all eight ways. So the average over flip and turn is the
same for a picture and for the picture turned. Ten-crop testing (Krizhevsky et al., NeurIPS 2012,
doi:10.1145/3065386) is "flip, crop(0.875)", and the whole picture beside.
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

from bcjax.augment import Range
from bcjax.augment.geometry import warp
from bcjax.config import nearest
from bcjax.engine.dispatch import Batch, StoredArrays
from bcjax.engine.step import gather
from bcjax.runtime.errors import UserError

Matrix = tuple[tuple[float, float, float], ...]

_TAKES = {
    "flip": None,
    "turn": None,
    "crop": Range(0.9, 0.5, 1.0, "share of the side"),
    "scale": Range(0.9, 0.5, 2.0, "times its size"),
}
_CORNERS = {"upper left": (-1, -1), "upper right": (1, -1),
            "lower left": (-1, 1), "lower right": (1, 1)}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class View:
    """One way to look at a picture.

    Attributes:
      name: "crop(0.9) upper left, mirrored, turned by 90"; "as it is".
      matrix: (2, 3): where in the picture each point of the view lies, counted from the middle,
        (x', y') = matrix @ (x, y, 1); the last column in sides of the picture. See `warp`.
    """

    name: str
    matrix: Matrix

    def __call__(self, batch: Batch, pictures: StoredArrays) -> Batch:
        """Returns the batch with this view of each picture, wherever the pictures live.

        One program makes all views. A view that leads from pixel to pixel is exact, to the bit;
        others are interpolated bilinearly, and rounded to uint8.
        """
        matrix = np.asarray(self.matrix, np.float32)
        return _looked(batch, pictures, matrix, batch["index"].sharding)


@functools.partial(jax.jit, static_argnames="sharding")
def _looked(
    batch: Batch, pictures: StoredArrays, matrix: Float32[Array, "2 3"], sharding: Sharding
) -> Batch:
    shown = gather(batch, pictures)
    side = shown["image"].shape[1]
    in_pixels = matrix * jnp.array([1, 1, side], jnp.float32)
    seen = jax.vmap(warp, in_axes=(0, None))(shown["image"].astype(jnp.float32), in_pixels)
    shown["image"] = jnp.round(seen).astype(jnp.uint8)
    # As the batch is divided over the devices, so that the network takes it as it takes a batch.
    return jax.lax.with_sharding_constraint(shown, sharding)


def read(text: str) -> tuple[View, ...]:
    """Reads a list such as "flip, turn, crop(0.9), scale(0.9)".

    - flip: mirrored too. turn: turned by 90, 180 and 270 degrees too.
    - crop(S): also the middle and the four corners of S times the side, enlarged to the whole.
    - scale(F): also the whole at F times its size; its mirror image lies around what shrinks.

    Returns:
      Every framing (whole, crops, scales) in every layout (flips, turns), none twice; the first
      is the picture as it is.

    Raises:
      UserError: For what is none of these, or has a number that it cannot have.
    """
    calls = [_call(word.strip()) for word in text.split(",")]
    names = {name for name, _ in calls}
    framings = {"": _matrix()}
    for name, number in calls:
        if name == "crop":
            framings |= _crops(number)
        elif name == "scale":
            framings[f"scale({number:g})"] = _matrix(1 / number)
    turns = range(4) if "turn" in names else (0,)
    layouts = {
        _listed("mirrored" * mirrored, f"turned by {90 * turn}" * bool(turn)): _layout(
            bool(mirrored), turn
        )
        for mirrored in range(1 + ("flip" in names))
        for turn in turns
    }
    views: dict[Matrix, View] = {}
    for (framing, frame), (layout, lay) in itertools.product(framings.items(), layouts.items()):
        rows = (frame @ lay)[:2] + 0.0  # no -0.0, that equal ones may be found
        matrix: Matrix = tuple(tuple(row) for row in rows.tolist())
        views.setdefault(matrix, View(_listed(framing, layout) or "as it is", matrix))
    return tuple(views.values())


def _call(word: str) -> tuple[str, float]:
    """Reads "crop(0.9)"; a number that is left out is the customary one."""
    written = re.fullmatch(r"(\w*)(?:\((.*)\))?", word)
    name, number = written.groups() if written else (word, None)
    if name not in _TAKES:
        hint = nearest(name, list(_TAKES))
        raise UserError(f"--views has {word!r}, which is none of {', '.join(_TAKES)}{hint}")
    takes = _TAKES[name]
    if takes is None:
        if number is not None:
            raise UserError(f"--views has {word!r}: {name} takes no number.")
        return name, 0.0
    try:
        value = takes.default if number is None else float(number)
    except ValueError:
        value = np.nan
    if not takes.low <= value <= takes.high:
        raise UserError(
            f"--views has {word!r}: {name} takes a number from {takes.low:g} to {takes.high:g} "
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


def _layout(mirrored: bool, quarter_turns: int) -> np.ndarray:
    """First mirrored left-right, then turned clockwise."""
    mirror = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return mirror @ np.linalg.matrix_power(turn, quarter_turns)


def _listed(*names: str) -> str:
    return ", ".join(filter(None, names))
