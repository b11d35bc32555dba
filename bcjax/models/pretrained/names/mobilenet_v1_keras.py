"""MobileNetV1's variables in Keras applications."""

from collections.abc import Iterator

from bcjax.models.pretrained.names.keras import IMAGENET, application, layer

_HALVES = {"dw": "depthwise", "pw": "pointwise"}


def _layers(blocks: int) -> Iterator[tuple[str, str]]:
    yield "conv2d", "conv1"
    yield "batch_normalization", "conv1_bn"
    for i in range(1, blocks + 1):
        yield "depthwise_conv2d", f"conv_dw_{i}"
        yield "batch_normalization", f"conv_dw_{i}_bn"
        yield "conv2d", f"conv_pw_{i}"
        yield "batch_normalization", f"conv_pw_{i}_bn"


LAYOUTS = (
    application(
        rules=(
            layer("conv1", "stem/conv"),
            layer("conv1_bn", "stem/norm"),
            # Blocks are counted through all stages, from 1.
            layer(r"conv_(dw|pw)_(\d+)", lambda half, k: f"#{k - 1}/{_HALVES[half]}_conv"),
            layer(r"conv_(dw|pw)_(\d+)_bn", lambda half, k: f"#{k - 1}/{_HALVES[half]}_norm"),
            layer("conv_preds", "head/logits"),  # a 1x1 convolution
        ),
        convention="keras",
        networks=(_layers(13), [*_layers(13), ("conv2d", "conv_preds")]),
        settings={**IMAGENET, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
)
