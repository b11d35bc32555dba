"""Mapped over a batch, but on a CPU picture by picture, so that no branch is computed in vain."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

Function = TypeVar("Function", bound=Callable)


def in_turn(function: Function, at_once: Callable | None = None) -> Function:
    """Returns `function`, whose `lax.cond` and `lax.switch` stay branches under vmap on a CPU.

    vmap computes every branch for each picture and selects. A CPU, whose two or twenty cores are
    busy anyway, goes through the batch in a loop instead, and computes the branch that is taken.

    Args:
      function: Of arrays of one picture.
      at_once: The same result for one picture, written for accelerators; None: `function`.
    """
    mapped = jax.vmap(at_once or function)

    @jax.custom_batching.custom_vmap
    def one(*arguments: Any) -> Any:
        return function(*arguments)

    @one.def_vmap
    def of_a_batch(size: int, batched: list, *arguments: Any) -> tuple[Any, Any]:
        def spread(argument: Any, own: Any) -> Any:
            return argument if own else jnp.broadcast_to(argument, (size, *jnp.shape(argument)))

        arguments = jax.tree.map(spread, arguments, tuple(batched))
        result = lax.platform_dependent(
            *arguments,
            cpu=lambda *each: lax.map(lambda one: function(*one), each),
            default=mapped,
        )
        return result, jax.tree.map(lambda _: True, result)

    return one  # type: ignore[return-value]
