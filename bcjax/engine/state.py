"""The whole state of a run as one pytree, which is exactly what a checkpoint holds."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Int32
from ml_collections import ConfigDict

from bcjax.config import ImageSize
from bcjax.engine import patience as patiences
from bcjax.engine.patience import Patience
from bcjax.engine.trainable import NOTHING_FROZEN, Frozen
from bcjax.models import initialisers
from bcjax.runtime import jax_settings
from bcjax.runtime import mesh as meshes
from bcjax.runtime.program_cache import CachedProgram

Variables = dict[str, Any]


class State(struct.PyTreeNode):
    """The state of a run between two steps.

    Attributes:
      step: Optimizer steps taken; also the position in the order of the pictures.
      phase: The phase that the run is in, counted from 0.
      began: The step at which that phase began.
      params: Float32 parameters.
      batch_stats: Running statistics of batch norm; {} for networks without it.
      opt_state: Optax's state of the parameters that train in this phase.
      ema: Exponential averages of `params` and `batch_stats`; {} if switched off.
      patience: The best evaluation so far, and how its age has changed the learning rate.
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
        """The parameters and batch statistics that the network trains with."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def best_variables(self) -> Variables:
        """The variables that the network is evaluated with: the averages if there are any."""
        return self.ema or self.variables


def initializer(
    model: nn.Module, config: ConfigDict, mesh: Mesh | None = None
) -> Callable[[int | Array], State]:
    """Returns a jittable function from a seed to the state before the first phase begins.

    Args:
      model: The network.
      config: A resolved config, which says how large the pictures are, and whether there are
        averages (`optim.ema`).
      mesh: The devices that draw the random numbers together; the numbers are the same on any mesh.
        None: one device draws them.
    """
    drawn = meshes.batch_sharding(mesh) if mesh else None
    size = ImageSize.of(config.data.image_size)

    @jax_settings.fixed()
    def init(seed: int | Array) -> State:
        pictures = jnp.zeros((1, *size, config.model.channels))
        variables = initialisers.variables(
            model, jax.random.key(seed), pictures, sharding=drawn, train=False
        )
        return initial(variables, config)

    return init


@jax_settings.fixed()
def initial(variables: Variables, config: ConfigDict) -> State:
    """Returns the state before the first phase begins, of a network with these variables."""
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return State(
        step=jnp.zeros((), jnp.int32),
        phase=jnp.zeros((), jnp.int32),
        began=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=(),
        ema={"params": params, "batch_stats": batch_stats} if config.optim.ema else {},
        patience=jax.tree.map(jnp.asarray, patiences.init(config.checkpoint.best)),
    )


@jax_settings.fixed()
def new_state(
    model: nn.Module, optimizer: optax.GradientTransformation, config: ConfigDict
) -> State:
    """Returns the state of step 0, for a training loop of your own without phases.

    Args:
      model: The network.
      optimizer: The optimizer of all its parameters.
      config: A resolved config.
    """
    init = initializer(model, config)
    start = jax.jit(lambda seed: begin(init(seed), 0, optimizer, config.checkpoint.best))
    return start(np.uint32(config.seed))


@jax_settings.fixed()
def begin(
    state: State,
    phase: int,
    optimizer: optax.GradientTransformation,
    metric: str,
    frozen: Frozen = NOTHING_FROZEN,
) -> State:
    """Returns the state at the start of a phase, from the state at the end of the previous one.

    The network stays as it is; the optimizer and the patience start anew. The averages of frozen
    parameters are set to the parameters themselves, since nothing will change either from now on.

    Args:
      state: The previous state; its `opt_state` is not read.
      phase: The phase that begins, counted from 0.
      optimizer: The optimizer of the phase.
      metric: The watched metric, `checkpoint.best` of the config.
      frozen: The parameters that do not train in the phase.
    """
    trains, _ = frozen.divide(state.params)
    return state.replace(
        phase=jnp.asarray(phase, jnp.int32),
        began=state.step,
        opt_state=optimizer.init(trains),
        ema=frozen.where(state.variables, state.ema) if state.ema else {},
        patience=jax.tree.map(jnp.asarray, patiences.init(metric)),
    )


def not_finite(tree: Any) -> str:
    """Returns the path of the first array with a NaN or an infinity, such as "params/head/bias".

    "" if there is none in the parts of the arrays that this process has.
    """
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        parts = [leaf]
        if isinstance(leaf, jax.Array):  # of what is replicated, the first copy here is enough
            parts = list({str(s.index): s.data for s in leaf.addressable_shards}.values())
        if not all(np.isfinite(part).all() for part in parts):
            return jax.tree_util.keystr(path, simple=True, separator="/")
    return ""


def shapes(init: Callable[..., State], mesh: Mesh, fsdp_min_size: int, *arguments: Any) -> State:
    """Returns the state that a function makes of arguments (or of their shapes) as shapes.

    They have the shardings that the state will have; nothing is computed.
    """
    abstract = jax.eval_shape(init, *arguments)
    shardings = meshes.parameter_shardings(mesh, abstract, fsdp_min_size)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        abstract,
        shardings,
    )


def compile_init(
    init: Callable[[Array], State], abstract: State, about: Mapping[str, Any] | None = None
) -> Callable[[int], State]:
    """Jits a function from a seed to a state, each part of which is made where it will live.

    All seeds share one program.

    Args:
      init: The function.
      abstract: The state, as shapes with shardings.
      about: What the function was made from, see `CachedProgram`.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    made = CachedProgram(init, about, out_shardings=shardings)
    return lambda seed: made(np.uint32(seed))
