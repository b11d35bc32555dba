"""Normalisation layers under one name, so that a network can be built with any of them."""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

NormKind = Literal["batch", "group", "layer", "frozen-batch"]
NORMS: tuple[NormKind, ...] = get_args(NormKind)

GROUPS = 32  # Wu and He, Group Normalization, ECCV 2018, arXiv:1803.08494


Activation = Callable[[Array], Array]


class BatchNorm(nn.Module):
    """Linen's batch norm and the activation after it, with a gradient that moves fewer bytes.

    Linen's batch norm and an activation store two maps for the gradient, the normalised one and the
    activation's result. Here the normalised map is computed anew from what was normalised. And the
    gradient of linen's batch norm has three sums over the map: of the result's gradient, of that
    gradient times a number per channel, and of its product with x - mean. Here there are two.

    Attributes:
      average: Whether to normalise with the running averages.
      momentum: The share of the running averages that is kept at each step.
      epsilon: The number added to the variance.
      dtype: The dtype of the result.
      scale_init: The initialiser of gamma.
      activation: The function after it; None for none.
    """

    average: bool
    momentum: float
    epsilon: float
    dtype: DTypeLike
    scale_init: Callable[..., Any]
    activation: Activation | None

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
        compute = _scaled if self.average else _scaled_in_training
        return compute((x, centre, slope, shift), self.dtype, self.activation)


# The map, and for each channel what is taken from it, its factor, and what is added.
_Operands = tuple[
    Float[Array, "B *space C"], Float[Array, "C"], Float[Array, "C"], Float[Array, "C"]
]


def _scaled(
    operands: _Operands, dtype: DTypeLike, activation: Activation | None
) -> Float[Array, "B *space C"]:
    x, centre, slope, shift = operands
    y = ((x - centre) * slope + shift).astype(dtype)
    return activation(y) if activation else y


_scaled_in_training = jax.custom_vjp(_scaled, nondiff_argnums=(1, 2))


def _saved(
    operands: _Operands, dtype: DTypeLike, activation: Activation | None
) -> tuple[Float[Array, "B *space C"], _Operands]:
    return _scaled(operands, dtype, activation), operands


def _gradients(
    dtype: DTypeLike,
    activation: Activation | None,
    saved: _Operands,
    g: Float[Array, "B *space C"],
) -> tuple[_Operands]:
    x, centre, slope, shift = saved
    if activation:
        # A barrier: otherwise XLA finds that this was computed before, and stores it.
        again, slope = lax.optimization_barrier((x, slope))
        normalised = _scaled((again, centre, slope, shift), dtype, None)
        (g,) = jax.vjp(activation, normalised)[1](g)
    g = g.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    of_shift = g.sum(axes)
    of_slope = (g * x).sum(axes) - centre * of_shift
    return ((g * slope, jnp.zeros_like(centre), of_slope, of_shift),)


_scaled_in_training.defvjp(_saved, _gradients)


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
      activation: The function after it; None for none. Given here, and not applied to the result,
        it makes a step of training with batch norm store and move less.
    """

    kind: NormKind = "batch"
    epsilon: float = 1e-5
    momentum: float = 0.9
    dtype: DTypeLike = jnp.float32
    scale_init: Callable[..., Any] = nn.initializers.ones
    activation: Activation | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "B *space C"], train: bool) -> Float[Array, "B *space C"]:
        share: dict[str, Any] = {
            "epsilon": self.epsilon,
            "dtype": self.dtype,
            "scale_init": self.scale_init,
        }
        if self.kind in ("batch", "frozen-batch"):
            average = self.kind == "frozen-batch" or not train
            layer: nn.Module = BatchNorm(
                average, self.momentum, **share, activation=self.activation
            )
            activation = None
        else:
            activation = self.activation
            if self.kind == "group":
                layer = nn.GroupNorm(math.gcd(GROUPS, x.shape[-1]), **share)
            else:
                layer = nn.LayerNorm(**share)
        nn.share_scope(self, layer)  # scale and bias belong to this module, whatever the kind
        y = layer(x)
        return activation(y) if activation else y
