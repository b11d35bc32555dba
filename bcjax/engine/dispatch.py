"""How the pure steps are compiled: several in one dispatch, each part where it lives."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array

from bcjax.engine.state import State
from bcjax.runtime import mesh as meshes

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


def per_call() -> int:
    """Returns the steps, or batches of an evaluation, in one dispatch, if nothing else is said.

    On a CPU a step is long beside its dispatch.
    """
    return 1 if jax.default_backend() == "cpu" else 8


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


class TrainCall:
    """What training calls: several steps in one dispatch, or one by one on a CPU.

    There a dispatch costs nothing, and XLA would fuse operations of neighbouring steps, so that the
    last bits of a run depended on how many steps a call has; and as written out by `scan`, they
    would take that much longer to compile.

    Attributes:
      jitted: A dispatch. The state is donated and stays where it is, metrics go everywhere.
    """

    def __init__(self, call: Callable, mesh: Mesh, abstract: State):
        """Compiles nothing yet.

        Args:
          call: From `several`.
          mesh: Where it runs.
          abstract: The state, with its shardings.
        """
        shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
        over, everywhere = meshes.batch_sharding(mesh, leading=1), meshes.replicated(mesh)
        self.jitted: Any = jax.jit(
            call,
            donate_argnums=0,
            in_shardings=(shardings, over, everywhere, everywhere),
            out_shardings=(shardings, everywhere),
        )
        self._in_turn = jax.default_backend() == "cpu"
        self._split = jax.jit(_divide, out_shardings=over)
        self._join = jax.jit(jnp.concatenate, out_shardings=everywhere)

    def together(self, steps: int) -> int:
        """Returns how many steps of a call of so many are in one dispatch."""
        return 1 if self._in_turn else steps

    def __call__(
        self, state: State, batches: Batch, pictures: Pictures, numbers: Numbers
    ) -> tuple[State, Array]:
        """Takes the steps; returns the state, and what each reports, (steps, metrics)."""
        if not self._in_turn:
            return cast(tuple[State, Array], self.jitted(state, batches, pictures, numbers))
        rows = []
        for batch in self._split(batches):
            state, row = self.jitted(state, batch, pictures, numbers)
            rows.append(row)
        return state, self._join(rows)


def _divide(batches: Batch) -> list[Batch]:
    steps = len(batches["index"])
    return [{name: a[i : i + 1] for name, a in batches.items()} for i in range(steps)]


def compile_predict(step: Callable, mesh: Mesh) -> Callable:
    """Jits `predict_step` or `features_step` over a leading axis of the batch.

    Every process gets all answers and labels. Nothing is computed for a batch that is all padding:
    so splits of any size are the same program.
    """

    def call(variables: Any, batches: Batch, pictures: Pictures) -> Any:
        alone = len(batches["index"]) == 1  # and so not padding

        def body(carry: None, batch: Batch) -> tuple[None, Any]:
            def answer() -> Any:
                return step(variables, batch, pictures)

            def nothing() -> Any:
                return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(answer))

            if alone:
                return carry, answer()
            return carry, lax.cond(batch["mask"].any(), answer, nothing)

        return scan(body, None, batches)[1]

    return jax.jit(
        call,
        in_shardings=(None, meshes.batch_sharding(mesh, leading=1), meshes.replicated(mesh)),
        out_shardings=meshes.replicated(mesh),
    )
