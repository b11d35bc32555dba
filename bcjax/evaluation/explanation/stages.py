"""The stages of a network: what each one hands on, and what the logits owe to it.

A network is run as it is, and listened to (`nn.intercept_methods`): a stage is found by its name
among the top-level modules, so nothing here knows one architecture from another.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.engine.state import Variables
from bcjax.engine.step import normalise
from bcjax.runtime.errors import UserError

Map = tuple[int, int, int]  # height, width, channels
Image = Float[Array | np.ndarray, "H W 3"]  # in 0..1
Logits = Callable[[Variables, Float[Array, "B H W 3"]], Float[Array, "B classes"]]
Tapped = Callable[
    [Variables, Float[Array, "B H W 3"], Float[Array, "B h w c"]],
    tuple[Float[Array, "B classes"], Float[Array, "B h w c"]],
]

# A map of fewer pixels a side says left or right, not where.
_LEAST = 4


def plain(model: nn.Module) -> nn.Module:
    """Returns a network as it is best listened to: in float32, nothing of it recomputed.

    The parameters are the same. What goes on inside `nn.remat` cannot be handed out of it, and the
    gradients of bfloat16 are too coarse to add up.
    """
    asked = {"remat": False, "dtype": jnp.float32}
    return model.clone(**{name: value for name, value in asked.items() if hasattr(model, name)})


def maps(model: nn.Module, side: int, channels: int) -> dict[str, Map]:
    """Returns the stages that hand on a map of more than one pixel, in forward order.

    Args:
      model: The network; it is traced, and computes nothing.
      side: Of its pictures, in pixels.
      channels: Of its pictures.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Array) -> Array:
        shapes[name] = output.shape[1:]
        return output

    picture = jax.ShapeDtypeStruct((1, side, side, channels), jnp.float32)
    with _listening(note):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), picture)
    return {
        name: cast(Map, shape)
        for name, shape in shapes.items()
        if len(shape) == 3 and min(shape[:2]) > 1
    }


def choose(maps: dict[str, Map], asked: str = "") -> str:
    """Returns the stage to explain by: the one asked for, or the last that still shows where.

    That is the last whose map has at least 4 pixels a side or, in pictures so small that none has,
    the last that has a map at all.

    Raises:
      UserError: If the stage asked for has no map, or none has.
    """
    if not maps:
        raise UserError(
            "No stage of this network hands on a map of pictures so small: choose the method "
            "integrated-gradients or occlusion, which need none."
        )
    if asked and asked not in maps:
        sizes = ", ".join(f"{name} ({h}x{w})" for name, (h, w, _) in maps.items())
        raise UserError(f"There is no map after the stage {asked!r}: choose among {sizes}.")
    fine = [name for name, (h, w, _) in maps.items() if min(h, w) >= _LEAST]
    return asked or (fine or list(maps))[-1]


def logits(model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> Logits:
    """Returns (variables, pictures in 0..1) -> logits."""

    def apply(variables: Variables, images: Array) -> Array:
        return cast(Array, model.apply(variables, normalise(images, mean, std), train=False))

    return apply


def tapped(model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], stage: str) -> Tapped:
    """Returns (variables, pictures in 0..1, change) -> (logits, what the stage handed on).

    The change is added to what the stage hands on: the gradient with respect to a change of zero
    is that with respect to the map.
    """
    apply = logits(model, mean, std)

    def listened(variables: Variables, images: Array, change: Array) -> tuple[Array, Array]:
        heard = []

        def tap(name: str, output: Array) -> Array:
            if name != stage:
                return output
            heard.append(output)
            return output + change

        with _listening(tap):
            answer = apply(variables, images)
        (activation,) = heard
        return answer, activation

    return listened


@contextmanager
def _listening(tap: Callable[[str, Array], Array]) -> Iterator[None]:
    """Within it, what each top-level module returns passes through `tap(name, output)`."""

    def intercept(call: Callable, args: Any, kwargs: Any, context: nn.module.InterceptorContext):
        output = call(*args, **kwargs)
        path = context.module.path
        top = len(path) == 1 and context.method_name == "__call__"
        return tap(path[0], output) if top else output

    with nn.intercept_methods(intercept):
        yield
