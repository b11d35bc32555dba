"""The table of networks: one name each, with what was published about it.

A network is a linen module with three methods, each of which takes `train`:

- `features(images, train)`: the pooled vector that the classifier reads, in `dtype`;
- `classify(features, train)`: logits, float32, whose parameters are the stage "head";
- `__call__(images, train)`: one after the other.

Parameters and statistics are float32. The stages of a network are the top-level names of its
parameters, in forward order, and what repeats within a stage is called block1, block2, ...: so
freezing and layer decay can speak of them.
"""

import difflib
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from bcjax.models import (
    alexnet,
    convnext,
    deep_efficientnet,
    efficientnet,
    elu_cnn,
    mobilenet_v1,
    mobilenet_v2,
    plain_cnn,
    resnet,
)
from bcjax.models.conv import CONVENTIONS
from bcjax.models.entry import Entry
from bcjax.models.norm import KINDS
from bcjax.runtime.errors import UserError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}

MODELS: dict[str, Entry] = {
    **elu_cnn.ENTRIES,
    **plain_cnn.ENTRIES,
    **alexnet.ENTRIES,
    **resnet.ENTRIES,
    **convnext.ENTRIES,
    **efficientnet.ENTRIES,
    **deep_efficientnet.ENTRIES,
    **mobilenet_v1.ENTRIES,
    **mobilenet_v2.ENTRIES,
}


def create(name: str, *, classes: int, dtype: str = "float32", **options: Any) -> nn.Module:
    """Builds a network of the table.

    Args:
      name: A key of `MODELS`.
      classes: Number of logits.
      dtype: Of the computation, "float32" or "bfloat16".
      **options: The network's own; `MODELS[name].options` lists them.

    Raises:
      UserError: The name, the dtype, an option or its value is not one of those that there are.
    """
    if name not in MODELS:
        raise UserError(f"There is no model {name!r}: did you mean {_nearest(name, MODELS)!r}?")
    if dtype not in DTYPES:
        raise UserError(f"The model cannot compute in {dtype!r}: choose float32 or bfloat16.")
    entry = MODELS[name]
    for option in options:
        if option not in entry.options:
            raise UserError(
                f"The model {name} has no option {option!r}: it has {', '.join(entry.options)}."
            )
    for rate in ("dropout", "drop_path"):
        if not 0 <= options.get(rate, 0) < 1:
            raise UserError(f"A {rate} of {options[rate]} is not in [0, 1): 0.2 is customary.")
    if options.get("norm") not in (None, *KINDS):
        raise UserError(f"There is no norm {options['norm']!r}: choose among {', '.join(KINDS)}.")
    if options.get("convention") not in (None, *CONVENTIONS):
        raise UserError(
            f"There is no convention {options['convention']!r}: choose {', '.join(CONVENTIONS)}."
        )
    if options.get("alpha", 1) <= 0:
        raise UserError(f"A width multiplier of {options['alpha']} is not more than 0: try 0.5.")
    if any(units < 1 for units in options.get("hidden", ())):
        raise UserError(f"The hidden layers {options['hidden']} need at least one unit each.")
    return entry.build(classes=classes, dtype=DTYPES[dtype], **options)


def _nearest(word: str, words: Iterable[str]) -> str:
    return difflib.get_close_matches(word, words, n=1, cutoff=0.0)[0]
