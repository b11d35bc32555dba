"""ConvNeXt's tensors in PyTorch's libraries."""

from collections.abc import Callable

from bcjax.models.pretrained.layout import Layout, Rule
from bcjax.models.pretrained.names.torch import IMAGENET, kernel, norm


def _gamma(pattern: str, block: Callable[[int, int], str]) -> Rule:
    return Rule(pattern, lambda i, j: f"params/{block(int(i), int(j))}/gamma")


def _block(stage: int, block: int) -> str:
    return f"stage{stage + 1}/block{block + 1}"


def _rules(
    stem: tuple[str, str],
    downsample: tuple[str, str],
    block: str,
    layers: tuple[str, str, str, str, str],
    head: tuple[str, str],
    stage_of: Callable[[int], int] = lambda i: i,
) -> tuple[Rule, ...]:
    """Returns the rules, given patterns of names.

    Args:
      stem: Convolution and normalisation.
      downsample: Normalisation and convolution, from the number of a stage.
      block: From the numbers of a stage and of a block within.
      layers: Within a block: depthwise, norm, expand, project, gamma.
      head: Normalisation and classifier.
      stage_of: From the number in the name to the stage's, from 0.
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
        _gamma(rf"{block}\.{gamma}", within("")),
        norm(head[0], "norm"),
        kernel(head[1], "head/logits"),
    )


LAYOUTS = (
    Layout(
        source="timm",
        convention="torch",
        rules=_rules(
            stem=(r"stem\.0", r"stem\.1"),
            downsample=(r"stages\.(\d)\.downsample\.0", r"stages\.(\d)\.downsample\.1"),
            block=r"stages\.(\d)\.blocks\.(\d+)",
            layers=("conv_dw", "norm", r"mlp\.fc1", r"mlp\.fc2", "gamma"),
            head=(r"head\.norm", r"head\.fc"),
        ),
        settings=IMAGENET,
    ),
    Layout(
        source="torchvision",
        convention="torch",
        rules=_rules(
            stem=(r"features\.0\.0", r"features\.0\.1"),
            downsample=(r"features\.([246])\.0", r"features\.([246])\.1"),
            block=r"features\.([1357])\.(\d+)",
            layers=(r"block\.0", r"block\.2", r"block\.3", r"block\.5", "layer_scale"),
            head=(r"classifier\.0", r"classifier\.2"),
            stage_of=lambda i: i // 2,
        ),
        settings=IMAGENET,
    ),
    Layout(
        source="transformers",
        convention="torch",
        rules=_rules(
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
    Layout(
        source="the paper's authors",
        convention="torch",
        rules=_rules(
            stem=(r"downsample_layers\.0\.0", r"downsample_layers\.0\.1"),
            downsample=(r"downsample_layers\.([123])\.0", r"downsample_layers\.([123])\.1"),
            block=r"stages\.(\d)\.(\d+)",
            layers=("dwconv", "norm", "pwconv1", "pwconv2", "gamma"),
            head=("norm", "head"),
        ),
        settings=IMAGENET,
    ),
)
