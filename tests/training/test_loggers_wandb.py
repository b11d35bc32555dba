"""Weights & Biases, in its offline mode."""

import json

import numpy as np
import pytest

from bcjax import config as configs
from bcjax.training import loggers

pytest.importorskip("wandb")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = configs.default()
    config.workdir = str(tmp_path / "a_run")
    config.track.to = ("wandb",)
    (tmp_path / "a_run").mkdir()
    configs.save(config, tmp_path / "a_run" / "config.json")
    return config


def test_a_run_is_written_offline_and_goes_on_by_its_id(config, tmp_path):
    workdir = tmp_path / "a_run"
    ids = []
    for step in (1, 2):
        (*_, tracker) = loggers.open_loggers(config, step - 1)
        tracker.scalars(step, {"train/loss": 0.5})
        tracker.image(step, "val/confusion", np.zeros((4, 4, 3), np.uint8))
        tracker.histogram(step, "parameters/head", np.arange(5.0))
        tracker.artifact(workdir / "config.json")
        tracker.close()
        ids.append(json.loads((workdir / "trackers.json").read_text())["wandb"])
    assert ids[0] == ids[1]
    runs = sorted((workdir / "wandb").glob(f"offline-run-*-{ids[0]}"))
    assert runs
    assert all(list(run.glob("*.wandb")) for run in runs)
    assert list((workdir / "wandb").rglob("media/images/**/*.png"))
    assert any((run / "files" / "config.json").exists() for run in runs)
