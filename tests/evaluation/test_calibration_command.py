"""`bcjax calibrate`, and what predict and evaluate make of it."""

import csv
import dataclasses
import io
import json
import shutil

import cv2
import numpy as np
import pytest
from commandline import contents, refused, run_bcjax

from bcjax.data.sources import synthetic
from bcjax.evaluation import answers
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration import temperature

MORE = ("set", "uncertain", "outlier", "distance", "energy")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Pictures of cells, one folder."""
    folder = tmp_path_factory.mktemp("cells")
    for record in synthetic.source(40, size=32, seed=5).records[::5]:
        (folder / f"{record.id.replace('/', '-')}.jpg").write_bytes(record.read())
    return folder


@pytest.fixture(scope="module")
def not_cells(tmp_path_factory):
    """Pictures of noise, in colours that no cell has."""
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for i in range(8):
        noise = rng.integers(0, 256, (32, 32, 3)) * [0, 1, 0]
        cv2.imwrite(str(folder / f"{i}.png"), noise.astype(np.uint8))
    return folder


def predicted(workdir, folder, *flags):
    ran = run_bcjax("predict", f"--workdir={workdir}", *flags, folder)
    assert ran.status == 0, ran.err
    return ran.out


@pytest.fixture(scope="module")
def calibrated(trained, cells, not_cells, tmp_path_factory):
    """The finished run's folder, calibrated; what was said; what was predicted before."""
    workdir = shutil.copytree(trained.workdir, tmp_path_factory.mktemp("runs") / "run")
    shutil.rmtree(workdir / "calibration", ignore_errors=True)
    before = predicted(workdir, cells, "--json")
    ran = run_bcjax(
        "calibrate", f"--workdir={workdir}", "--coverage=0.8", "--error-rate=0.3",
        f"--not-cells={not_cells}", "--batch_size=8",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    step = json.loads((workdir / "eval" / "test.json").read_text())["checkpoint"]
    return workdir, ran.out, json.loads(before), calibrations.read(workdir, step)


@pytest.fixture(scope="module")
def rows(calibrated, cells):
    return json.loads(predicted(calibrated[0], cells, "--json"))


def test_calibrate_says_what_it_fitted_and_to_what(calibrated):
    workdir, out, _, calibration = calibrated
    assert f"val split, checkpoint {calibration.step}, n = 16" in out
    said = " ".join(out.split())
    assert "temperature │ - │" in said
    assert "No temperature was fitted: it takes 30 pictures or more" in said
    assert "of these 16, " in said
    assert "a threshold that 95% of others stay below takes 19 or more." in said
    assert (calibration.temperature, calibration.fitted.estimate) == (1.0, None)
    assert "80% coverage" in out
    assert f"AUROC of distance, 8 no cells │ {calibration.not_cells.distance.auroc:.4f}" in (
        " ".join(out.split())
    )
    # Of 16 pictures of eight classes none has the 4 that a coverage of 0.8 takes.
    assert "Too few pictures for sets by class" in out
    assert str(workdir / "calibration" / f"{calibration.step}.json") in out.replace("\n", "")
    assert calibration.not_cells.n == 8
    assert calibration.not_cells.distance.auroc > 0.9


def test_predict_is_calibrated_and_says_more(calibrated, rows):
    _, _, before, calibration = calibrated
    assert len(rows) == 8
    for old, new in zip(before, rows, strict=True):
        assert not old.keys() & set(MORE)
        assert new["label"] == old["label"]
        logits = np.log([list(old["probabilities"].values())])
        expected = temperature.probabilities(logits, calibration.temperature)
        values = list(new["probabilities"].values())
        np.testing.assert_allclose(values, expected[0], rtol=1e-4)
        inside = calibration.conformal.sets(np.array([values]))[0]
        assert new["set"] == [n for n, i in zip(synthetic.CLASSES, inside, strict=True) if i]
        assert new["uncertain"] == (max(values) <= calibration.abstention.threshold)
        assert new["outlier"] == (new["distance"] > calibration.outliers.distance_threshold)


def test_noise_is_called_an_outlier(calibrated, not_cells):
    noise = json.loads(predicted(calibrated[0], not_cells, "--json"))
    assert all(row["outlier"] for row in noise)


def test_predict_prints_the_same_as_a_table_and_as_csv(calibrated, cells, rows, monkeypatch):
    workdir = calibrated[0]
    monkeypatch.setenv("COLUMNS", "400")  # a row on a line, however large its set
    lines = list(csv.DictReader(io.StringIO(predicted(workdir, cells, "--csv"))))
    table = predicted(workdir, cells)
    assert list(lines[0]) == ["filename", "label", *MORE, *synthetic.CLASSES]
    for row, line in zip(rows, lines, strict=True):
        assert line["set"] == ";".join(row["set"])
        assert (line["uncertain"], line["outlier"]) == (str(row["uncertain"]), str(row["outlier"]))
        (shown,) = [text for text in table.splitlines() if row["filename"] in text]
        assert (", ".join(row["set"]) or "none") in shown
    assert "Calibrated on 16 pictures (val)" in table
    assert "No temperature was fitted" in table


@pytest.mark.parametrize(
    ("threshold", "label", "foot"),
    [
        (1.0, "uncertain", "All is uncertain, for no confidence keeps errors to 30.0%"),
        (None, None, "Nothing is called uncertain, for that takes 13 pictures"),
        (0.0, None, "Of what is not uncertain 30.0% or less is wrong"),
    ],
)
def test_an_uncertain_answer_is_shown_in_the_place_of_its_label(
    calibrated, cells, rows, tmp_path, monkeypatch, threshold, label, foot
):
    workdir, _, _, calibration = calibrated
    changed = dataclasses.replace(calibration.abstention, threshold=threshold)
    own = shutil.copytree(workdir, tmp_path / "run")
    calibrations.write(dataclasses.replace(calibration, abstention=changed), own)
    monkeypatch.setenv("COLUMNS", "400")  # a row on a line, however large its set
    table = predicted(own, cells)
    for row in rows:
        (shown,) = [text for text in table.splitlines() if row["filename"] in text]
        assert (label or row["label"]) == shown.split("│")[2].strip()
    assert foot in " ".join(table.split())


def test_without_a_calibration_the_table_says_how_to_get_one(trained, cells, tmp_path):
    own = shutil.copytree(trained.workdir, tmp_path / "run")
    shutil.rmtree(own / "calibration", ignore_errors=True)
    shown = " ".join(predicted(own, cells).split())
    assert "Not calibrated: bcjax calibrate --workdir=" in shown


def test_evaluate_measures_the_calibration_and_warns_of_what_it_was_fitted_on(calibrated):
    workdir, _, _, calibration = calibrated
    sentence = "The calibration was fitted on these pictures: it will fit others less well."
    for split in ("val", "test"):
        assert run_bcjax("evaluate", f"--workdir={workdir}", f"--split={split}").status == 0
        result = json.loads((workdir / "eval" / f"{split}.json").read_text())
        measured = result["calibration"]
        assert measured["temperature"] == calibration.temperature
        assert measured["n"] == result["n"]
        assert measured["log_loss"]["raw"] == pytest.approx(result["metrics"]["log_loss"]["value"])
        assert (sentence in result["cautions"]) == (split == "val")
    held = answers.read(workdir / "eval" / "val.parquet")
    assert measured["fitted"]["why_not"] == calibration.fitted.why_not
    assert calibration.fitted.why_not.startswith("No temperature was fitted")
    assert calibration.n == held.n


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--coverage=1.5"], ["coverage is 1.5: it must be more than 0 and less than 1"]),
        (["--coverage=nan"], ["coverage is nan"]),
        (["--error-rate=0"], ["error_rate is 0.0: it must be more than 0 and less than 1"]),
        (["--split=test"], ["calibrated on test", "split=val"]),
        (["--split=train"], ["calibrated on train", "split=val"]),
        (["--checkpoint=5"], ["no checkpoint '5'"]),
        (["--not-cells=nowhere"], ["no picture or folder nowhere"]),
        (["runs/a"], ["flags only, not 'runs/a'"]),
    ],
)
def test_bad_input_is_refused_and_nothing_written(own_run, flags, named):
    before = contents(own_run)
    refused(run_bcjax("calibrate", f"--workdir={own_run}", *flags), *named)
    assert contents(own_run) == before


def test_a_picture_among_the_no_cells_that_cannot_be_read_is_named(calibrated, tmp_path):
    before = contents(calibrated[0])
    (tmp_path / "broken.jpg").write_text("not a picture")
    workdir = f"--workdir={calibrated[0]}"
    ran = run_bcjax("calibrate", workdir, "--batch_size=8", f"--not-cells={tmp_path}")
    refused(ran, tmp_path / "broken.jpg", "1 of 1 pictures cannot be read")
    assert contents(calibrated[0]) == before


def test_a_run_without_val_pictures_or_without_checkpoint_is_refused(own_run, tmp_path, snapshots):
    nowhere = tmp_path / "nowhere"
    refused(run_bcjax("calibrate", f"--workdir={nowhere}"), nowhere, "holds no run")
    config = own_run / "config.json"
    before = config.read_bytes()
    changed = json.loads(before)
    pictures = str(snapshots(tmp_path / "pictures"))
    changed["data"] |= {"source": pictures, "val_fraction": 0.0}
    config.write_text(json.dumps(changed))
    refused(run_bcjax("calibrate", f"--workdir={own_run}"), "has no val split")
    config.write_bytes(before)
    shutil.rmtree(own_run / "checkpoints")
    refused(run_bcjax("calibrate", f"--workdir={own_run}"), "holds no checkpoint")


def test_a_damaged_calibration_is_refused_with_its_mend(own_run, calibrated, cells):
    step = calibrated[3].step
    path = own_run / "calibration" / f"{step}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{")
    ran = run_bcjax("predict", f"--workdir={own_run}", cells)
    refused(ran, path, "damaged", f"--checkpoint={step}")
