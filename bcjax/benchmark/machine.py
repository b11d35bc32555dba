"""The machine: its name, its versions, the most it is seen to do, and how to time on it."""

import dataclasses
import datetime
import os
import platform
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import psutil

from bcjax.benchmark.figures import Figures
from bcjax.runtime import environment


def seconds(work: Callable[[], Any]) -> float:
    """Returns how long `work` takes, which must wait for what it dispatches."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turns(repeats: int, **works: Callable[[], Any]) -> dict[str, list[float]]:
    """Times several works A B A B ..., so that what slows the machine for a while slows all alike.

    Args:
      repeats: The number of turns of each.
      **works: The works by name; each has been done before, so that none compiles.

    Returns:
      The seconds of each turn, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work))
    return times


#: The share from which on a figure says as much of others' work as of ours.
DISTURBED = 0.05


class Processors(NamedTuple):
    """Seconds of all processors since they were started.

    Attributes:
      wanted: Seconds in which something here ran or could have run.
      stolen: Those of them in which the host ran something else.
    """

    wanted: float
    stolen: float


def processors() -> Processors:
    """Returns the counters as they are now; where the system does not say, nothing is stolen."""
    times = psutil.cpu_times()
    stolen = getattr(times, "steal", 0.0)
    ran = sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq"))
    return Processors(ran + stolen, stolen)


def stolen_share(since: Processors) -> float:
    """Returns how much of what was wanted since then was stolen, from 0 to 1."""
    now = processors()
    wanted = now.wanted - since.wanted
    return (now.stolen - since.stolen) / wanted if wanted > 0 else 0.0


# Rows of the square matrices and bytes of the array: large beside every cache, short to do.
_ROWS = {"cpu": 1_536}
_ROWS_ELSEWHERE = 8_192
_BYTES = 2**28
_BYTES_ELSEWHERE = 2**30

_TURN_S = 0.1
_TURNS = 7


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine(Figures):
    """The machine, the day and the versions: what every written figure stands beside.

    Attributes:
      date: The day, as in 2026-01-31.
      device: JAX's name of the first device.
      devices: How many there are.
      backend: "cpu", "gpu" or "tpu".
      processor: The name of the host's processor.
      cores: The host's cores.
      memory_gb: The host's memory.
      python: The version of Python.
      versions: The versions of the packages that figures depend on.
    """

    date: str
    device: str
    devices: int
    backend: str
    processor: str
    cores: int | None
    memory_gb: float
    python: str
    versions: dict[str, str]


def about() -> Machine:
    """Returns what this machine is."""
    return Machine(
        date=datetime.date.today().isoformat(),
        device=jax.devices()[0].device_kind,
        devices=jax.device_count(),
        backend=jax.default_backend(),
        processor=environment.processor(),
        cores=os.cpu_count(),
        memory_gb=round(psutil.virtual_memory().total / 1e9, 1),
        python=platform.python_version(),
        versions=environment.versions(),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peaks(Figures):
    """The most that one device was seen to do.

    Attributes:
      flops_per_s: Operations per second in a product of two large matrices; a multiply-add is two.
      bytes_per_s: Bytes read and written per second in a pass over a large array.
    """

    flops_per_s: float
    bytes_per_s: float


def peaks(dtype: str) -> Peaks:
    """Times a matrix product and a pass over memory on one device; each the best of several turns.

    Args:
      dtype: The dtype of the product, "float32" or "bfloat16"; its precision is JAX's default, as
        in the networks.
    """
    backend = jax.default_backend()
    rows = _ROWS.get(backend, _ROWS_ELSEWHERE)
    # Random, because with zeros a device draws less power and runs faster; scaled, because products
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

        return seconds(several)

    turn(1)  # compiles
    count = max(1, round(_TURN_S / turn(1)))
    return count / min(turn(count) for _ in range(_TURNS))
