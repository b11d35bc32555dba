"""How PyTorch's libraries name the tensors of residual and mobile networks and of transformers.

The libraries are torchvision, timm and transformers.

Each table leads from the library's name of a layer to ours; `Rule` tells what the braces mean.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bcjax.models.pretrained.naming import IMAGENET, Naming, Tensors, torch_naming

# What Google's own MobileNets want: the mean and deviation are those of the table.
_CROPPED = {"resize": "crop", "crop_fraction": 0.875}


# ResNet


def _resnet_transformers(model: str) -> Mapping[str, str]:
    """Returns the names behind the model's, which is missing where there is no classifier."""
    block = f"{model}encoder.stages.{{stage:0}}.layers.{{block:0}}"
    return {
        f"{model}embedder.embedder.convolution": "stem/conv",
        f"{model}embedder.embedder.normalization": "stem/norm",
        f"{block}.layer.{{i:0}}.convolution": "stage{stage}/block{block}/conv{i}",
        f"{block}.layer.{{i:0}}.normalization": "stage{stage}/block{block}/norm{i}",
        f"{block}.shortcut.convolution": "stage{stage}/block{block}/shortcut_conv",
        f"{block}.shortcut.normalization": "stage{stage}/block{block}/shortcut_norm",
    }


RESNET = (
    torch_naming(
        "torchvision or timm",
        {
            "conv1": "stem/conv",
            "bn1": "stem/norm",
            "layer{stage:1}.{block:0}.conv{i:1}": "stage{stage}/block{block}/conv{i}",
            "layer{stage:1}.{block:0}.bn{i:1}": "stage{stage}/block{block}/norm{i}",
            "layer{stage:1}.{block:0}.downsample.0": "stage{stage}/block{block}/shortcut_conv",
            "layer{stage:1}.{block:0}.downsample.1": "stage{stage}/block{block}/shortcut_norm",
            "fc": "head/logits",
        },
    ),
    torch_naming(
        "transformers",
        {
            **_resnet_transformers(""),
            **_resnet_transformers("resnet."),
            "classifier.1": "head/logits",
        },
    ),
)


# ConvNeXt


def _convnext(
    source: str, stem: tuple[str, str], downsample: tuple[str, str], block: str,
    layers: tuple[str, str, str, str, str], head: tuple[str, str],
) -> Naming:  # fmt: skip
    """Returns the naming of a library.

    Args:
      source: The library.
      stem: The names of the stem's convolution and normalisation.
      downsample: The names of a stage's first normalisation and convolution.
      block: The name of a block.
      layers: The names of a block's layers: depthwise, norm, expand, project, gamma.
      head: The names of the last normalisation and the classifier.
    """
    depthwise, norm, expand, project, gamma = (f"{block}.{name}" for name in layers)
    return torch_naming(
        source,
        {
            stem[0]: "stem/conv",
            stem[1]: "stem/norm",
            downsample[0]: "stage{stage}/downsample_norm",
            downsample[1]: "stage{stage}/downsample_conv",
            depthwise: "stage{stage}/block{block}/depthwise",
            norm: "stage{stage}/block{block}/norm",
            expand: "stage{stage}/block{block}/expand",
            project: "stage{stage}/block{block}/project",
            gamma: "params/stage{stage}/block{block}/gamma",
            head[0]: "norm",
            head[1]: "head/logits",
        },
    )


CONVNEXT = (
    _convnext(
        "timm",
        stem=("stem.0", "stem.1"),
        downsample=("stages.{stage:0}.downsample.0", "stages.{stage:0}.downsample.1"),
        block="stages.{stage:0}.blocks.{block:0}",
        layers=("conv_dw", "norm", "mlp.fc1", "mlp.fc2", "gamma"),
        head=("head.norm", "head.fc"),
    ),
    _convnext(
        "torchvision",
        stem=("features.0.0", "features.0.1"),
        downsample=("features.{stage:0+2}.0", "features.{stage:0+2}.1"),
        block="features.{stage:1+2}.{block:0}",
        layers=("block.0", "block.2", "block.3", "block.5", "layer_scale"),
        head=("classifier.0", "classifier.2"),
    ),
    _convnext(
        "transformers",
        stem=("convnext.embeddings.patch_embeddings", "convnext.embeddings.layernorm"),
        downsample=(
            "convnext.encoder.stages.{stage:0}.downsampling_layer.0",
            "convnext.encoder.stages.{stage:0}.downsampling_layer.1",
        ),
        block="convnext.encoder.stages.{stage:0}.layers.{block:0}",
        layers=("dwconv", "layernorm", "pwconv1", "pwconv2", "layer_scale_parameter"),
        head=("convnext.layernorm", "classifier"),
    ),
    _convnext(
        "the paper's authors",
        stem=("downsample_layers.0.0", "downsample_layers.0.1"),
        downsample=("downsample_layers.{stage:0}.0", "downsample_layers.{stage:0}.1"),
        block="stages.{stage:0}.{block:0}",
        layers=("dwconv", "norm", "pwconv1", "pwconv2", "gamma"),
        head=("norm", "head"),
    ),
)


# EfficientNet

# Timm builds EfficientNet and MobileNetV2 from the same parts. The first stage does not expand, and
# its projection has the name that expansions have elsewhere.
_TIMM_MOBILE = torch_naming(
    "timm",
    {
        "conv_stem": "stem/conv",
        "bn1": "stem/norm",
        "blocks.0.{block:0}.conv_dw": "stage1/block{block}/depthwise_conv",
        "blocks.0.{block:0}.bn1": "stage1/block{block}/depthwise_norm",
        "blocks.0.{block:0}.conv_pw": "stage1/block{block}/project_conv",
        "blocks.0.{block:0}.bn2": "stage1/block{block}/project_norm",
        "blocks.{stage:0}.{block:0}.conv_pw": "stage{stage}/block{block}/expand_conv",
        "blocks.{stage:0}.{block:0}.bn1": "stage{stage}/block{block}/expand_norm",
        "blocks.{stage:0}.{block:0}.conv_dw": "stage{stage}/block{block}/depthwise_conv",
        "blocks.{stage:0}.{block:0}.bn2": "stage{stage}/block{block}/depthwise_norm",
        "blocks.{stage:0}.{block:0}.se.conv_reduce": "stage{stage}/block{block}/se/reduce",
        "blocks.{stage:0}.{block:0}.se.conv_expand": "stage{stage}/block{block}/se/expand",
        "blocks.{stage:0}.{block:0}.conv_pwl": "stage{stage}/block{block}/project_conv",
        "blocks.{stage:0}.{block:0}.bn3": "stage{stage}/block{block}/project_norm",
        "conv_head": "top/conv",
        "bn2": "top/norm",
        "classifier": "head/logits",
    },
)

_EFFICIENTNET_TORCHVISION = torch_naming(
    "torchvision",
    {
        "features.0.0": "stem/conv",
        "features.0.1": "stem/norm",
        # The first stage does not expand.
        "features.1.{block:0}.block.0.0": "stage1/block{block}/depthwise_conv",
        "features.1.{block:0}.block.0.1": "stage1/block{block}/depthwise_norm",
        "features.1.{block:0}.block.1.fc1": "stage1/block{block}/se/reduce",
        "features.1.{block:0}.block.1.fc2": "stage1/block{block}/se/expand",
        "features.1.{block:0}.block.2.0": "stage1/block{block}/project_conv",
        "features.1.{block:0}.block.2.1": "stage1/block{block}/project_norm",
        "features.{stage:1}.{block:0}.block.0.0": "stage{stage}/block{block}/expand_conv",
        "features.{stage:1}.{block:0}.block.0.1": "stage{stage}/block{block}/expand_norm",
        "features.{stage:1}.{block:0}.block.1.0": "stage{stage}/block{block}/depthwise_conv",
        "features.{stage:1}.{block:0}.block.1.1": "stage{stage}/block{block}/depthwise_norm",
        "features.{stage:1}.{block:0}.block.2.fc1": "stage{stage}/block{block}/se/reduce",
        "features.{stage:1}.{block:0}.block.2.fc2": "stage{stage}/block{block}/se/expand",
        "features.{stage:1}.{block:0}.block.3.0": "stage{stage}/block{block}/project_conv",
        "features.{stage:1}.{block:0}.block.3.1": "stage{stage}/block{block}/project_norm",
        "features.8.0": "top/conv",
        "features.8.1": "top/norm",
        "classifier.1": "head/logits",
    },
)

_HF_BLOCK = "efficientnet.encoder.blocks.{block:0}"

_EFFICIENTNET_TRANSFORMERS = torch_naming(
    "transformers",
    {
        "efficientnet.embeddings.convolution": "stem/conv",
        "efficientnet.embeddings.batchnorm": "stem/norm",
        f"{_HF_BLOCK}.expansion.expand_conv": "#{block}/expand_conv",
        f"{_HF_BLOCK}.expansion.expand_bn": "#{block}/expand_norm",
        f"{_HF_BLOCK}.depthwise_conv.depthwise_conv": "#{block}/depthwise_conv",
        f"{_HF_BLOCK}.depthwise_conv.depthwise_norm": "#{block}/depthwise_norm",
        f"{_HF_BLOCK}.squeeze_excite.reduce": "#{block}/se/reduce",
        f"{_HF_BLOCK}.squeeze_excite.expand": "#{block}/se/expand",
        f"{_HF_BLOCK}.projection.project_conv": "#{block}/project_conv",
        f"{_HF_BLOCK}.projection.project_bn": "#{block}/project_norm",
        "efficientnet.encoder.top_conv": "top/conv",
        "efficientnet.encoder.top_bn": "top/norm",
        "classifier": "head/logits",
    },
    convention="tf",
)

EFFICIENTNET = (_TIMM_MOBILE, _EFFICIENTNET_TORCHVISION, _EFFICIENTNET_TRANSFORMERS)

# Torchvision made B5 to B7 with TensorFlow's epsilon.
EFFICIENTNET_B5_UP = (
    _TIMM_MOBILE,
    dataclasses.replace(_EFFICIENTNET_TORCHVISION, settings={**IMAGENET, "epsilon": 1e-3}),
    _EFFICIENTNET_TRANSFORMERS,
)


# MobileNetV1

MOBILENET_V1 = (
    torch_naming(
        "timm",
        {
            "conv_stem": "stem/conv",
            "bn1": "stem/norm",
            "blocks.{stage:0}.{block:0}.conv_dw": "stage{stage}/block{block}/depthwise_conv",
            "blocks.{stage:0}.{block:0}.bn1": "stage{stage}/block{block}/depthwise_norm",
            "blocks.{stage:0}.{block:0}.conv_pw": "stage{stage}/block{block}/pointwise_conv",
            "blocks.{stage:0}.{block:0}.bn2": "stage{stage}/block{block}/pointwise_norm",
            "classifier": "head/logits",
        },
    ),
    torch_naming(
        "transformers",
        {
            "mobilenet_v1.conv_stem.convolution": "stem/conv",
            "mobilenet_v1.conv_stem.normalization": "stem/norm",
            "mobilenet_v1.layer.{block:0+2}.convolution": "#{block}/depthwise_conv",
            "mobilenet_v1.layer.{block:0+2}.normalization": "#{block}/depthwise_norm",
            "mobilenet_v1.layer.{block:1+2}.convolution": "#{block}/pointwise_conv",
            "mobilenet_v1.layer.{block:1+2}.normalization": "#{block}/pointwise_norm",
            "classifier": "head/logits",
        },
        convention="tf",
        settings=_CROPPED,
    ),
)


# MobileNetV2

_V2_TORCHVISION = torch_naming(
    "torchvision",
    {
        "features.0.0": "stem/conv",
        "features.0.1": "stem/norm",
        "features.1.conv.0.0": "#1/depthwise_conv",
        "features.1.conv.0.1": "#1/depthwise_norm",
        "features.1.conv.1": "#1/project_conv",
        "features.1.conv.2": "#1/project_norm",
        "features.{block:1}.conv.0.0": "#{block}/expand_conv",
        "features.{block:1}.conv.0.1": "#{block}/expand_norm",
        "features.{block:1}.conv.1.0": "#{block}/depthwise_conv",
        "features.{block:1}.conv.1.1": "#{block}/depthwise_norm",
        "features.{block:1}.conv.2": "#{block}/project_conv",
        "features.{block:1}.conv.3": "#{block}/project_norm",
        "features.18.0": "top/conv",
        "features.18.1": "top/norm",
        "classifier.1": "head/logits",
    },
)

# The first block counts as part of the stem: "layer.0" is the second block.
_V2_TRANSFORMERS = torch_naming(
    "transformers",
    {
        "mobilenet_v2.conv_stem.first_conv.convolution": "stem/conv",
        "mobilenet_v2.conv_stem.first_conv.normalization": "stem/norm",
        "mobilenet_v2.conv_stem.conv_3x3.convolution": "#1/depthwise_conv",
        "mobilenet_v2.conv_stem.conv_3x3.normalization": "#1/depthwise_norm",
        "mobilenet_v2.conv_stem.reduce_1x1.convolution": "#1/project_conv",
        "mobilenet_v2.conv_stem.reduce_1x1.normalization": "#1/project_norm",
        "mobilenet_v2.layer.{block:-1}.expand_1x1.convolution": "#{block}/expand_conv",
        "mobilenet_v2.layer.{block:-1}.expand_1x1.normalization": "#{block}/expand_norm",
        "mobilenet_v2.layer.{block:-1}.conv_3x3.convolution": "#{block}/depthwise_conv",
        "mobilenet_v2.layer.{block:-1}.conv_3x3.normalization": "#{block}/depthwise_norm",
        "mobilenet_v2.layer.{block:-1}.reduce_1x1.convolution": "#{block}/project_conv",
        "mobilenet_v2.layer.{block:-1}.reduce_1x1.normalization": "#{block}/project_norm",
        "mobilenet_v2.conv_1x1.convolution": "top/conv",
        "mobilenet_v2.conv_1x1.normalization": "top/norm",
        "classifier": "head/logits",
    },
    convention="tf",
    settings=_CROPPED,
)

MOBILENET_V2 = (_TIMM_MOBILE, _V2_TORCHVISION, _V2_TRANSFORMERS)


# Vision transformers

# Under our paths, what follows the name of a block.
_VIT_BLOCK = ("norm1", "attention/qkv", "attention/project", "norm2", "expand", "project")


def _vit(source: str, stem: tuple[str, str, str], block: str, layers: tuple[str, ...],
         head: tuple[str, str], **fields: Any) -> Naming:  # fmt: skip
    """Returns the naming of a library.

    Args:
      source: The library.
      stem: The names of the class token, the positions and the patches' convolution.
      block: The name of a block.
      layers: The names of the layers of a block, in the order of `_VIT_BLOCK`.
      head: The names of the last normalisation and the classifier.
      **fields: Other fields of the naming.
    """
    ours = [f"stage1/block{{block}}/{layer}" for layer in _VIT_BLOCK]
    return torch_naming(
        source,
        {
            stem[0]: "params/stem/class_token",
            stem[1]: "params/stem/positions",
            stem[2]: "stem/conv",
            **{f"{block}.{layer}": path for layer, path in zip(layers, ours, strict=True)},
            head[0]: "norm",
            head[1]: "head/logits",
        },
        **fields,
    )


def _qkv(tensors: Tensors, *, parts: Sequence[str], whole: str) -> Tensors:
    """Joins queries, keys and values, where they are tensors of their own, to one."""
    joined = dict(tensors)
    for name in tensors:
        names = [name.replace(parts[0], part) for part in parts]
        if parts[0] in name and all(part in joined for part in names):
            tensor = np.concatenate([joined.pop(part) for part in names])
            joined[name.replace(parts[0], whole)] = tensor
    return joined


def _in_projections(tensors: Tensors) -> Tensors:
    """Names torchvision's joint projection as a layer, as its other layers are."""
    return {
        name.replace("in_proj_weight", "qkv.weight").replace("in_proj_bias", "qkv.bias"): tensor
        for name, tensor in tensors.items()
    }


VIT = (
    _vit(
        "timm",
        stem=("cls_token", "pos_embed", "patch_embed.proj"),
        block="blocks.{block:0}",
        layers=("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"),
        head=("norm", "head"),
    ),
    _vit(
        "torchvision",
        stem=("class_token", "encoder.pos_embedding", "conv_proj"),
        block="encoder.layers.encoder_layer_{block:0}",
        layers=("ln_1", "self_attention.qkv", "self_attention.out_proj", "ln_2", "mlp.0", "mlp.3"),
        head=("encoder.ln", "heads.head"),
        prepare=_in_projections,
    ),
    _vit(
        "transformers",
        stem=(
            "vit.embeddings.cls_token",
            "vit.embeddings.position_embeddings",
            "vit.embeddings.patch_embeddings.projection",
        ),
        block="vit.encoder.layer.{block:0}",
        layers=(
            "layernorm_before",
            "attention.attention.qkv",
            "attention.output.dense",
            "layernorm_after",
            "intermediate.dense",
            "output.dense",
        ),
        head=("vit.layernorm", "classifier"),
        prepare=functools.partial(_qkv, parts=(".query.", ".key.", ".value."), whole=".qkv."),
    ),
)
