"""AlexNet in one tower, as torchvision has it."""

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.initialisers import Normal
from bcjax.models.layers import Conv, Head, adaptive_average_pool, max_pool, require_side
from bcjax.models.network import NetworkInfo, StagedClassifier

# He's initialisation in place of the published deviation of 0.01, with which eight layers without
# normalisation hardly begin to learn.
_init = Normal(2.0, "fan_in", truncated=True)


class AlexNetStage(nn.Module):
    """A convolution, ReLU, and a 3x3 max pool of stride 2 if `pool`."""

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


class AlexNet(StagedClassifier, kw_only=True):
    """Krizhevsky, One weird trick for parallelizing convolutional networks (arXiv:1404.5997).

    A small stem is a 3x3 convolution with stride 1 and no pool.
    """

    hidden: tuple[int, ...] = (4096, 4096)
    dropout: float = 0.5  # before the hidden layers alone

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
        """Returns the last 6x6 map of 256 channels as a vector, in `dtype`.

        The order is row, column, channel. PyTorch's is channel, row, column, so that the rows of
        an imported `dense1` have to be permuted.

        Raises:
          UserError: The picture is so small that no pixel would be left in the last stage.
        """
        require_side(images, 7 if self.small_stem else 63)
        stage = nn.remat(AlexNetStage) if self.remat else AlexNetStage
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
        return adaptive_average_pool(x, 6).reshape(x.shape[0], -1)


NETWORKS = {
    "alexnet": NetworkInfo(
        AlexNet,
        input_size=224,
        parameters=61_100_840,
        macs=714_188_480,
        stages=("stage1", "stage2", "stage3", "stage4", "stage5", "head"),
        paper="Krizhevsky, One weird trick for parallelizing CNNs, 2014, 1404.5997",
    ),
}
