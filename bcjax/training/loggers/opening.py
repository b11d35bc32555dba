"""Which writers a run has, by its config."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from bcjax.runtime import extras, files
from bcjax.runtime.run_dir import RunDir
from bcjax.training.loggers.background import InBackground
from bcjax.training.loggers.jsonl import JsonLines
from bcjax.training.loggers.sessions import Session
from bcjax.training.loggers.tensorboard import TensorBoard
from bcjax.training.loggers.writer import Writer

_CLASSES = {"mlflow": "MLflow", "wandb": "WeightsAndBiases"}


def check(track: ConfigDict) -> None:
    """Refuses a tracker that is not installed, before anything is written.

    Raises:
      UserError: Naming what to install.
    """
    for name in track.to:
        extras.check(name, "config.track.to")


def open_writers(config: ConfigDict, step: int) -> list[Writer]:
    """Opens all that takes what a run has to tell, when it starts, or goes on, at `step`.

    Raises:
      UserError: If a tracker cannot be reached.
    """
    workdir = Path(config.workdir)
    files = [JsonLines(workdir, step), Session(config, step)]  # what a kill must not lose
    return [*files, InBackground([TensorBoard(workdir, step), *_trackers(config)])]


def archive(config: ConfigDict) -> None:
    """Hands what a finished run has written for people to its trackers.

    Raises:
      UserError: If a tracker cannot be reached.
    """
    run_dir = RunDir(config.workdir)
    found = [run_dir.config, *run_dir.evaluations()]
    found += [path for path in (run_dir.report, run_dir.card) if path.exists()]
    for tracker in _trackers(config):
        for path in found:
            tracker.keep(path)
        tracker.close()


def _trackers(config: ConfigDict) -> Sequence[Writer]:
    """Opens the trackers; a run that was there before goes on as the same one there."""
    page = RunDir(config.workdir).trackers
    ids = json.loads(page.read_text()) if page.exists() else {}
    opened = []
    for name in config.track.to:
        # Only here, for each takes seconds to import.
        tracker = getattr(importlib.import_module(f"bcjax.training.loggers.{name}"), _CLASSES[name])
        opened.append(tracker(config, ids.get(name)))
        ids[name] = opened[-1].id
    if opened:
        files.write_json(page, ids)
    return opened
