"""MLflow for real, with its SQLite store."""

import json

import numpy as np
import pytest
from commandline import ROOT

from bcjax import config as configs
from bcjax import models
from bcjax.runtime.errors import UserError
from bcjax.training import loggers
from bcjax.training.loggers.mlflow import MLflow

pytest.importorskip("mlflow")

CONFIG = f"--config={ROOT / 'tests' / 'support' / 'quick_config.py'}"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The URI of an empty store, which takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'store.db'}"


@pytest.fixture
def config(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where MLflow puts the files of an experiment
    config = configs.default()
    config.workdir = str(tmp_path / "a_run")
    config.track.update({"to": ("mlflow",), "project": tmp_path.name, "uri": store})
    (tmp_path / "a_run").mkdir()
    configs.save(config, tmp_path / "a_run" / "config.json")
    return config


def client(store):
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store)


def found(store, config):
    """The one run of the experiment."""
    (run,) = client(store).search_runs(
        [client(store).get_experiment_by_name(config.track.project).experiment_id]
    )
    return run


def history(store, config, name):
    id = found(store, config).info.run_id
    return [(m.step, m.value) for m in client(store).get_metric_history(id, name)]


def write(config, *steps, at=0):
    outputs = loggers.open_loggers(config, at)
    for step in steps:
        for output in outputs:
            output.scalars(step, {"train/loss": step / 4})
            output.image(step, "val/confusion", np.zeros((4, 4, 3), np.uint8))
            output.histogram(step, "parameters/head", np.zeros(3))
    for output in outputs:
        output.close()


def test_metrics_settings_pictures_and_files_are_taken(config, store, tmp_path):
    write(config, 1, 2)
    (tmp_path / "a_run" / "eval").mkdir()
    (tmp_path / "a_run" / "eval" / "test.json").write_text("{}")
    (tmp_path / "a_run" / "report.html").write_text("a page")
    loggers.archive(config)
    run = found(store, config)
    assert run.info.run_name == "a_run"
    assert run.info.status == "FINISHED"
    assert history(store, config, "train/loss") == [(1, 0.25), (2, 0.5)]
    assert run.data.params["optim.lr"] == "0.001"
    assert len(run.data.params) == len(configs.flatten(config))
    files = {file.path for file in client(store).list_artifacts(run.info.run_id)}
    assert files == {"images", "config.json", "test.json", "report.html"}


def test_a_resumed_run_goes_on_in_the_same_one(config, store):
    write(config, 1, 2)
    write(config, 3, at=2)
    assert history(store, config, "train/loss") == [(1, 0.25), (2, 0.5), (3, 0.75)]


def test_a_store_that_cannot_be_reached_is_said_before_training(config):
    config.track.uri = "nosuch://store"
    with pytest.raises(UserError, match=r"nosuch://store', which MLflow does not know: .*https://"):
        loggers.check(config.track)
    with pytest.raises(UserError, match=r"nosuch://store"):
        loggers.open_loggers(config, 0)
    for uri in (None, "runs/mlflow", "file:///a", "https://a.b:5000", "mysql+pymysql://u@h/db"):
        config.track.uri = uri
        loggers.check(config.track)


def test_training_goes_on_where_the_store_fails(config, store, caplog):
    tracker = MLflow(config, None)
    tracker.id = "no such run"
    tracker.scalars(1, {"train/loss": 0.5})
    tracker.close()
    assert "MLflow did not take step 1" in caplog.text


def test_training_tells_mlflow(bcjax, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workdir = tmp_path / "trained"
    track = ("--config.track.to=('mlflow',)", f"--config.track.uri={store}")
    flags = (*track, "--config.track.project=trained", "--config.eval.report=false")
    ran = bcjax("train", CONFIG, *flags, f"--workdir={workdir}")
    models.MODELS.pop("quick")
    assert ran.status == 0, ran.err
    config = configs.load(workdir)
    id = json.loads((workdir / "trackers.json").read_text())["mlflow"]
    assert found(store, config).info.run_id == id
    assert [step for step, _ in history(store, config, "val/accuracy")] == [2, 4, 6]
    assert {"config.json", "test.json", "images"} <= {
        file.path for file in client(store).list_artifacts(id)
    }
