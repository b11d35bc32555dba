"""How PyTorch's libraries name the tensors of each family: torchvision, timm, transformers."""

import dataclasses
from collections.abc import Callable

from bcjax.models.pretrained.naming import IMAGENET, Naming, Rule, Tensors, layer_rule, unneeded

# The steps that batch norm counted, which are not needed.
COUNTERS = unneeded(r".*\.num_batches_tracked")

_KERNEL = {"weight": "params/{}/kernel", "bias": "params/{}/bias"}
_NORM = {
    "weight": "params/{}/scale",
    "bias": "params/{}/bias",
    "running_mean": "batch_stats/{}/mean",
    "running_var": "batch_stats/{}/var",
}


def kernel(pattern: str, module: str | Callable[..., str]) -> Rule:
    """Returns a rule for a convolution or a dense layer; see `layer_rule`."""
    return layer_rule(pattern, module, _KERNEL, ".")


def norm(pattern: str, module: str | Callable[..., str]) -> Rule:
    """Returns a rule for a normalisation; see `layer_rule`."""
    return layer_rule(pattern, module, _NORM, ".")


def _block(stage: int, block: int) -> str:
    """Returns the path of a block from its numbers, which begin at 0."""
    return f"stage{stage + 1}/block{block + 1}"


# AlexNet

# The places of the layers in a Sequential, between activations and dropouts.
_ALEXNET_STAGES = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
_ALEXNET_DENSE = {1: "dense1", 4: "dense2", 6: "logits"}

_ALEXNET_FLATTENED = "params/head/dense1/kernel"


def _rows_last(tensors: Tensors) -> Tensors:
    """Reorders dense rows: PyTorch flattens the 6x6x256 map by channels, we by pixels."""
    changed = dict(tensors)
    if (dense := changed.get(_ALEXNET_FLATTENED)) is not None and len(dense) == 256 * 36:
        rows = dense.reshape(256, 6, 6, -1).transpose(1, 2, 0, 3)
        changed[_ALEXNET_FLATTENED] = rows.reshape(dense.shape)
    return changed


ALEXNET = (
    Naming(
        source="torchvision",
        convention="torch",
        rules=(
            kernel(r"features\.(0|3|6|8|10)", lambda i: f"stage{_ALEXNET_STAGES[i]}/conv"),
            kernel(r"classifier\.(1|4|6)", lambda i: f"head/{_ALEXNET_DENSE[i]}"),
        ),
        finish=_rows_last,
        settings=IMAGENET,
    ),
)


# ResNet

_RESNET_LAYER = r"layer(\d)\.(\d+)"
_RESNET_STAGE = r"(?:resnet\.)?encoder\.stages\.(\d)\.layers\.(\d+)"
_RESNET_EMBEDDER = r"(?:resnet\.)?embedder\.embedder"


RESNET = (
    Naming(
        source="torchvision or timm",
        convention="torch",
        rules=(
            kernel("conv1", "stem/conv"),
            norm("bn1", "stem/norm"),
            kernel(rf"{_RESNET_LAYER}\.conv(\d)", lambda i, j, k: f"{_block(i - 1, j)}/conv{k}"),
            norm(rf"{_RESNET_LAYER}\.bn(\d)", lambda i, j, k: f"{_block(i - 1, j)}/norm{k}"),
            kernel(
                rf"{_RESNET_LAYER}\.downsample\.0", lambda i, j: f"{_block(i - 1, j)}/shortcut_conv"
            ),
            norm(
                rf"{_RESNET_LAYER}\.downsample\.1", lambda i, j: f"{_block(i - 1, j)}/shortcut_norm"
            ),
            kernel("fc", "head/logits"),
            COUNTERS,
        ),
        settings=IMAGENET,
    ),
    Naming(
        source="transformers",
        convention="torch",
        rules=(
            kernel(rf"{_RESNET_EMBEDDER}\.convolution", "stem/conv"),
            norm(rf"{_RESNET_EMBEDDER}\.normalization", "stem/norm"),
            kernel(
                rf"{_RESNET_STAGE}\.layer\.(\d)\.convolution",
                lambda i, j, k: f"{_block(i, j)}/conv{k + 1}",
            ),
            norm(
                rf"{_RESNET_STAGE}\.layer\.(\d)\.normalization",
                lambda i, j, k: f"{_block(i, j)}/norm{k + 1}",
            ),
            kernel(
                rf"{_RESNET_STAGE}\.shortcut\.convolution",
                lambda i, j: f"{_block(i, j)}/shortcut_conv",
            ),
            norm(
                rf"{_RESNET_STAGE}\.shortcut\.normalization",
                lambda i, j: f"{_block(i, j)}/shortcut_norm",
            ),
            kernel(r"classifier\.1", "head/logits"),
            COUNTERS,
        ),
        settings=IMAGENET,
    ),
)


# ConvNeXt


def _convnext_gamma(pattern: str, block: Callable[[int, int], str]) -> Rule:
    return Rule(pattern, lambda i, j: f"params/{block(int(i), int(j))}/gamma")


def _convnext_rules(
    stem: tuple[str, str],
    downsample: tuple[str, str],
    block: str,
    layers: tuple[str, str, str, str, str],
    head: tuple[str, str],
    stage_of: Callable[[int], int] = lambda i: i,
) -> tuple[Rule, ...]:
    """Returns the rules for a library from the patterns of its names.

    Args:
      stem: The patterns of the stem's convolution and normalisation.
      downsample: The patterns of a stage's first normalisation and convolution, with the number of
        the stage as a group.
      block: The pattern of a block, with the numbers of the stage and of the block as groups.
      layers: The patterns of a block's layers: depthwise, norm, expand, project, gamma.
      head: The patterns of the last normalisation and the classifier.
      stage_of: A function from the number in the name to the number of the stage, from 0.
    """
    depthwise, normalisation, expand, project, gamma = layers

    def within(name: str) -> Callable[[int, int], str]:
        return lambda i, j: f"{_block(stage_of(i), j)}{name}"

    return (
        kernel(stem[0], "stem/conv"),
        norm(stem[1], "stem/norm"),
        norm(downsample[0], lambda i: f"stage{stage_of(i) + 1}/downsample_norm"),
        kernel(downsample[1], lambda i: f"stage{stage_of(i) + 1}/downsample_conv"),
        kernel(rf"{block}\.{depthwise}", within("/depthwise")),
        norm(rf"{block}\.{normalisation}", within("/norm")),
        kernel(rf"{block}\.{expand}", within("/expand")),
        kernel(rf"{block}\.{project}", within("/project")),
        _convnext_gamma(rf"{block}\.{gamma}", within("")),
        norm(head[0], "norm"),
        kernel(head[1], "head/logits"),
    )


CONVNEXT = (
    Naming(
        source="timm",
        convention="torch",
        rules=_convnext_rules(
            stem=(r"stem\.0", r"stem\.1"),
            downsample=(r"stages\.(\d)\.downsample\.0", r"stages\.(\d)\.downsample\.1"),
            block=r"stages\.(\d)\.blocks\.(\d+)",
            layers=("conv_dw", "norm", r"mlp\.fc1", r"mlp\.fc2", "gamma"),
            head=(r"head\.norm", r"head\.fc"),
        ),
        settings=IMAGENET,
    ),
    Naming(
        source="torchvision",
        convention="torch",
        rules=_convnext_rules(
            stem=(r"features\.0\.0", r"features\.0\.1"),
            downsample=(r"features\.([246])\.0", r"features\.([246])\.1"),
            block=r"features\.([1357])\.(\d+)",
            layers=(r"block\.0", r"block\.2", r"block\.3", r"block\.5", "layer_scale"),
            head=(r"classifier\.0", r"classifier\.2"),
            stage_of=lambda i: i // 2,
        ),
        settings=IMAGENET,
    ),
    Naming(
        source="transformers",
        convention="torch",
        rules=_convnext_rules(
            stem=(
                r"convnext\.embeddings\.patch_embeddings",
                r"convnext\.embeddings\.layernorm",
            ),
            downsample=(
                r"convnext\.encoder\.stages\.(\d)\.downsampling_layer\.0",
                r"convnext\.encoder\.stages\.(\d)\.downsampling_layer\.1",
            ),
            block=r"convnext\.encoder\.stages\.(\d)\.layers\.(\d+)",
            layers=("dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"),
            head=(r"convnext\.layernorm", "classifier"),
        ),
        settings=IMAGENET,
    ),
    Naming(
        source="the paper's authors",
        convention="torch",
        rules=_convnext_rules(
            stem=(r"downsample_layers\.0\.0", r"downsample_layers\.0\.1"),
            downsample=(r"downsample_layers\.([123])\.0", r"downsample_layers\.([123])\.1"),
            block=r"stages\.(\d)\.(\d+)",
            layers=("dwconv", "norm", "pwconv1", "pwconv2", "gamma"),
            head=("norm", "head"),
        ),
        settings=IMAGENET,
    ),
)


# EfficientNet

_TIMM_BLOCK = r"blocks\.(\d)\.(\d+)"
_HF_BLOCK = r"efficientnet\.encoder\.blocks\.(\d+)"


# Timm builds EfficientNet and MobileNetV2 from the same parts. The first stage does not expand, and
# its projection has the name that expansions have elsewhere.
_TIMM_MOBILE = Naming(
    source="timm",
    convention="torch",
    rules=(
        kernel("conv_stem", "stem/conv"),
        norm("bn1", "stem/norm"),
        kernel(r"blocks\.0\.(\d+)\.conv_dw", lambda j: f"{_block(0, j)}/depthwise_conv"),
        norm(r"blocks\.0\.(\d+)\.bn1", lambda j: f"{_block(0, j)}/depthwise_norm"),
        kernel(r"blocks\.0\.(\d+)\.conv_pw", lambda j: f"{_block(0, j)}/project_conv"),
        norm(r"blocks\.0\.(\d+)\.bn2", lambda j: f"{_block(0, j)}/project_norm"),
        kernel(rf"{_TIMM_BLOCK}\.conv_pw", lambda i, j: f"{_block(i, j)}/expand_conv"),
        norm(rf"{_TIMM_BLOCK}\.bn1", lambda i, j: f"{_block(i, j)}/expand_norm"),
        kernel(rf"{_TIMM_BLOCK}\.conv_dw", lambda i, j: f"{_block(i, j)}/depthwise_conv"),
        norm(rf"{_TIMM_BLOCK}\.bn2", lambda i, j: f"{_block(i, j)}/depthwise_norm"),
        kernel(
            rf"{_TIMM_BLOCK}\.se\.conv_(reduce|expand)",
            lambda i, j, part: f"{_block(i, j)}/se/{part}",
        ),
        kernel(rf"{_TIMM_BLOCK}\.conv_pwl", lambda i, j: f"{_block(i, j)}/project_conv"),
        norm(rf"{_TIMM_BLOCK}\.bn3", lambda i, j: f"{_block(i, j)}/project_norm"),
        kernel("conv_head", "top/conv"),
        norm("bn2", "top/norm"),
        kernel("classifier", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)


def _torchvision_part(stage: int, block: int, part: int) -> str:
    """Returns the path of features.<stage>.<block>.block.<part>; stage 1 does not expand."""
    names = (
        ("depthwise", "se", "project") if stage == 1 else ("expand", "depthwise", "se", "project")
    )
    return f"{_block(stage - 1, block)}/{names[part]}"


_TORCHVISION_PART = r"features\.([1-7])\.(\d+)\.block\.(\d)"

_EFFICIENTNET_TORCHVISION = Naming(
    source="torchvision",
    convention="torch",
    rules=(
        kernel(r"features\.0\.0", "stem/conv"),
        norm(r"features\.0\.1", "stem/norm"),
        kernel(rf"{_TORCHVISION_PART}\.0", lambda i, j, k: f"{_torchvision_part(i, j, k)}_conv"),
        norm(rf"{_TORCHVISION_PART}\.1", lambda i, j, k: f"{_torchvision_part(i, j, k)}_norm"),
        kernel(
            rf"{_TORCHVISION_PART}\.fc1", lambda i, j, k: f"{_torchvision_part(i, j, k)}/reduce"
        ),
        kernel(
            rf"{_TORCHVISION_PART}\.fc2", lambda i, j, k: f"{_torchvision_part(i, j, k)}/expand"
        ),
        kernel(r"features\.8\.0", "top/conv"),
        norm(r"features\.8\.1", "top/norm"),
        kernel(r"classifier\.1", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)

# Blocks are counted through all stages.
_EFFICIENTNET_TRANSFORMERS = Naming(
    source="transformers",
    convention="tf",
    rules=(
        kernel(r"efficientnet\.embeddings\.convolution", "stem/conv"),
        norm(r"efficientnet\.embeddings\.batchnorm", "stem/norm"),
        kernel(rf"{_HF_BLOCK}\.expansion\.expand_conv", lambda k: f"#{k}/expand_conv"),
        norm(rf"{_HF_BLOCK}\.expansion\.expand_bn", lambda k: f"#{k}/expand_norm"),
        kernel(
            rf"{_HF_BLOCK}\.depthwise_conv\.depthwise_conv",
            lambda k: f"#{k}/depthwise_conv",
        ),
        norm(
            rf"{_HF_BLOCK}\.depthwise_conv\.depthwise_norm",
            lambda k: f"#{k}/depthwise_norm",
        ),
        kernel(
            rf"{_HF_BLOCK}\.squeeze_excite\.(reduce|expand)",
            lambda k, part: f"#{k}/se/{part}",
        ),
        kernel(rf"{_HF_BLOCK}\.projection\.project_conv", lambda k: f"#{k}/project_conv"),
        norm(rf"{_HF_BLOCK}\.projection\.project_bn", lambda k: f"#{k}/project_norm"),
        kernel(r"efficientnet\.encoder\.top_conv", "top/conv"),
        norm(r"efficientnet\.encoder\.top_bn", "top/norm"),
        kernel("classifier", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)

EFFICIENTNET = (_TIMM_MOBILE, _EFFICIENTNET_TORCHVISION, _EFFICIENTNET_TRANSFORMERS)

# Torchvision made B5 to B7 with TensorFlow's epsilon.
EFFICIENTNET_B5_UP = (
    _TIMM_MOBILE,
    dataclasses.replace(_EFFICIENTNET_TORCHVISION, settings={**IMAGENET, "epsilon": 1e-3}),
    _EFFICIENTNET_TRANSFORMERS,
)


# MobileNetV1

_V1_LAYER = r"mobilenet_v1\.layer\.(\d+)"


def _v1_half(layer: int) -> str:
    """Returns the path of a half of a block from the place of its convolution among all."""
    return f"#{layer // 2}/{('depthwise', 'pointwise')[layer % 2]}"


MOBILENET_V1 = (
    Naming(
        source="timm",
        convention="torch",
        rules=(
            kernel("conv_stem", "stem/conv"),
            norm("bn1", "stem/norm"),
            kernel(rf"{_TIMM_BLOCK}\.conv_dw", lambda i, j: f"{_block(i, j)}/depthwise_conv"),
            norm(rf"{_TIMM_BLOCK}\.bn1", lambda i, j: f"{_block(i, j)}/depthwise_norm"),
            kernel(rf"{_TIMM_BLOCK}\.conv_pw", lambda i, j: f"{_block(i, j)}/pointwise_conv"),
            norm(rf"{_TIMM_BLOCK}\.bn2", lambda i, j: f"{_block(i, j)}/pointwise_norm"),
            kernel("classifier", "head/logits"),
            COUNTERS,
        ),
        settings=IMAGENET,
    ),
    Naming(
        source="transformers",
        convention="tf",
        rules=(
            kernel(r"mobilenet_v1\.conv_stem\.convolution", "stem/conv"),
            norm(r"mobilenet_v1\.conv_stem\.normalization", "stem/norm"),
            kernel(rf"{_V1_LAYER}\.convolution", lambda k: f"{_v1_half(k)}_conv"),
            norm(rf"{_V1_LAYER}\.normalization", lambda k: f"{_v1_half(k)}_norm"),
            kernel("classifier", "head/logits"),
            COUNTERS,
        ),
        settings={"resize": "crop", "crop_fraction": 0.875},
    ),
)


# MobileNetV2

_V2_FIRST = r"features\.1\.conv"
_V2_REST = r"features\.(\d+)\.conv"
_V2_LAYER = r"mobilenet_v2\.layer\.(\d+)"
_V2_STEM = r"mobilenet_v2\.conv_stem"

# Blocks are counted through all stages, in torchvision from 1.
_V2_TORCHVISION = Naming(
    source="torchvision",
    convention="torch",
    rules=(
        kernel(r"features\.0\.0", "stem/conv"),
        norm(r"features\.0\.1", "stem/norm"),
        kernel(rf"{_V2_FIRST}\.0\.0", "#0/depthwise_conv"),
        norm(rf"{_V2_FIRST}\.0\.1", "#0/depthwise_norm"),
        kernel(rf"{_V2_FIRST}\.1", "#0/project_conv"),
        norm(rf"{_V2_FIRST}\.2", "#0/project_norm"),
        kernel(rf"{_V2_REST}\.0\.0", lambda k: f"#{k - 1}/expand_conv"),
        norm(rf"{_V2_REST}\.0\.1", lambda k: f"#{k - 1}/expand_norm"),
        kernel(rf"{_V2_REST}\.1\.0", lambda k: f"#{k - 1}/depthwise_conv"),
        norm(rf"{_V2_REST}\.1\.1", lambda k: f"#{k - 1}/depthwise_norm"),
        kernel(rf"{_V2_REST}\.2", lambda k: f"#{k - 1}/project_conv"),
        norm(rf"{_V2_REST}\.3", lambda k: f"#{k - 1}/project_norm"),
        kernel(r"features\.18\.0", "top/conv"),
        norm(r"features\.18\.1", "top/norm"),
        kernel(r"classifier\.1", "head/logits"),
        COUNTERS,
    ),
    settings=IMAGENET,
)

# The first block counts as part of the stem.
_V2_TRANSFORMERS = Naming(
    source="transformers",
    convention="tf",
    rules=(
        kernel(rf"{_V2_STEM}\.first_conv\.convolution", "stem/conv"),
        norm(rf"{_V2_STEM}\.first_conv\.normalization", "stem/norm"),
        kernel(rf"{_V2_STEM}\.conv_3x3\.convolution", "#0/depthwise_conv"),
        norm(rf"{_V2_STEM}\.conv_3x3\.normalization", "#0/depthwise_norm"),
        kernel(rf"{_V2_STEM}\.reduce_1x1\.convolution", "#0/project_conv"),
        norm(rf"{_V2_STEM}\.reduce_1x1\.normalization", "#0/project_norm"),
        kernel(rf"{_V2_LAYER}\.expand_1x1\.convolution", lambda k: f"#{k + 1}/expand_conv"),
        norm(rf"{_V2_LAYER}\.expand_1x1\.normalization", lambda k: f"#{k + 1}/expand_norm"),
        kernel(rf"{_V2_LAYER}\.conv_3x3\.convolution", lambda k: f"#{k + 1}/depthwise_conv"),
        norm(rf"{_V2_LAYER}\.conv_3x3\.normalization", lambda k: f"#{k + 1}/depthwise_norm"),
        kernel(rf"{_V2_LAYER}\.reduce_1x1\.convolution", lambda k: f"#{k + 1}/project_conv"),
        norm(rf"{_V2_LAYER}\.reduce_1x1\.normalization", lambda k: f"#{k + 1}/project_norm"),
        kernel(r"mobilenet_v2\.conv_1x1\.convolution", "top/conv"),
        norm(r"mobilenet_v2\.conv_1x1\.normalization", "top/norm"),
        kernel("classifier", "head/logits"),
        COUNTERS,
    ),
    settings={"resize": "crop", "crop_fraction": 0.875},
)

MOBILENET_V2 = (_TIMM_MOBILE, _V2_TORCHVISION, _V2_TRANSFORMERS)
