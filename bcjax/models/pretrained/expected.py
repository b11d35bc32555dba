"""What a network holds: the names, shapes and order that weights are fitted to."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from bcjax.models.norm import Norm

LOGITS = ("params/head/logits/kernel", "params/head/logits/bias")


@dataclasses.dataclass(frozen=True)
class Expected:
    """The variables of a network.

    Attributes:
      shapes: Of each variable, by path ("params/stem/conv/kernel"); parameters in the order in
        which a picture meets them, then statistics.
      epsilons: Of each normalisation with statistics, by its path ("stem/norm").
      blocks: Paths of what repeats within stages ("stage1/block1"), through all stages in order.
    """

    shapes: Mapping[str, tuple[int, ...]]
    epsilons: Mapping[str, float]
    blocks: tuple[str, ...]


def of(model: nn.Module, image_size: int, channels: int) -> Expected:
    """Looks at a network without computing anything.

    Raises:
      UserError: If it takes no pictures of that size.
    """
    epsilons: dict[str, float] = {}
    shapes: dict[str, tuple[int, ...]] = {}

    def look(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, Norm):
            epsilons["/".join(context.module.path)] = context.module.epsilon
        return call(*args, **kwargs)

    def init() -> None:
        pictures = jnp.zeros((1, image_size, image_size, channels))
        with nn.intercept_methods(look):
            variables = model.init(jax.random.key(0), pictures, train=False)
        # In here, for what `eval_shape` returns is sorted by name.
        for collection in ("params", "batch_stats"):
            leaves = traverse_util.flatten_dict(variables.get(collection, {}), sep="/")
            shapes.update({f"{collection}/{path}": leaf.shape for path, leaf in leaves.items()})

    jax.eval_shape(init)
    blocks = (re.match(r"params/(stage\d+/block\d+)/", path) for path in shapes)
    return Expected(
        shapes=shapes,
        epsilons={n: e for n, e in epsilons.items() if f"batch_stats/{n}/mean" in shapes},
        blocks=tuple(dict.fromkeys(found[1] for found in blocks if found)),
    )
