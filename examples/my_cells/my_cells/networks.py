"""A small network of one's own."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

import bcjax
from bcjax.models import ImageClassifier
from bcjax.models.layers import Head


@bcjax.register.network(
    "tiny_net",
    input_size=32,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    stages=("stem", "block", "head"),
)
class TinyNet(ImageClassifier):
    """Two convolutions, the mean over all places, one dense layer.

    Attributes:
      classes: Number of logits.
      dtype: Dtype of the computation.
      dropout: Dropout rate before the dense layer, set by `config.model.dropout`.
      width: Channels of the first convolution.
    """

    classes: int
    dtype: Any = jnp.float32
    dropout: float = 0.1
    width: int = 8

    def setup(self) -> None:
        self.stem = nn.Conv(self.width, (3, 3), strides=2, dtype=self.dtype)
        self.block = nn.Conv(2 * self.width, (3, 3), strides=2, dtype=self.dtype)
        self.head = Head(self.classes, dropout=self.dropout, dtype=self.dtype)

    def features(self, images: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B D"]:
        return nn.relu(self.block(nn.relu(self.stem(images)))).mean(axis=(1, 2))
