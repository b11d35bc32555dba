"""The space of a sweep: which values of which keys it tries, from a mapping or a file.

A YAML file has a line for each key: a range, or a list of values.

    optim.lr: {low: 1e-4, high: 1e-2, log: true}
    train.batch_size: [32, 64]
    model.name: [elu_cnn, resnet18]

A line that is no key names settings of which each changes several keys.

    network:
      small: {model.name: mobilenet_v1_025, data.image_size: 96}
      large: {model.name: mobilenet_v2_100, data.image_size: 160}

A mapping in Python holds the same. A Python file has a function of an Optuna trial, so that one key
may depend on another:

    def space(trial):
        return {"optim.lr": trial.suggest_float("optim.lr", 1e-4, 1e-2, log=True)}
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from bcjax.tune.grid import Grid
from bcjax.tune.trials import (
    Changes,
    changed,
    check,
    check_tunable,
    pictures_of,
    read_page,
    read_python,
    shipped,
)

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
          source: A file, or the name of one in configs/, or what a YAML file would hold.

        Raises:
          UserError: If it cannot be read or describes no space.
        """
        self._function: Callable[[optuna.Trial], Changes] | None = None
        self._listed: dict[str, BaseDistribution] = {}
        self._named: dict[str, dict[str, Changes]] = {}  # the settings of a line that is no key
        self._name = "The space" if isinstance(source, Mapping) else str(source)
        source = source if isinstance(source, Mapping) else shipped(source)
        if not isinstance(source, Mapping) and source.exists():
            files.check_regular(source)
        if not isinstance(source, Mapping) and source.suffix == ".py":
            self._function = _function(source)
        else:
            page = read_page(source, "a space, such as optim.lr: {low: 1e-4, high: 1e-2}")
            self._named = {
                line: _settings(f"{self._name}: {line}", written)
                for line, written in page.items()
                if _names_settings(line, written)
            }
            self._listed = {
                line: CategoricalDistribution(list(self._named[line]))
                if line in self._named
                else _distribution(self._name, line, written)
                for line, written in page.items()
            }
            self._check_apart()
        if isinstance(source, Mapping):
            self.text = json.dumps(source, default=list)
        else:
            self.text = source.read_text()

    def _check_apart(self) -> None:
        """Checks that no two lines change one key."""
        lines: dict[str, str] = {}
        for line in self._listed:
            settings = self._named.get(line, {"": {line: None}}).values()
            for key in dict.fromkeys(key for changes in settings for key in changes):
                if lines.setdefault(key, line) != line:
                    raise UserError(
                        f"{self._name}: {lines[key]} and {line} both change {key}: take it out of "
                        "one of them."
                    )

    def __call__(self, trial: optuna.Trial) -> Changes:
        """Returns the changes of a trial, the same ones whenever it is called with that trial.

        Raises:
          UserError: If the function in the file fails.
        """
        if self._function is None:
            return self._merged([self._suggest(trial, line) for line in self._listed])
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

    def _suggest(self, trial: optuna.Trial, line: str) -> Changes:
        match self._listed[line]:
            case CategoricalDistribution(choices=choices):
                return self._changes(line, trial.suggest_categorical(line, choices))
            case FloatDistribution() as d:
                return {line: trial.suggest_float(line, d.low, d.high, step=d.step, log=d.log)}
            case IntDistribution() as d:
                return {line: trial.suggest_int(line, d.low, d.high, step=d.step, log=d.log)}
            case _:
                raise AssertionError(line)

    def _changes(self, line: str, value: Any) -> Changes:
        """Returns what a value of a line changes."""
        if line in self._named:
            return self._named[line][value]
        return {line: _read(line, value)}

    @staticmethod
    def _merged(each: Sequence[Changes]) -> dict[str, Any]:
        return {key: value for changes in each for key, value in changes.items()}

    def grid(self) -> Grid:
        """Returns all combinations of the values.

        Raises:
          UserError: If they are not listed: the space is in Python, or a range has no steps.
        """
        if self._function is not None:
            raise UserError(
                f"A grid needs lists of values, and {self._name} is Python: write the space in "
                "YAML, or leave --sampler=grid out."
            )
        return Grid({line: _values(self._name, line, d) for line, d in self._listed.items()})

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
        for changes in self._draws() if self._function else self._ends():
            for key in changes:
                check_tunable(key, self._name)
            trial = changed(config, changes)
            check(trial, prepared and pictures_of(trial, config, prepared))

    def _ends(self) -> Iterator[Changes]:
        ends = {
            line: [self._changes(line, value) for value in _ends(distribution)]
            for line, distribution in self._listed.items()
        }
        for line, each in ends.items():
            others = [first for other, (first, *_) in ends.items() if other != line]
            yield from (self._merged([*others, end]) for end in each)

    def _draws(self) -> Iterator[Changes]:
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(_DRAWS):
            yield self(study.ask())


def _function(path: Path) -> Callable[[optuna.Trial], Changes]:
    function = read_python(path, "space", "space(trial)")
    if not callable(function):
        raise UserError(f"{path} has no function space(trial): define it.")
    return function


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


def _names_settings(line: str, written: Any) -> bool:
    """Whether a line of YAML is no key, and names settings that each change several keys."""
    return (
        str(line).isidentifier()
        and isinstance(written, Mapping)
        and bool(written)
        and all(isinstance(changes, Mapping) for changes in written.values())
    )


def _settings(where: str, written: Mapping[Any, Any]) -> dict[str, Changes]:
    """Returns the settings that a line of YAML names."""
    for name, changes in written.items():
        if not changes:
            raise UserError(f"{where} has {name}, which changes nothing: write a key and a value.")
    return {
        str(name): {key: _value(key, value) for key, value in changes.items()}
        for name, changes in written.items()
    }


def _ends(distribution: BaseDistribution) -> Sequence[Any]:
    """Returns what is listed, or both ends of a range."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return distribution.low, distribution.high


def _values(space: str, line: str, distribution: BaseDistribution) -> Sequence[Any]:
    """Returns all values of a line, for a grid."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices
        case IntDistribution(log=False) as d:
            return range(d.low, d.high + 1, d.step)
        case FloatDistribution(step=float(step)) as d:
            count = round((d.high - d.low) / step) + 1
            return [d.low + i * step for i in range(count)]
    raise UserError(
        f"{space}: {line} is a range without steps, which no grid can go through: add a step, such "
        "as {low: 0, high: 1, step: 0.25}, or list its values."
    )


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
