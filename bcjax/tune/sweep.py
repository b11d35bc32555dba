"""A sweep: a search for better values of config keys, trial after trial."""

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
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers
from bcjax.tune import objectives, trials
from bcjax.tune.space import Space
from bcjax.tune.study import Claimed, Study, pareto_set

STUDY_FILE = "study.json"


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a sweep searches for.

    Attributes:
      config: The config of all trials, apart from what the space changes.
      space: The values to try.
      objectives: What the trials are judged by.
      trials: The number of trials in all.
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
        """Opens the study after checking everything that can be checked before the first trial.

        Raises:
          UserError: For whatever the user can mend; then nothing is written.
        """
        if self.pruner != "none" and len(self.objectives) > 1:
            raise UserError(
                f"--pruner={self.pruner} takes one objective, not {', '.join(self.objectives)}: "
                "leave it out."
            )
        trials.check(self.config)
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
    """Trains trials, one after the other, until there are as many as the sweep asks for.

    A trial that fails because of its values or for lack of memory is recorded as failed with the
    reason, and the next one follows.

    Returns:
      The exit status of training: not 0 if a signal ended it; the same sweep resumes the trial.

    Raises:
      UserError: If this process is one of several of a JAX job.
    """
    trials.check_alone(sweep.config)
    while True:
        with study.claim(sweep.trials) as claimed:
            if claimed is None:
                return 0
            began = time.monotonic()
            if status := _train(sweep, study, claimed):
                console.print("Stopped: the same command goes on from there.")
                return status
            trial = study.trials()[claimed.trial.number]
            text = (
                f"trial {trial.number} {described(sweep, trial)}, {time.monotonic() - began:.0f} s"
            )
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def described(sweep: Sweep, trial: FrozenTrial) -> str:
    """Returns a trial as text, such as "accuracy 0.93 (optim.lr 0.0013)", or how it failed."""
    values = ", ".join(f"{key} {short(value)}" for key, value in trial.params.items())
    if trial.state == TrialState.FAIL:
        return f"({values}) failed: {trial.user_attrs['error']}"
    named = zip(sweep.objectives, trial.values, strict=True)
    score = ", ".join(f"{name} {short(value)}" for name, value in named)
    return f"{'pruned at ' * (trial.state == TrialState.PRUNED)}{score} ({values})"


def short(value: Any) -> str:
    """Returns a value with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _train(sweep: Sweep, study: Study, claimed: Claimed) -> int:
    """Trains a trial, or goes on training it, and records in the study how it ended."""
    trial, workdir = claimed.trial, claimed.workdir
    watch = _Watch(sweep, trial, workdir)
    try:
        config = trials.changed(sweep.config, sweep.space(trial))
        outcome = trials.run(config, workdir, watch)
        if outcome.signal:
            return outcome.exit_status
        if watch.pruned:
            study.optuna.tell(trial, state=TrialState.PRUNED)
            return 0
        study.optuna.tell(trial, objectives.measure(sweep.objectives, workdir, outcome.evaluation))
    except Exception as error:
        trial.set_user_attr("error", str(error).partition("\n")[0])
        study.optuna.tell(trial, state=TrialState.FAIL)
        if not trials.failure(error):
            raise
    return 0


class _Watch:
    """Reports the evaluations of a trial to its pruner, which may end the trial."""

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
        # Counted in the file, which is right for a resumed run, too.
        done = sum(self._name in line for line in loggers.read(self._file))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it was reported before the process died
            self._trial.report(result[self._metric], done)
        self.pruned = self._trial.should_prune()
        return self.pruned


def write(sweep: Sweep, study: Study) -> Path:
    """Writes `study.json` to the folder of the study and returns its path.

    It holds `split` (the split of the metrics), `objectives` (name, direction, unit), `best` (the
    numbers of the Pareto set) and `trials`: of each its number, state, params, values, error, the
    seconds from its beginning to its end, interruptions included, and its folder.
    """
    page = {
        "split": sweep.config.eval.split,
        "objectives": [
            {
                "name": name,
                "direction": objectives.direction(name),
                "unit": objectives.UNITS.get(name, ""),
            }
            for name in sweep.objectives
        ],
        "sampler": sweep.sampler,
        "pruner": sweep.pruner,
        "best": pareto_set(study),
        "trials": [_trial_page(trial, study) for trial in study.trials()],
    }
    path = study.out / STUDY_FILE
    files.write_json(path, page)
    return path


def _trial_page(trial: FrozenTrial, study: Study) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "params": trial.params,
        "values": trial.values,
        "error": trial.user_attrs.get("error"),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        "workdir": study.workdir(trial.number).name,
    }
