"""`bcjax predict --with` and `bcjax.load` of several runs: they label pictures together."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from commandline import refused, run_bcjax
from PIL import Image
from ready_runs import near_each_other, settled, variables_of
from scipy.special import entr

import bcjax
from bcjax.data.sources import synthetic
from bcjax.engine import network
from bcjax.evaluation.answers import read
from bcjax.runtime.errors import UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three networks near each other."""
    return near_each_other(tmp_path_factory.mktemp("runs"), "abc")


@pytest.fixture
def runs(made, tmp_path):
    """Copies of them."""
    return [shutil.copytree(workdir, tmp_path / workdir.name) for workdir in made]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A folder of five drawings."""
    folder = tmp_path_factory.mktemp("cells")
    for index in range(5):
        Image.fromarray(synthetic.draw(3, index, size=40).image).save(folder / f"{index}.png")
    return folder


def as_members(runs):
    whole = runs[0].parent / "whole"
    whole.mkdir()
    shutil.copy(runs[0] / "config.json", whole)
    for i, run in enumerate(runs):
        shutil.move(run, whole / f"member-{i}")
    return whole


def test_the_mean_of_the_probabilities_answers_and_the_disagreement_stands_beside(runs, cells):
    alone = np.stack([bcjax.load(run).predict(cells).probabilities for run in runs])
    found = bcjax.load(runs).predict(cells)
    mean = alone.mean(axis=0)
    np.testing.assert_allclose(found.probabilities, mean, atol=1e-6)
    entropy = entr(mean).sum(axis=1)
    np.testing.assert_allclose(found.entropy, entropy, atol=1e-5)
    own = entr(alone).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(found.mutual_information, entropy - own, atol=1e-5)
    assert (found.mutual_information > 0).all()
    assert found[1:].mutual_information.tolist() == found.mutual_information[1:].tolist()
    assert {"entropy", "mutual_information"} <= set(found.to_pandas().columns)
    assert bcjax.load(runs[0]).predict(cells).entropy is None


def test_the_command_answers_as_python_does(runs, cells):
    asked = ("predict", f"--workdir={runs[0]}", f"--with={runs[1]},{runs[2]}", cells)
    found = bcjax.load(runs).predict(cells)
    page = run_bcjax(*asked, "--json")
    assert page.status == 0, page.err
    rows = json.loads(page.out)
    assert [row["mutual_information"] for row in rows] == found.mutual_information.tolist()
    assert rows == [each.to_dict() for each in found]
    table = list(csv.DictReader(io.StringIO(run_bcjax(*asked, "--csv").out)))
    assert [float(row["entropy"]) for row in table] == found.entropy.tolist()
    shown = run_bcjax(*asked).out
    assert "information" in shown
    assert "calibrate" in shown
    assert f"--with={runs[1]}" in shown.replace("\n", "")


def test_the_ensemble_is_calibrated_as_its_evaluation_is(runs, cells):
    calibration, _ = bcjax.calibrate(runs[0], runs=[runs[1]], coverage=0.7)
    several = bcjax.load(runs[:2])
    found = several.predict(cells)
    assert several.calibration.networks == calibration.networks
    np.testing.assert_array_equal(found.probabilities, calibration.probabilities(found.logits))
    assert found.sets is not None
    assert found.outlier is None  # several networks have no common features
    ran = run_bcjax("predict", f"--workdir={runs[0]}", f"--with={runs[1]}", cells)
    assert ran.status == 0, ran.err
    assert "set" in ran.out
    assert "outlier" not in ran.out
    assert bcjax.load(runs).calibration is None  # of other networks


def test_the_members_of_a_run_label_together(runs, cells):
    expected = bcjax.load(runs[:2]).predict(cells)
    whole = as_members(runs[:2])
    ran = run_bcjax("predict", f"--workdir={whole}", cells, "--json")
    assert ran.status == 0, ran.err
    assert json.loads(ran.out) == [each.to_dict() for each in expected]
    calibration, _ = bcjax.calibrate(whole)
    assert bcjax.load([whole]).calibration.networks == calibration.networks


def test_a_soup_is_one_of_an_ensemble(runs, cells, tmp_path):
    soup = tmp_path / "soup"
    bcjax.evaluate(runs[0], "val", runs=[runs[1]], soup="uniform", out=soup)
    ran = run_bcjax("predict", f"--workdir={soup}", f"--with={runs[2]}", cells, "--json")
    assert ran.status == 0, ran.err
    assert len(json.loads(ran.out)) == 5


def test_a_damaged_picture_is_left_out_by_all(runs, cells, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    found = bcjax.load(runs[:2]).predict([cells / "0.png", tmp_path / "bad.png", cells / "1.png"])
    assert len(found) == len(found.mutual_information) == 2
    assert [each.name for each in found.unreadable] == [str(tmp_path / "bad.png")]


def test_evaluated_ensembles_keep_the_disagreement(runs):
    evaluation = bcjax.evaluate(runs[0], "val", runs=runs[1:])
    kept = read(evaluation.path.with_suffix(".parquet"))
    alone = [bcjax.evaluate(run, "val").path.with_suffix(".parquet") for run in runs]
    own = np.stack([read(path).probabilities() for path in alone])
    entropy = entr(own.mean(axis=0)).sum(axis=1)
    np.testing.assert_allclose(kept.disagreement.entropy, entropy, atol=1e-6)
    expected = entropy - entr(own).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(kept.disagreement.mutual_information, expected, atol=1e-6)
    assert evaluation.disagreement.mutual_information == pytest.approx(expected.mean(), abs=1e-6)
    assert read(alone[0]).disagreement is None
    assert bcjax.Evaluation.read(evaluation.path) == evaluation
    said = run_bcjax("evaluate", f"--workdir={runs[0]}", f"--with={runs[1]}", "--split=val").out
    assert "Disagreement of the networks" in said


def test_the_members_of_a_run_keep_it_too(runs):
    evaluation = bcjax.evaluate(as_members(runs), "val")
    assert evaluation.disagreement.mutual_information > 0
    assert read(evaluation.path.with_suffix(".parquet")).disagreement is not None


def test_what_cannot_be_averaged_is_refused(runs, cells, tmp_path):
    def predict(*flags):
        return run_bcjax("predict", f"--workdir={runs[0]}", *flags, cells)

    refused(predict(f"--with={runs[0]}"), "All that is to be averaged is", runs[0])
    refused(predict(f"--with={tmp_path / 'none'}"), tmp_path / "none")
    refused(predict(f"--with={runs[1]}", "--checkpoint=7"), "7")
    with pytest.raises(UserError, match="name one or more"):
        bcjax.load([])
    with pytest.raises(UserError, match="Several checkpoints are an ensemble"):
        bcjax.load(runs[0], ["best", "latest"])
    with pytest.raises(UserError, match="is no run"):
        bcjax.load([runs[0], 3])


def test_networks_of_other_classes_are_refused(runs, cells, tmp_path):
    config, theirs = settled(), [name.upper() for name in synthetic.CLASSES]
    network.write_run(config, variables_of(config), theirs, tmp_path / "theirs")
    ran = run_bcjax("predict", f"--workdir={runs[0]}", f"--with={tmp_path / 'theirs'}", cells)
    refused(ran, "they differ in class names", tmp_path / "theirs")
