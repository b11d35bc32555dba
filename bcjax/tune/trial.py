"""One of many runs: an ordinary one, but judged on the split that is watched."""

from pathlib import Path

import jax
from ml_collections import ConfigDict
from rich.console import Console

from bcjax import config as configs
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.training.loop import OnEvaluation, Outcome, train


def judged_on_watched(config: ConfigDict, metric: str) -> ConfigDict:
    """Returns a config whose best checkpoint is the one by `metric`, and never sees another split.

    What is chosen among many runs by the test split could not be tested by it any more.
    """
    copy = config.copy_and_resolve_references()
    copy.checkpoint.best = metric
    copy.eval.final_split = copy.eval.split
    return copy


def check_alone(config: ConfigDict) -> None:
    """Refuses to be one of several processes of a JAX job.

    Raises:
      UserError: If it is.
    """
    meshes.initialize(config.mesh)
    if jax.process_count() > 1:
        raise UserError(
            "Each of many runs has one process: start this command outside of a job of several, "
            "for a sweep on each host by itself, with the same --storage or a common --out."
        )


def run(
    config: ConfigDict, workdir: Path, on_evaluation: OnEvaluation = lambda step, result: False
) -> Outcome:
    """Trains, or goes on training, the config in a folder, to whose log all is said.

    Raises:
      UserError: As `train` does.
    """
    config = configs.replaced(config, {"workdir": str(workdir)})
    workdir.mkdir(parents=True, exist_ok=True)
    with RunDir(workdir).log.open("a") as file:
        return train(config, Console(file=file, width=120), on_evaluation)


def failure(error: Exception) -> str:
    """Returns why a run failed for its settings' sake, while others may not; "" for a defect."""
    if isinstance(error, UserError) or "RESOURCE_EXHAUSTED" in str(error):
        return str(error).partition("\n")[0]
    return ""
