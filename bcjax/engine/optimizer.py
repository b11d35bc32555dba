"""Optimizers: the `optim` branch of a config as one Optax transformation.

Every transformation has the same shape: clip the gradient, find a direction, multiply it by
minus the learning rate. Nothing before that last factor knows the learning rate, so scaling
the updates afterwards (reduce-on-plateau, layer-wise decay) is scaling the learning rate. That
is why the optimizers are put together here from Optax's parts: its `rmsprop` alias gathers
momentum, and its `adafactor` alias decays weights, after the learning rate is applied.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from bcjax.engine import schedules


def _momentum(config: ConfigDict) -> optax.GradientTransformation:
    # A trace of decay 0 would hold a copy of the parameters for nothing.
    if not config.momentum:
        return optax.identity()
    return optax.trace(config.momentum, nesterov=config.nesterov)


OPTIMIZERS: dict[str, Callable[[ConfigDict], optax.GradientTransformation]] = {
    "adam": lambda c: optax.scale_by_adam(c.b1, c.b2, c.eps),
    "adamw": lambda c: optax.scale_by_adam(c.b1, c.b2, c.eps),
    "nadam": lambda c: optax.scale_by_adam(c.b1, c.b2, c.eps, nesterov=True),
    "nadamw": lambda c: optax.scale_by_adam(c.b1, c.b2, c.eps, nesterov=True),
    # Bias correction, because without it b2 = 0.999 makes the first step 30 times too long.
    "rmsprop": lambda c: optax.chain(
        optax.scale_by_rms(c.b2, c.eps, eps_in_sqrt=False, bias_correction=True), _momentum(c)
    ),
    "sgd": _momentum,
    "lion": lambda c: optax.scale_by_lion(c.b1, c.b2),
    # Steps are not scaled by the size of the parameter they change: `lr` keeps the meaning it
    # has for Adam, and parameters that start at or near 0 (layer-scale, a new head) can leave it.
    "adafactor": lambda c: optax.chain(optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0)),
}
_DECOUPLED_DECAY = frozenset({"adamw", "nadamw", "lion", "adafactor"})


def decay_mask(params: Any) -> Any:
    """Returns which parameters weight decay applies to.

    Kernels and embeddings decay. Biases, scales of norms and layer-scale gammas, all of them
    vectors or scalars, do not (He et al. 2019, https://arxiv.org/abs/1812.01187, section 3.1).

    Args:
      params: Pytree of arrays.

    Returns:
      The same pytree with True for arrays of two or more dimensions, else False.
    """
    return jax.tree.map(lambda param: param.ndim > 1, params)


def global_norm(updates: Any) -> Float[Array, ""]:
    """Returns the square root of the sum of all squares, as `optax.tree.norm` does.

    On a CPU XLA would compile a loop for the sum of each shape, and store the squares because the
    second moments need them too: of the 11 seconds of the processor that the step of a MobileNetV2
    took to compile, 2. Its library sums over all axes but the last, without a loop to compile; the
    sums of all leaves are then one vector.

    Args:
      updates: Pytree of float32 arrays.
    """
    leaves = jax.tree.leaves(updates)
    # A barrier around what would be simplified: shared squares, and the sum of joined vectors.
    columns = [
        jnp.square(lax.optimization_barrier(leaf)).sum(range(leaf.ndim - 1))
        for leaf in leaves
        if leaf.ndim > 1
    ]
    vectors = [leaf.ravel() for leaf in leaves if leaf.ndim <= 1]
    total = jnp.zeros((), jnp.float32)
    if columns:
        total += lax.optimization_barrier(jnp.concatenate(columns)).sum()
    if vectors:
        total += jnp.square(lax.optimization_barrier(jnp.concatenate(vectors))).sum()
    return jnp.sqrt(total)


def _clipped(longest: float) -> optax.GradientTransformation:
    """Shortens a gradient whose global norm is above `longest` (0: none is), as Optax does."""
    if not longest:
        return optax.identity()

    def clip(updates: Any, _: Any = None) -> Any:
        norm = global_norm(updates)
        return jax.tree.map(lambda u: jnp.where(norm < longest, u, u / norm * longest), updates)

    return optax.stateless(clip)


def create(
    config: ConfigDict, *, total_steps: int, warmup_steps: int
) -> optax.GradientTransformation:
    """Returns the optimizer that the config describes.

    What each name takes from the config, beside lr, clip_norm and weight_decay:

    - adam, adamw, nadam, nadamw: b1, b2, eps.
    - sgd: momentum, nesterov.
    - rmsprop: b2 (decay of the squared gradient), eps (outside the root), momentum, nesterov.
    - lion: b1, b2. The values are taken as they stand; its paper uses b2 = 0.99 and a learning
      rate 3 to 10 times smaller, with as much more weight decay, than for adamw
      (Chen et al. 2023, https://arxiv.org/abs/2302.06675).
    - adafactor: nothing more. Factored second moments, no first moment, steps clipped to a root
      mean square of 1 and absolute: neither the parameter scale nor the relative schedule of
      the paper (Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235).

    Clipping (by the global norm of the gradient, 0 turns it off) comes first. Weight decay is
    decoupled for adamw, nadamw, lion and adafactor: lr * weight_decay * param is subtracted
    (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101). For adam, nadam, rmsprop and
    sgd it is the classic L2 term, weight_decay * param added to the clipped gradient. Both
    follow `decay_mask`.

    Args:
      config: The `optim` branch of a config that `configs.check` has passed.
      total_steps: Length of the run.
      warmup_steps: Length of the warm-up, less than `total_steps`.

    Returns:
      A transformation whose `update` needs the params, and whose updates are linear in lr.

    Raises:
      UserError: As `schedules.create` does.
    """
    direction = OPTIMIZERS[config.name](config)
    decay = optax.add_decayed_weights(config.weight_decay, mask=decay_mask)
    decoupled = config.name in _DECOUPLED_DECAY
    return optax.chain(
        _clipped(config.clip_norm),
        *((direction, decay) if decoupled else (decay, direction)),
        optax.scale_by_learning_rate(schedules.create(config, total_steps, warmup_steps)),
    )
