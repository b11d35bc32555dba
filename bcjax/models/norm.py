"""Normalisation layers under one name, so that a network can be built with any of them."""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

NormKind = Literal["batch", "group", "layer", "frozen-batch"]
NORMS: tuple[NormKind, ...] = get_args(NormKind)

GROUPS = 32  # Wu and He, Group Normalization, ECCV 2018, arXiv:1803.08494


class BatchNorm(nn.Module):
    """Linen's batch norm, with a gradient that reads the map less often.

    The gradient of linen's batch norm has three sums over the map: of the result's gradient, of
    that gradient times a number per channel, and of its product with x - mean. XLA computes them in
    two passes and stores the gradient of a following activation in between. Here there are two
    sums, which take one pass.

    Attributes:
      average: Whether to normalise with the running averages.
      momentum: The share of the running averages that is kept at each step.
      epsilon: The number added to the variance.
      dtype: The dtype of the result.
      scale_init: The initialiser of gamma.
    """

    average: bool
    momentum: float
    epsilon: float
    dtype: DTypeLike
    scale_init: Callable[..., Any]

    @nn.compact
    def __call__(self, x: Float[Array, "B *space C"]) -> Float[Array, "B *space C"]:
        channels = x.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels)
        scale = self.param("scale", self.scale_init, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        x = x.astype(jnp.float32)
        if self.average:
            mean, var = running_mean.value, running_var.value
        else:
            axes = tuple(range(x.ndim - 1))
            mean = x.mean(axes)
            var = jnp.maximum(0, jnp.square(x).mean(axes) - jnp.square(mean))
            if not self.is_initializing():
                for running, now in ((running_mean, mean), (running_var, var)):
                    running.value = self.momentum * running.value + (1 - self.momentum) * now
        slope = scale * lax.rsqrt(var + self.epsilon)
        # The mean's gradient goes through the shift, a number per channel whose value is the bias:
        # so it is a multiple of the bias's gradient.
        centre = lax.stop_gradient(mean)
        shift = bias + (centre - mean) * slope
        return ((x - centre) * slope + shift).astype(self.dtype)


class Norm(nn.Module):
    """Normalises, then scales and shifts each channel.

    Statistics are computed in float32 whatever `dtype`.

    Attributes:
      kind: "batch": over batch and positions, with running averages in evaluation (Ioffe and
        Szegedy, arXiv:1502.03167). "frozen-batch": with running averages in training too, which
        never change. "group": over positions and the channels of a group. "layer": over the
        channels of a position, as in ConvNeXt.
      epsilon: The number added to the variance.
      momentum: The share of the running averages that is kept at each step.
      dtype: The dtype of the result.
      scale_init: The initialiser of gamma.
    """

    kind: NormKind = "batch"
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
            layer: nn.Module = BatchNorm(average, self.momentum, **share)
        elif self.kind == "group":
            layer = nn.GroupNorm(math.gcd(GROUPS, x.shape[-1]), **share)
        else:
            layer = nn.LayerNorm(**share)
        nn.share_scope(self, layer)  # scale and bias belong to this module, whatever the kind
        return layer(x)
