"""MobileNetV1's tensors in PyTorch's libraries."""

from bcjax.models.pretrained.layout import Layout
from bcjax.models.pretrained.names.torch import COUNTERS, IMAGENET, kernel, norm

_TIMM = r"blocks\.(\d)\.(\d+)"
_HF = r"mobilenet_v1\.layer\.(\d+)"


def _block(stage: int, block: int) -> str:
    return f"stage{stage + 1}/block{block + 1}"


def _half(layer: int) -> str:
    """Names a half of a block from the position of its convolution among all."""
    return f"#{layer // 2}/{('depthwise', 'pointwise')[layer % 2]}"


LAYOUTS = (
    Layout(
        source="timm",
        convention="torch",
        rules=(
            kernel("conv_stem", "stem/conv"),
            norm("bn1", "stem/norm"),
            kernel(rf"{_TIMM}\.conv_dw", lambda i, j: f"{_block(i, j)}/depthwise_conv"),
            norm(rf"{_TIMM}\.bn1", lambda i, j: f"{_block(i, j)}/depthwise_norm"),
            kernel(rf"{_TIMM}\.conv_pw", lambda i, j: f"{_block(i, j)}/pointwise_conv"),
            norm(rf"{_TIMM}\.bn2", lambda i, j: f"{_block(i, j)}/pointwise_norm"),
            kernel("classifier", "head/logits"),
            COUNTERS,
        ),
        settings=IMAGENET,
    ),
    Layout(
        source="transformers",
        convention="tf",
        rules=(
            kernel(r"mobilenet_v1\.conv_stem\.convolution", "stem/conv"),
            norm(r"mobilenet_v1\.conv_stem\.normalization", "stem/norm"),
            kernel(rf"{_HF}\.convolution", lambda k: f"{_half(k)}_conv"),
            norm(rf"{_HF}\.normalization", lambda k: f"{_half(k)}_norm"),
            kernel("classifier", "head/logits"),
            COUNTERS,
        ),
        settings={"resize": "crop", "crop_fraction": 0.875},
    ),
)
