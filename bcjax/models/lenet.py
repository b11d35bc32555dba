"""LeNet-5, the network of 1998 with which it began, for pictures of any size and colour."""

from typing import ClassVar

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.initialisers import lecun_normal
from bcjax.models.layers import Conv, adaptive_average_pool, average_pool, require_side
from bcjax.models.network import NetworkInfo, StagedClassifier


class LeNetStage(nn.Module):
    """A 5x5 convolution without padding, tanh, and a 2x2 average pool where `pool`."""

    width: int
    pool: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w width"]:
        conv = Conv(
            self.width,
            5,
            padding=0,
            use_bias=True,
            dtype=self.dtype,
            kernel_init=lecun_normal,
            name="conv",
        )
        x = nn.tanh(conv(x))
        return average_pool(x, 2) if self.pool else x


class LeNet(StagedClassifier, kw_only=True):
    """LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 1998.

    For a grey picture of 32x32 and ten classes it has the 61,706 parameters of the copies that
    textbooks give. It differs from the paper, as those do: every map of the second stage sees every
    map of the first, the pools have no weights, tanh is not scaled, and logits stand in place of
    distances to drawn digits. Ours alone: the first layer reads red, green and blue, and the last
    map is averaged to 5x5, its size at 32 px, so that the third convolution is a dense layer.

    In a small stem the first stage has no pool.
    """

    hidden: tuple[int, ...] = (120, 84)
    head_options: ClassVar = {"activation": nn.tanh}

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B 400"]:
        """Returns the last 5x5 map of 16 channels as a vector, in `dtype`.

        Raises:
          UserError: The picture is so small that no pixel would be left in the last stage.
        """
        require_side(images, 10 if self.small_stem else 16)
        stage = nn.remat(LeNetStage) if self.remat else LeNetStage
        x = stage(6, not self.small_stem, self.dtype, name="stage1")(images.astype(self.dtype))
        x = stage(16, True, self.dtype, name="stage2")(x)
        return adaptive_average_pool(x, 5).reshape(x.shape[0], -1)


NETWORKS = {
    "lenet5": NetworkInfo(
        LeNet,
        input_size=32,
        parameters=146_156,
        macs=734_880,
        stages=("stage1", "stage2", "head"),
        paper="LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    ),
}
