"""RandAugment and TrivialAugment: operations chosen at random for each picture.

Under vmap each picture's choice would cost a whole operation for each of the choices. Instead the
geometric ones are matrices, of which the chosen are multiplied and interpolated once for all
layers (before the colours: the order matters to interpolation alone); the others are mostly a few
operations on a pixel, which the compiler fuses into one pass.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32, Key

from bcjax.augment import geometry
from bcjax.augment.entry import Drawn, Numbers, Shape
from bcjax.augment.in_turn import in_turn
from bcjax.augment.op import Op, Range

LEVELS = 30  # what RandAugment's paper calls the highest magnitude

RAND = {
    "magnitude": Range(9, 0, LEVELS),
    "spread": Range(0, 0, LEVELS, "deviation of the magnitude"),
    "rate": Range(1, 0, 1, "probability of each layer"),
}


@dataclasses.dataclass(frozen=True)
class Choice:
    """`layers` times one of `ops`, or nothing, each equally likely.

    RandAugment (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719) gives each the same magnitude,
    which may vary by a normal `spread`. TrivialAugment (Mueller and Hutter 2021,
    https://arxiv.org/abs/2103.10158) is one layer of any magnitude.

    Attributes:
      ops: To choose from, beside nothing.
      layers: How many are applied.
      any_magnitude: Drawn evenly from 0 to the highest.
    """

    ops: Sequence[Op]
    layers: int
    any_magnitude: bool = False

    def draw(self, key: Key[Array, ""], numbers: Numbers, shape: Shape) -> Drawn:
        which_key, level_key, own_key = jax.random.split(key, 3)
        # Drawn flat: under vmap, random numbers of several axes take seconds to compile.
        drawn = jax.random.uniform(which_key, (4 * self.layers,)).reshape(4, self.layers)
        which, sign, coin, evenly = drawn
        # The last one stands for nothing.
        which = jnp.floor(which * (len(self.ops) + 1)).astype(jnp.int32)
        sign = jnp.where(sign < 0.5, -1.0, 1.0)
        if self.any_magnitude:
            level = evenly
        else:
            varied = numbers["spread"] * jax.random.normal(level_key, (self.layers,))
            level = jnp.clip((numbers["magnitude"] + varied) / LEVELS, 0, 1)
            which = jnp.where(coin < numbers["rate"], which, len(self.ops))
        layers = _Layer(jax.random.split(own_key, self.layers), which, level, sign)

        # Of each layer all but the chosen one, at strength 0, are the identity.
        matrices = [
            op.apply(layer.key, layer.strength(i, op), shape)
            for layer in (jax.tree.map(lambda a, n=n: a[n], layers) for n in range(self.layers))
            for i, op in enumerate(self.ops)
            if op.geometric
        ]
        matrix = functools.reduce(geometry.compose, matrices) if matrices else None

        def paint(image: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
            return in_turn(self._painted)(image, layers)

        return Drawn(matrix, paint=None if all(op.geometric for op in self.ops) else paint)

    def _painted(self, image: Float[Array, "H W C"], layers: "_Layer") -> Float[Array, "H W C"]:
        def branch(i: int, op: Op) -> Callable:
            if op.geometric:
                return _nothing
            return lambda image, layer: op.apply(layer.key, image, layer.strength(i, op))

        branches = [*(branch(i, op) for i, op in enumerate(self.ops)), _nothing]

        # A loop, so that the compiler makes a pass of each layer: fused into the next, it would be
        # computed anew for each pixel that a filter there looks at.
        def body(image: Array, layer: "_Layer") -> tuple[Array, None]:
            return jax.lax.switch(layer.which, branches, image, layer), None

        return jax.lax.scan(body, image, layers)[0]


def _nothing(image: Float[Array, "H W C"], layer: "_Layer") -> Float[Array, "H W C"]:
    return image


class _Layer(NamedTuple):
    """What one layer does to a picture."""

    key: Key[Array, ""]
    which: Int32[Array, ""]
    level: Float[Array, ""]
    sign: Float[Array, ""]

    def strength(self, i: int, op: Op) -> Float[Array, ""]:
        """Of the `i`th operation: 0 for all but the chosen one."""
        full = 1.0 if op.draw == "share" else op.full * self.level
        full = full * self.sign if op.draw == "signed" else full
        return jnp.where(self.which == i, full, 0.0)
