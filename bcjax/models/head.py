"""The classifier on top of every network: dropout and dense layers."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.initial import lecun_normal


class Dropout(nn.Module):
    """Linen's dropout, told whether it trains as every other layer is.

    Attributes:
      rate: In [0, 1).
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        return nn.Dropout(self.rate, deterministic=not train)(x)


class Head(nn.Module):
    """Hidden dense layers `dense1`, `dense2`, ... and then `logits`, each behind a dropout.

    Attributes:
      classes: Number of logits.
      hidden: Units of the hidden layers; (): a linear classifier.
      dropout: Rate before each dense layer, in [0, 1).
      activation: After each hidden layer.
      dtype: Of the hidden layers; logits are float32.
      kernel_init: Of the hidden layers' kernels.
      logits_init: Of the last layer's kernel.
      last_dropout: Whether there is a dropout before `logits` too.
    """

    classes: int
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    activation: Callable[[Array], Array] = nn.relu
    dtype: DTypeLike = jnp.float32
    kernel_init: Callable[..., Any] = lecun_normal
    logits_init: Callable[..., Any] = lecun_normal
    last_dropout: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "B C"], train: bool) -> Float[Array, "B classes"]:
        for i, units in enumerate(self.hidden):
            x = Dropout(self.dropout, name=f"dropout{i + 1}")(x, train)
            dense = nn.Dense(
                units, dtype=self.dtype, kernel_init=self.kernel_init, name=f"dense{i + 1}"
            )
            x = self.activation(dense(x))
        if self.last_dropout:
            x = Dropout(self.dropout, name="dropout")(x, train)
        return nn.Dense(
            self.classes, dtype=jnp.float32, kernel_init=self.logits_init, name="logits"
        )(x)
