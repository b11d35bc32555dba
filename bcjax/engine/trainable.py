"""Which parameters of a network train: from the words of a config to paths.

A path names a parameter, "stage4/block2/conv1/kernel". Nothing here computes, and nothing knows a
network by name: stages and the order of the layers are read off a trace of it.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

import jax
from flax import linen as nn
from flax import traverse_util

from bcjax.runtime.errors import UserError

Layer = tuple[str, ...]  # the paths of its parameters


def layers(init: Callable[[], dict[str, Any]]) -> tuple[Layer, ...]:
    """Returns the layers of a network in forward order.

    A layer is a module that holds a kernel (a convolution, a dense layer) together with what
    follows it and holds none: norms and layer scales.

    Args:
      init: Makes the variables by a call of the network; only traced.
    """
    left: dict[str, None] = {}  # paths of modules, as their calls end; the first call counts

    def note(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        output = call(*args, **kwargs)
        if context.method_name == "__call__":
            left.setdefault("/".join(context.module.path))
        return output

    with nn.intercept_methods(note):
        # A function of its own: JAX does not trace again one that it has traced before.
        params = jax.eval_shape(lambda: init())["params"]
    order = {path: position for position, path in enumerate(left)}
    paths = sorted(traverse_util.flatten_dict(params, sep="/"), key=lambda p: order[_holder(p)])
    found: list[Layer] = []
    for _, group in itertools.groupby(paths, _holder):
        held = tuple(group)
        if any(path.endswith("kernel") for path in held) or not found:
            found.append(held)
        else:
            found[-1] += held
    return tuple(found)


def _holder(path: str) -> str:
    return path.rpartition("/")[0]


def select(asked: str, layers: tuple[Layer, ...]) -> tuple[str, ...]:
    """Returns the paths of the parameters that train, in forward order.

    Args:
      asked: "all"; "last 30%", of the layers, rounded, and one at least; names of stages, such as
        "head" or "stage3, stage4, head"; or else a regular expression, which is searched for in
        each path, "norm" or "^stage4/block[23]/".
      layers: Of the network.

    Raises:
      UserError: If that is no parameter, or no regular expression.
    """
    everything = tuple(itertools.chain(*layers))
    stages = tuple(dict.fromkeys(stage_of(path) for path in everything))
    names = [name.strip() for name in asked.split(",")]
    share = re.fullmatch(r"last\s+(\d+(?:\.\d*)?)\s*%", asked.strip())
    if asked.strip() == "all":
        return everything
    if share:
        if not 0 < float(share[1]) <= 100:
            raise UserError(f"finetune.trainable is {asked!r}: give more than 0 %, 100 % at most.")
        count = max(1, round(len(layers) * float(share[1]) / 100))
        return tuple(itertools.chain(*layers[-count:]))
    if set(names) <= set(stages):
        return tuple(path for path in everything if stage_of(path) in names)
    try:
        found = tuple(path for path in everything if re.search(asked, path))
    except re.error as error:
        raise UserError(
            f"finetune.trainable is {asked!r}, neither stages nor a regular expression: {error}."
        ) from error
    if not found or not asked:
        raise UserError(
            f"finetune.trainable is {asked!r}, which matches no parameter: write all, 'last 30%', "
            f"a regular expression, or stages of this network: {', '.join(stages)}."
        )
    return found


def stage_of(path: str) -> str:
    return path.partition("/")[0]
