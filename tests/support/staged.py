"""A network of stages and blocks, as those of the table are, that compiles in a moment."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from bcjax.engine.trainable import freeze_all_but, layers_of, select
from bcjax.models.layers import Conv, DropPath, Head
from bcjax.models.norm import Norm


class Block(nn.Module):
    width: int
    drop_path: float

    @nn.compact
    def __call__(self, x, train):
        y = Conv(self.width, 3, name="conv")(x)
        y = nn.relu(Norm(name="norm")(y, train))
        return x + DropPath(self.drop_path, name="drop_path")(y, train)


class Stage(nn.Module):
    width: int
    drop_path: float
    block: Callable

    @nn.compact
    def __call__(self, x, train):
        x = Conv(self.width, 2, 2, padding=0, name="downsample")(x)
        for i in range(2):
            x = self.block(self.width, self.drop_path, name=f"block{i + 1}")(x, train)
        return x


class Staged(nn.Module):
    """Eight layers: two stages, each of a downsampling and two blocks, and a head of two."""

    classes: int = 3
    width: int = 4
    drop_path: float = 0.0
    dropout: float = 0.0
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    def setup(self):
        self.head = Head(self.classes, (8,), self.dropout)

    @nn.compact
    def features(self, images, train=False):
        block = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        for i in range(2):
            images = Stage(self.width, self.drop_path, block, name=f"stage{i + 1}")(images, train)
        return images.mean(axis=(1, 2))

    def classify(self, features, train=False):
        return self.head(features, train)

    def __call__(self, images, train=False):
        return self.classify(self.features(images, train), train)


def layers_of_model(model, size=8):
    pictures = jnp.zeros((1, size, size, 3))
    return layers_of(lambda: model.init(jax.random.key(0), pictures))[0]


def frozen_but(pattern):
    """What is frozen of a `Staged` where `finetune.trainable` is `pattern`."""
    layers = layers_of_model(Staged())
    return freeze_all_but(select(pattern, layers), select("all", layers))
