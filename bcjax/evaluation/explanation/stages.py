"""The stages of a network: the output of each, and how the logits depend on it.

A network runs as it is, and `nn.intercept_methods` reads or changes what passes: a stage is found
by its name among the top-level modules, so nothing here depends on the architecture.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.config import ImageSize
from bcjax.engine.state import Variables
from bcjax.engine.step import normalise
from bcjax.runtime.errors import UserError

MapShape = tuple[int, int, int]  # height, width, channels
Image = Float[Array | np.ndarray, "H W 3"]  # in 0..1
Logits = Callable[[Variables, Float[Array, "B H W 3"]], Float[Array, "B classes"]]
StageOutput = Callable[
    [Variables, Float[Array, "B H W 3"], Float[Array, "B h w c"]],
    tuple[Float[Array, "B classes"], Float[Array, "B h w c"]],
]

# A map with fewer pixels a side tells left from right, but not where the cell is.
_SMALLEST_SIDE = 4


def without_remat(model: nn.Module) -> nn.Module:
    """Returns the same network in float32 and without rematerialisation; parameters stay valid.

    The output of a stage inside `nn.remat` cannot be read from outside, and gradients in bfloat16
    are too coarse to be summed.
    """
    changes = {"remat": False, "dtype": jnp.float32}
    return model.clone(**{name: value for name, value in changes.items() if hasattr(model, name)})


def map_shapes(model: nn.Module, size: ImageSize, channels: int) -> dict[str, MapShape]:
    """Returns the shape of each stage's output that is larger than one pixel, in forward order.

    Args:
      model: The network; it is traced, and computes nothing.
      size: Height and width of its images.
      channels: Channels of its images.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Array) -> Array:
        shapes[name] = output.shape[1:]
        return output

    image = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
    with _intercepted(note):
        jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), image)
    return {
        name: cast(MapShape, shape)
        for name, shape in shapes.items()
        if len(shape) == 3 and min(shape[:2]) > 1
    }


def choose(shapes: dict[str, MapShape], name: str = "") -> str:
    """Returns the stage to explain by: the named one, or the last whose map is fine enough.

    Fine enough is a map of at least 4 pixels a side. If no stage has one, because the images are
    small, the last stage that has a map is taken.

    Raises:
      UserError: If the named stage has no map, or no stage has one.
    """
    if not shapes:
        raise UserError(
            "No stage of this network has a map of images of this size: choose the method "
            "integrated-gradients or occlusion, which need none."
        )
    if name and name not in shapes:
        sizes = ", ".join(f"{stage} ({h}x{w})" for stage, (h, w, _) in shapes.items())
        raise UserError(f"There is no map after the stage {name!r}: choose among {sizes}.")
    fine = [stage for stage, (h, w, _) in shapes.items() if min(h, w) >= _SMALLEST_SIDE]
    return name or (fine or list(shapes))[-1]


def logits(model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> Logits:
    """Returns the function (variables, images in 0..1) -> logits."""

    def apply(variables: Variables, images: Array) -> Array:
        return cast(Array, model.apply(variables, normalise(images, mean, std), train=False))

    return apply


def stage_output(
    model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...], stage: str
) -> StageOutput:
    """Returns the function (variables, images in 0..1, change) -> (logits, output of the stage).

    The change is added to the stage's output: the gradient with respect to a change of zero is the
    gradient with respect to the output.
    """
    apply = logits(model, mean, std)

    def apply_changed(variables: Variables, images: Array, change: Array) -> tuple[Array, Array]:
        outputs = []

        def tap(name: str, output: Array) -> Array:
            if name != stage:
                return output
            outputs.append(output)
            return output + change

        with _intercepted(tap):
            answer = apply(variables, images)
        (activation,) = outputs
        return answer, activation

    return apply_changed


@contextmanager
def _intercepted(tap: Callable[[str, Array], Array]) -> Iterator[None]:
    """Passes the output of each top-level module through `tap(name, output)`."""

    def intercept(call: Callable, args: Any, kwargs: Any, context: nn.module.InterceptorContext):
        output = call(*args, **kwargs)
        path = context.module.path
        top = len(path) == 1 and context.method_name == "__call__"
        return tap(path[0], output) if top else output

    with nn.intercept_methods(intercept):
        yield
