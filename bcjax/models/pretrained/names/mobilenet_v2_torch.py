"""MobileNetV2's tensors in PyTorch's libraries."""

from bcjax.models.pretrained.layout import Layout
from bcjax.models.pretrained.names import efficientnet_torch
from bcjax.models.pretrained.names.torch import COUNTERS, IMAGENET, kernel, norm

_FIRST = r"features\.1\.conv"
_REST = r"features\.(\d+)\.conv"
_HF = r"mobilenet_v2\.layer\.(\d+)"
_STEM = r"mobilenet_v2\.conv_stem"

# Blocks are counted through all stages, by torchvision from 1.
TORCHVISION = Layout(
    source="torchvision",
    convention="torch",
    rules=(
        kernel(r"features\.0\.0", "stem/conv"),
        norm(r"features\.0\.1", "stem/norm"),
        kernel(rf"{_FIRST}\.0\.0", "#0/depthwise_conv"),
        norm(rf"{_FIRST}\.0\.1", "#0/depthwise_norm"),
        kernel(rf"{_FIRST}\.1", "#0/project_conv"),
        norm(rf"{_FIRST}\.2", "#0/project_norm"),
        kernel(rf"{_REST}\.0\.0", lambda k: f"#{k - 1}/expand_conv"),
        norm(rf"{_REST}\.0\.1", lambda k: f"#{k - 1}/expand_norm"),
        kernel(rf"{_REST}\.1\.0", lambda k: f"#{k - 1}/depthwise_conv"),
        norm(rf"{_REST}\.1\.1", lambda k: f"#{k - 1}/depthwise_norm"),
        kernel(rf"{_REST}\.2", lambda k: f"#{k - 1}/project_conv"),
        norm(rf"{_REST}\.3", lambda k: f"#{k - 1}/project_norm"),
        kernel(r"features\.18\.0", "top/conv"),
        norm(r"features\.18\.1", "top/norm"),
        kernel(r"classifier\.1", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)

# The first block counts as part of the stem.
TRANSFORMERS = Layout(
    source="transformers",
    convention="tf",
    rules=(
        kernel(rf"{_STEM}\.first_conv\.convolution", "stem/conv"),
        norm(rf"{_STEM}\.first_conv\.normalization", "stem/norm"),
        kernel(rf"{_STEM}\.conv_3x3\.convolution", "#0/depthwise_conv"),
        norm(rf"{_STEM}\.conv_3x3\.normalization", "#0/depthwise_norm"),
        kernel(rf"{_STEM}\.reduce_1x1\.convolution", "#0/project_conv"),
        norm(rf"{_STEM}\.reduce_1x1\.normalization", "#0/project_norm"),
        kernel(rf"{_HF}\.expand_1x1\.convolution", lambda k: f"#{k + 1}/expand_conv"),
        norm(rf"{_HF}\.expand_1x1\.normalization", lambda k: f"#{k + 1}/expand_norm"),
        kernel(rf"{_HF}\.conv_3x3\.convolution", lambda k: f"#{k + 1}/depthwise_conv"),
        norm(rf"{_HF}\.conv_3x3\.normalization", lambda k: f"#{k + 1}/depthwise_norm"),
        kernel(rf"{_HF}\.reduce_1x1\.convolution", lambda k: f"#{k + 1}/project_conv"),
        norm(rf"{_HF}\.reduce_1x1\.normalization", lambda k: f"#{k + 1}/project_norm"),
        kernel(r"mobilenet_v2\.conv_1x1\.convolution", "top/conv"),
        norm(r"mobilenet_v2\.conv_1x1\.normalization", "top/norm"),
        kernel("classifier", "head/logits"),
        COUNTERS,
    ),
    settings={"resize": "crop", "crop_fraction": 0.875},
)

LAYOUTS = (efficientnet_torch.TIMM, TORCHVISION, TRANSFORMERS)
