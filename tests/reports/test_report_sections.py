"""A report holds what other commands left: calibration, corruptions, laboratories, averages."""

import dataclasses
import json

import fabricated
import numpy as np
import pytest
from PIL import Image

from bcjax import metrics
from bcjax.evaluation import answers as answering
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration.measure import measure
from bcjax.evaluation.calibration.temperature import FittedTemperature
from bcjax.evaluation.corruptions.corruption_evaluation import (
    CorruptionEvaluation,
    CorruptionScores,
)
from bcjax.evaluation.disagreement import Disagreement, MeanDisagreement
from bcjax.evaluation.evaluation import (
    HomeFigures,
    LaboratoryComparison,
    NetworkScores,
    OpenAndClosed,
)
from bcjax.evaluation.explanation.summary import (
    ExplainedImage,
    ExplanationSummary,
    Localisation,
    MapsOnCell,
    RandomisationTest,
)
from bcjax.evaluation.member_summary import summarise_members
from bcjax.exports.exported import Certificate, Exported
from bcjax.metrics import Estimate
from bcjax.metrics.intervals import proportion
from bcjax.metrics.resampling import Difference, Resampled
from bcjax.reports.pages.page import to_markdown
from bcjax.reports.run.calibration import confidence_charts
from bcjax.reports.run.model_card import model_card
from bcjax.reports.run.report import report_page
from bcjax.reports.run_record import read_run
from bcjax.runtime.files import write_json
from bcjax.runtime.run_dir import RunDir


def markdown_of(workdir):
    return to_markdown(report_page(read_run(workdir, "test")))


def figure(value):
    return Estimate(value, 90, "bootstrap", value - 0.02, value + 0.03)


def both(accuracy, balanced):
    return {"accuracy": figure(accuracy), "balanced_accuracy": figure(balanced)}


@pytest.fixture(scope="module")
def answers():
    return fabricated.answers(np.arange(90) % 7 > 0)


def fabricate(folder, answers, about=None):
    """A run without what training alone can tell: where it was, and for how long."""
    workdir = fabricated.run(folder / "run", answers, about=about, data__source="cells")
    (workdir / "sessions.jsonl").unlink()
    return workdir


@pytest.fixture
def run(tmp_path, answers):
    """Returns a function that makes a run whose result says what is given, too."""
    return lambda **about: fabricate(tmp_path, answers, about)


def other(workdir, name, **about):
    """Writes another evaluation of the run."""
    result = json.loads((workdir / "eval" / "test.json").read_text())
    (workdir / "eval" / f"{name}.json").write_text(json.dumps(result | about))


def test_a_calibration_stands_as_it_was_measured(run, answers):
    found = calibrations.fit(answers, step=20, split="val", coverage=0.8, error_rate=0.2)
    measured = measure(found, answers).to_dict()
    text = markdown_of(run(calibration=measured))
    assert f"temperature {measured['temperature']:.4f} (95 % interval" in text
    for key in ("log_loss", "ece", "brier"):
        raw, scaled = measured[key]["raw"], measured[key]["scaled"]
        assert f"| {raw:.4f} | {scaled:.4f} |" in text
    share = measured["conformal"]["measured"]["value"]
    assert f"| sets hold the true class | 80.0 % | {100 * share:.1f} % |" in text


def test_a_calibration_without_temperature_says_why_in_report_and_card(run, answers):
    found = calibrations.fit(answers, step=20, split="val", coverage=0.8, error_rate=0.2)
    why_not = "No temperature was fitted: it takes 30 pictures or more."
    found = dataclasses.replace(
        found, temperature=1.0, fitted=FittedTemperature(None, why_not), n=12
    )
    workdir = run(calibration=measure(found, answers).to_dict())
    text = markdown_of(workdir)
    assert why_not in text
    assert "with the temperature" not in text
    card = model_card(read_run(workdir))
    assert f"The calibration was fitted on 12 pictures of the val split. {why_not}" in card


def test_each_corruption_has_a_row_and_all_have_one(run):
    workdir = run()
    rows = tuple(
        CorruptionScores(
            name, tuple(both(0.9, level) for level in levels), both(0.9, 0.55), figure(0.45),
            over_clean=figure(0.25),
        )
        for name, levels in (("motion_blur", (0.7, 0.6)), ("bubble", (0.5, 0.4)))
    )  # fmt: skip
    page = CorruptionEvaluation(
        split="test", checkpoint=20, source="cells", cautions=(), leaks="", n=90, augment=(),
        classes=fabricated.CLASSES, severities=(1, 2), resamples=300, seed=0,
        clean=both(0.85, 0.8), corruptions=rows, mean=both(0.9, 0.5123),
        mean_corruption_error=figure(0.4877), over_clean=figure(0.2877),
    )  # fmt: skip
    write_json(RunDir(workdir).corruptions("test"), page.to_dict())
    text = markdown_of(workdir)
    assert "| motion blur | 0.7000 | 0.6000 | 0.5500 | 0.5300 - 0.5800 | 0.2500 |" in text
    assert "| all |  |  | 0.5123 | 0.4923 - 0.5423 | 0.2877 |" in text
    assert "clean: 0.8000" in text
    assert "figures/corruptions.png" in text
    assert "was not tried" not in text.split("## Limitations")[1]


def test_the_drop_on_other_data_stands_beside_the_own_figure(run):
    workdir = run()
    comparison = LaboratoryComparison(
        classes={"BAS": "basophil"}, left_out={"blast": 12}, stain="reinhard", home_stain="none",
        n=30, open=both(0.4, 0.35), closed=both(0.5, 0.45),
        home=HomeFigures(both(0.9, 0.85), both(0.95, 0.92), "test", 60),
        drop=OpenAndClosed(both(0.5, 0.5), both(0.45, 0.47)),
    )  # fmt: skip
    section = comparison.to_dict()
    seen = ["The network was trained on 3 of these 30 pictures."]
    other(workdir, "theirs-all", source="theirs", split="all", laboratory=section, cautions=seen)
    text = markdown_of(workdir)
    assert "| all classes | accuracy | 0.4000 | 0.3800 - 0.4300 | 0.9000 | 0.5000 |" in text
    assert "BAS = basophil" in text
    assert "blast (12)" in text
    assert f"> **Caution.** theirs-all: {seen[0]}" in text
    assert "All pictures are from one source" not in text
    section |= {"home": None, "drop": None, "why": "There are no home pictures."}
    other(workdir, "theirs-all", source="theirs", split="all", laboratory=section, cautions=[])
    assert "There are no home pictures." in markdown_of(workdir)


def test_views_and_ensembles_stand_beside_the_result_with_their_parts(run):
    workdir = run()
    alone = {"accuracy": 0.8123, "macro_f1": 0.7, "log_loss": 0.6}
    parts = [{"workdir": "runs/b", "checkpoint": 7, "metrics": alone}]
    other(workdir, "test-ensemble", ensemble=parts, views=[{"view": "flipped", "metrics": alone}])
    text = markdown_of(workdir)
    assert "| test-ensemble | cells, test | 90 |" in text
    assert "| runs/b, checkpoint 7 | 0.8123 | 0.7000 | 0.6000 |" in text
    assert "| flipped | 0.8123 |" in text


def test_a_report_names_the_pictures_that_the_networks_of_an_ensemble_disagree_about(run, answers):
    workdir = run()
    shared = np.zeros(90)
    shared[[4, 30]] = 0.3, 0.6
    apart = Disagreement(np.full(90, 0.7), shared)
    mean = MeanDisagreement.of(apart, answers.predictions().correct)
    other(workdir, "test-ensemble", disagreement=mean.to_dict())
    text = markdown_of(workdir)
    assert f"| test-ensemble | 0.7000 | {0.9 / 90:.4f} |" in text
    assert "test-ensemble: its answers to the single pictures were not kept." in text
    answering.write(
        dataclasses.replace(answers, disagreement=apart), RunDir(workdir).answers("test-ensemble")
    )
    rows = [line for line in markdown_of(workdir).splitlines() if line.startswith("| cell")]
    first, second = [line for line in rows if line.endswith(("0.6000 |", "0.3000 |"))]
    assert first.startswith("| cell30.png | basophil |")
    assert second.startswith("| cell4.png | eosinophil |")


def test_members_have_a_mean_and_a_deviation(run):
    members = [
        NetworkScores(f"member-{i}", 20, {"accuracy": value}) for i, value in enumerate((0.8, 0.9))
    ]
    measured = [
        {name: Resampled(value, None, np.arange(9)) for name, value in each.metrics.items()}
        for each in members
    ]
    workdir = run(members=summarise_members(members, measured).to_dict(), held_out=False)
    (workdir / "member-0").mkdir()
    text = markdown_of(workdir)
    assert "| accuracy | 0.8500 | 0.0707 |" in text
    assert "| member-1, checkpoint 20 | 0.9000 |" in text
    assert "another seed" not in text.split("## Limitations")[1]


def test_explained_pictures_stand_with_the_figures_about_them(run):
    workdir = run()
    (workdir / "explain").mkdir()
    Image.new("RGB", (90, 30), "teal").save(workdir / "explain" / "01-a.png")
    row = ExplainedImage("01-a.png", "a.png", "monocyte", "basophil", 0.875, target="basophil")
    page = ExplanationSummary(
        checkpoint=20, split="test", chosen="most wrong", target="predicted", stage="stage4",
        methods=("grad-cam",), map=(7, 7), sheet="sheet.png",
        sanity={"grad-cam": RandomisationTest(0.125, 4)},
        localisation=Localisation(5, 0.25, {"grad-cam": MapsOnCell(0.75, 1.0)}),
        pictures=(row, dataclasses.replace(row, file="02-gone.png", id="gone")),
    )  # fmt: skip
    path = RunDir(workdir).explained
    write_json(path, page.to_dict())
    assert json.loads(path.read_text())["localisation"]["grad-cam"]["energy"] == 0.75
    text = markdown_of(workdir)
    assert "| a.png | monocyte | predicted basophil, 87.5 % |" in text
    assert "| gone |" not in text
    assert "| grad-cam | 0.12, 4 | 75.0 % | 100.0 % |" in text
    assert "the cell's share of the picture: 25.0 %" in text
    write_json(path, dataclasses.replace(page, checkpoint=7).to_dict())
    assert "**Caution.** The maps are of checkpoint 7" in markdown_of(workdir)


def test_exported_files_stand_with_what_was_checked_of_them(run):
    workdir = run()
    certificate = Certificate(
        file="model_int8.onnx", format="onnx_int8", sha256="0" * 64, bytes=650_000,
        runtime="ONNX Runtime 1", split="test", n=1000, same_label=990, difference=0.0625,
        distance_difference=None, tolerance=None, max_loss=0.02,
        accuracy=proportion(np.array([True, False])),
        loss=Difference(0.0125, "bootstrap", None, -0.005, 0.03), calibration_error=0.03,
        own_calibration_error=0.02, p50_ms=1.5, p99_ms=2.25, hardware="2 cores of a processor",
    )  # fmt: skip
    exported = Exported(checkpoint=20, certificates=(certificate,), cautions=())
    path = RunDir(workdir).exported / "certificate.json"
    write_json(path, exported.to_dict())
    assert Exported.read(path.parent).paths == (path.parent / "model_int8.onnx",)
    text = markdown_of(workdir)
    row = (
        "| model_int8.onnx | ONNX Runtime 1 | 650 kB | 990 of 1,000 | 6.2e-02 | 50.0 % | "
        "1.2 % (-0.5 % to 3.0 %) | 0.0300 | 1.50 ms | 2.25 ms |"
    )
    assert row in text
    assert row in model_card(read_run(workdir))
    write_json(path, dataclasses.replace(exported, checkpoint=7).to_dict())
    assert "**Caution.** The files are of checkpoint 7" in markdown_of(workdir)


def test_of_many_classes_the_worst_have_curves_and_the_table_is_folded(tmp_path):
    classes = tuple(f"class {i:02d}" for i in range(45))
    many = fabricated.answers(np.arange(450) % 9 > 0, classes=classes)
    workdir = fabricate(tmp_path, many)
    text = markdown_of(workdir)
    assert "The 10 classes with the lowest areas." in text
    assert "All 45 classes" in text
    assert "figures/confusion" not in text


@pytest.mark.filterwarnings("error:constrained_layout")
@pytest.mark.parametrize(("noise", "whole"), [(1.5, False), (20.0, True)])
def test_curves_near_the_ideal_corner_are_enlarged_each_in_a_panel(noise, whole):
    """Eight curves at 1.0 in one pair of axes hide each other."""
    classes = tuple("abcdefgh")
    labels = np.arange(800, dtype=np.int32) % 8
    random = np.random.default_rng(0).normal(0, noise, (800, 8))
    answers = dataclasses.replace(
        fabricated.answers(np.ones(800, bool), classes=classes),
        logits=(6 * np.eye(8)[labels] + random).astype(np.float32),
    )
    measured = metrics.measure(answers.probabilities(), labels, classes, resamples=0)
    roc, precision_recall, *_ = confidence_charts(answers, measured.per_class)
    for chart, corner in ((roc, 0), (precision_recall, 1)):
        panels = [axes for axes in chart.figure.axes if axes.get_title()]
        assert [axes.get_title()[0] for axes in panels] == list(classes)
        for axes in panels:
            (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
            assert left < corner < right
            assert bottom < 1 < top
            assert (right - left > 1) == whole
        assert chart.svg
