"""What the answers of a network cost, as `answer_times` measures it. Imports no JAX."""

import dataclasses

from bcjax.runtime.result import Result


@dataclasses.dataclass(frozen=True)
class InferenceCost(Result):
    """What the answers of a network cost on one device of one machine.

    Each call is waited for: decoded pictures are sent from the host, and probabilities come back.

    Attributes:
      hardware: The device, such as "NVIDIA H200", or "2 cores of AMD EPYC".
      p50_ms: The median time of a call with one picture, in milliseconds.
      p99_ms: The time that 99 % of these calls stay below.
      calls: How many of these calls were timed.
      images_per_s: Pictures in a second, in calls of `batch_size` pictures.
      batch_size: The pictures of such a call.
      estimated_bytes: What the compiler estimates that the program for `batch_size` pictures holds
        at once: parameters, pictures, answers and what is computed between them; None: unknown.
      device_bytes: The most that this process held on the device meanwhile, as the device measured
        it; None where it measures nothing, as a CPU, or the process had held more before.
      process_bytes: The memory of the process when all was measured: Python, libraries, data.
    """

    hardware: str
    p50_ms: float
    p99_ms: float
    calls: int
    images_per_s: float
    batch_size: int
    estimated_bytes: int | None
    device_bytes: int | None
    process_bytes: int
