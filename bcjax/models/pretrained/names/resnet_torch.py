"""ResNet's tensors in PyTorch's libraries."""

from bcjax.models.pretrained.layout import Layout
from bcjax.models.pretrained.names.torch import COUNTERS, IMAGENET, kernel, norm

_LAYER = r"layer(\d)\.(\d+)"
_STAGE = r"(?:resnet\.)?encoder\.stages\.(\d)\.layers\.(\d+)"
_EMBEDDER = r"(?:resnet\.)?embedder\.embedder"


def _block(stage: int, block: int) -> str:
    return f"stage{stage}/block{block + 1}"


LAYOUTS = (
    Layout(
        source="torchvision or timm",
        convention="torch",
        rules=(
            kernel("conv1", "stem/conv"),
            norm("bn1", "stem/norm"),
            kernel(rf"{_LAYER}\.conv(\d)", lambda i, j, k: f"{_block(i, j)}/conv{k}"),
            norm(rf"{_LAYER}\.bn(\d)", lambda i, j, k: f"{_block(i, j)}/norm{k}"),
            kernel(rf"{_LAYER}\.downsample\.0", lambda i, j: f"{_block(i, j)}/shortcut_conv"),
            norm(rf"{_LAYER}\.downsample\.1", lambda i, j: f"{_block(i, j)}/shortcut_norm"),
            kernel("fc", "head/logits"),
            COUNTERS,
        ),
        settings=IMAGENET,
    ),
    Layout(
        source="transformers",
        convention="torch",
        rules=(
            kernel(rf"{_EMBEDDER}\.convolution", "stem/conv"),
            norm(rf"{_EMBEDDER}\.normalization", "stem/norm"),
            kernel(
                rf"{_STAGE}\.layer\.(\d)\.convolution",
                lambda i, j, k: f"{_block(i + 1, j)}/conv{k + 1}",
            ),
            norm(
                rf"{_STAGE}\.layer\.(\d)\.normalization",
                lambda i, j, k: f"{_block(i + 1, j)}/norm{k + 1}",
            ),
            kernel(
                rf"{_STAGE}\.shortcut\.convolution",
                lambda i, j: f"{_block(i + 1, j)}/shortcut_conv",
            ),
            norm(
                rf"{_STAGE}\.shortcut\.normalization",
                lambda i, j: f"{_block(i + 1, j)}/shortcut_norm",
            ),
            kernel(r"classifier\.1", "head/logits"),
            COUNTERS,
        ),
        settings=IMAGENET,
    ),
)
