"""What a network is made of, stage by stage: layers, parameters, the shape of the output."""

import collections
import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from bcjax.config import ImageSize
from bcjax.models.attention import SelfAttention
from bcjax.models.layers import Conv


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a network, which is a top-level name of its parameters.

    Attributes:
      name: The name, such as "stem", "stage1" or "head".
      blocks: How many parts block1, block2, ... it repeats; 0: it has none.
      layers: How many layers of each kind it has, such as {"conv 3x3": 4, "depthwise 7x7": 3,
        "dense": 6, "attention": 12}.
      shape: The shape of its output for one picture: (H, W, C) of a map, (T, C) of tokens, (C,) of
        a vector; () if no layer of that name is called.
      parameters: The number of its trainable numbers.
    """

    name: str
    blocks: int
    layers: Mapping[str, int]
    shape: tuple[int, ...]
    parameters: int


@functools.cache  # members of a run, and runs of a sweep, often share one network
def stages(model: nn.Module, size: ImageSize, channels: int = 3) -> tuple[Stage, ...]:
    """Returns the stages of a network in forward order, from a trace; nothing is computed.

    Args:
      model: A network of the table, or any linen module that takes pictures.
      size: Height and width of the picture in pixels.
      channels: The number of channels of the picture.

    Raises:
      UserError: The network takes no pictures of that size.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    layers: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)

    def look(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        result = call(*args, **kwargs)
        path = context.module.path
        if path and context.method_name == "__call__":
            if kind := _kind(context.module, args):
                layers[path[0]][kind] += 1
            if len(path) == 1 and hasattr(result, "shape"):
                shapes[path[0]] = result.shape[1:]
        return result

    images = jnp.zeros((1, *size, channels))
    with nn.intercept_methods(look):
        variables = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    params = variables["params"]
    in_order = [name for name in shapes if name in params]
    in_order += [name for name in params if name not in shapes]
    return tuple(
        Stage(
            name=name,
            blocks=_blocks(params[name]),
            layers=dict(layers[name]),
            shape=shapes.get(name, ()),
            parameters=sum(leaf.size for leaf in jax.tree.leaves(params[name])),
        )
        for name in in_order
    )


def _blocks(part: Any) -> int:
    """Returns how many blocks a part of the parameters has; a single array has none."""
    names = part if isinstance(part, Mapping) else ()
    return sum(re.fullmatch(r"block\d+", name) is not None for name in names)


def _kind(layer: nn.Module, args: Any) -> str:
    """Returns what a layer is called, such as "conv 3x3"; "" if it is no layer with a kernel."""
    if isinstance(layer, SelfAttention):
        return "attention"
    if isinstance(layer, nn.Dense):
        return "dense"
    if not isinstance(layer, Conv | nn.Conv):
        return ""
    kernel: jax.Array = layer.get_variable("params", "kernel")
    height, width, depth, _ = kernel.shape
    name = "depthwise" if depth == 1 < args[0].shape[-1] else "conv"
    return f"{name} {height}x{width}"
