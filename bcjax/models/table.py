"""The table of networks, and how one is built by its name."""

import difflib
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from bcjax.models import (
    alexnet,
    convnext,
    efficientnet,
    elu_cnn,
    googlenet,
    lenet,
    mobilenet,
    plain_cnn,
    resnet,
    vgg,
    vit,
)
from bcjax.models.layers import CONVENTIONS
from bcjax.models.network import NetworkInfo
from bcjax.models.norm import NORMS
from bcjax.runtime.errors import UserError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

MODELS: dict[str, NetworkInfo] = {
    **elu_cnn.NETWORKS,
    **plain_cnn.NETWORKS,
    **lenet.NETWORKS,
    **alexnet.NETWORKS,
    **vgg.NETWORKS,
    **googlenet.NETWORKS,
    **resnet.NETWORKS,
    **convnext.NETWORKS,
    **efficientnet.NETWORKS,
    **mobilenet.NETWORKS,
    **vit.NETWORKS,
}
BUILT_IN = tuple(MODELS)  # without what is registered from outside


def register(name: str, info: NetworkInfo) -> NetworkInfo:
    """Adds a network to the table, so that `model.name` can name it.

    Args:
      name: The name in the table.
      info: How it is built, and what is known about it.

    Raises:
      UserError: There already is a network of that name.
    """
    if name in MODELS:
        raise UserError(f"There already is a model {name!r}: choose another name.")
    MODELS[name] = info
    return info


def create(name: str, *, classes: int, dtype: str = "float32", **options: Any) -> nn.Module:
    """Builds a network of the table.

    Args:
      name: A key of `MODELS`.
      classes: The number of logits.
      dtype: The dtype of the computation, "float32" or "bfloat16".
      **options: The network's own options, listed by `MODELS[name].options`.

    Raises:
      UserError: The name, the dtype, an option or its value does not exist.
    """
    if name not in MODELS:
        raise UserError(f"There is no model {name!r}: did you mean {_nearest(name, MODELS)!r}?")
    if dtype not in DTYPES:
        raise UserError(f"The model cannot compute in {dtype!r}: choose float32 or bfloat16.")
    info = MODELS[name]
    for option in options:
        if option not in info.options:
            raise UserError(_no_option(name, option))
    for rate in ("dropout", "drop_path"):
        if not 0 <= options.get(rate, 0) < 1:
            raise UserError(f"A {rate} of {options[rate]} is not in [0, 1): 0.2 is customary.")
    if options.get("norm") not in (None, *NORMS):
        raise UserError(f"There is no norm {options['norm']!r}: choose among {', '.join(NORMS)}.")
    if options.get("convention") not in (None, *CONVENTIONS):
        raise UserError(
            f"There is no convention {options['convention']!r}: choose {', '.join(CONVENTIONS)}."
        )
    if options.get("alpha", 1) <= 0:
        raise UserError(f"A width multiplier of {options['alpha']} is not more than 0: try 0.5.")
    if any(units < 1 for units in options.get("hidden", ())):
        raise UserError(f"The hidden layers {options['hidden']} need at least one unit each.")
    if not options.get("kernel_size", 1) % 2:
        size = options["kernel_size"]
        raise UserError(f"A kernel_size of {size} is even, without a middle: try {size + 1}.")
    model = info.build(classes=classes, dtype=DTYPES[dtype], **options)
    _check_stages(name, model)
    return model


# The options that change the layers themselves, which only networks of no fixed layout have.
_OF_LAYOUT = ("widths", "depths", "kernel_size", "squeeze")


def _no_option(name: str, option: str) -> str:
    info = MODELS[name]
    having = [other for other in BUILT_IN if option in MODELS[other].options]
    if option in _OF_LAYOUT and having:
        return (
            f"The model {name} has no option {option!r}, because its layout is fixed: "
            f"{', '.join(having)} {'has' if len(having) == 1 else 'have'} one."
        )
    return f"The model {name} has no option {option!r}: it has {', '.join(info.options)}."


def _check_stages(name: str, model: nn.Module) -> None:
    """Checks the options that have a number for each stage, or name stages."""
    widths, depths = getattr(model, "widths", None), getattr(model, "depths", None)
    if widths == ():
        raise UserError("The widths () leave no stage: give the number of filters of one or more.")
    if widths and depths is not None and len(widths) != len(depths):
        raise UserError(
            f"The widths {widths} are those of {len(widths)} stages, and the depths {depths} those "
            f"of {len(depths)}: give both one number for each stage."
        )
    if squeeze := getattr(model, "squeeze", None):
        stages = len(model.layout.rows)
        if not all(1 <= stage <= stages for stage in squeeze):
            raise UserError(
                f"The squeeze {squeeze} names a stage that {name} does not have: its stages are 1 "
                f"to {stages}."
            )


def _nearest(word: str, words: Iterable[str]) -> str:
    return difflib.get_close_matches(word, words, n=1, cutoff=0.0)[0]
