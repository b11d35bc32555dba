"""Processes and devices, and how arrays are divided over them.

A mesh has two axes. Batches are divided over both, `data` and `fsdp`; large parameters are divided
over `fsdp`. `jax.jit` with the `NamedSharding`s made here is what used to be called pjit.
"""

import math
import os
import re
from typing import Any

import jax
import numpy as np
import psutil
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Int
from ml_collections import ConfigDict

from bcjax.runtime import peers
from bcjax.runtime.errors import UserError

BATCH_AXES = ("data", "fsdp")


def initialize(config: ConfigDict) -> None:
    """Joins this process to the other processes of the job, if there are any.

    The addresses come from the config, else from JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
    JAX_PROCESS_ID, else from the environment of SLURM or of a Cloud TPU pod.

    Args:
      config: The `mesh` branch of the config.

    Raises:
      UserError: If only some of the three settings are given, or the others do not come.
    """
    env = os.environ
    coordinator = config.coordinator or env.get("JAX_COORDINATOR_ADDRESS", "")
    processes = config.processes or env.get("JAX_NUM_PROCESSES")
    process_id = env.get("JAX_PROCESS_ID") if config.process_id is None else config.process_id
    arguments: dict[str, Any] = {}
    if coordinator or processes or process_id is not None:
        if not coordinator or not processes or process_id is None:
            raise UserError(
                "Several processes need all three of config.mesh.coordinator, "
                "config.mesh.processes and config.mesh.process_id."
            )
        try:
            arguments = {
                "coordinator_address": coordinator,
                "num_processes": int(processes),
                "process_id": int(process_id),
            }
        except ValueError as error:
            raise UserError(
                "JAX_NUM_PROCESSES and JAX_PROCESS_ID must be whole numbers: correct or unset them."
            ) from error
        if not re.fullmatch(r".+:\d+", coordinator):
            raise UserError(
                f"The address of process 0 is {coordinator!r}: write host:port, such as "
                "10.0.0.1:1234."
            )
        if not 0 <= arguments["process_id"] < arguments["num_processes"]:
            raise UserError(
                f"There is no process {process_id} among {processes} processes: they are counted "
                "from 0."
            )
    elif int(env.get("SLURM_NTASKS", 1)) == 1 and "," not in env.get("TPU_WORKER_HOSTNAMES", ""):
        return
    if jax.distributed.is_initialized():
        return
    # Only read by the CPU backend, whose default cannot reduce across processes.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    peers.join(
        arguments,
        heartbeat_seconds=config.heartbeat_seconds,
        wait_seconds=config.wait_seconds,
    )


def create(fsdp: int = 1) -> Mesh:
    """Returns a mesh of all devices of all processes, of shape (devices / fsdp, fsdp).

    Args:
      fsdp: The number of devices over which large parameters are divided.

    Raises:
      UserError: If `fsdp` does not divide the number of devices.
    """
    devices = jax.device_count()
    if devices % fsdp:
        raise UserError(f"config.mesh.fsdp is {fsdp}: it must divide the {devices} devices.")
    # Auto: the compiler propagates shardings. The default, Explicit, breaks nn.Dropout.
    return jax.make_mesh((devices // fsdp, fsdp), BATCH_AXES, axis_types=(AxisType.Auto,) * 2)


def batch_sharding(mesh: Mesh, *, leading: int = 0) -> NamedSharding:
    """Returns a sharding that divides the batch axis over all devices.

    Args:
      mesh: The devices.
      leading: The number of axes before the batch axis, which are not divided.
    """
    return NamedSharding(mesh, P(*[None] * leading, BATCH_AXES))


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """Returns a sharding that keeps a whole copy on each device."""
    return NamedSharding(mesh, P())


def parameter_shardings(mesh: Mesh, tree: Any, min_size: int) -> Any:
    """Returns a sharding for each leaf: large leaves are divided over `fsdp`, others replicated.

    A leaf is divided along its longest axis that `fsdp` divides. Optimizer moments and averages
    have the shape of their parameter and so its sharding.

    Args:
      mesh: The devices.
      tree: Pytree of arrays or abstract arrays, such as the whole training state.
      min_size: Leaves with fewer elements are replicated.
    """
    fsdp = mesh.shape["fsdp"]

    def shard(leaf: Any) -> NamedSharding:
        axes = [i for i, length in enumerate(leaf.shape) if length % fsdp == 0]
        if fsdp == 1 or not axes or math.prod(leaf.shape) < min_size:
            return replicated_sharding(mesh)
        axis = max(axes, key=lambda i: leaf.shape[i])
        return NamedSharding(mesh, P(*[None] * axis, "fsdp"))

    return jax.tree.map(shard, tree)


def check_batch(mesh: Mesh, batch_size: int) -> None:
    """Checks that a batch can be divided equally over the devices.

    Raises:
      UserError: If it cannot.
    """
    devices = mesh.size
    if batch_size % devices:
        below = batch_size // devices * devices
        near = f"{below} or {below + devices}" if below else f"{devices}"
        raise UserError(
            f"A batch of {batch_size} cannot be divided over {devices} devices: use {near}."
        )


def check_memory(mesh: Mesh, batch_size: int, size: tuple[int, int]) -> None:
    """Checks that the pixels of a batch fit into memory: as uint8, and as the network reads them.

    What a network computes with them takes many times as much, but how much is known only later.

    Args:
      mesh: The devices that share the batch.
      batch_size: Pictures at a time.
      size: Their height and width in pixels.

    Raises:
      UserError: If they do not fit.
    """
    needed = -(-batch_size // mesh.size) * math.prod(size) * 3 * (1 + 4)  # bytes on each device
    free, whose = device_memory(), "a device has"
    if free is None:
        needed *= jax.local_device_count()
        free, whose = psutil.virtual_memory().available, "are free here"
    if needed > free:
        raise UserError(
            f"{batch_size:,} pictures of {size} px at a time need {needed / 1e9:,.1f} GB "
            f"for their pixels alone, and {free / 1e9:,.1f} GB {whose}: take fewer at a time "
            "(batch_size), or smaller ones (data.image_size)."
        )


def host_rows(mesh: Mesh, batch_size: int) -> Int[np.ndarray, "local"]:
    """Returns the rows of a global batch that the devices of this process hold, ascending."""
    placed = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    parts = [index[0] for index in placed.values() if index is not None]
    rows = {row for part in parts for row in range(*part.indices(batch_size))}
    return np.array(sorted(rows))


def place(
    mesh: Mesh, local: dict[str, np.ndarray], rows: np.ndarray, batch_size: int, *, leading: int = 0
) -> dict[str, jax.Array]:
    """Makes global arrays, divided over the devices, from the rows of each process.

    Args:
      mesh: The devices.
      local: Arrays that hold the `rows` of this process along their batch axis.
      rows: The rows of this process, from `host_rows`.
      batch_size: The number of rows in the global batch.
      leading: The number of axes before the batch axis.
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


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Copies host arrays, which are the same in every process, to each device."""
    return jax.tree.map(
        lambda a: jax.make_array_from_callback(a.shape, replicated_sharding(mesh), lambda i: a[i]),
        tree,
    )


def device_memory() -> int | None:
    """Returns the bytes that one device may use, or None if it shares the memory of the host."""
    stats = jax.local_devices()[0].memory_stats()
    return stats.get("bytes_limit") if stats else None
