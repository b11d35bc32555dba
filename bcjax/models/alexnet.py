"""AlexNet in one tower, as torchvision has it."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.conv import Conv
from bcjax.models.entry import Entry
from bcjax.models.head import Head
from bcjax.models.initial import Normal
from bcjax.models.picture_side import require_side
from bcjax.models.pool import adaptive_average_pool, max_pool

# He's instead of the published deviation of 0.01, with which eight layers without normalisation
# hardly start.
_init = Normal(2.0, "fan_in", truncated=True)


class Stage(nn.Module):
    """A convolution, ReLU, and a 3x3 max pool of stride 2 where `pool`."""

    width: int
    size: int
    stride: int
    padding: int
    pool: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w width"]:
        x = Conv(
            self.width,
            self.size,
            self.stride,
            padding=self.padding,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=_init,
            name="conv",
        )(x)
        x = nn.relu(x)
        return max_pool(x, 3, 2) if self.pool else x


class AlexNet(nn.Module):
    """Krizhevsky, One weird trick for parallelizing convolutional networks (arXiv:1404.5997).

    Attributes:
      classes: Number of logits.
      hidden: Units of the classifier's hidden layers.
      dropout: Rate before each of the hidden layers, in [0, 1).
      small_stem: A first convolution of 3x3, stride 1, without a pool, for pictures of 28 to 64 px.
      remat: Recompute each stage in the backward pass instead of keeping what is inside it.
      dtype: Of the computation; parameters and logits are float32.
    """

    classes: int
    hidden: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.5
    small_stem: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        self.head = Head(
            self.classes,
            self.hidden,
            self.dropout,
            dtype=self.dtype,
            kernel_init=_init,
            last_dropout=not self.hidden,
        )

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B 9216"]:
        """The last 6x6 map of 256 channels as a vector, in `dtype`.

        Its order is row, column, channel. PyTorch's is channel, row, column: rows of an imported
        `dense1` are to be permuted.

        Raises:
          UserError: No pixel of so small a picture would be left in the last stage.
        """
        require_side(images, 7 if self.small_stem else 63)
        stage = nn.remat(Stage) if self.remat else Stage
        layers = [
            (64, 3, 1, 1, False) if self.small_stem else (64, 11, 4, 2, True),
            (192, 5, 1, 2, True),
            (384, 3, 1, 1, False),
            (256, 3, 1, 1, False),
            (256, 3, 1, 1, True),
        ]
        x = images.astype(self.dtype)
        for i, layer in enumerate(layers):
            x = stage(*layer, self.dtype, name=f"stage{i + 1}")(x)
        return adaptive_average_pool(x, 6).reshape(len(x), -1)

    def classify(
        self, features: Float[Array, "B 9216"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32."""
        return self.head(features, train)

    def __call__(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32. `train` needs a `dropout` key where the rate is not zero."""
        return self.classify(self.features(images, train), train)


ENTRIES = {
    "alexnet": Entry(
        AlexNet,
        input_size=224,
        parameters=61_100_840,
        macs=714_188_480,
        stages=("stage1", "stage2", "stage3", "stage4", "stage5", "head"),
        paper="Krizhevsky, One weird trick for parallelizing CNNs, 2014, 1404.5997",
    ),
}
