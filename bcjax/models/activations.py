"""Activations that JAX computes by a slower road."""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """X times the normal distribution's mass below x (arXiv:1606.08415), without approximation.

    By erf, where `jax.nn.gelu` takes erfc: the difference is below float32's rounding of x, and a
    CPU computes it in two fifths of the time.
    """
    return x * (0.5 + 0.5 * lax.erf(x * jnp.asarray(math.sqrt(0.5), x.dtype)))
