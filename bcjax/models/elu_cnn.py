"""A plain convolutional network without normalisation, small enough to train on a laptop."""

from typing import ClassVar

from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from bcjax.models.initialisers import Normal
from bcjax.models.layers import Conv, max_pool
from bcjax.models.network import NetworkInfo, StagedClassifier

# 1 / E[elu(z)^2] for z ~ N(0, 1): with this gain a layer keeps the second moment of its input, and
# returns to it when disturbed, because ELU shrinks larger values and lets smaller ones grow. It
# takes the place of batch norm, which the network does not have.
ELU_GAIN = 1.5505

_elu_init = Normal(ELU_GAIN, "fan_in")


class EluStage(nn.Module):
    """`depth` convolutions, the first with stride `stride`, and a pool that rounds up."""

    width: int
    depth: int
    size: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w width"]:
        for i in range(self.depth):
            x = Conv(
                self.width,
                self.size,
                self.stride if i == 0 else 1,
                use_bias=True,
                dtype=self.dtype,
                kernel_init=_elu_init,
                name=f"conv{i + 1}",
            )(x)
            if (
                i == self.depth - 1
            ):  # before ELU, which is monotone: the same values, a quarter of the work
                x = max_pool(x, 2, 2, ceil=True)
            x = nn.elu(x)
        return x


class EluCNN(StagedClassifier, kw_only=True):
    """15 convolutional and 2 dense layers with ELU, after Kandel and Castelli.

    They published the depth, the activation and the two dropouts of the classifier (Applied
    Sciences 2020), but not the widths. With the widths chosen here a picture of 96x96 costs 59
    million multiply-adds, and a CPU trains on about a hundred pictures a second. The average pool
    in place of a flattening makes the parameters independent of the picture's size.

    In a small stem the first convolution has stride 1, not 2.

    Attributes:
      widths: The number of filters in each stage.
      depths: The number of convolutions in each stage; None: three.
      kernel_size: The side of all kernels, odd.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 192)
    depths: tuple[int, ...] | None = None
    kernel_size: int = 3
    hidden: tuple[int, ...] = (256,)
    head_options: ClassVar = {"activation": nn.elu, "kernel_init": _elu_init}

    @nn.compact
    def features(
        self, images: Float[Array, "B H W C"], train: bool = False
    ) -> Float[Array, "B width"]:
        """Returns the pooled vector that the classifier reads, in `dtype`."""
        stage = nn.remat(EluStage) if self.remat else EluStage
        x = images.astype(self.dtype)
        depths = self.depths or (3,) * len(self.widths)
        for i, (width, depth) in enumerate(zip(self.widths, depths, strict=True)):
            stride = 2 if i == 0 and not self.small_stem else 1
            size = self.kernel_size
            x = stage(width, depth, size, stride, self.dtype, name=f"stage{i + 1}")(x)
        return x.mean(axis=(1, 2))


NETWORKS = {
    "elu_cnn": NetworkInfo(
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
