"""One entry of the list of augmentations: what it does to a picture, drawn from a key."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from bcjax.augment.op import Op

Shape = tuple[int, int]
Numbers = dict[str, float]  # by argument; traced in a step
Paint = Callable[[Array], Array]


class Drawn(NamedTuple):
    """What is to be done to one picture, in this order.

    Attributes:
      matrix: Where the pixels of the result lie (see `Op.apply`); None: where they are.
      rearrange: The same as `matrix`, without interpolation, where that can be.
      paint: What becomes of the pixels then; None: nothing.
    """

    matrix: Float[Array, "2 3"] | None = None
    rearrange: Paint | None = None
    paint: Paint | None = None


class Entry(Protocol):
    """An entry of the list."""

    def draw(self, key: Key[Array, ""], numbers: Numbers, shape: Shape) -> Drawn: ...


def strength(key: Key[Array, ""], op: Op, magnitude: Float[Array, ""]) -> Float[Array, ""]:
    """Draws how strongly `op` is applied to a picture, as its `draw` says."""
    if op.draw == "signed":
        return magnitude * jax.random.uniform(key, minval=-1.0)
    return magnitude * jax.random.uniform(key) if op.draw == "up_to" else magnitude


@dataclasses.dataclass(frozen=True)
class Single:
    """One operation of the table.

    Attributes:
      op: Which.
      rearrange: `(key, image) -> image`, the same as `op` at strength 1, without interpolation.
      sometimes: Whether `numbers` has p, the probability that a picture gets it.
    """

    op: Op
    rearrange: Callable | None = None
    sometimes: bool = False

    def draw(self, key: Key[Array, ""], numbers: Numbers, shape: Shape) -> Drawn:
        apply_key, strength_key, coin_key = jax.random.split(key, 3)
        own = strength(strength_key, self.op, jnp.float32(numbers["magnitude"]))
        if self.sometimes:
            own = jnp.where(jax.random.bernoulli(coin_key, numbers["p"]), own, 0.0)
        options = {name: numbers[name] for name in self.op.options}
        if self.op.geometric:
            matrix = self.op.apply(apply_key, own, shape, **options)
            rearrange = self.rearrange and functools.partial(self.rearrange, apply_key)
            return Drawn(matrix, rearrange)
        return Drawn(paint=lambda image: self.op.apply(apply_key, image, own, **options))
