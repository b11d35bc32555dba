"""How a service batches, what it refuses, and how long it waits."""

import dataclasses
import os

from bcjax.runtime.errors import UserError

_POSITIVE = (
    "max_batch", "queue", "max_body", "max_pixels", "max_pictures", "decoders", "timeout",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    """The limits of a service.

    Attributes:
      max_batch: The most pictures that a network answers at once; 1: no batching.
      max_wait: Seconds that a network waits at most for more pictures to answer together; it never
        waits longer than the batch before took.
      queue: The most pictures that are decoded, wait or are answered at a time; a request that
        would make it more is refused with 429.
      max_body: The most bytes of a request's body, else 413.
      max_pixels: The most pixels of a picture, by its header, else 413.
      max_pictures: The most pictures of a request, else 413.
      timeout: Seconds in which a body must have arrived, else 408, and then the answer, else 503.
      reload: Seconds between looks for a newer checkpoint; 0: never.
      decoders: Threads that decode pictures.
      token: What a client must send as `Authorization: Bearer TOKEN`; "": nothing.
    """

    max_batch: int = 32
    max_wait: float = 0.05
    queue: int = 256
    max_body: int = 16 << 20
    max_pixels: int = 25_000_000
    max_pictures: int = 64
    timeout: float = 30.0
    reload: float = 10.0
    decoders: int = max(2, os.cpu_count() or 1)
    token: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise UserError(
                    f"{name}={getattr(self, name):g} lets nothing through: give more than 0."
                )
        for name in ("max_wait", "reload"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name):g} is no time: give 0 or more.")
        if self.max_pictures > self.queue:
            raise UserError(
                f"A request may hold {self.max_pictures} pictures, but only {self.queue} find room "
                "in the queue: give a longer queue, or fewer pictures a request."
            )

    @property
    def bytes_in_flight(self) -> int:
        """The most bytes of all bodies that are held at a time, else 429."""
        return 8 * self.max_body
