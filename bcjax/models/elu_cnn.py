"""A plain convolutional network without normalisation, small enough to train on a laptop."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.conv import Conv
from bcjax.models.entry import Entry
from bcjax.models.head import Head
from bcjax.models.initial import Normal
from bcjax.models.pool import max_pool

# 1 / E[elu(z)^2] for z ~ N(0, 1): at this gain a layer hands on the second moment that it was
# given, and returns to it when disturbed, for ELU damps what is larger and lets grow what is
# smaller. It stands in for the batch norm that the network does without.
ELU_GAIN = 1.5505

_elu_init = Normal(ELU_GAIN, "fan_in")


class Stage(nn.Module):
    """Three 3x3 convolutions, the first of stride `stride`, and a pool that rounds up."""

    width: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w width"]:
        for i in range(3):
            x = Conv(
                self.width,
                3,
                self.stride if i == 0 else 1,
                use_bias=True,
                dtype=self.dtype,
                kernel_init=_elu_init,
                name=f"conv{i + 1}",
            )(x)
            if i == 2:  # before ELU, which is monotone: the same values, a quarter of the work
                x = max_pool(x, 2, 2, ceil=True)
            x = nn.elu(x)
        return x


class EluCNN(nn.Module):
    """15 convolutional and 2 dense layers with ELU, after Kandel and Castelli.

    They published the depth, the activation and the two dropouts of the classifier
    (Applied Sciences 2020), not the widths. Those here cost 59 million multiply-adds for a
    picture of 96x96, of which a CPU trains on some hundred a second. The average pool, where a
    flattening would do, makes the parameters independent of the picture's size.

    Attributes:
      classes: Number of logits.
      widths: Filters in each stage.
      hidden: Units of the classifier's hidden layers.
      dropout: Rate before each of the classifier's layers, in [0, 1).
      small_stem: A first convolution of stride 1 instead of 2, for pictures of 28 to 64 px.
      remat: Recompute each stage in the backward pass instead of keeping what is inside it.
      dtype: Of the computation; parameters and logits are float32.
    """

    classes: int
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    hidden: tuple[int, ...] = (256,)
    dropout: float = 0.0
    small_stem: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        self.head = Head(
            self.classes, self.hidden, self.dropout, nn.elu, self.dtype, kernel_init=_elu_init
        )

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """The pooled vector that the classifier reads, in `dtype`."""
        stage = nn.remat(Stage) if self.remat else Stage
        x = images.astype(self.dtype)
        for i, width in enumerate(self.widths):
            stride = 2 if i == 0 and not self.small_stem else 1
            x = stage(width, stride, self.dtype, name=f"stage{i + 1}")(x)
        return x.mean(axis=(1, 2))

    def classify(
        self, features: Float[Array, "B width"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32."""
        return self.head(features, train)

    def __call__(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32. `train` needs a `dropout` key where the rate is not zero."""
        return self.classify(self.features(images, train), train)


ENTRIES = {
    "elu_cnn": Entry(
        EluCNN,
        input_size=96,
        parameters=1_681_320,
        macs=59_693_056,
        stages=("stage1", "stage2", "stage3", "stage4", "stage5", "head"),
        paper="Kandel and Castelli, Applied Sciences 2020",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    ),
}
