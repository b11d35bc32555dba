"""`bcjax calibrate` of networks that answer together: runs, checkpoints, members, a soup."""

import json
import shutil

import pytest
from commandline import contents, refused, run_bcjax
from ready_runs import near_each_other

import bcjax
from bcjax.evaluation.answers import read
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration import temperature
from bcjax.metrics import intervals


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three networks near each other."""
    return near_each_other(tmp_path_factory.mktemp("runs"), "abc")


@pytest.fixture
def runs(made, tmp_path):
    """Copies of them."""
    return [shutil.copytree(workdir, tmp_path / workdir.name) for workdir in made]


def members_of(runs, vary="seed"):
    """Makes two of the runs the members of a run."""
    whole = runs[0].parent / "whole"
    whole.mkdir()
    config = json.loads((runs[0] / "config.json").read_text())
    config["train"] |= {"members": 2, "vary": vary}
    config["workdir"] = str(whole)
    (whole / "config.json").write_text(json.dumps(config))
    for i, run in enumerate(runs[:2]):
        shutil.move(run, whole / f"member-{i}")
    return whole


def fitted_to(answers):
    units = intervals.units(answers.groups, answers.n)
    return temperature.fit_if_determined(answers.logits, answers.labels, units, 10)


def test_runs_that_answer_together_are_calibrated_on_their_average(runs):
    ran = run_bcjax("calibrate", f"--workdir={runs[0]}", f"--with={runs[1]}", "--coverage=0.7")
    assert ran.status == 0, ran.err
    assert "val split, 2 networks, n = 16" in ran.out
    assert str(runs[0] / "calibration" / "ensemble.json") in ran.out.replace("\n", "")
    evaluation = bcjax.evaluate(runs[0], "val", runs=[runs[1]])
    found = calibrations.read(runs[0], "ensemble")
    assert found.networks == ("../b@0", ".@0")
    assert found.outliers is None
    assert found.fitted == fitted_to(read(evaluation.path.with_suffix(".parquet")))
    assert evaluation.calibration.conformal.coverage == 0.7
    assert evaluation.calibration.networks == 2
    # Not for other networks, and not for one of them alone.
    assert bcjax.evaluate(runs[0], "val", runs=[runs[2]]).calibration is None
    assert bcjax.evaluate(runs[0], "val", runs=runs[1:]).calibration is None
    assert bcjax.evaluate(runs[0], "val", runs=[runs[1]], views="flip").calibration is None
    assert bcjax.evaluate(runs[0], "val").calibration is None


def test_members_are_calibrated_one_by_one_and_together(runs):
    whole = members_of(runs)
    calibration, measured = bcjax.calibrate(whole, coverage=0.7)
    assert calibration.networks == ("member-0@0", "member-1@0")
    assert measured.networks == 2
    for split in ("val", "test"):
        assert bcjax.evaluate(whole, split).calibration.networks == 2
        for i in (0, 1):
            alone = bcjax.evaluate(whole / f"member-{i}", split).calibration
            assert (alone.networks, alone.conformal.coverage) == (1, 0.7)
    assert calibrations.read(whole / "member-0", 0).outliers is not None


def test_members_and_a_run_beside_them_are_an_ensemble_of_its_own(runs):
    third = runs[2]
    whole = members_of(runs)
    together, _ = bcjax.calibrate(whole, runs=[third])
    assert together.path == whole / "member-0" / "calibration" / "ensemble.json"
    assert bcjax.evaluate(whole, "val", runs=[third]).calibration.networks == 3
    assert bcjax.evaluate(whole, "val").calibration is None


def test_a_member_without_a_checkpoint_is_left_out_as_evaluate_does(runs):
    whole = members_of(runs)
    shutil.copytree(whole / "member-1", whole / "member-2")
    shutil.rmtree(whole / "member-2" / "checkpoints")
    calibration, _ = bcjax.calibrate(whole)
    assert calibration.networks == ("member-0@0", "member-1@0")
    assert bcjax.evaluate(whole, "test").calibration.networks == 2


def test_members_that_hold_out_a_fold_each_are_calibrated_alone(runs):
    whole = members_of(runs, vary="fold")
    before = contents(whole)
    refused(run_bcjax("calibrate", f"--workdir={whole}"), whole, whole / "member-0", "trained on")
    assert contents(whole) == before


def test_a_soup_is_calibrated_as_the_run_that_it_is(runs, tmp_path):
    soup = tmp_path / "soup"
    bcjax.evaluate(runs[0], "val", runs=[runs[1]], soup="uniform", out=soup)
    calibration, _ = bcjax.calibrate(soup)
    assert (calibration.step, calibration.networks) == (0, ())
    assert bcjax.evaluate(soup, "test").calibration.step == 0


def test_no_cells_are_told_by_one_network_alone(runs):
    refused(
        run_bcjax("calibrate", f"--workdir={runs[0]}", f"--with={runs[1]}", "--not-cells=x"),
        "not_cells is for one network",
    )


def test_a_folder_of_members_is_not_taken_for_one_network(runs):
    whole = members_of(runs)
    ran = run_bcjax("explain", f"--workdir={whole}")
    refused(ran, whole, "holds 2 members", whole / "member-0")
