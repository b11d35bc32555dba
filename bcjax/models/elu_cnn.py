"""A plain convolutional network without normalisation, small enough to train on a laptop."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

# 1 / E[elu(z)^2] for z ~ N(0, 1): at this gain a layer hands on the second moment that it was
# given, and returns to it when disturbed, for ELU damps what is larger and lets grow what is
# smaller. It stands in for the batch norm that the network does without.
ELU_GAIN = 1.5505

_elu_init = nn.initializers.variance_scaling(ELU_GAIN, "fan_in", "normal")


def max_pool(x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
    """Pools 2x2 windows at stride 2, rounding up.

    As the maximum of four slices, whose gradient XLA turns into selects: that of `nn.max_pool`, a
    scatter, takes 8 times as long on a CPU, and then a fifth of this network's step.
    """
    _, height, width, _ = x.shape
    edges = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
    x = jnp.pad(x, edges, constant_values=-jnp.inf)
    upper = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
    lower = jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2])
    return jnp.maximum(upper, lower)


class Stage(nn.Module):
    """Three 3x3 convolutions, the first of stride `stride`, and a pool that rounds up."""

    width: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w width"]:
        for i in range(3):
            x = nn.Conv(
                self.width,
                (3, 3),
                self.stride if i == 0 else 1,
                padding=1,
                dtype=self.dtype,
                kernel_init=_elu_init,
                name=f"conv{i + 1}",
            )(x)
            if i == 2:  # before ELU, which is monotone: the same values, a quarter of the work
                x = max_pool(x)
            x = nn.elu(x)
        return x


class Classifier(nn.Module):
    """Two dense layers, each behind a dropout."""

    hidden: int
    classes: int
    dropout: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B C"], train: bool) -> Float[Array, "B classes"]:
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = nn.elu(nn.Dense(self.hidden, dtype=self.dtype, kernel_init=_elu_init, name="dense1")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.classes, dtype=jnp.float32, name="dense2")(x)


class EluCNN(nn.Module):
    """15 convolutional and 2 dense layers with ELU, after Kandel and Castelli.

    They published the depth, the activation and the two dropouts of the classifier
    (Applied Sciences 2020), not the widths. Those here cost 59 million multiply-adds for a
    picture of 96x96, of which a CPU trains on some hundred a second. The average pool, where a
    flattening would do, makes the parameters independent of the picture's size.

    Attributes:
      classes: Number of logits.
      widths: Filters in each stage.
      hidden: Units of the first dense layer.
      small_stem: A first convolution of stride 1 instead of 2, for pictures of 28 to 64 px.
      dropout: Rate of both dropouts of the classifier, in [0, 1).
      dtype: Of the computation; parameters and logits are float32.
    """

    classes: int
    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    hidden: int = 256
    small_stem: bool = False
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        self.head = Classifier(self.hidden, self.classes, self.dropout, self.dtype)

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """The pooled vector that the classifier reads, in `dtype`."""
        x = images.astype(self.dtype)
        for i, width in enumerate(self.widths):
            stride = 2 if i == 0 and not self.small_stem else 1
            x = Stage(width, stride, self.dtype, name=f"stage{i + 1}")(x)
        return x.mean(axis=(1, 2))

    def __call__(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B classes"]:
        """Logits, float32. `train` needs a `dropout` key where the rate is not zero."""
        return self.head(self.features(images, train), train)
