"""The space of a sweep: which values of which keys it tries, from a mapping or a file.

A YAML file has a line for each key: a range, or a list of values.

    optim.lr: {low: 1e-4, high: 1e-2, log: true}
    train.batch_size: [32, 64]
    model.name: [elu_cnn, resnet18]

A mapping in Python holds the same. A Python file has a function of an Optuna trial, so that one key
may depend on another:

    def space(trial):
        return {"optim.lr": trial.suggest_float("optim.lr", 1e-4, 1e-2, log=True)}
"""

import json
import runpy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import optuna
from ml_collections import ConfigDict
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from bcjax import config as configs
from bcjax.data.prepared import PreparedSet
from bcjax.runtime import files
from bcjax.runtime.errors import UserError
from bcjax.tune.trials import Changes, changed, check, check_tunable, pictures_of, read_page

SpaceSource: TypeAlias = str | Path | Mapping[str, Any]

_DRAWS = 20  # samples of a Python space that are checked before the first trial


class Space:
    """A function of an Optuna trial that returns changes to the config.

    Attributes:
      text: The text of the file, or the mapping as JSON, by which a sweep that goes on recognises
        the same space.
    """

    def __init__(self, source: SpaceSource):
        """Reads the space.

        Args:
          source: A file, or what a YAML file would hold.

        Raises:
          UserError: If it cannot be read or describes no space.
        """
        self._function: Callable[[optuna.Trial], Changes] | None = None
        self._listed: dict[str, BaseDistribution] = {}
        self._name = "The space" if isinstance(source, Mapping) else str(source)
        if not isinstance(source, Mapping) and Path(source).exists():
            files.check_regular(Path(source))
        if not isinstance(source, Mapping) and Path(source).suffix == ".py":
            self._function = _function(Path(source))
        else:
            page = read_page(source, "a space, such as optim.lr: {low: 1e-4, high: 1e-2}")
            self._listed = {key: _distribution(self._name, key, page[key]) for key in page}
        if isinstance(source, Mapping):
            self.text = json.dumps(source, default=list)
        else:
            self.text = Path(source).read_text()

    def __call__(self, trial: optuna.Trial) -> Changes:
        """Returns the changes of a trial, the same ones whenever it is called with that trial.

        Raises:
          UserError: If the function in the file fails.
        """
        if self._function is None:
            return {key: self._suggest(trial, key) for key in self._listed}
        try:
            changes = self._function(trial)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise UserError(f"space(trial) in {self._name} fails ({reason}): mend it.") from error
        if not isinstance(changes, dict):
            raise UserError(
                f"space(trial) in {self._name} returns {changes!r}: let it return a dict of config "
                "keys and values."
            )
        return changes

    def _suggest(self, trial: optuna.Trial, key: str) -> Any:
        match self._listed[key]:
            case CategoricalDistribution(choices=choices):
                return _read(key, trial.suggest_categorical(key, choices))
            case FloatDistribution() as d:
                return trial.suggest_float(key, d.low, d.high, step=d.step, log=d.log)
            case IntDistribution() as d:
                return trial.suggest_int(key, d.low, d.high, step=d.step, log=d.log)

    def check(self, config: ConfigDict, prepared: PreparedSet | None = None) -> None:
        """Checks that training accepts the values of the space.

        Of a YAML file each value and each end of a range is tried, with the first of every other
        key; of a Python file some random draws.

        Args:
          config: The config of all trials, apart from what the space changes.
          prepared: The pictures that it describes; None: what depends on them is not checked.

        Raises:
          UserError: If a value is not possible, or a key cannot be tuned; the sentence names it.
        """
        ends = list(self._ends() if self._function is None else self._draws())
        first: dict[str, Any] = {}
        if self._function is None:
            for end in ends:
                first = {**end, **first}
        for end in ends:
            for key in end:
                check_tunable(key, self._name)
            trial = changed(config, {**first, **end})
            check(trial, prepared and pictures_of(trial, config, prepared))

    def _ends(self) -> Iterator[Changes]:
        for key, distribution in self._listed.items():
            if isinstance(distribution, CategoricalDistribution):
                yield from ({key: _read(key, choice)} for choice in distribution.choices)
            elif isinstance(distribution, FloatDistribution | IntDistribution):
                yield from ({key: end} for end in (distribution.low, distribution.high))

    def _draws(self) -> Iterator[Changes]:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(_DRAWS):
            yield self(study.ask())


def _function(path: Path) -> Callable[[optuna.Trial], Changes]:
    try:
        names = runpy.run_path(str(path))
    except FileNotFoundError as error:
        raise UserError(f"There is no space {path}: write one, in YAML or Python.") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"The space {path} does not run ({reason}): mend it.") from error
    if not callable(names.get("space")):
        raise UserError(f"{path} has no function space(trial): define it.")
    return names["space"]


def _distribution(space: str, key: str, written: Any) -> BaseDistribution:
    """Returns the distribution that a line of YAML describes."""
    where = f"{space}: {key}"
    if isinstance(written, list | tuple) and written:
        values = [_value(key, value) for value in written]
        # Optuna's storage takes no lists, but it takes their JSON.
        return CategoricalDistribution([json.dumps(v) if _as_json(key) else v for v in values])
    if not isinstance(written, dict) or not {"low", "high"} <= set(written):
        raise UserError(f"{where} is {written!r}: write a list of values, or {{low: A, high: B}}.")
    unknown = set(written) - {"low", "high", "log", "step"}
    if unknown:
        raise UserError(
            f"{where} has {sorted(unknown)[0]!r}: a range has low, high, and log or step."
        )
    low, high = _value(key, written["low"]), _value(key, written["high"])
    if isinstance(low, bool) or not isinstance(low, int | float):
        raise UserError(f"{where} is no number: list its values instead of a range.")
    kind: Any = IntDistribution if isinstance(low, int) else FloatDistribution
    step = {"step": configs.convert(key, written["step"])} if "step" in written else {}
    if step and not step["step"] > 0:  # nor is NaN
        raise UserError(f"{where} has the step {written['step']!r}: write what is more than 0.")
    try:
        return kind(low, high, log=bool(written.get("log", False)), **step)
    except ValueError as error:
        raise UserError(f"{where} is no range ({str(error).rstrip('.')}): mend it.") from error


def _value(key: str, written: Any) -> Any:
    """Returns a value of a key, as YAML has it, if the key may have it."""
    value = configs.convert(key, written)
    configs.check_argument(f"config.{key}", value, like=key)
    return value


def _read(key: str, choice: Any) -> Any:
    """Returns the value behind a choice of a categorical distribution."""
    return json.loads(choice) if _as_json(key) and isinstance(choice, str) else choice


def _as_json(key: str) -> bool:
    return configs.KEYS[key].kind.item is not None
