"""The Optuna study of a sweep, which several processes and hosts may share."""

import contextlib
import functools
import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from filelock import FileLock, Timeout
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from bcjax.runtime.errors import UserError
from bcjax.tune.grid import Grid, PointSampler
from bcjax.tune.objectives import Direction

SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}

# The resource of a trial is its number of evaluations.
PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1),
    "hyperband": optuna.pruners.HyperbandPruner,
}

RETRIES = "retries"  # the attribute of a trial that names the failed one whose values it has
_POINT = "point"  # the attribute of a trial that numbers its point of the grid
_HOME = "home"  # the attribute of a trial that names the folder whose processes train it
_SQLITE_PATIENCE_SECONDS = 60.0

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Claimed(NamedTuple):
    """A trial that this process alone trains."""

    trial: optuna.Trial
    workdir: Path


class Study:
    """The trials of a sweep, whose runs are written to one folder.

    Several processes may work in the folder, on one host or several. Hosts that share the storage
    but no folder each train, and resume, their own trials.
    """

    def __init__(
        self,
        out: Path,
        *,
        storage: str,
        directions: Sequence[Direction],
        sampler: str | Grid,
        pruner: str,
        seed: int,
        about: dict[str, Any],
        retry: bool = False,
    ):
        """Opens the study with the folder's name, or creates it.

        Args:
          out: The folder.
          storage: A database's URL; "": SQLite, in the folder.
          directions: Whether less or more of each objective is better.
          sampler: A key of `SAMPLERS`; or a grid, whose points are tried one by one.
          pruner: A key of `PRUNERS`.
          seed: The seed of the sampler.
          about: JSON values that must be the same when a sweep goes on.
          retry: Whether failed trials are tried again, each as a new trial with the same values. If
            all have failed, the study begins anew, with whatever `about`; what the failed trials
            have left is moved to `OUT/failed/`.

        Raises:
          UserError: If the database cannot be opened, or holds another sweep by that name.
        """
        self.out = out.absolute()
        self._sampler, self._seed = sampler, seed
        self._lock = FileLock(self.out / ".study.lock")
        self.out.mkdir(parents=True, exist_ok=True)
        url = storage or f"sqlite:///{self.out / 'study.db'}"
        patience = {"connect_args": {"timeout": _SQLITE_PATIENCE_SECONDS}}
        with self._lock:
            try:
                storage_ = RDBStorage(url, patience if url.startswith("sqlite") else None)
                create = functools.partial(
                    optuna.create_study,
                    storage=storage_,
                    study_name=self.out.name,
                    directions=directions,
                    pruner=PRUNERS[pruner](),
                    load_if_exists=True,
                )
                self.optuna = create()
                if retry and self._all_failed():
                    self._move_aside()
                    optuna.delete_study(study_name=self.out.name, storage=storage_)
                    self.optuna = create()
            except (SQLAlchemyError, ImportError, optuna.exceptions.OptunaError) as error:
                reason = str(error).splitlines()[0].rstrip(".:")
                raise UserError(f"The study cannot be opened at {url} ({reason}).") from error
            self._check_same(about)
            if retry:
                self._try_again()
            home = self.out / ".home"
            if not home.exists():
                home.write_text(uuid.uuid4().hex)
            self._home = home.read_text()

    def _check_same(self, about: dict[str, Any]) -> None:
        about = json.loads(json.dumps(about))
        before = self.optuna.user_attrs.get("about")
        if before is None:
            self.optuna.set_user_attr("about", about)
            return
        before = {"grid": False, "target": ""} | before  # these came later
        different = []
        for key in about:
            if isinstance(about[key], dict):
                keys = sorted(k for k in about[key] if about[key][k] != before[key].get(k))
                different += [f"{key}.{k}" for k in keys]
            elif about[key] != before.get(key):
                different.append(key)
        if different:
            hint = ""
            if self._all_failed():
                hint = " All of its trials failed: with --retry these settings take its place."
            raise UserError(
                f"{self.out} holds another sweep, which differs in {', '.join(different)}: give "
                f"another --out, or the same settings to go on with it.{hint}"
            )

    def _all_failed(self) -> bool:
        trials = self.trials()
        return bool(trials) and all(trial.state == TrialState.FAIL for trial in trials)

    def _move_aside(self) -> None:
        """Moves the folders of all trials into `failed/`, under names that are free there."""
        for trial in self.trials():
            folder, aside = self.workdir(trial.number), self.out / "failed"
            names = (f"{folder.name}-{i}" if i else folder.name for i in itertools.count())
            if folder.exists():
                aside.mkdir(exist_ok=True)
                folder.rename(next(aside / name for name in names if not (aside / name).exists()))

    def _try_again(self) -> None:
        """Enqueues the values of each failed trial that was not tried again yet."""
        trials = self.trials()
        done = {trial.user_attrs.get(RETRIES) for trial in trials}
        for trial in trials:
            if trial.state == TrialState.FAIL and trial.number not in done:
                self.optuna.enqueue_trial(trial.params, user_attrs={RETRIES: trial.number})

    @contextlib.contextmanager
    def claim(self, budget: int) -> Iterator[Claimed | None]:
        """Claims a trial for as long as the context lasts: one whose process died, or a new one.

        Yields None if all trials of the budget are done or being trained.
        """
        with contextlib.ExitStack() as stack:
            with self._lock:
                claimed = self._orphan(stack) or self._begin(budget, stack)
            yield claimed

    def _orphan(self, stack: contextlib.ExitStack) -> Claimed | None:
        for frozen in self.trials():
            if (
                frozen.state == TrialState.RUNNING
                and frozen.user_attrs.get(_HOME) == self._home
                and self._hold(frozen.number, stack)
            ):
                self._sample_for(frozen.number, frozen.user_attrs.get(_POINT))
                # Optuna itself would start a killed trial anew; ours has checkpoints.
                trial = optuna.Trial(self.optuna, frozen._trial_id)
                return Claimed(trial, self.workdir(frozen.number))
        return None

    def _begin(self, budget: int, stack: contextlib.ExitStack) -> Claimed | None:
        trials = self.trials()
        number = len(trials)
        again = sum(RETRIES in trial.user_attrs for trial in trials)  # counted once, with the first
        waits = any(trial.state == TrialState.WAITING for trial in trials)
        if number - again >= budget and not waits:
            return None
        point = None
        if isinstance(self._sampler, Grid):
            point = sum(_POINT in trial.user_attrs for trial in trials)
        self._sample_for(number, point)
        trial = self.optuna.ask()
        self._hold(trial.number, stack)
        if point is not None and RETRIES not in trial.user_attrs:
            trial.set_user_attr(_POINT, point)
        trial.set_user_attr(_HOME, self._home)
        return Claimed(trial, self.workdir(trial.number))

    def _sample_for(self, number: int, point: int | None) -> None:
        # A new sampler for each trial, so that a sweep in one process tries the same values however
        # often it is interrupted.
        if isinstance(self._sampler, Grid):
            # What is tried again has its values already.
            values = {} if point is None else self._sampler.point(point)
            self.optuna.sampler = PointSampler(values)
            return
        self.optuna.sampler = SAMPLERS[self._sampler](seed=self._seed + number)

    def _hold(self, number: int, stack: contextlib.ExitStack) -> bool:
        """Locks a trial until this process ends; returns False if another process holds it."""
        self.workdir(number).mkdir(exist_ok=True)
        try:
            stack.enter_context(FileLock(self.workdir(number) / ".trial.lock", timeout=0))
        except Timeout:
            return False
        return True

    def workdir(self, number: int) -> Path:
        """Returns the folder of a trial's run."""
        return self.out / f"trial-{number:04}"

    def trials(self) -> list[FrozenTrial]:
        """Returns all trials as they are now, by number."""
        return self.optuna.get_trials(deepcopy=False)
