"""How large a network is, and how much it computes, read off a trace of it."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from bcjax.models.conv import Conv


@dataclasses.dataclass(frozen=True)
class Count:
    """Of a network for pictures of one size.

    Attributes:
      parameters: Numbers that can train, in all.
      macs: Multiply-adds of its convolutions and dense layers for one picture.
    """

    parameters: int
    macs: int

    @property
    def flops(self) -> int:
        """A multiply-add counted as two."""
        return 2 * self.macs


def count(model: nn.Module, image_size: int, channels: int = 3) -> Count:
    """Counts what is called while a picture passes through; nothing is computed.

    Args:
      model: A network of the table.
      image_size: Side of the picture in pixels.
      channels: Of the picture.

    Raises:
      UserError: If the network takes no pictures of that size.
    """
    macs = 0

    def watch(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        nonlocal macs
        answer = call(*args, **kwargs)
        layer = context.module
        if context.method_name == "__call__" and isinstance(layer, Conv | nn.Conv | nn.Dense):
            kernel: jax.Array = layer.get_variable("params", "kernel")
            macs += kernel.size * math.prod(answer.shape[1:-1])
        return answer

    pictures = jnp.zeros((1, image_size, image_size, channels))
    with nn.intercept_methods(watch):
        variables = jax.eval_shape(lambda: model.init(jax.random.key(0), pictures, train=False))
    return Count(sum(leaf.size for leaf in jax.tree.leaves(variables["params"])), macs)
