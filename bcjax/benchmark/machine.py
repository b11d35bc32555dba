"""What is measured on: its name, its versions, and the most that it is seen to do."""

import datetime
import os
import platform
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import psutil

from bcjax.benchmark import clock
from bcjax.runtime import environment

# Rows of the square matrices and bytes of the array: large beside every cache, short to do.
_ROWS = {"cpu": 1_536}
_ROWS_ELSEWHERE = 8_192
_BYTES = 2**28
_BYTES_ELSEWHERE = 2**30

_TURN_S = 0.1
_TURNS = 7


def about() -> dict[str, Any]:
    """Returns the day, the machine and the versions: what every written figure stands beside.

    "device" is JAX's name of the first one and "devices" how many there are; "processor", "cores"
    and "memory_gb" are the host's; "versions" are of the packages that figures depend on.
    """
    return {
        "date": datetime.date.today().isoformat(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "backend": jax.default_backend(),
        "processor": environment.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "python": platform.python_version(),
        "versions": environment.versions(),
    }


class Peaks(NamedTuple):
    """What one device was seen to do.

    Attributes:
      flops_per_s: In a product of two large matrices, a multiply-add counted as two.
      bytes_per_s: Read and written, in a pass over a large array.
    """

    flops_per_s: float
    bytes_per_s: float


def peaks(dtype: str) -> Peaks:
    """Times a matrix product and a pass over memory on one device; each the best of several turns.

    Args:
      dtype: Of the product, "float32" or "bfloat16"; its precision is JAX's default, as it is the
        networks'.
    """
    backend = jax.default_backend()
    rows = _ROWS.get(backend, _ROWS_ELSEWHERE)
    # Random, for a device fed with zeros draws less power and runs faster; scaled, for a product
    # of products would overflow.
    left, right = jax.random.normal(jax.random.key(0), (2, rows, rows), dtype)
    right /= rows**0.5
    # A copy that is an operation, in place: copies are optimised away, and new memory is fetched
    # from the system page by page.
    length = (_BYTES if backend == "cpu" else _BYTES_ELSEWHERE) // 4
    return Peaks(
        flops_per_s=_best(jax.jit(jnp.matmul), left, right) * 2 * rows**3,
        bytes_per_s=_best(jax.jit(jnp.add, donate_argnums=0), jnp.zeros(length), jnp.ones(()))
        * 8
        * length,
    )


def _best(work: Callable, carry: jax.Array, operand: jax.Array) -> float:
    """Returns how often in a second `carry = work(carry, operand)` is done, at best."""

    def turn(count: int) -> float:
        def several() -> None:
            nonlocal carry
            for _ in range(count):
                carry = work(carry, operand)
            carry.block_until_ready()

        return clock.seconds(several)

    turn(1)  # compiles
    count = max(1, round(_TURN_S / turn(1)))
    return count / min(turn(count) for _ in range(_TURNS))
