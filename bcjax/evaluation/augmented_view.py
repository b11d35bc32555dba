"""Evaluation of augmented pictures: each picture augmented by a key that never changes.

The figures stand beside those of the pictures as they are (`eval.also`), never instead of them. A
picture is augmented in the same way at every evaluation, in any batch and on any device.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from bcjax.augment import policy as policies
from bcjax.augment.policy import Policy
from bcjax.engine.dispatch import Batch, StoredArrays
from bcjax.engine.step import gather, to_float
from bcjax.runtime.errors import UserError

_SEED = 0


class AugmentedView:
    """A view of a split's pictures, each of them augmented.

    Attributes:
      line: The augmentation, as in `augment.ops`, such as "rand_augment(2, 9, rate=0.7)".
    """

    def __init__(self, line: str):
        """Reads the augmentation.

        Raises:
          UserError: If it cannot be read, or mixes pictures.
        """
        self.line = line
        self._policy = policies.build((line,))
        if self._policy.mixes:
            raise UserError(
                f"config.eval.also has {line!r}, which mixes pictures, so that an answer to one of "
                "them is neither right nor wrong: name operations on single pictures."
            )

    def __call__(self, batch: Batch, pictures: StoredArrays) -> Batch:
        """Returns the batch with each picture augmented, rounded to uint8."""
        return _augmented(batch, pictures, self._policy, batch["index"].sharding)


def parse(lines: Sequence[str]) -> tuple[AugmentedView, ...]:
    """Returns the views that the config's `eval.also` names.

    Raises:
      UserError: If one cannot be read, mixes pictures, or is there twice.
    """
    if len(set(lines)) < len(lines):
        twice = next(line for line in lines if list(lines).count(line) > 1)
        raise UserError(f"config.eval.also has {twice!r} twice: name it once.")
    return tuple(AugmentedView(line) for line in lines)


@functools.partial(jax.jit, static_argnames=("policy", "sharding"))
def _augmented(batch: Batch, pictures: StoredArrays, policy: Policy, sharding: Sharding) -> Batch:
    gathered = gather(batch, pictures)
    images = to_float(gathered["image"], "float32")
    images, _ = policy(jax.random.key(_SEED), images, batch["index"], policy.numbers)
    gathered["image"] = jnp.round(images * 255).astype(jnp.uint8)
    # Divided over the devices as the batch is, so that the network takes it like any batch.
    return jax.lax.with_sharding_constraint(gathered, sharding)
