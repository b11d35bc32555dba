"""What happens at which step: a pure function of the step, so that a resumed run does the same."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from ml_collections import ConfigDict

from bcjax import config as configs


class Call(NamedTuple):
    """One dispatch to the devices: steps `first` to `first + steps - 1`."""

    first: int
    steps: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The lengths of one phase of a run, all in steps; events happen at steps of the run.

    Attributes:
      length: Steps in the phase.
      warmup: Steps of learning-rate warm-up.
      log_every: Steps between log lines.
      eval_every: Steps between evaluations.
      save_every: Steps between checkpoints.
      steps_per_call: The largest number of steps in one dispatch.
      begin: The step of the run at which the phase begins.
    """

    length: int
    warmup: int
    log_every: int
    eval_every: int
    save_every: int
    steps_per_call: int
    begin: int = 0

    @property
    def end(self) -> int:
        """The step of the run at which the phase ends, if nothing ends it before."""
        return self.begin + self.length

    def evaluates(self, step: int) -> bool:
        """Whether there is an evaluation once `step` steps have been taken."""
        return step % self.eval_every == 0 or step == self.end

    def saves(self, step: int) -> bool:
        """Whether a checkpoint is saved once `step` steps have been taken."""
        return step % self.save_every == 0 or step == self.end

    def logs(self, step: int) -> bool:
        """Whether a log line is written once `step` steps have been taken."""
        # Also wherever a run may stop or resume, so that no log line spans a checkpoint.
        return step % self.log_every == 0 or self.evaluates(step) or self.saves(step)

    def calls(self, start: int) -> Iterator[Call]:
        """Yields the dispatches from step `start` to the end; no event falls inside one.

        Calls of several steps begin at multiples of `steps_per_call`, wherever `start` is; the
        steps between them are single. So only two programs are compiled, and a resumed run
        dispatches the same calls as one that was never interrupted.
        """
        step = start
        while step < self.end:
            many = step % self.steps_per_call == 0 and not any(
                self.logs(s) for s in range(step + 1, step + self.steps_per_call)
            )
            fits = step + self.steps_per_call <= self.end
            length = self.steps_per_call if many and fits else 1
            yield Call(step, length)
            step += length


def resolve(config: ConfigDict, examples: int, steps_per_call: int) -> Plan:
    """Turns the config's lengths into steps.

    Args:
      config: A resolved config.
      examples: Training pictures in an epoch.
      steps_per_call: Steps in one dispatch, where the config does not set it.
    """

    def steps(branch: str, key: str) -> int:
        text = config[branch][key]
        return configs.resolve_length(
            text, examples=examples, batch_size=config.train.batch_size, key=f"{branch}.{key}"
        )

    length = configs.resolve_length(
        config.train.length,
        examples=examples,
        batch_size=config.train.batch_size,
        key="train.length",
        shown=config.train.shown,
    )
    return Plan(
        length=max(1, length),
        warmup=steps("optim", "warmup"),
        log_every=max(1, steps("train", "log_every")),
        eval_every=max(1, steps("eval", "every")),
        save_every=max(1, steps("checkpoint", "every")),
        steps_per_call=config.train.steps_per_call or steps_per_call,
    )
