"""A small network of one's own."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

import bcjax


@bcjax.register.network("tiny_net", input_size=32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
class TinyNet(nn.Module):
    """Two convolutions, the mean over all places, one dense layer.

    Attributes:
      classes: Number of logits.
      dtype: Dtype of the computation.
      width: Channels of the first convolution.
    """

    classes: int
    dtype: Any = jnp.float32
    width: int = 8

    def setup(self) -> None:
        self.stem = nn.Conv(self.width, (3, 3), strides=2, dtype=self.dtype)
        self.block = nn.Conv(2 * self.width, (3, 3), strides=2, dtype=self.dtype)
        self.head = nn.Dense(self.classes, dtype=jnp.float32)

    def features(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B F"]:
        return nn.relu(self.block(nn.relu(self.stem(images)))).mean(axis=(1, 2))

    def classify(self, features: Float[Array, "B F"], train: bool) -> Float[Array, "B C"]:
        return self.head(features)

    def __call__(self, images: Float[Array, "B H W 3"], train: bool) -> Float[Array, "B C"]:
        return self.classify(self.features(images, train), train)
