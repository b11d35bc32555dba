"""ResNet's variables in Keras applications."""

from collections.abc import Iterator

from bcjax.models.pretrained.layout import Tensors
from bcjax.models.pretrained.names.keras import IMAGENET, application, layer

_BLOCK = r"conv(\d)_block(\d+)"


def _block(stage: int, block: int) -> str:
    return f"stage{stage - 1}/block{block}"


def _layers(*depths: int) -> Iterator[tuple[str, str]]:
    blocks = [f"conv{i}_block{j + 1}" for i, depth in enumerate(depths, 2) for j in range(depth)]
    # By depth, as Keras sorts layers: the shortcut's convolution stands beside the third.
    names = ["conv1_conv", "conv1_bn"]
    for block in blocks:
        numbers = (1, 2, 0, 3) if block.endswith("block1") else (1, 2, 3)
        names += [f"{block}_{i}_{kind}" for kind in ("conv", "bn") for i in numbers]
    for name in names:
        yield "conv2d" if name.endswith("conv") else "batch_normalization", name


def _rgb(tensors: Tensors) -> Tensors:
    """Turns the first kernel's channels round: Keras's ResNets read blue, green, red."""
    stem = "params/stem/conv/kernel"
    return {path: x[:, :, ::-1] if path == stem else x for path, x in tensors.items()}


LAYOUTS = (
    application(
        rules=(
            layer("conv1_conv", "stem/conv"),
            layer("conv1_bn", "stem/norm"),
            layer(rf"{_BLOCK}_0_conv", lambda i, j: f"{_block(i, j)}/shortcut_conv"),
            layer(rf"{_BLOCK}_0_bn", lambda i, j: f"{_block(i, j)}/shortcut_norm"),
            layer(rf"{_BLOCK}_([123])_conv", lambda i, j, k: f"{_block(i, j)}/conv{k}"),
            layer(rf"{_BLOCK}_([123])_bn", lambda i, j, k: f"{_block(i, j)}/norm{k}"),
        ),
        networks=(_layers(3, 4, 6, 3), _layers(3, 4, 23, 3), _layers(3, 8, 36, 3)),
        finish=_rgb,
        # keras.applications.resnet.preprocess_input: the mean of each channel is taken off
        # a picture of 0 to 255, which is not divided by anything.
        settings={
            **IMAGENET,
            "mean": (123.68 / 255, 116.779 / 255, 103.939 / 255),
            "std": (1 / 255,) * 3,
        },
        notes=(
            "Keras's ResNets read blue, green, red behind resnet.preprocess_input: the first "
            "kernel was turned round, so that it reads red, green, blue.",
        ),
    ),
)
