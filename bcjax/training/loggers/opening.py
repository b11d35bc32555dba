"""Opens the loggers that a config asks for."""

import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from bcjax.runtime import extras, files
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir
from bcjax.runtime.training_sessions import Changes
from bcjax.training.loggers.logger import BackgroundLogger, Logger
from bcjax.training.loggers.metrics_file import JsonLines
from bcjax.training.loggers.sessions import SessionLog
from bcjax.training.loggers.tensorboard import TensorBoard

_CLASSES = {"mlflow": "MLflow", "wandb": "WeightsAndBiases"}
# What an address may begin with, before "://" and perhaps a "+driver". MLflow's plugins add more.
_SCHEMES = {
    "mlflow": ("file", "http", "https", "databricks", "sqlite", "mysql", "postgresql", "mssql"),
    "wandb": ("http", "https"),
}


def check(track: ConfigDict) -> None:
    """Checks, before anything is written, that the trackers in `track.to` can be opened.

    Raises:
      UserError: If one is not installed, or `track.uri` is no address that it has.
    """
    for name in track.to:
        extras.check(name, "config.track.to")
        scheme, found, _ = (track.uri or "").partition("://")
        plugins = importlib.metadata.entry_points(group=f"{name}.tracking_store").names
        known = (*_SCHEMES[name], *plugins)
        if found and scheme.partition("+")[0] not in known and scheme not in known:
            raise UserError(
                f"config.track.uri is {track.uri!r}, which {_CLASSES[name]} does not know: begin "
                f"it with {', '.join(f'{each}://' for each in known)}."
            )


def open_loggers(config: ConfigDict, step: int, changes: Changes | None = None) -> list[Logger]:
    """Opens the loggers of a run that starts, or goes on, at `step`.

    Args:
      config: The resolved config of the run.
      step: Steps taken.
      changes: The settings that change there.

    Raises:
      UserError: If a tracker cannot be reached.
    """
    workdir = Path(config.workdir)
    # At once: a kill must not lose the lines of these two.
    files = [JsonLines(workdir, step), SessionLog(config, step, changes)]
    return [*files, BackgroundLogger([TensorBoard(workdir, step), *_trackers(config)])]


def archive(config: ConfigDict) -> None:
    """Uploads the config, evaluations and reports of a finished run to its trackers.

    Raises:
      UserError: If a tracker cannot be reached.
    """
    run_dir = RunDir(config.workdir)
    paths = [run_dir.config, *run_dir.evaluations()]
    paths += [path for path in (run_dir.report, run_dir.card) if path.exists()]
    for tracker in _trackers(config):
        for path in paths:
            tracker.artifact(path)
        tracker.close()


def _trackers(config: ConfigDict) -> Sequence[Logger]:
    """Opens the trackers; a resumed run goes on as the same run there."""
    page = RunDir(config.workdir).trackers
    ids = json.loads(page.read_text()) if page.exists() else {}
    opened = []
    for name in config.track.to:
        # Imported here, since each takes seconds.
        tracker = getattr(importlib.import_module(f"bcjax.training.loggers.{name}"), _CLASSES[name])
        opened.append(tracker(config, ids.get(name)))
        ids[name] = opened[-1].id
    if opened:
        files.write_json(page, ids)
    return opened
