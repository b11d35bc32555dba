"""MobileNetV2's variables in Keras applications."""

from collections.abc import Iterator

from bcjax.models.pretrained.names.keras import IMAGENET, application, layer

_PARTS = {
    "expand": "expand_conv",
    "expand_BN": "expand_norm",
    "depthwise": "depthwise_conv",
    "depthwise_BN": "depthwise_norm",
    "project": "project_conv",
    "project_BN": "project_norm",
}
_PART = "|".join(_PARTS)


def _layers(blocks: int) -> Iterator[tuple[str, str]]:
    names = ["Conv1", "bn_Conv1"]
    # Nothing is expanded in the first block.
    names += [f"expanded_conv_{part}" for part in _PARTS if not part.startswith("expand")]
    names += [f"block_{i}_{part}" for i in range(1, blocks) for part in _PARTS]
    for name in [*names, "Conv_1", "Conv_1_bn"]:
        norm, depthwise = "bn" in name.lower(), name.endswith("depthwise")
        kind = "batch_normalization" if norm else "depthwise_conv2d" if depthwise else "conv2d"
        yield kind, name


LAYOUTS = (
    application(
        rules=(
            layer("Conv1", "stem/conv"),
            layer("bn_Conv1", "stem/norm"),
            layer(rf"expanded_conv_({_PART})", lambda part: f"#0/{_PARTS[part]}"),
            layer(rf"block_(\d+)_({_PART})", lambda k, part: f"#{k}/{_PARTS[part]}"),
            layer("Conv_1", "top/conv"),
            layer("Conv_1_bn", "top/norm"),
        ),
        networks=(_layers(17),),
        settings={**IMAGENET, "mean": (0.5,) * 3, "std": (0.5,) * 3},
    ),
)
