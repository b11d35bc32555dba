"""What a network is, what the table says about it, and how much it computes."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.config import ImageSize
from bcjax.models.attention import SelfAttention
from bcjax.models.layers import Conv, Head

Triple = tuple[float, float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ImageClassifier(nn.Module):
    """What every network is: `features`, which pools pictures to vectors, and `classify`.

    A subclass defines `features` and sets `self.head` in its `setup`. Parameters, statistics and
    logits are float32, whatever the dtype of the computation. The stages of a network are the
    top-level names of its parameters, in forward order, the last of which is "head". What repeats
    within a stage is called block1, block2, ...: freezing and layer decay go by these names.
    """

    def features(self, images: Float[Array, "B H W C"], train: bool = False) -> Float[Array, "B D"]:
        """Returns the pooled vector that the classifier reads, in the dtype of the computation."""
        raise NotImplementedError

    def classify(
        self, features: Float[Array, "B D"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Returns the logits of pooled vectors, float32."""
        return self.head(features, train)

    def __call__(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Returns the logits of pictures, float32.

        With `train` it needs a `dropout` key if a rate of dropout or drop path is not zero.
        """
        return self.classify(self.features(images, train), train)


class StagedClassifier(ImageClassifier):
    """What the networks of the table have in common: their classifier and these options.

    A subclass defines `features`, gives some of the options another default, and adds its own.

    Attributes:
      classes: The number of logits.
      hidden: The units of each hidden layer of the classifier.
      dropout: The dropout rate before each layer of the classifier, in [0, 1).
      small_stem: Whether the first layers shrink the picture less, for pictures of 28 to 64 px.
      remat: Whether each block, or each stage of a network without blocks, is computed again in the
        backward pass, to save memory.
      dtype: The dtype of the computation; parameters, statistics and logits are float32.
    """

    classes: int
    _: dataclasses.KW_ONLY
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0
    small_stem: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    head_options: ClassVar[Mapping[str, Any]] = {}  # further attributes of its `Head`

    def setup(self) -> None:
        self.head = Head(
            self.classes, self.hidden, self.dropout, dtype=self.dtype, **self.head_options
        )


@dataclasses.dataclass(frozen=True)
class NetworkInfo:
    """One network of the table: how it is built, and what was published about it.

    Attributes:
      build: The module's class, or a partial of it that fixes what makes this variant.
      input_size: The side in pixels of the pictures that it was published with.
      stages: The top-level names of its parameters, from the picture to the logits; () if they are
        not known.
      parameters: The number of parameters for 1,000 classes and RGB pictures of that size; 0 if it
        is not known.
      macs: The multiply-adds of its convolutions, dense layers and attention for one such picture;
        0 if they are not known.
      paper: The publication, with its number on arXiv if it has one.
      mean: What is subtracted from each channel of a picture in 0..1.
      std: What divides each channel after that.
    """

    build: Callable[..., nn.Module]
    _: dataclasses.KW_ONLY
    input_size: int
    stages: tuple[str, ...] = ()
    parameters: int = 0
    macs: int = 0
    paper: str = ""
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that `create` takes besides `classes` and `dtype`.

        They are the module's fields that have a default, which a partial may change. The fields
        without a default (depths, widths) are what makes the variant.
        """
        module = self.build.func if isinstance(self.build, functools.partial) else self.build
        fields = inspect.signature(module).parameters.values()
        taken = {"classes", "dtype", "parent", "name"}
        return tuple(f.name for f in fields if f.default is not f.empty and f.name not in taken)


LAYERS = (Conv, nn.Conv, nn.Dense, SelfAttention)  # what multiplies and adds


@dataclasses.dataclass(frozen=True)
class Count:
    """The size of a network for pictures of one size.

    Attributes:
      parameters: The number of trainable numbers.
      macs: The multiply-adds of its convolutions, dense layers and attention for one picture.
    """

    parameters: int
    macs: int

    @property
    def flops(self) -> int:
        """Floating-point operations for one picture, a multiply-add counted as two."""
        return 2 * self.macs


def count(model: nn.Module, size: ImageSize, channels: int = 3) -> Count:
    """Counts parameters and multiply-adds from a trace; nothing is computed.

    Args:
      model: A network of the table.
      size: Height and width of the picture.
      channels: The number of channels of the picture.

    Raises:
      UserError: The network takes no pictures of that size.
    """
    macs = 0

    def add(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        nonlocal macs
        result = call(*args, **kwargs)
        layer = context.module
        if context.method_name == "__call__" and isinstance(layer, Conv | nn.Conv | nn.Dense):
            kernel: jax.Array = layer.get_variable("params", "kernel")
            macs += kernel.size * math.prod(result.shape[1:-1])
        if context.method_name == "__call__" and isinstance(layer, SelfAttention):
            tokens, width = result.shape[1:]
            macs += 2 * tokens**2 * width  # queries with keys, and shares with values
        return result

    images = jnp.zeros((1, *size, channels))
    with nn.intercept_methods(add):
        variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    return Count(sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), macs)
