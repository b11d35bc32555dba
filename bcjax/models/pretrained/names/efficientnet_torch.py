"""EfficientNet's tensors in PyTorch's libraries."""

import dataclasses

from bcjax.models.pretrained.layout import Layout
from bcjax.models.pretrained.names.torch import COUNTERS, IMAGENET, kernel, norm

_TIMM = r"blocks\.(\d)\.(\d+)"
_HF = r"efficientnet\.encoder\.blocks\.(\d+)"


def _block(stage: int, block: int) -> str:
    return f"stage{stage + 1}/block{block + 1}"


# Timm's builder makes EfficientNet and MobileNetV2 of the same parts. In the first stage nothing is
# expanded, and what projects has the name that expands elsewhere.
TIMM = Layout(
    source="timm",
    convention="torch",
    rules=(
        kernel("conv_stem", "stem/conv"),
        norm("bn1", "stem/norm"),
        kernel(r"blocks\.0\.(\d+)\.conv_dw", lambda j: f"{_block(0, j)}/depthwise_conv"),
        norm(r"blocks\.0\.(\d+)\.bn1", lambda j: f"{_block(0, j)}/depthwise_norm"),
        kernel(r"blocks\.0\.(\d+)\.conv_pw", lambda j: f"{_block(0, j)}/project_conv"),
        norm(r"blocks\.0\.(\d+)\.bn2", lambda j: f"{_block(0, j)}/project_norm"),
        kernel(rf"{_TIMM}\.conv_pw", lambda i, j: f"{_block(i, j)}/expand_conv"),
        norm(rf"{_TIMM}\.bn1", lambda i, j: f"{_block(i, j)}/expand_norm"),
        kernel(rf"{_TIMM}\.conv_dw", lambda i, j: f"{_block(i, j)}/depthwise_conv"),
        norm(rf"{_TIMM}\.bn2", lambda i, j: f"{_block(i, j)}/depthwise_norm"),
        kernel(
            rf"{_TIMM}\.se\.conv_(reduce|expand)", lambda i, j, part: f"{_block(i, j)}/se/{part}"
        ),
        kernel(rf"{_TIMM}\.conv_pwl", lambda i, j: f"{_block(i, j)}/project_conv"),
        norm(rf"{_TIMM}\.bn3", lambda i, j: f"{_block(i, j)}/project_norm"),
        kernel("conv_head", "top/conv"),
        norm("bn2", "top/norm"),
        kernel("classifier", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)


def _torchvision(stage: int, block: int, part: int) -> str:
    """Names a part of features.<stage>.<block>.block.<part>, whose first stage does not expand."""
    names = (
        ("depthwise", "se", "project") if stage == 1 else ("expand", "depthwise", "se", "project")
    )
    return f"{_block(stage - 1, block)}/{names[part]}"


_PART = r"features\.([1-7])\.(\d+)\.block\.(\d)"

TORCHVISION = Layout(
    source="torchvision",
    convention="torch",
    rules=(
        kernel(r"features\.0\.0", "stem/conv"),
        norm(r"features\.0\.1", "stem/norm"),
        kernel(rf"{_PART}\.0", lambda i, j, k: f"{_torchvision(i, j, k)}_conv"),
        norm(rf"{_PART}\.1", lambda i, j, k: f"{_torchvision(i, j, k)}_norm"),
        kernel(rf"{_PART}\.fc1", lambda i, j, k: f"{_torchvision(i, j, k)}/reduce"),
        kernel(rf"{_PART}\.fc2", lambda i, j, k: f"{_torchvision(i, j, k)}/expand"),
        kernel(r"features\.8\.0", "top/conv"),
        norm(r"features\.8\.1", "top/norm"),
        kernel(r"classifier\.1", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)

# Blocks are counted through all stages.
TRANSFORMERS = Layout(
    source="transformers",
    convention="tf",
    rules=(
        kernel(r"efficientnet\.embeddings\.convolution", "stem/conv"),
        norm(r"efficientnet\.embeddings\.batchnorm", "stem/norm"),
        kernel(rf"{_HF}\.expansion\.expand_conv", lambda k: f"#{k}/expand_conv"),
        norm(rf"{_HF}\.expansion\.expand_bn", lambda k: f"#{k}/expand_norm"),
        kernel(rf"{_HF}\.depthwise_conv\.depthwise_conv", lambda k: f"#{k}/depthwise_conv"),
        norm(rf"{_HF}\.depthwise_conv\.depthwise_norm", lambda k: f"#{k}/depthwise_norm"),
        kernel(rf"{_HF}\.squeeze_excite\.(reduce|expand)", lambda k, part: f"#{k}/se/{part}"),
        kernel(rf"{_HF}\.projection\.project_conv", lambda k: f"#{k}/project_conv"),
        norm(rf"{_HF}\.projection\.project_bn", lambda k: f"#{k}/project_norm"),
        kernel(r"efficientnet\.encoder\.top_conv", "top/conv"),
        norm(r"efficientnet\.encoder\.top_bn", "top/norm"),
        kernel("classifier", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)

LAYOUTS = (TIMM, TORCHVISION, TRANSFORMERS)

# Torchvision made B5 to B7 with the epsilon of TensorFlow.
LAYOUTS_B5_UP = (
    TIMM,
    dataclasses.replace(TORCHVISION, settings={**IMAGENET, "epsilon": 1e-3}),
    TRANSFORMERS,
)
