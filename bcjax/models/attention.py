"""Self-attention, which transformers are made of."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Layer = Callable[..., Any]


class SelfAttention(nn.Module):
    """Each token reads from all others, by the likeness of its query to their keys.

    Vaswani et al., Attention Is All You Need, NeurIPS 2017, arXiv:1706.03762. The softmax is
    float32.

    Attributes:
      heads: The number of heads, which divide the numbers of a token among them.
      dense: A function from units to a dense layer.
    """

    heads: int
    dense: Layer

    @nn.compact
    def __call__(self, x: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
        batch, tokens, width = x.shape
        qkv = self.dense(3 * width, name="qkv")(x)
        query, key, value = jnp.moveaxis(
            qkv.reshape(batch, tokens, 3, self.heads, width // self.heads), 2, 0
        )
        alike = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        share = nn.softmax(alike.astype(jnp.float32)).astype(x.dtype)
        read = jnp.einsum("bhqk,bkhd->bqhd", share, value)
        return self.dense(width, name="project")(read.reshape(x.shape))
