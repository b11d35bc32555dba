"""Processes, devices, and which of them holds what.

A mesh has two axes: `data`, over which a batch is divided, and `fsdp`, over which large parameters
are divided too. `jax.jit` with the `NamedSharding`s made here is what used to be called pjit.
"""

import math
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Int
from ml_collections import ConfigDict

from bcjax.runtime.errors import UserError

BATCH_AXES = ("data", "fsdp")


def initialize(config: ConfigDict) -> None:
    """Joins this process to the others of the job, if there are any.

    Where they are is said by the config's `mesh` branch, else by JAX_COORDINATOR_ADDRESS,
    JAX_NUM_PROCESSES and JAX_PROCESS_ID, else by SLURM or a Cloud TPU pod's own environment.

    Raises:
      UserError: If only a part of it is said, or the coordinator does not answer.
    """
    env = os.environ
    coordinator = config.coordinator or env.get("JAX_COORDINATOR_ADDRESS", "")
    processes = config.processes or env.get("JAX_NUM_PROCESSES")
    process_id = env.get("JAX_PROCESS_ID") if config.process_id is None else config.process_id
    asked: dict[str, Any] = {}
    if coordinator or processes or process_id is not None:
        if not coordinator or not processes or process_id is None:
            raise UserError(
                "Several processes need all three of config.mesh.coordinator, "
                "config.mesh.processes and config.mesh.process_id."
            )
        try:
            asked = {
                "coordinator_address": coordinator,
                "num_processes": int(processes),
                "process_id": int(process_id),
            }
        except ValueError as error:
            raise UserError(
                "JAX_NUM_PROCESSES and JAX_PROCESS_ID must be whole numbers: mend or unset them."
            ) from error
    elif int(env.get("SLURM_NTASKS", 1)) == 1 and "," not in env.get("TPU_WORKER_HOSTNAMES", ""):
        return
    if jax.distributed.is_initialized():
        return
    # Only read by the CPU backend, whose default cannot reduce across processes.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**asked)
    except RuntimeError as error:
        where = coordinator or "the environment's coordinator"
        raise UserError(f"This process could not join the job at {where}: {error}.") from error


def create(fsdp: int = 1) -> Mesh:
    """Returns a mesh of all devices of all processes, (devices / fsdp) x fsdp.

    Raises:
      UserError: If `fsdp` does not divide the number of devices.
    """
    devices = jax.device_count()
    if devices % fsdp:
        raise UserError(f"config.mesh.fsdp is {fsdp}: it must divide the {devices} devices.")
    # Auto: the compiler propagates shardings. The default, Explicit, breaks nn.Dropout.
    return jax.make_mesh((devices // fsdp, fsdp), BATCH_AXES, axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh, *, leading: int = 0) -> NamedSharding:
    """Divides the batch axis over all devices; `leading` axes before it are not divided."""
    return NamedSharding(mesh, P(*[None] * leading, BATCH_AXES))


def replicated(mesh: Mesh) -> NamedSharding:
    return NamedSharding(mesh, P())


def parameter_shardings(mesh: Mesh, tree: Any, min_size: int) -> Any:
    """Returns a sharding for each leaf: large ones divided over `fsdp`, the rest replicated.

    The longest axis that `fsdp` divides is taken. Optimizer moments and averages have their
    parameter's shape, hence its sharding.

    Args:
      mesh: From `create`.
      tree: Pytree of arrays or shapes: the whole state.
      min_size: Elements below which a leaf is replicated.
    """
    fsdp = mesh.shape["fsdp"]

    def shard(leaf: Any) -> NamedSharding:
        axes = [i for i, length in enumerate(leaf.shape) if length % fsdp == 0]
        if fsdp == 1 or not axes or math.prod(leaf.shape) < min_size:
            return replicated(mesh)
        axis = max(axes, key=lambda i: leaf.shape[i])
        return NamedSharding(mesh, P(*[None] * axis, "fsdp"))

    return jax.tree.map(shard, tree)


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """Raises UserError if a batch cannot be divided equally over the devices."""
    devices = mesh.size
    if batch_size % devices:
        below = batch_size // devices * devices
        near = f"{below} or {below + devices}" if below else f"{devices}"
        raise UserError(
            f"A batch of {batch_size} cannot be divided over {devices} devices: use {near}."
        )


def host_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, "local"]:
    """Returns the rows of a global batch that this process's devices hold, ascending."""
    placed = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    parts = [index[0] for index in placed.values() if index is not None]
    rows = {row for part in parts for row in range(*part.indices(batch_size))}
    return np.array(sorted(rows))


def place(
    mesh: Mesh, local: dict[str, np.ndarray], rows: np.ndarray, batch_size: int, *, leading: int = 0
) -> dict[str, jax.Array]:
    """Makes global arrays, divided over the devices, of each process's rows.

    Args:
      mesh: From `create`.
      local: Arrays whose batch axis (after `leading` others) holds this process's `rows`.
      rows: From `host_rows`.
      batch_size: Rows in the global batch.
      leading: Axes before the batch axis.
    """
    sharding = batch_sharding(mesh, leading=leading)

    def globalise(array: np.ndarray) -> jax.Array:
        shape = (*array.shape[:leading], batch_size, *array.shape[leading + 1 :])

        def part(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index is not None
            start, stop, _ = index[leading].indices(batch_size)
            first = int(np.searchsorted(rows, start))
            return array[(slice(None),) * leading + (slice(first, first + stop - start),)]

        return jax.make_array_from_callback(shape, sharding, part)

    return {name: globalise(array) for name, array in local.items()}


def everywhere(mesh: Mesh, tree: Any) -> Any:
    """Copies host arrays, the same in every process, to each device."""
    return jax.tree.map(
        lambda a: jax.make_array_from_callback(a.shape, replicated(mesh), lambda i: a[i]), tree
    )


def device_memory() -> int | None:
    """Bytes that one device may use; None where it shares the host's memory."""
    stats = jax.local_devices()[0].memory_stats()
    return stats.get("bytes_limit") if stats else None
