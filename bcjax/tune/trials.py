"""The trials of a sweep or an ablation: ordinary runs of a changed config, judged on val."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import yaml
from ml_collections import ConfigDict
from rich.console import Console

from bcjax import config as configs
from bcjax.augment import policy
from bcjax.data.preparation import prepare
from bcjax.data.prepared import PreparedSet
from bcjax.engine import network
from bcjax.engine import optimizer as optimizers
from bcjax.runtime import files
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError, disk_fault
from bcjax.runtime.run_dir import RunDir
from bcjax.training.loop import OnEvaluation, Outcome, train
from bcjax.training.run import check as check_run

Changes = Mapping[str, Any]  # values by the key of the config: {"optim.lr": 3e-4}

_SUFFIXES = ("", ".yaml", ".py")  # of a space or of switches in configs/
_LONG = 1 << 30  # steps: so that no schedule is refused for being longer than the run


def changed(config: ConfigDict, changes: Changes) -> ConfigDict:
    """Returns a copy of a config with other values of some keys.

    Raises:
      UserError: If a key is unknown or a value is out of its range.
    """
    return configs.check(configs.replaced(config, changes))


def check_tunable(key: str, where: str) -> None:
    """Checks that runs which differ in a key can be compared.

    Args:
      key: A key of the config.
      where: What names it, as the beginning of the message.

    Raises:
      UserError: If it changes no result, or what a run is judged by.
    """
    known = configs.KEYS.get(key)  # an unknown one is refused elsewhere, with the nearest
    if known and known.why_not_tuned:
        raise UserError(
            f"{where}: config.{key} cannot be tuned, for {known.why_not_tuned}: leave it out, or "
            f"give all runs one value with --config.{key}."
        )


def pictures_of(config: ConfigDict, base: ConfigDict, prepared: PreparedSet) -> PreparedSet:
    """Returns the pictures of a trial.

    Args:
      config: The config of the trial.
      base: The config of all trials, apart from what is tried.
      prepared: The pictures of `base`.
    """
    return prepared if config.data == base.data else prepare(config.data)


def check(config: ConfigDict, prepared: PreparedSet | None = None) -> ConfigDict:
    """Checks everything that training checks before it begins, but for what its devices decide.

    Args:
      config: The config of a trial.
      prepared: Its pictures; None: what depends on them is not checked.

    Raises:
      UserError: If the augmentation, the optimizer, the network, or what there is to read for them
        is not possible.
    """
    if config.train.members > 1:
        raise UserError(
            f"config.train.members is {config.train.members}: leave it at 1, for each trial is one "
            "run."
        )
    policy.build(config.augment.ops)
    if prepared is not None:
        check_run(config, prepared)
        return config
    optimizers.create(config.optim, total_steps=_LONG, warmup_steps=0)
    network.build(config, classes=2)
    return config


def shipped(source: str | Path) -> Path:
    """Returns a file that a user names: its path, or that of one in configs/, by its name there."""
    path = files.user_path(source)
    return path if path.exists() else configs.find(path.as_posix(), _SUFFIXES) or path


def read_page(source: str | Path | Mapping[str, Any], holding: str) -> dict[str, Any]:
    """Reads a YAML file with one entry or more; a mapping is taken as it is.

    Args:
      source: The file, or what it would hold.
      holding: What it should hold, for the error message.

    Raises:
      UserError: If there is no such file, or it holds something else.
    """
    page: Any = source
    if not isinstance(source, Mapping):
        path = files.user_path(source)
        try:
            files.check_regular(path)
            page = yaml.safe_load(path.read_text())
        except files.NotAFileError:
            raise
        except OSError as error:
            raise UserError(f"There is no file {path}: write {holding} to it.") from error
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path} is no YAML ({reason}): mend it.") from error
    if not isinstance(page, Mapping) or not page:
        where = "The mapping" if isinstance(source, Mapping) else source
        raise UserError(f"{where} names nothing: write {holding}, a line for each.")
    return dict(page)


def read_python(path: Path, what: str, function: str) -> Any:
    """Runs a Python file and returns what it defines under a name.

    Args:
      path: The file.
      what: What it is, such as "space", for the error message.
      function: The name, written as a call, such as "space(trial)".

    Raises:
      UserError: If there is no such file, it does not run, or does not define the name.
    """
    try:
        files.check_regular(path)
        names = runpy.run_path(str(path))
    except files.NotAFileError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"There is no {what} {path}: write one, in YAML or Python.") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"The {what} {path} does not run ({reason}): mend it.") from error
    defined = names.get(function.partition("(")[0])
    if defined is None:
        raise UserError(f"{path} has no function {function}: define it.")
    return defined


def judged_on_watched(config: ConfigDict, metric: str) -> ConfigDict:
    """Returns a config whose final evaluation is on the watched split, by a metric.

    The test split stays unseen: a run that was chosen by it could not be tested with it any more.
    """
    return configs.replaced(
        config, {"checkpoint.best": metric, "eval.final_split": config.eval.split}
    )


def check_alone(config: ConfigDict) -> None:
    """Checks that this process is not one of several of a JAX job.

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
    """Trains, or goes on training, a config in a folder; its console output goes to a log there.

    Raises:
      UserError: As `train` does.
    """
    config = configs.replaced(config, {"workdir": str(workdir)})
    workdir.mkdir(parents=True, exist_ok=True)
    log = RunDir(workdir).log
    with files.named_in_faults(log), log.open("a") as file:
        return train(config, Console(file=file, width=120), on_evaluation)


def failure(error: Exception) -> str:
    """Returns why a run failed if its settings are the reason; "": the program or a disk failed."""
    if disk_fault(error):
        return ""
    if isinstance(error, UserError) or "RESOURCE_EXHAUSTED" in str(error):
        return str(error).partition("\n")[0]
    return ""
