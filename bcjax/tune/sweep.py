"""A search for better values of a config, trial after trial."""

import dataclasses
import time
import warnings
from pathlib import Path
from typing import Any

import optuna
from ml_collections import ConfigDict
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from bcjax import config as configs
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers
from bcjax.tune import objectives
from bcjax.tune import trial as runs
from bcjax.tune.changes import changed, check
from bcjax.tune.space import Space
from bcjax.tune.study import Claimed, Study


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is searched for.

    Attributes:
      config: Of all trials, but for what the space changes.
      space: What it changes.
      objectives: What is made better.
      trials: How many there are to be, in all.
      sampler: A key of `study.SAMPLERS`.
      pruner: A key of `study.PRUNERS`.
    """

    config: ConfigDict
    space: Space
    objectives: tuple[str, ...]
    trials: int
    sampler: str = "tpe"
    pruner: str = "none"

    def open(self, out: Path, storage: str) -> Study:
        """Opens the study, once all is checked that can be checked before the first trial.

        Raises:
          UserError: For whatever the user can mend; nothing is written then.
        """
        if self.pruner != "none" and len(self.objectives) > 1:
            raise UserError(
                f"--pruner={self.pruner} takes one objective, not {', '.join(self.objectives)}: "
                "leave it out."
            )
        check(self.config)
        loggers.check(self.config.track)
        self.space.check(self.config)
        leaves = configs.flatten(self.config).items()
        about = {
            "config": {key: value for key, value in leaves if not configs.KEYS[key].may_change},
            "space": self.space.text,
            "objectives": self.objectives,
        }
        directions = [objectives.direction(name) for name in self.objectives]
        return Study(
            out,
            storage=storage,
            directions=directions,
            sampler=self.sampler,
            pruner=self.pruner,
            seed=self.config.seed,
            about=about,
        )


def work(sweep: Sweep, study: Study, console: Console) -> int:
    """Trains trials, one after the other, until there are as many as asked for.

    A trial that fails by a mistake in its values, or for want of memory, is recorded as failed,
    with why, and the next one follows.

    Returns:
      The exit status of training: not 0 where a signal ended it; the trial then goes on when the
      sweep does.

    Raises:
      UserError: If this process is one of several of a JAX job.
    """
    runs.check_alone(sweep.config)
    while True:
        with study.claim(sweep.trials) as claimed:
            if claimed is None:
                return 0
            began = time.monotonic()
            if status := _train(sweep, study, claimed):
                console.print("Stopped: the same command goes on from there.")
                return status
            trial = study.trials()[claimed.trial.number]
            said = f"trial {trial.number} {told(sweep, trial)}, {time.monotonic() - began:.0f} s"
            console.print(said, highlight=False, markup=False, soft_wrap=True)


def told(sweep: Sweep, trial: FrozenTrial) -> str:
    """Returns "accuracy 0.93 (optim.lr 0.0013)", or how else a trial ended."""
    values = ", ".join(f"{key} {short(value)}" for key, value in trial.params.items())
    if trial.state == TrialState.FAIL:
        return f"({values}) failed: {trial.user_attrs['error']}"
    named = zip(sweep.objectives, trial.values, strict=True)
    score = ", ".join(f"{name} {short(value)}" for name, value in named)
    return f"{'pruned at ' * (trial.state == TrialState.PRUNED)}{score} ({values})"


def short(value: Any) -> str:
    """Returns a value to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _train(sweep: Sweep, study: Study, claimed: Claimed) -> int:
    """Trains a trial, or goes on training it, and tells the study how it ended."""
    trial, workdir = claimed.trial, claimed.workdir
    watch = _Watch(sweep, trial, workdir)
    try:
        config = changed(sweep.config, sweep.space(trial))
        outcome = runs.run(config, workdir, watch)
        if outcome.signal:
            return outcome.exit_status
        if watch.pruned:
            study.optuna.tell(trial, state=TrialState.PRUNED)
            return 0
        study.optuna.tell(trial, objectives.measure(sweep.objectives, workdir, outcome.evaluation))
    except Exception as error:
        trial.set_user_attr("error", str(error).partition("\n")[0])
        study.optuna.tell(trial, state=TrialState.FAIL)
        if not runs.failure(error):
            raise
    return 0


class _Watch:
    """Reports a trial's evaluations, and ends those that are not worth going on with."""

    def __init__(self, sweep: Sweep, trial: optuna.Trial, workdir: Path):
        self.pruned = False
        self._trial = trial
        self._one = len(sweep.objectives) == 1 and sweep.objectives[0] in objectives.METRICS
        self._metric = sweep.objectives[0]
        self._name = f"{sweep.config.eval.split}/{self._metric}"
        self._file = RunDir(workdir).metrics

    def __call__(self, step: int, result: dict[str, float]) -> bool:
        if not self._one or self._metric not in result:
            return False
        # Counted in the file, which is right for a run that was taken up again, too.
        done = sum(self._name in line for line in loggers.read(self._file))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it was reported before the process died
            self._trial.report(result[self._metric], done)
        self.pruned = self._trial.should_prune()
        return self.pruned
