"""How Keras applications name the variables of each family, and what may stand around them."""

import functools
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bcjax.models.efficientnet import B0, deepened
from bcjax.models.network import IMAGENET_STD
from bcjax.models.pretrained.naming import IMAGENET, Naming, Rule, Tensors
from bcjax.models.vgg import DEPTHS

_LEAVES = {
    "/kernel": "params/{}/kernel",
    "/bias": "params/{}/bias",
    "/gamma": "params/{}/scale",
    "/beta": "params/{}/bias",
    "/moving_mean": "batch_stats/{}/mean",
    "/moving_variance": "batch_stats/{}/var",
}

# The class and the name of each layer of a network that has variables, in the order of
# `model.layers`.
Layers = Iterable[tuple[str, str]]


def application(
    layers: Mapping[str, str], networks: Iterable[Layers], *more: Rule, **fields: Any
) -> Naming:
    """Returns the naming of a family of applications, alone or in a model made for transfer.

    Args:
      layers: From Keras's names of layers to our paths; `Rule` tells what the braces mean.
      networks: The layers of each network of the family, without the classifier.
      *more: Rules for tensors that are no layer's.
      **fields: Other fields of the naming.
    """
    # The classifier, as earlier versions named it too.
    layers = {**layers, **dict.fromkeys(("predictions", "probs", "Logits"), "head/logits")}
    known = (
        *(Rule(name, path, _LEAVES) for name, path in layers.items()),
        *more,
        Rule("head/{rest:*}", "params/head/{rest}"),
    )
    places = [_places(layers) for layers in networks]

    def prepare(tensors: Tensors) -> Tensors:
        return _with_head(_named(tensors, places), known)

    return Naming(
        **{"source": "keras", "convention": "tf", "settings": IMAGENET, **fields},
        rules=known,
        # A dense layer has its numbers in the same order as a 1x1 convolution, and a depthwise
        # kernel (h, w, C, 1) in the same order as (h, w, 1, C).
        orient=lambda path, tensor: tensor,
        prepare=prepare,
    )


def _places(layers: Layers) -> Mapping[str, str]:
    """Returns the names of layers by their places in a file that has no names."""
    count: Counter[str] = Counter()
    places = {}
    for kind, name in layers:
        places[f"{kind}_{count[kind]}".removesuffix("_0")] = name
        count[kind] += 1
    return places


def _with_kinds(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields the class and the name of each layer of a network of convolutions and batch norms."""
    for name in names:
        depthwise = name.endswith(("dwconv", "depthwise")) or name.startswith("conv_dw")
        norm = "bn" in name.lower()
        yield (
            "batch_normalization" if norm else "depthwise_conv2d" if depthwise else "conv2d",
            name,
        )


def _layer_names(names: Collection[str]) -> set[str]:
    return {name.rpartition("/")[0] for name in names} - {""}


def _renamed(tensors: Tensors, layers: Mapping[str, str]) -> Tensors:
    split = ((*name.rpartition("/"), tensor) for name, tensor in tensors.items())
    return {f"{layers.get(at, at)}{slash}{leaf}": tensor for at, slash, leaf, tensor in split}


def _named(tensors: Tensors, networks: Sequence[Mapping[str, str]]) -> Tensors:
    """Names the layers in files of Keras before 3.6, which have only classes and numbers."""
    found = _layer_names(tensors)
    # The network is the whole model, or is nested in it.
    models = {place[: at.end()] for place in found for at in re.finditer("layers/", place)}
    for model, places in itertools.product(sorted(models), networks):
        names = {f"{model}{place}": name for place, name in places.items()}
        if names.keys() <= found:
            named = _renamed(tensors, names)
            # If convolutions are left over, it is a deeper network.
            if all(x.ndim < 4 for name, x in named.items() if name.startswith(model)):
                return named
    return tensors


def _with_head(tensors: Tensors, rules: Sequence[Rule]) -> Tensors:
    """Names layers after the application as a head; one dense layer is the classifier itself."""
    unknown = [name for name in tensors if all(rule(name) is None for rule in rules)]
    if len(unknown) == len(tensors) or any(tensors[name].ndim == 4 for name in unknown):
        return tensors  # another network, with convolutions of its own
    dense = [name for name in unknown if name.endswith("/kernel")]
    if len(dense) == 1 and len(unknown) <= 2:
        return _renamed(tensors, dict.fromkeys(_layer_names(dense), "predictions"))
    return _renamed(tensors, {at: f"head/{at.rpartition('/')[2]}" for at in _layer_names(unknown)})


# What several families share


def _rgb(tensors: Tensors, stem: str) -> Tensors:
    """Reverses the channels of the first kernel, at the path `stem`, from blue, green, red."""
    return {path: x[:, :, ::-1] if path == stem else x for path, x in tensors.items()}


def _caffe(networks: str, module: str, stem: str) -> Mapping[str, Any]:
    """Returns what a naming of networks says whose weights want pictures as Caffe made them.

    The mean of each channel is taken off a picture of 0 to 255, which is not divided by anything,
    and the channels are reversed.

    Args:
      networks: The networks.
      module: The module of keras.applications whose `preprocess_input` does that.
      stem: The path of their first kernel.
    """
    return {
        "finish": functools.partial(_rgb, stem=stem),
        "settings": {
            **IMAGENET,
            "mean": (123.68 / 255, 116.779 / 255, 103.939 / 255),
            "std": (1 / 255,) * 3,
        },
        "notes": (
            f"Keras's {networks} read blue, green, red behind {module}.preprocess_input: the first "
            "kernel was turned round, so that it reads red, green, blue.",
        ),
    }


# VGG


def _vgg_layers(depths: Sequence[int]) -> Iterator[tuple[str, str]]:
    for stage, depth in enumerate(depths, start=1):
        yield from (("conv2d", f"block{stage}_conv{i + 1}") for i in range(depth))


VGG = (
    application(
        {
            "block{stage:1}_conv{i:1}": "stage{stage}/conv{i}",
            "fc1": "head/dense1",
            "fc2": "head/dense2",
        },
        (
            [*_vgg_layers(DEPTHS[layers]), *top]
            for layers in (16, 19)
            for top in ([("dense", "fc1"), ("dense", "fc2")], [])
        ),
        **_caffe("VGGs", "vgg16", "params/stage1/conv1/kernel"),
    ),
)


# ResNet


def _resnet_layers(*depths: int) -> Iterator[tuple[str, str]]:
    blocks = [f"conv{i}_block{j + 1}" for i, depth in enumerate(depths, 2) for j in range(depth)]
    # Keras sorts layers by depth: the shortcut's convolution is beside the third.
    names = ["conv1_conv", "conv1_bn"]
    for block in blocks:
        numbers = (1, 2, 0, 3) if block.endswith("block1") else (1, 2, 3)
        names += [f"{block}_{i}_{kind}" for kind in ("conv", "bn") for i in numbers]
    return _with_kinds(names)


RESNET = (
    application(
        {
            "conv1_conv": "stem/conv",
            "conv1_bn": "stem/norm",
            "conv{stage:2}_block{block:1}_0_conv": "stage{stage}/block{block}/shortcut_conv",
            "conv{stage:2}_block{block:1}_0_bn": "stage{stage}/block{block}/shortcut_norm",
            "conv{stage:2}_block{block:1}_{i:1}_conv": "stage{stage}/block{block}/conv{i}",
            "conv{stage:2}_block{block:1}_{i:1}_bn": "stage{stage}/block{block}/norm{i}",
        },
        (
            _resnet_layers(3, 4, 6, 3),
            _resnet_layers(3, 4, 23, 3),
            _resnet_layers(3, 8, 36, 3),
        ),
        **_caffe("ResNets", "resnet", "params/stem/conv/kernel"),
    ),
)


# ConvNeXt

# Each name begins with the model's, such as "convnext_tiny".
_CONVNEXT = "{model:*}"
_CONVNEXT_BLOCK = "{model:*}_stage_{stage:0}_block_{block:0}"


def _convnext_layers(*depths: int) -> Iterator[tuple[str, str]]:
    for i, depth in enumerate(depths):
        # Stem and downsampling are models of their own.
        inner = f"sequential_{i}".removesuffix("_0") + "/layers/"
        between = "stem_{}" if i == 0 else f"downsampling_{{}}_{i - 1}"
        yield f"{inner}conv2d", "convnext_" + between.format("conv")
        yield f"{inner}layer_normalization", "convnext_" + between.format("layernorm")
        for j in range(depth):
            block = f"convnext_stage_{i}_block_{j}"
            yield "conv2d", f"{block}_depthwise_conv"
            yield "layer_normalization", f"{block}_layernorm"
            yield "dense", f"{block}_pointwise_conv_1"
            yield "dense", f"{block}_pointwise_conv_2"
            yield "layer_scale", f"{block}_layer_scale"
    yield "layer_normalization", "convnext_head_layernorm"


CONVNEXT = (
    application(
        {
            f"{_CONVNEXT}_stem_conv": "stem/conv",
            f"{_CONVNEXT}_stem_layernorm": "stem/norm",
            f"{_CONVNEXT}_downsampling_conv_{{stage:-1}}": "stage{stage}/downsample_conv",
            f"{_CONVNEXT}_downsampling_layernorm_{{stage:-1}}": "stage{stage}/downsample_norm",
            f"{_CONVNEXT_BLOCK}_depthwise_conv": "stage{stage}/block{block}/depthwise",
            f"{_CONVNEXT_BLOCK}_layernorm": "stage{stage}/block{block}/norm",
            f"{_CONVNEXT_BLOCK}_pointwise_conv_1": "stage{stage}/block{block}/expand",
            f"{_CONVNEXT_BLOCK}_pointwise_conv_2": "stage{stage}/block{block}/project",
            # Without its top a network ends in a normalisation that Keras names.
            f"{_CONVNEXT}_head_layernorm": "norm",
            "layer_normalization": "norm",
            "layer_normalization_{i:0}": "norm",
            f"{_CONVNEXT}_head_dense": "head/logits",
        },
        (_convnext_layers(3, 3, 9, 3), _convnext_layers(3, 3, 27, 3)),
        Rule(f"{_CONVNEXT_BLOCK}_layer_scale/gamma", "params/stage{stage}/block{block}/gamma"),
        convention="torch",  # in ConvNeXt's own padding the two agree
    ),
)


# EfficientNet

# What a layer in front of the stem normalises with.
_NORMALISATION = Rule(
    "{model:*}normalization{number:*}", "", dict.fromkeys(("/mean", "/variance", "/count"), "")
)

_EFFICIENTNET_PARTS = {
    "expand_conv": "expand_conv",
    "expand_bn": "expand_norm",
    "dwconv": "depthwise_conv",
    "bn": "depthwise_norm",
    "se_reduce": "se/reduce",
    "se_expand": "se/expand",
    "project_conv": "project_conv",
    "project_bn": "project_norm",
}


def _efficientnet_layers(*depths: int) -> Iterator[tuple[str, str]]:
    names = ["stem_conv", "stem_bn"]
    for i, depth in enumerate(depths, 1):
        # Nothing is expanded in the first stage.
        parts = [part for part in _EFFICIENTNET_PARTS if i > 1 or not part.startswith("expand")]
        names += [f"block{i}{chr(ord('a') + j)}_{part}" for j in range(depth) for part in parts]
    return _with_kinds([*names, "top_conv", "top_bn"])


_EFFICIENTNET_DEPTHS = [
    [row.depth for row in deepened(B0, factor).rows]
    for factor in (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1)
]


def _normalisation(tensors: Tensors) -> Mapping[str, Any]:
    """Reads mean and deviation from the normalising layer, unless they are ImageNet's."""
    found = {
        name.rpartition("/")[2]: tensor.ravel().astype(float)
        for name, tensor in tensors.items()
        if _NORMALISATION(name) is not None
    }
    # ImageNet's weights have the deviation in place of the variance, and a layer that corrects it:
    # https://github.com/tensorflow/tensorflow/issues/49930.
    if not {"mean", "variance"} <= found.keys():
        return {}
    if np.allclose(found["variance"], IMAGENET_STD, atol=1e-3):
        return {}
    std = np.maximum(np.sqrt(found["variance"]), 1e-7)
    return {"mean": tuple(found["mean"].tolist()), "std": tuple(std.tolist())}


EFFICIENTNET = (
    application(
        {
            "stem_conv": "stem/conv",
            "stem_bn": "stem/norm",
            "top_conv": "top/conv",
            "top_bn": "top/norm",
        }
        | {
            "block{stage:1}{block:a}_" + theirs: "stage{stage}/block{block}/" + ours
            for theirs, ours in _EFFICIENTNET_PARTS.items()
        },
        (_efficientnet_layers(*depths) for depths in _EFFICIENTNET_DEPTHS),
        _NORMALISATION,
        settings_in=_normalisation,
    ),
)


# MobileNetV1


def _v1_layers(blocks: int) -> Iterator[tuple[str, str]]:
    names = ["conv1", "conv1_bn"]
    for i in range(1, blocks + 1):
        names += [f"conv_dw_{i}", f"conv_dw_{i}_bn", f"conv_pw_{i}", f"conv_pw_{i}_bn"]
    return _with_kinds(names)


MOBILENET_V1 = (
    application(
        {
            "conv1": "stem/conv",
            "conv1_bn": "stem/norm",
            # Blocks are counted through all stages.
            "conv_dw_{block:1}": "#{block}/depthwise_conv",
            "conv_dw_{block:1}_bn": "#{block}/depthwise_norm",
            "conv_pw_{block:1}": "#{block}/pointwise_conv",
            "conv_pw_{block:1}_bn": "#{block}/pointwise_norm",
            "conv_preds": "head/logits",  # a 1x1 convolution
        },
        (_v1_layers(13), [*_v1_layers(13), ("conv2d", "conv_preds")]),
        convention="keras",
        settings={**IMAGENET, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
)


# MobileNetV2

_V2_PARTS = {
    "expand": "expand_conv",
    "expand_BN": "expand_norm",
    "depthwise": "depthwise_conv",
    "depthwise_BN": "depthwise_norm",
    "project": "project_conv",
    "project_BN": "project_norm",
}


def _v2_layers(blocks: int) -> Iterator[tuple[str, str]]:
    names = ["Conv1", "bn_Conv1"]
    # Nothing is expanded in the first block.
    names += [f"expanded_conv_{part}" for part in _V2_PARTS if not part.startswith("expand")]
    names += [f"block_{i}_{part}" for i in range(1, blocks) for part in _V2_PARTS]
    return _with_kinds([*names, "Conv_1", "Conv_1_bn"])


MOBILENET_V2 = (
    application(
        {
            "Conv1": "stem/conv",
            "bn_Conv1": "stem/norm",
            "Conv_1": "top/conv",
            "Conv_1_bn": "top/norm",
        }
        | {"expanded_conv_" + theirs: "#1/" + ours for theirs, ours in _V2_PARTS.items()}
        | {"block_{block:0}_" + theirs: "#{block}/" + ours for theirs, ours in _V2_PARTS.items()},
        (_v2_layers(17),),
        settings={**IMAGENET, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
)
