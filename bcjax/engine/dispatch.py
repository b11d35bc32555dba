"""How the pure steps are compiled and dispatched: several at a time, each array on its devices."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array

from bcjax.engine.state import State
from bcjax.runtime import mesh as meshes
from bcjax.runtime.program_cache import CachedProgram

# `index` int32 (B,); for an evaluation `mask` bool (B,); and, unless the pictures are stored on the
# devices, `image` uint8 (B, H, W, C) and `label` int32 (B,).
Batch = dict[str, Array]
# What a device store holds: `image` uint8 (N, H, W, C) and `label` int32 (N,). Else {}.
StoredArrays = dict[str, Array]
# Either may hold `features` float32 (N, F) instead of `image`: see `step.predict_step`.


class Hyperparameters(NamedTuple):
    """What runs of one compiled program may differ in: arguments of the step, not constants in it.

    Attributes:
      seed: The seed of augmentation and dropout, uint32.
      lr_scale: A factor on the learning rate.
      class_weights: The weight of each class in the loss, (classes,); None: all are 1.
      augment: The magnitudes of the augmentation policy, a pytree of floats.
    """

    seed: Any = 0
    lr_scale: Any = 1.0
    class_weights: Any = None
    augment: Any = ()


def place(mesh: Mesh, values: Hyperparameters) -> Hyperparameters:
    """Returns the values as arrays on each device: the seed as uint32, the others as float32."""
    floats = jax.tree.map(np.float32, values._replace(seed=0))
    arrays = floats._replace(seed=np.uint32(values.seed))
    return cast(Hyperparameters, meshes.replicate(mesh, arrays))


TrainStep = Callable[[State, Batch, StoredArrays, Hyperparameters], tuple[State, Array]]


def several(step: TrainStep) -> TrainStep:
    """Returns `step` scanned over a leading axis of the batch: several steps in one dispatch."""

    def call(
        state: State, batches: Batch, stored: StoredArrays, values: Hyperparameters
    ) -> tuple[State, Array]:
        return scan(lambda s, b: step(s, b, stored, values), state, batches)

    return call


def per_call() -> int:
    """Returns the default number of steps, or of evaluation batches, in one dispatch.

    On a CPU a step takes long compared with its dispatch, so there it is 1.
    """
    return 1 if jax.default_backend() == "cpu" else 8


def scan(body: Callable, carry: Any, xs: Any) -> tuple[Any, Any]:
    """`lax.scan`, unrolled on the CPU.

    XLA compiles a convolution inside a loop for the CPU to code that is 15 times slower than the
    same convolution outside of one (measured), and `unroll=True` leaves the loop in place.
    """
    if jax.default_backend() != "cpu":
        return lax.scan(body, carry, xs)
    outputs = []
    for i in range(len(jax.tree.leaves(xs)[0])):
        carry, output = body(carry, jax.tree.map(lambda x, i=i: x[i], xs))
        outputs.append(output)
    return carry, jax.tree.map(lambda *leaves: jnp.stack(leaves), *outputs)


class TrainCall:
    """The compiled training step: several steps in one dispatch, or one by one on a CPU.

    On a CPU a dispatch costs almost nothing, and XLA would fuse operations of neighbouring steps:
    the last bits of a run would then depend on how many steps a call has, and the unrolled program
    would take that much longer to compile.

    Attributes:
      program: The function of one dispatch. The state is donated and keeps its shardings; the
        metrics are replicated.
    """

    def __init__(
        self, call: TrainStep, mesh: Mesh, abstract: State, about: Mapping[str, Any] | None = None
    ):
        """Compiles nothing yet.

        Args:
          call: The pure function, from `several`.
          mesh: The devices that it runs on.
          abstract: The state as shapes with shardings.
          about: What it was made from, see `CachedProgram`.
        """
        shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
        over, everywhere = meshes.batch_sharding(mesh, leading=1), meshes.replicated_sharding(mesh)
        self.program = CachedProgram(
            call,
            about,
            donate_argnums=0,
            in_shardings=(shardings, over, everywhere, everywhere),
            out_shardings=(shardings, everywhere),
        )
        self._in_turn = jax.default_backend() == "cpu"
        self._split = jax.jit(_divide, out_shardings=over)
        self._join = jax.jit(jnp.concatenate, out_shardings=everywhere)

    def together(self, steps: int) -> int:
        """Returns how many steps of a call of `steps` steps go into one dispatch."""
        return 1 if self._in_turn else steps

    def __call__(
        self, state: State, batches: Batch, stored: StoredArrays, values: Hyperparameters
    ) -> tuple[State, Array]:
        """Takes the steps; returns the new state and the metrics of each step, (steps, metrics)."""
        if not self._in_turn:
            return cast(tuple[State, Array], self.program(state, batches, stored, values))
        rows = []
        for batch in self._split(batches):
            state, row = self.program(state, batch, stored, values)
            rows.append(row)
        return state, self._join(rows)


def _divide(batches: Batch) -> list[Batch]:
    steps = len(batches["index"])
    return [{name: a[i : i + 1] for name, a in batches.items()} for i in range(steps)]


def compile_predict(
    step: Callable, mesh: Mesh, about: Mapping[str, Any] | None = None
) -> CachedProgram:
    """Jits `predict_step` over a leading axis of the batch.

    Every process gets all outputs and labels. Nothing is computed for a batch that is padding
    alone, so splits of any size share one program.

    Args:
      step: The step.
      mesh: The devices that it runs on.
      about: What the step was made from, see `CachedProgram`.
    """

    def call(variables: Any, batches: Batch, stored: StoredArrays) -> Any:
        single = len(batches["index"]) == 1  # a single batch is never padding alone

        def body(carry: None, batch: Batch) -> tuple[None, Any]:
            def compute() -> Any:
                return step(variables, batch, stored)

            def zeros() -> Any:
                return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(compute))

            if single:
                return carry, compute()
            return carry, lax.cond(batch["mask"].any(), compute, zeros)

        return scan(body, None, batches)[1]

    return CachedProgram(
        call,
        about,
        in_shardings=(
            None,
            meshes.batch_sharding(mesh, leading=1),
            meshes.replicated_sharding(mesh),
        ),
        out_shardings=meshes.replicated_sharding(mesh),
    )
