"""How the pure steps are compiled: several in one dispatch, each part where it lives."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array

from bcjax import mesh as meshes
from bcjax.state import State

Batch = dict[str, Array]  # index int32, and mask bool, image uint8, label int32 where they are
Pictures = dict[str, Array]  # the device store: image uint8 (N, H, W, C), label int32 (N,); or {}
# Either dict may hold features float32 (N, F) instead of the image: see `steps.features_step`.


class Numbers(NamedTuple):
    """What runs of one program may differ in: arguments of the step, not constants in it.

    Attributes:
      seed: Of augmentation and dropout.
      rate: Times every update.
      class_weights: Weight of each class in the loss, (classes,); None: all 1.
      augment: Those of the recipe's policy, a pytree of floats.
    """

    seed: Any = 0
    rate: Any = 1.0
    class_weights: Any = None
    augment: Any = ()


def place(mesh: Mesh, numbers: Numbers) -> Numbers:
    """Returns the numbers as arrays on each device: uint32 the seed, float32 the others."""
    floats = jax.tree.map(np.float32, numbers._replace(seed=0))
    return cast(Numbers, meshes.everywhere(mesh, floats._replace(seed=np.uint32(numbers.seed))))


def several(step: Callable) -> Callable[[State, Batch, Pictures, Numbers], tuple[State, Array]]:
    """Returns `step` scanned over a leading axis of the batch: several steps in one dispatch."""

    def call(
        state: State, batches: Batch, pictures: Pictures, numbers: Numbers
    ) -> tuple[State, Array]:
        return scan(lambda s, b: step(s, b, pictures, numbers), state, batches)

    return call


def scan(body: Callable, carry: Any, xs: Any) -> tuple[Any, Any]:
    """`lax.scan`, written out on the CPU.

    XLA compiles a convolution inside a loop for the CPU to code that is 15 times slower than the
    same convolution outside of one (measured); `unroll=True` leaves the loop.
    """
    if jax.default_backend() != "cpu":
        return lax.scan(body, carry, xs)
    outputs = []
    for i in range(len(jax.tree.leaves(xs)[0])):
        carry, output = body(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)


def compile_train(
    call: Callable, mesh: Mesh, abstract: State
) -> Callable[[State, Batch, Pictures, Numbers], tuple[State, Array]]:
    """Jits `several(step)`: the state is donated and stays where it is, metrics go everywhere."""
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    compiled = jax.jit(
        call,
        donate_argnums=0,
        in_shardings=(
            shardings,
            meshes.batch_sharding(mesh, leading=1),
            meshes.replicated(mesh),
            meshes.replicated(mesh),
        ),
        out_shardings=(shardings, meshes.replicated(mesh)),
    )
    return _in_turn(compiled, mesh) if jax.default_backend() == "cpu" else compiled


def _in_turn(
    call: Callable, mesh: Mesh
) -> Callable[[State, Batch, Pictures, Numbers], tuple[State, Array]]:
    """Dispatches the steps of a call one by one, on the CPU, where that costs nothing.

    XLA would fuse operations of neighbouring steps, so that the last bits of a run depended on how
    many steps a call has; and as written out by `scan`, they would take that much longer to
    compile.
    """

    def divide(batches: Batch) -> list[Batch]:
        steps = len(batches["index"])
        return [{name: a[i : i + 1] for name, a in batches.items()} for i in range(steps)]

    split = jax.jit(divide, out_shardings=meshes.batch_sharding(mesh, leading=1))
    join = jax.jit(jnp.concatenate, out_shardings=meshes.replicated(mesh))

    def turns(
        state: State, batches: Batch, pictures: Pictures, numbers: Numbers
    ) -> tuple[State, Array]:
        rows = []
        for batch in split(batches):
            state, row = call(state, batch, pictures, numbers)
            rows.append(row)
        return state, join(rows)

    return turns


def compile_predict(step: Callable, mesh: Mesh) -> Callable:
    """Jits `predict_step` or `features_step`; every process gets all answers and labels."""
    return jax.jit(
        step,
        in_shardings=(None, meshes.batch_sharding(mesh), meshes.replicated(mesh)),
        out_shardings=meshes.replicated(mesh),
    )
