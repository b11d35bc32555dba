"""Weights & Biases, where `track.to` names it."""

from pathlib import Path

import numpy as np
import wandb
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.runtime.errors import UserError
from bcjax.training.loggers.logger import Logger


class WeightsAndBiases(Logger):
    """Metrics, pictures, histograms and files of one W&B run.

    W&B's environment variables apply, such as WANDB_MODE=offline (upload later with `wandb sync`).

    Attributes:
      id: The id of the run there.
    """

    def __init__(self, config: ConfigDict, id: str | None):
        """Starts a run, or goes on with run `id`.

        Raises:
          UserError: If W&B cannot be reached, or nobody is logged in.
        """
        workdir = Path(config.workdir).absolute()
        server = {"base_url": config.track.uri} if config.track.uri else {}
        try:
            self._run = wandb.init(
                project=config.track.project,
                name=workdir.name,
                id=id,
                resume="allow",
                dir=workdir,
                config=configs.flatten(config),
                settings=wandb.Settings(silent=True, **server),
            )
        except wandb.Error as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UserError(
                f"Weights & Biases cannot be written to ({reason}): run wandb login, set "
                "WANDB_MODE=offline, or leave wandb out of config.track.to."
            ) from error
        self.id = self._run.id

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def image(self, step: int, name: str, picture: UInt8[np.ndarray, "H W 3"]) -> None:
        self._run.log({name: wandb.Image(picture)}, step=step)

    def histogram(self, step: int, name: str, values: Float[np.ndarray, "..."]) -> None:
        histogram = wandb.Histogram(np_histogram=np.histogram(values.astype(np.float64), 30))
        self._run.log({name: histogram}, step=step)

    def artifact(self, path: Path) -> None:
        self._run.save(path, base_path=path.parent, policy="now")

    def close(self) -> None:
        self._run.finish()
