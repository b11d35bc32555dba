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
from bcjax.data.preparation import prepare
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training import loggers
from bcjax.tune import best, objectives, targets, trials
from bcjax.tune.best import Setting
from bcjax.tune.grid import Grid
from bcjax.tune.objectives import Direction
from bcjax.tune.space import Space, SpaceSource
from bcjax.tune.study import PRUNERS, RETRIES, SAMPLERS, Claimed, Study
from bcjax.tune.targets import Target
from bcjax.tune.trials import judged_on_watched

STUDY_FILE = "study.json"
GRID = "grid"
CHOICES = (*SAMPLERS, GRID)  # how values are chosen

_TRIALS = 20  # of a sweep that draws its values
_LARGE = 1000  # points of a grid that nobody asked for by their number


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a sweep searches for.

    Attributes:
      config: The config of all trials, apart from what the space changes.
      space: The values to try.
      objectives: What the trials are judged by.
      trials: The number of trials in all.
      sampler: One of `CHOICES`.
      pruner: A key of `study.PRUNERS`.
      target: The device that costs are estimated for; None: latency and size are those here.
    """

    config: ConfigDict
    space: Space
    objectives: tuple[str, ...]
    trials: int
    sampler: str = "tpe"
    pruner: str = "none"
    target: Target | None = None

    @classmethod
    def of(
        cls,
        config: ConfigDict,
        space: SpaceSource,
        *,
        objective: str = "",
        trials: int | None = None,
        sampler: str = "tpe",
        pruner: str = "none",
        target: str = "",
    ) -> "Sweep":
        """Returns the sweep that a user asks for; the arguments are those of `bcjax.sweep`.

        Raises:
          UserError: If the space cannot be read, or there is no such objective, sampler, pruner or
            target, or none of the objectives is a cost there.
        """
        for name, value, known in (("sampler", sampler, CHOICES), ("pruner", pruner, PRUNERS)):
            if value not in known:
                raise UserError(f"There is no {name} {value!r}: choose of {', '.join(known)}.")
        if trials is not None:
            configs.check_argument("trials", trials, like="train.batch_size")
        configs.check_source(config.data)
        names = objectives.parse(objective, config)
        metrics = [name for name in names if name not in objectives.COSTS]
        device = targets.find(target)
        if device and len(metrics) == len(names):
            raise UserError(
                f"--target={target} says where latency, size or ram is meant: name one of them in "
                "--objective, or leave it out."
            )
        config = judged_on_watched(config, metrics[0] if metrics else config.checkpoint.best)
        read = Space(space)
        number = _trials(trials, read.grid() if sampler == GRID else None)
        return cls(config, read, names, number, sampler, pruner, device)

    def open(self, out: Path, storage: str = "", *, retry: bool = False) -> Study:
        """Opens the study after checking everything that can be checked before the first trial.

        Args:
          out: The folder of the study.
          storage: A database's URL; "": SQLite, in the folder.
          retry: Whether trials that failed are tried again; see `Study`.

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
        prepared = prepare(self.config.data)  # the trials need it, too
        self.space.check(self.config, prepared)
        objectives.check_defined(self.objectives, prepared, self.config.eval.split)
        leaves = configs.flatten(self.config).items()
        about = {
            "config": {key: value for key, value in leaves if not configs.KEYS[key].may_change},
            "space": self.space.text,
            "objectives": self.objectives,
            "grid": self.sampler == GRID,
            "target": self.target.name if self.target else "",
        }
        directions = [objectives.direction(name) for name in self.objectives]
        return Study(
            out,
            storage=storage,
            directions=directions,
            sampler=self.space.grid() if self.sampler == GRID else self.sampler,
            pruner=self.pruner,
            seed=self.config.seed,
            about=about,
            retry=retry,
        )


def _trials(asked: int | None, grid: Grid | None) -> int:
    """Returns how many trials a sweep has in all.

    Args:
      asked: What the user asks for; None: what is usual.
      grid: All points of a grid; None: values are drawn.
    """
    if grid is None:
        return asked or _TRIALS
    if asked is None and grid.count > _LARGE:
        raise UserError(
            f"The grid has {grid.count:,} points, each of which is a whole training: say with "
            "--trials how many of them to try, or list fewer values."
        )
    return min(asked or grid.count, grid.count)


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
    failed: dict[str, int] = {}  # the first trial that failed for each reason
    while True:
        with study.claim(sweep.trials) as claimed:
            if claimed is None:
                return 0
            began = time.monotonic()
            if status := _train(sweep, study, claimed):
                console.print("Stopped: the same command goes on from there.")
                return status
            trial = study.trials()[claimed.trial.number]
            said = described(sweep, trial)
            if error := trial.user_attrs.get("error"):
                before = failed.setdefault(error, trial.number)
                if before != trial.number:
                    said = said.replace(error, f"as trial {before} did")
            text = f"trial {trial.number} {said}, {time.monotonic() - began:.0f} s"
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
        values = objectives.measure(sweep.objectives, workdir, outcome.evaluation, sweep.target)
        study.optuna.tell(trial, values)
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
        self._pruner = sweep.pruner
        self._one = len(sweep.objectives) == 1
        self._metric = sweep.objectives[0]
        self._name = f"{sweep.config.eval.split}/{self._metric}"
        self._file = RunDir(workdir).metrics

    def __call__(self, step: int, result: dict[str, float]) -> str:
        if not self._one or self._metric not in result:  # undefined, or a cost
            return ""
        # Counted in the file, which is right for a resumed run, too.
        done = sum(self._name in line for line in loggers.read(self._file))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it was reported before the process died
            self._trial.report(result[self._metric], done)
        self.pruned = self._trial.should_prune()
        return f"the sweep's pruner ({self._pruner}) gave it up" if self.pruned else ""


@dataclasses.dataclass(frozen=True)
class Objective:
    """What trials are judged by.

    Attributes:
      name: A metric on the watched split, "latency", "size" or "ram".
      direction: Whether less or more is better.
      unit: The unit of its values; "" for a metric.
    """

    name: str
    direction: Direction
    unit: str


@dataclasses.dataclass(frozen=True)
class TrialResult:
    """How a trial ended.

    Attributes:
      number: From 0 on.
      state: "complete", "pruned", "fail", or "running" where it was interrupted.
      params: What was tried.
      values: The value of each objective, of a pruned trial the last one; None: there is none.
      error: Why it failed; None: it did not.
      seconds: From its beginning to its end, interruptions included; None: it did not end.
      workdir: The name of its run's folder.
      retries: The number of the failed trial whose values it tries again; None: of none.
    """

    number: int
    state: str
    params: dict[str, Any]
    values: list[float] | None
    error: str | None
    seconds: float | None
    workdir: str
    retries: int | None = None


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """What a sweep found so far: the content of `study.json`.

    Attributes:
      split: The split of the metrics.
      objectives: What the trials are judged by.
      sampler: How values were chosen.
      pruner: Which trials ended early.
      best: The numbers of the trials of the Pareto set: none is better in all objectives.
      trials: All trials, by number.
      cautions: Sentences without which the figure of the best must not be read, see
        `evaluation.guards`.
      settings: Where the sweep tries seeds, too: the values that were tried with several of them.
      target: The device that costs were estimated for; "": latency and size are those here.
    """

    split: str
    objectives: list[Objective]
    sampler: str
    pruner: str
    best: list[int]
    trials: list[TrialResult]
    cautions: list[str] = dataclasses.field(default_factory=list)
    settings: list[Setting] = dataclasses.field(default_factory=list)
    target: str = ""

    def ranked(self) -> list[TrialResult]:
        """Returns the completed trials, the best by the first objective first.

        With several objectives these are the trials of the Pareto set.
        """
        sign = 1 if self.objectives[0].direction == "minimize" else -1
        done = [
            (sign * trial.values[0], trial.number, trial)
            for trial in self.trials
            if trial.state == "complete" and trial.values
            if len(self.objectives) == 1 or trial.number in self.best
        ]
        return [trial for *_, trial in sorted(done, key=lambda each: each[:2])]

    def failures(self) -> list[str]:
        """Returns why trials failed that were not tried again, a sentence for each reason."""
        again = {trial.retries for trial in self.trials}
        reasons: dict[str, list[TrialResult]] = {}
        for trial in self.trials:
            if trial.state == "fail" and trial.number not in again:
                reasons.setdefault(trial.error or "for no recorded reason", []).append(trial)
        return [
            f"{', '.join(trial.workdir for trial in failed)} failed: {error}"
            for error, failed in reasons.items()
        ]

    def write(self, out: Path) -> Path:
        """Writes `study.json` into a folder and returns its path.

        Where a trial came to its end, `study.html`, `study.md` and `figures/*.png` are beside it.
        """
        path = out / STUDY_FILE
        files.write_json(path, dataclasses.asdict(self))
        if self.ranked():
            from bcjax.reports.pages.page import write_page  # matplotlib is slow to import
            from bcjax.tune.pages import sweep_page

            write_page(sweep_page(self), path.with_suffix(".html"))
        return path


def result(sweep: Sweep, study: Study) -> SweepResult:
    """Returns what a sweep has found so far."""
    found = SweepResult(
        split=sweep.config.eval.split,
        objectives=[
            Objective(name, objectives.direction(name), objectives.UNITS.get(name, ""))
            for name in sweep.objectives
        ],
        sampler=sweep.sampler,
        pruner=sweep.pruner,
        best=sorted(trial.number for trial in study.optuna.best_trials),
        trials=[
            TrialResult(
                number=trial.number,
                state=trial.state.name.lower(),
                params=trial.params,
                values=trial.values,
                error=trial.user_attrs.get("error"),
                seconds=trial.duration.total_seconds() if trial.duration else None,
                workdir=study.workdir(trial.number).name,
                retries=trial.user_attrs.get(RETRIES),
            )
            for trial in study.trials()
        ],
    )
    tried = {study.out / trial.workdir: trial.params for trial in found.ranked()}
    return dataclasses.replace(
        found,
        cautions=[
            *best.cautions(list(tried), sweep.objectives, found.split),
            *([targets.caution(sweep.target)] if sweep.target else []),
        ],
        target=sweep.target.name if sweep.target else "",
        settings=best.over_seeds(tried, sweep.objectives, found.split),
    )
