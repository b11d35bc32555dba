"""The whole state of a run as one pytree: what a checkpoint holds, and nothing beside it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Int32

from bcjax.engine import patience as patiences
from bcjax.engine.frozen import NOTHING, Frozen
from bcjax.engine.patience import Mode, Patience
from bcjax.models import initialisers
from bcjax.runtime import mesh as meshes

Variables = dict[str, Any]


class State(struct.PyTreeNode):
    """A run between two steps.

    Attributes:
      step: Optimizer steps taken; also the position in the order of the pictures.
      phase: Which of the run's phases it is in, counted from 0.
      began: The step at which that phase began.
      params: Float32 parameters.
      batch_stats: Running statistics of batch norm; {} for networks without it.
      opt_state: Optax's, of the parameters that train in this phase.
      ema: Averages of `params` and `batch_stats`, {} if switched off.
      patience: Best evaluation so far, and what its age has done to the learning rate.
    """

    step: Int32[Array, ""]
    phase: Int32[Array, ""]
    began: Int32[Array, ""]
    params: Variables
    batch_stats: Variables
    opt_state: optax.OptState
    ema: Variables
    patience: Patience

    @property
    def variables(self) -> Variables:
        """What the network trains with."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def best_variables(self) -> Variables:
        """What the network is evaluated with: the averages where there are any."""
        return self.ema or self.variables


def initializer(
    model: nn.Module,
    *,
    image_size: int,
    ema: bool,
    mode: Mode,
    channels: int = 3,
    mesh: Mesh | None = None,
) -> Callable[[int | Array], State]:
    """Returns a jittable function of a seed that makes the state before the first phase begins.

    The seed's numbers are drawn by all devices of the mesh together, if there is one; they are the
    same on any.
    """
    drawn = meshes.batch_sharding(mesh) if mesh else None

    def init(seed: int | Array) -> State:
        pictures = jnp.zeros((1, image_size, image_size, channels))
        variables = initialisers.variables(
            model, jax.random.key(seed), pictures, sharding=drawn, train=False
        )
        params, batch_stats = variables["params"], variables.get("batch_stats", {})
        return State(
            step=jnp.zeros((), jnp.int32),
            phase=jnp.zeros((), jnp.int32),
            began=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=(),
            ema={"params": params, "batch_stats": batch_stats} if ema else {},
            patience=jax.tree.map(jnp.asarray, patiences.init(mode)),
        )

    return init


def begin(
    state: State,
    *,
    phase: int,
    optimizer: optax.GradientTransformation,
    mode: Mode,
    frozen: Frozen = NOTHING,
) -> State:
    """Returns the state at the start of a phase, from that at the end of the one before.

    The network goes on as it stands; its optimizer and its patience start anew. The averages of
    what is now frozen become what they are averages of, for nothing will move them.

    Args:
      state: Whose `opt_state` is not read.
      phase: Which one begins, counted from 0.
      optimizer: Of the phase.
      mode: Whether more or less of the watched metric is better.
      frozen: In the phase.
    """
    trains, _ = frozen.divide(state.params)
    return state.replace(
        phase=jnp.asarray(phase, jnp.int32),
        began=state.step,
        opt_state=optimizer.init(trains),
        ema=frozen.where(state.variables, state.ema) if state.ema else {},
        patience=jax.tree.map(jnp.asarray, patiences.init(mode)),
    )


def shapes(init: Callable[[], State], mesh: Mesh, fsdp_min_size: int) -> State:
    """Returns the state as abstract arrays with their shardings; nothing is computed."""
    abstract = jax.eval_shape(init)
    shardings = meshes.parameter_shardings(mesh, abstract, fsdp_min_size)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        abstract,
        shardings,
    )


def compile_init(init: Callable[[Array], State], abstract: State) -> Callable[[int], State]:
    """Jits a function of a seed that makes a state, each part where it will live.

    Another seed is the same program.
    """
    made = jax.jit(init, out_shardings=jax.tree.map(lambda leaf: leaf.sharding, abstract))
    return lambda seed: made(np.uint32(seed))


def parameter_count(state: State) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))
