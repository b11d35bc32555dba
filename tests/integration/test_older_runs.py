"""What the version before wrote still opens: its runs, and its prepared sets."""

import json
import tarfile
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest
import quick_config
from commandline import run_bcjax
from flax import traverse_util
from places import SUPPORT

from bcjax import config as configs
from bcjax.data.prepared import PreparedSet
from bcjax.data.sources import synthetic
from bcjax.engine import network, weights
from bcjax.runtime import mesh as meshes

RUNS = ("one", "members", "phases")

# The flags with which they were trained.
QUICK = (
    f"--config={SUPPORT / 'quick_config.py'}",
    "--config.checkpoint.every=3 steps",
    "--config.checkpoint.keep=1",
    "--config.eval.report=false",
)
OWN = {
    "one": (),
    "members": ("--config.train.members=2",),
    "phases": ("--config.train.length=12 steps", "--config.finetune.first.length=4 steps"),
}


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The folder with what the version before wrote; the network is known, as in its process."""
    quick_config.get_config()
    with tarfile.open(SUPPORT / "written_by_0_1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


@pytest.mark.parametrize("run", RUNS)
def test_its_config_says_none_where_nothing_was_set_and_uses_the_new_names(older, run):
    config = configs.check(configs.load(older / run))
    model, leaves = config.model, configs.flatten(config)
    assert (model.dropout, model.hidden, model.norm, model.alpha) == (None,) * 4
    assert (config.mesh.process_id, config.data.threads, config.eval.batch_size) == (None,) * 3
    assert config.optim.final_lr_fraction == 0.0
    assert config.data.classes == synthetic.CLASSES
    assert leaves.keys() == configs.KEYS.keys()
    assert config.optim.correct_averages is False


def test_it_goes_on_with_the_averages_that_it_had(older):
    longer = ("--config.train.length=4 epochs", "--extend=stretch", f"--workdir={older / 'one'}")
    ran = run_bcjax("train", *QUICK, "--config.optim.correct_averages=true", *longer)
    assert ran.status == 2
    assert "optim.correct_averages (False there, True here)" in ran.err
    ran = run_bcjax("train", *QUICK, *longer)
    assert ran.status == 0, ran.err
    assert configs.load(older / "one").optim.correct_averages is False


def figures(page):
    """The metrics, without their intervals, whose methods have changed since."""
    return {name: (each["value"], each["n"]) for name, each in page["metrics"].items()}


@pytest.mark.parametrize("run", RUNS)
def test_it_is_evaluated_to_the_same_figures(older, run):
    page = older / run / "eval" / "test.json"
    before = json.loads(page.read_text())
    page.unlink()
    ran = run_bcjax("evaluate", f"--workdir={older / run}", "--split=test")
    assert ran.status == 0, ran.err
    after = json.loads(page.read_text())
    added = {"macro_precision"}  # metrics since then
    assert figures(after).keys() - figures(before).keys() == added
    assert figures(after).items() >= figures(before).items()


@pytest.mark.parametrize("run", RUNS)
def test_the_same_command_again_finds_the_run_and_changes_nothing(older, run):
    before = (older / run / "config.json").read_text()
    ran = run_bcjax("train", *QUICK, *OWN[run], f"--workdir={older / run}")
    assert ran.status == 0, ran.err
    assert (older / run / "config.json").read_text() == before


def test_other_settings_are_refused_by_the_key_that_differs(older):
    ran = run_bcjax("train", *QUICK, "--config.model.dropout=0.5", f"--workdir={older / 'one'}")
    assert ran.status == 2
    assert "model.dropout (None there, 0.5 here)" in ran.err


def test_it_answers_pictures_and_is_reported(older, snapshots):
    pictures = snapshots(older / "cells")
    ran = run_bcjax("predict", f"--workdir={older / 'one'}", "--json", pictures)
    assert ran.status == 0, ran.err
    assert len(json.loads(ran.out)) == 40
    ran = run_bcjax("report", f"--workdir={older / 'one'}")
    assert ran.status == 0, ran.err
    assert (older / "one" / "report.html").exists()


def test_training_starts_from_its_weights(older):
    ran = run_bcjax(
        "train", *QUICK, f"--config.model.weights={older / 'one'}", f"--workdir={older / 'new'}"
    )
    assert ran.status == 0, ran.err


def written_before(workdir: Path, name: str) -> np.ndarray:
    """Writes a run of a network whose layout has changed; returns its logits for one picture.

    Its numbers are those that each path and shape always give.
    """
    old = configs.from_dict({"model": {"name": name}})
    model = network.build(old, 4)
    pictures = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), pictures)
    numbers = {
        path: drawn(path, leaf.shape)
        for path, leaf in traverse_util.flatten_dict(shapes, sep="/").items()
    }
    variables = traverse_util.unflatten_dict(numbers, sep="/")
    config = configs.replaced(configs.default(), {"model.name": name, "data.image_size": 32})
    network.write_run(network.resolve(config), variables, ("a", "b", "c", "d"), workdir)
    page = json.loads((workdir / "config.json").read_text())
    for key in ("widths", "depths", "kernel_size", "squeeze"):
        del page["model"][key]
    (workdir / "config.json").write_text(json.dumps(page))
    return pictures


def drawn(path: str, shape: tuple[int, ...]) -> np.ndarray:
    x = np.random.default_rng(zlib.crc32(path.encode())).normal(0, 1, shape).astype(np.float32)
    if path.endswith("kernel"):
        return x * np.float32((2 / np.prod(shape[:-1])) ** 0.5)
    return 1 + 0.3 * np.abs(x) if path.endswith(("scale", "var")) else 0.1 * x


# What the version before answered with these numbers.
ANSWERED = {
    "deep_efficientnet": [
        [0.08703427, -0.03760711, -0.5737667, -0.36693254],
        [0.03566806, -0.03044593, -0.5349545, -0.29731354],
    ],
    "cell_efficientnet_lite": [
        [-3.7750919, 2.2785773, -0.7011656, 0.0518210],
        [-2.9255893, 1.8585323, 0.4745475, -1.2467731],
    ],
}


@pytest.mark.parametrize("name", ANSWERED)
def test_a_network_whose_layout_has_changed_since_keeps_its_own(tmp_path, name):
    pictures = written_before(tmp_path, name)
    restored = network.load(tmp_path, "best", meshes.create())
    logits = jax.jit(restored.model.apply)(restored.variables, pictures)
    np.testing.assert_allclose(logits, ANSWERED[name], rtol=1e-3, atol=1e-4)

    asked = configs.replaced(configs.default(), {"model.name": name, "workdir": str(tmp_path)})
    kept, imported = weights.settings_of_run(asked, tmp_path, restored.classes)
    assert imported is None
    saved = configs.flatten(restored.config)
    assert kept
    assert kept == {key: saved[key] for key in kept}
    again = configs.replaced(asked, {"model.weights": str(tmp_path), "data.image_size": 32})
    start = weights.read(tmp_path, again, 4)
    assert (start.config.model.squeeze, start.config.model.convention) == (
        restored.config.model.squeeze,
        "tf",
    )


def test_its_prepared_set_is_trained_on_as_it_is(older):
    source = older / "prepared"
    digest = PreparedSet(source).digest
    ran = run_bcjax("train", *QUICK, f"--config.data.source={source}", f"--workdir={older / 'new'}")
    assert ran.status == 0, ran.err
    pictures = json.loads((older / "new" / "pictures.json").read_text())
    assert (pictures["path"], pictures["digest"]) == (str(source), digest)
