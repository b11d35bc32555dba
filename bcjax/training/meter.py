"""The metrics of training steps, fetched late so that the host does not wait for the devices."""

import collections
import time

import jax
import numpy as np

from bcjax.runtime.errors import UserError

_IN_FLIGHT = 2  # calls that the host may run ahead of the devices


class Meter:
    """Adds up the metrics of training steps between two log lines."""

    def __init__(self) -> None:
        self._pending: collections.deque[tuple[int, jax.Array]] = collections.deque()
        self._taken = dict.fromkeys(("loss", "accuracy", "grad_norm", "images_per_s"), 0.0)
        self._reset()

    def _reset(self) -> None:
        self._sums = np.zeros(3)
        self._grad_norms: list[float] = []
        self._untimed = 0.0
        self._began = time.monotonic()

    def restart_clock(self) -> None:
        """Leaves the steps fetched so far out of images/s, since the first call compiles."""
        self._untimed = self._sums[2]
        self._began = time.monotonic()

    def add(self, first: int, metrics: jax.Array) -> None:
        """Takes the metrics, (steps, metrics), of the call that began at step `first`.

        Waits for the call before the previous one, so that the host cannot run ahead of the devices
        and fill their memory with batches.
        """
        self._pending.append((first, metrics))
        while len(self._pending) > _IN_FLIGHT:
            self._fetch()

    def _fetch(self) -> None:
        first, metrics = self._pending.popleft()
        rows = np.asarray(jax.device_get(metrics), np.float64)
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            step = first + int(np.argmin(finite)) + 1
            what = "loss" if not np.isfinite(rows[np.argmin(finite), 0]) else "gradient"
            raise UserError(
                f"The {what} of step {step} is not finite: lower config.optim.lr or set "
                "config.optim.clip_norm=1.0; the checkpoints before it are kept."
            )
        self._sums += rows[:, :3].sum(axis=0)
        self._grad_norms.extend(rows[:, 3])

    def flush(self) -> None:
        """Fetches everything.

        Raises:
          UserError: If a loss or a gradient is not finite; the sentence names the step.
        """
        while self._pending:
            self._fetch()

    def values(self) -> dict[str, float]:
        """Returns the means since the last `take`; if nothing was fetched, those of that `take`."""
        loss, correct, examples = self._sums
        if not examples:
            return self._taken
        seconds = time.monotonic() - self._began
        return {
            "loss": loss / examples,
            "accuracy": correct / examples,
            "grad_norm": float(np.mean(self._grad_norms)),
            "images_per_s": (examples - self._untimed) / max(seconds, 1e-9),
        }

    def take(self) -> dict[str, float]:
        """Fetches everything, returns the means and starts anew."""
        self.flush()
        self._taken = self.values()
        self._reset()
        return self._taken
