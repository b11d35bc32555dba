"""What the version before wrote still opens: its runs, and its prepared sets."""

import json
import tarfile
from pathlib import Path

import pytest
import quick_config
from commandline import run_bcjax
from places import SUPPORT

from bcjax import config as configs
from bcjax.data.prepared import PreparedSet
from bcjax.data.sources import synthetic

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


@pytest.mark.parametrize("run", RUNS)
def test_it_is_evaluated_to_the_same_figures(older, run):
    page = older / run / "eval" / "test.json"
    before = json.loads(page.read_text())
    page.unlink()
    ran = run_bcjax("evaluate", f"--workdir={older / run}", "--split=test")
    assert ran.status == 0, ran.err
    after = json.loads(page.read_text())
    assert after["metrics"] == before["metrics"]


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


def test_its_prepared_set_is_trained_on_as_it_is(older):
    source = older / "prepared"
    digest = PreparedSet(source).digest
    ran = run_bcjax("train", *QUICK, f"--config.data.source={source}", f"--workdir={older / 'new'}")
    assert ran.status == 0, ran.err
    pictures = json.loads((older / "new" / "pictures.json").read_text())
    assert (pictures["path"], pictures["digest"]) == (str(source), digest)
