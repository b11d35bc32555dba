"""How far a program is from what the device can do, and which limit binds it.

A program that does F operations on B bytes cannot take less than F / (the device's operations per
second), nor than B / (its bytes per second): two roofs, of which the one that asks for more time
binds. Williams, Waterman, Patterson 2009, "Roofline", https://doi.org/10.1145/1498765.1498785
"""

import dataclasses
from typing import Any

import jax
from jax.stages import Compiled, Lowered
from jaxlib import _jax

from bcjax.benchmark.figures import Figures
from bcjax.benchmark.machine import Peaks
from bcjax.benchmark.operations import Program
from bcjax.evaluation.answer_times import estimated_memory


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a program asks of each device, as XLA counts it; None: the backend does not say.

    Attributes:
      flops: Floating-point operations, a multiply-add counted as two. A loop's body counts once.
      bytes_accessed: Read and written by all its operations, be it from memory or from a cache.
      peak_memory: Bytes of arguments, outputs and what is between them, at once.
    """

    flops: float | None = None
    bytes_accessed: float | None = None
    peak_memory: int | None = None


def cost(lowered: Lowered, compiled: Compiled | None = None, devices: int = 1) -> Cost:
    """Returns the cost of a program.

    Operations are counted before compilation, for compiled they may be calls of a library, into
    which XLA does not look; bytes afterwards, for fused operations do not write what is between.

    Args:
      lowered: The program.
      compiled: The compiled program; None: it is compiled here, unless this process already did.
      devices: The number of devices that share the work.
    """
    compiled = compiled or lowered.compile()
    counted = flops(lowered)
    read_and_written = (compiled.cost_analysis() or {}).get("bytes accessed")
    if read_and_written is not None:
        read_and_written += in_libraries(Program(compiled.as_text() or ""))
    return Cost(
        flops=counted / devices,
        bytes_accessed=read_and_written,
        peak_memory=estimated_memory(compiled),
    )


def in_libraries(program: Program) -> int:
    """Returns the bytes of what a program's calls of libraries read and write.

    XLA's own count leaves them out, and on a GPU these are its convolutions and matrix products
    (cuDNN's and cuBLAS's): half of what a network moves. As there, a loop's body counts once.
    """
    return sum(
        program.memory_bytes(operation)
        for operation, _ in program.dispatched()
        if operation.opcode.startswith("custom-call")
    )


def flops(lowered: Lowered) -> float:
    """Returns the operations of a program as it was before compilation, a loop's body once.

    `Lowered.cost_analysis` would ask the device's own backend, and those of GPUs and TPUs do not
    count; the CPU's, which is on every machine, counts for any.
    """
    program: Any = lowered.compiler_ir("hlo")
    cpu = jax.devices("cpu")[0].client
    counted = _jax.hlo_module_cost_analysis(cpu, program.as_hlo_module())
    return float(counted.get("flops", 0.0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgainstRoofs(Figures):
    """How close to the device's peaks a program comes; None: the backend does not say.

    Attributes:
      peak_memory_mb: MB of arguments, outputs and what is between them, on each device.
      flops: Floating-point operations of one execution, on each device.
      share_of_compute_peak: Of the operations that the device could have done in the time.
      bytes_accessed: Bytes that one execution reads and writes, on each device.
      share_of_bandwidth_peak: Of the bytes that the device could have moved in the time.
      flops_per_byte: The operations for each byte.
      roof: "compute" or "bandwidth": which of them asks for more time.
      share_of_roof: The least time that this roof allows, over the time that it took; above 1 where
        caches served what is counted as memory.
    """

    peak_memory_mb: float | None = None
    flops: float | None = None
    share_of_compute_peak: float | None = None
    bytes_accessed: float | None = None
    share_of_bandwidth_peak: float | None = None
    flops_per_byte: float | None = None
    roof: str | None = None
    share_of_roof: float | None = None


def against(cost: Cost, seconds: float, peaks: Peaks) -> dict[str, Any]:
    """Returns the fields of `AgainstRoofs`.

    Args:
      cost: The cost of one execution.
      seconds: The time that it took.
      peaks: What one device was seen to do.
    """
    found: dict[str, Any] = {}
    shares: dict[str, float] = {}
    if cost.peak_memory is not None:
        found["peak_memory_mb"] = cost.peak_memory / 1e6
    if cost.flops is not None:
        found["flops"] = cost.flops
        shares["compute"] = cost.flops / peaks.flops_per_s / seconds
    if cost.bytes_accessed is not None:
        found["bytes_accessed"] = cost.bytes_accessed
        shares["bandwidth"] = cost.bytes_accessed / peaks.bytes_per_s / seconds
    found |= {f"share_of_{roof}_peak": share for roof, share in shares.items()}
    if cost.flops and cost.bytes_accessed:
        roof = max(shares, key=lambda name: shares[name])
        found["flops_per_byte"] = cost.flops / cost.bytes_accessed
        found |= {"roof": roof, "share_of_roof": shares[roof]}
    return found
