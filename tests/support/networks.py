"""Shallow networks of every kind in the table, and shapes of whole ones, which are only traced."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from bcjax.models.alexnet import AlexNet
from bcjax.models.convnext import ConvNeXt
from bcjax.models.elu_cnn import EluCNN
from bcjax.models.googlenet import GoogLeNet
from bcjax.models.lenet import LeNet
from bcjax.models.plain_cnn import PlainCNN
from bcjax.models.resnet import BasicBlock, Bottleneck, ResNet
from bcjax.models.vgg import VGG
from bcjax.models.vit import ViT

TINY = {
    "elu_cnn": EluCNN(3, widths=(4, 8), hidden=(8,), dropout=0.5),
    "flattened": PlainCNN(3, widths=(4, 8), flatten=True, hidden=(8,), dropout=0.5),
    "averaged": PlainCNN(3, widths=(4, 8), flatten=False, dropout=0.5, norm="batch"),
    "lenet": LeNet(3, hidden=(8,), dropout=0.5),
    "vgg": VGG(3, widths=(4, 8), depths=(1, 2), hidden=(8,)),
    "googlenet": GoogLeNet(3, blocks=(((4, 4, 8, 2, 4, 4),), ((4, 4, 8, 2, 4, 4),))),
    "vit": ViT(3, width=16, heads=2, depth=2, small_stem=True, dropout=0.5),
    "alexnet": AlexNet(3, hidden=(8,), small_stem=True),
    "basic": ResNet(3, depths=(1, 2), block=BasicBlock, dropout=0.5),
    "bottleneck": ResNet(3, depths=(1, 2), block=Bottleneck, dropout=0.5),
    "convnext": ConvNeXt(3, depths=(1, 1), width=16, dropout=0.5),
}
RESIDUAL = [name for name, model in TINY.items() if hasattr(model, "drop_path")]


class Average(nn.Module):
    """A network from outside of the table: one layer on the mean colour."""

    classes: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images, train=False):
        return nn.Dense(self.classes, name="head")(images.mean(axis=(1, 2)))


# What runs once is not worth optimising.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def key(seed=0):
    return jax.random.key(seed, impl="rbg")  # compiles several times faster than the default


def pictures(count, size, channels=3):
    return jax.random.normal(key(1), (count, size, size, channels))


@functools.cache
def initialised(name):
    return TINY[name], jit(TINY[name].init)(key(), pictures(1, 32))


def shapes(model, size=64, channels=3):
    return jax.eval_shape(model.init, key(), jnp.zeros((1, size, size, channels)))


def with_statistics(variables):
    """Returns variables as NumPy has them, with running averages that no fresh network has."""
    rng = np.random.default_rng(0)
    averages = variables.get("batch_stats", {})
    changed = jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape), averages)
    return jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float32), variables | {"batch_stats": changed}
    )


def parameters(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
