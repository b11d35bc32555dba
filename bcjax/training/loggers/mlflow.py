"""MLflow, where `track.to` names it."""

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from bcjax import config as configs
from bcjax.runtime.errors import UserError
from bcjax.training.loggers.logger import Logger

log = logging.getLogger("bcjax")

_AT_ONCE = 100  # parameters that MLflow takes in one request


class MLflow(Logger):
    """Metrics, pictures and files of one MLflow run, by the experiment `track.project`.

    Attributes:
      id: The id of the run there.
    """

    def __init__(self, config: ConfigDict, id: str | None):
        """Starts a run with the config as its parameters, or goes on with run `id`.

        Raises:
          UserError: If the tracking store cannot be reached.
        """
        try:
            # "": as MLflow's own environment variables say.
            self._client = MlflowClient(tracking_uri=config.track.uri)
            self.id = id or self._begin(config)
            self._client.update_run(self.id, status="RUNNING")
        except MlflowException as error:
            raise UserError(
                f"MLflow cannot be written to ({_first_line(error)}): mend config.track.uri, which "
                f"is {config.track.uri!r}, or leave mlflow out of config.track.to."
            ) from error

    def _begin(self, config: ConfigDict) -> str:
        known = self._client.get_experiment_by_name(config.track.project)
        experiment = known.experiment_id if known else None
        if experiment is None:
            experiment = self._client.create_experiment(config.track.project)
        name = Path(config.workdir).absolute().name
        id = self._client.create_run(experiment, run_name=name).info.run_id
        leaves = [Param(key, str(value)) for key, value in configs.flatten(config).items()]
        for start in range(0, len(leaves), _AT_ONCE):
            self._client.log_batch(id, params=leaves[start : start + _AT_ONCE])
        return id

    def scalars(self, step: int, values: dict[str, float]) -> None:
        now = int(1000 * time.time())
        with _warn_only(f"step {step}"):
            metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
            self._client.log_batch(self.id, metrics=metrics)

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        with _warn_only(name):
            self._client.log_image(self.id, picture, key=name, step=step)

    def artifact(self, path: Path) -> None:
        with _warn_only(str(path)):
            self._client.log_artifact(self.id, str(path))

    def close(self) -> None:
        with _warn_only("the end"):
            self._client.set_terminated(self.id)


@contextlib.contextmanager
def _warn_only(what: str) -> Iterator[None]:
    """Turns a failure into a warning: training goes on, and its own files hold the same."""
    try:
        yield
    except MlflowException as error:
        log.warning("MLflow did not take %s: %s", what, _first_line(error))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")
