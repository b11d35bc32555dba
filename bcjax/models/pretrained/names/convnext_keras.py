"""ConvNeXt's variables in Keras applications."""

from collections.abc import Iterator

from bcjax.models.pretrained.layout import Rule
from bcjax.models.pretrained.names.keras import application, layer

# Each name begins with the model's, such as "convnext_tiny".
_NAME = r".+"
_BLOCK = rf"{_NAME}_stage_(\d)_block_(\d+)"


def _block(stage: int, block: int) -> str:
    return f"stage{stage + 1}/block{block + 1}"


def _layers(*depths: int) -> Iterator[tuple[str, str]]:
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


LAYOUTS = (
    application(
        rules=(
            layer(rf"{_NAME}_stem_conv", "stem/conv"),
            layer(rf"{_NAME}_stem_layernorm", "stem/norm"),
            layer(rf"{_NAME}_downsampling_conv_(\d)", lambda i: f"stage{i + 2}/downsample_conv"),
            layer(
                rf"{_NAME}_downsampling_layernorm_(\d)", lambda i: f"stage{i + 2}/downsample_norm"
            ),
            layer(rf"{_BLOCK}_depthwise_conv", lambda i, j: f"{_block(i, j)}/depthwise"),
            layer(rf"{_BLOCK}_layernorm", lambda i, j: f"{_block(i, j)}/norm"),
            layer(rf"{_BLOCK}_pointwise_conv_1", lambda i, j: f"{_block(i, j)}/expand"),
            layer(rf"{_BLOCK}_pointwise_conv_2", lambda i, j: f"{_block(i, j)}/project"),
            Rule(
                rf"{_BLOCK}_layer_scale/gamma",
                lambda i, j: f"params/{_block(int(i), int(j))}/gamma",
            ),
            # Without its top a network ends in a normalisation that Keras names.
            layer(rf"(?:{_NAME}_head_layernorm|layer_normalization(?:_\d+)?)", "norm"),
            layer(rf"{_NAME}_head_dense", "head/logits"),
        ),
        networks=(_layers(3, 3, 9, 3), _layers(3, 3, 27, 3)),
        convention="torch",  # in ConvNeXt's own padding the two agree
    ),
)
