"""examples/my_cells, a package that extends bcjax: trained, evaluated and used from outside."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commandline import run_bcjax
from places import ROOT
from registered import tables_restored

import bcjax
from bcjax import augment, config, metrics, register
from bcjax.metrics import names
from bcjax.runtime import plugins
from bcjax.runtime.errors import UserError

PACKAGE = ROOT / "examples" / "my_cells"
SMALL = (
    "--config.data.synthetic_images=80",
    "--config.train.batch_size=8",
    "--config.train.length=4 steps",
    "--config.eval.every=2 steps",
    "--config.eval.resamples=20",
    "--config.eval.report=false",
)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, tables_restored():
        folder = tmp_path_factory.mktemp("package")
        shutil.copytree(PACKAGE, folder, dirs_exist_ok=True)
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        yield


@pytest.fixture(scope="module")
def workdir(here, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("extension") / "tiny_net"
    ran = run_bcjax("train", "--config=tiny_net.py", f"--workdir={workdir}", *SMALL)
    assert ran.status == 0, ran.err
    return workdir


def test_it_trains_on_the_command_line_and_the_run_remembers_the_modules(workdir):
    saved = json.loads((workdir / "config.json").read_text())
    assert saved["imports"] == ["my_cells.networks", "my_cells.training"]
    assert saved["model"]["mean"] == [0.5, 0.5, 0.5]


def test_the_digest_that_processes_compare_follows_all_of_its_source(workdir):
    modules = ("my_cells.networks", "my_cells.training")
    plugins.load(modules)
    before = plugins.code_digests(modules)
    assert list(before) == ["my_cells"]
    path = Path("my_cells/added.py")
    path.write_text("x = 1\n")
    assert plugins.code_digests(modules) != before
    path.unlink()
    assert plugins.code_digests(modules) == before


def test_the_digest_of_a_module_without_a_package_follows_its_file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "cells_alone.py").write_text("x = 1\n")
    plugins.load(["cells_alone"])
    before = plugins.code_digests(["cells_alone"])
    (tmp_path / "beside.py").write_text("x = 1\n")
    assert plugins.code_digests(["cells_alone"]) == before
    (tmp_path / "cells_alone.py").write_text("x = 2\n")
    assert plugins.code_digests(["cells_alone"]) != before


def test_its_callback_is_called_after_each_evaluation(workdir):
    lines = Path("evaluations.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["2", "4"]


def test_a_callback_that_nobody_has_registered_is_refused(here):
    changes = {"imports": ("my_cells.training",), "train.callbacks": ("write_lime",)}
    with pytest.raises(UserError, match="'write_lime', which is not registered: did you mean"):
        bcjax.train(bcjax.get_config("tiny_net.py", changes))


def test_its_metric_is_in_every_evaluation_with_an_interval(workdir):
    ran = run_bcjax("evaluate", f"--workdir={workdir}", "--split=val")
    assert ran.status == 0, ran.err
    metric = json.loads((workdir / "eval" / "val.json").read_text())["metrics"]["worst_recall"]
    if metric["value"] == 0:  # on every resample, too
        assert metric["interval"] is None
    else:
        assert metric["interval"] == "bootstrap"
        assert 0 <= metric["low"] <= metric["value"] <= metric["high"] <= 1


def test_its_network_answers_from_python_and_on_the_command_line(workdir, tmp_path, snapshots):
    net = bcjax.load(workdir)
    assert type(net.model).__name__ == "TinyNet"
    predictions = net.predict(snapshots(tmp_path / "cells"))
    assert net.embed(tmp_path / "cells").features.shape == (40, 16)
    ran = run_bcjax("predict", f"--workdir={workdir}", "--json", tmp_path / "cells")
    assert [row["label"] for row in json.loads(ran.out)] == list(predictions.labels)
    assert net.explain(next((tmp_path / "cells").rglob("*.jpg"))).maps["grad-cam"].shape == (32, 32)


def test_once_the_module_is_gone_a_sentence_says_so(workdir, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_cells"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if "package" not in path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"'my_cells.networks', which is not there: install it"):
        bcjax.load(workdir)
    ran = run_bcjax("evaluate", f"--workdir={workdir}")
    assert ran.status == 2
    assert "my_cells.networks" in ran.err


def test_a_config_of_python_takes_its_network_by_name(here):
    made = bcjax.get_config("tiny_net", {"imports": ("my_cells.networks",)})
    assert made.model.name == "tiny_net"


# Registering.


@pytest.fixture
def tables():
    with tables_restored():
        yield


@pytest.mark.parametrize(
    ("decorator", "kind"),
    [
        (lambda: register.network("resnet18"), "a network 'resnet18'"),
        (
            lambda: register.augmentation("rotate", augment.Argument(1, 0, 1)),
            "augmentation 'rotate'",
        ),
        (lambda: register.optimizer("adamw"), "an optimizer 'adamw'"),
        (lambda: register.schedule("cosine"), "a schedule 'cosine'"),
        (lambda: register.loss("focal"), "a loss 'focal'"),
        (lambda: register.metric("accuracy"), "a metric 'accuracy'"),
        (lambda: register.source("synthetic"), "a source called 'synthetic'"),
    ],
    ids=["network", "augmentation", "optimizer", "schedule", "loss", "metric", "source"],
)
def test_a_name_that_bcjax_has_is_refused(decorator, kind):
    with pytest.raises(UserError, match=f"{kind}.* choose another name"):
        decorator()(lambda *arguments: None)


def test_a_cell_of_a_notebook_can_be_run_again(tables):
    for value in (1.0, 2.0):
        register.metric("own")(lambda probabilities, labels, value=value: value)
        register.augmentation("own", augment.Argument(1, 0, 1))(lambda key, image, strength: image)
        register.network("own")(lambda classes, dtype: None)
        register.optimizer("own")(lambda config: None)
    assert metrics.measure(np.eye(2), np.arange(2), "ab", resamples=0).values["own"] == 2.0
    assert "own" in config.KEYS["checkpoint.best"].choices


def test_a_metric_says_which_way_is_better(tables):
    register.metric("error", higher_is_better=False)(lambda probabilities, labels: 0.0)
    assert names.sign("error") == -1
