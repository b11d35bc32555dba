"""A run together with its state, for measuring: each measurement goes on where the last ended."""

import jax
from jaxtyping import Array
from ml_collections import ConfigDict

from bcjax.engine.dispatch import Batch
from bcjax.engine.loader import Loader
from bcjax.engine.plan import Plan
from bcjax.training.run import Run


class TimedRun:
    """A run whose state is used up by one measurement after the other.

    Attributes:
      run: The run.
      state: Its state now.
      phase: The phase that the state is in.
    """

    def __init__(self, config: ConfigDict):
        """Opens the run that a config describes, in the config's workdir."""
        self.run = Run(config)
        self.state, _ = self.run.restore_or_start()
        self.phase = self.run.phase_of(self.state)

    @property
    def config(self) -> ConfigDict:
        """The resolved config."""
        return self.run.config

    @property
    def plan(self) -> Plan:
        """What happens at which step of the phase."""
        return self.phase.plan

    @property
    def step(self) -> int:
        """Steps taken; waits for the devices."""
        return int(jax.device_get(self.state.step))

    def loader(self, split: str) -> Loader:
        """Returns the loader of a split."""
        return self.run.loader(split, self.phase, self.state)

    def train(self, batch: Batch) -> Array:
        """Takes the steps of a call; returns their metrics."""
        self.state, metrics = self.run.train(self.phase, self.state, batch)
        return metrics

    def close(self) -> None:
        """Waits for the checkpoint that is being written."""
        self.run.close()
