"""Normalisation layers under one name, so that a network can be built with any of them."""

import math
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

Kind = Literal["batch", "group", "layer", "frozen-batch"]
KINDS: tuple[Kind, ...] = ("batch", "group", "layer", "frozen-batch")

GROUPS = 32  # Wu and He, Group Normalization, ECCV 2018, arXiv:1803.08494


class Norm(nn.Module):
    """Normalises, then scales and shifts each channel.

    Statistics are computed in float32 whatever `dtype`.

    Attributes:
      kind: "batch": over batch and positions, running averages in evaluation (Ioffe and Szegedy,
        arXiv:1502.03167). "frozen-batch": with its running averages in training too, which never
        move. "group": over positions and the channels of a group. "layer": over the channels of a
        position, as in ConvNeXt.
      epsilon: Added to the variance.
      momentum: Of the running averages, kept share per step.
      dtype: Of the result.
      scale_init: Of gamma.
    """

    kind: Kind = "batch"
    epsilon: float = 1e-5
    momentum: float = 0.9
    dtype: DTypeLike = jnp.float32
    scale_init: Callable[..., Any] = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "B *space C"], train: bool) -> Float[Array, "B *space C"]:
        share: dict[str, Any] = {
            "epsilon": self.epsilon,
            "dtype": self.dtype,
            "scale_init": self.scale_init,
        }
        if self.kind in ("batch", "frozen-batch"):
            average = self.kind == "frozen-batch" or not train
            layer: nn.Module = nn.BatchNorm(average, momentum=self.momentum, **share)
        elif self.kind == "group":
            layer = nn.GroupNorm(math.gcd(GROUPS, x.shape[-1]), **share)
        else:
            layer = nn.LayerNorm(**share)
        nn.share_scope(self, layer)  # scale and bias stand in this module, whatever the kind
        return layer(x)
