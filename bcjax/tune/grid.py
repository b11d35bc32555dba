"""A grid: all combinations of some values, each tried once."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True)
class Grid:
    """All combinations of the values of some parameters.

    Attributes:
      values: The values of each parameter, by its name in the study.
    """

    values: Mapping[str, Sequence[Any]]

    @property
    def count(self) -> int:
        """The number of combinations."""
        return math.prod(len(values) for values in self.values.values())

    def point(self, number: int) -> dict[str, Any]:
        """Returns a combination, each for one number from 0 to `count` - 1.

        Combinations of neighbouring numbers lie far apart, so that the first few already say
        something of the whole grid.
        """
        step = next(
            step
            for step in range(max(1, round(_GOLDEN * self.count)), 2 * self.count + 1)
            if math.gcd(step, self.count) == 1
        )
        place = number * step % self.count
        point = {}
        for name, values in self.values.items():
            place, at = divmod(place, len(values))
            point[name] = values[at]
        return point


class PointSampler(optuna.samplers.BaseSampler):
    """Gives a trial the values of one point of a grid."""

    def __init__(self, point: Mapping[str, Any]):
        self._point = point

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns nothing: all values are given one by one."""
        return {}

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Returns nothing, likewise."""
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Returns the point's value of a parameter."""
        return self._point[param_name]
