"""Answers at another prevalence of the classes than that of the training."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from commandline import refused, run_bcjax
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet
from ready_runs import near_each_other, settled
from scipy.special import softmax

import bcjax
from bcjax import config as configs
from bcjax.data.sources import synthetic
from bcjax.evaluation.answers import Answers, read, write
from bcjax.evaluation.calibration import conformal
from bcjax.evaluation.prevalence import Prevalence, read_stated, trained_at
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.scores import calibration_error, unweighted
from bcjax.runtime.errors import UserError

CLASSES = ("a", "b", "c")


def prevalence(stated, trained=(0.6, 0.3, 0.1)):
    return Prevalence(*(dict(zip(CLASSES, each, strict=True)) for each in (stated, trained)))


def drawn(n, shares, seed):
    """Labels of these shares, and the logits of the posterior at (0.6, 0.3, 0.1)."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, n, p=shares)
    seen = np.eye(3)[labels] * 1.5 + rng.normal(size=(n, 3))
    likelihood = -0.5 * ((seen[:, None] - np.eye(3) * 1.5) ** 2).sum(axis=-1)
    return labels, (likelihood + np.log([0.6, 0.3, 0.1])).astype(np.float32)


def error(probabilities, labels):
    score = calibration_error(Predictions(probabilities, labels))
    return float(unweighted(score, len(labels))["ece"])


shares = st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda x: np.array(x) / sum(x))


@settings(max_examples=50)
@given(shares, shares, st.integers(0, 999), st.floats(0.3, 4))
def test_the_posterior_sums_to_1_and_that_of_the_training_changes_nothing(one, other, seed, by):
    logits = np.random.default_rng(seed).normal(size=(9, 3), scale=5).astype(np.float32)
    moved = prevalence(one, other).probabilities(logits, CLASSES, by)
    np.testing.assert_allclose(moved.sum(axis=1), 1)
    before = softmax(logits.astype(np.float64) / by, axis=1)
    np.testing.assert_allclose(prevalence(one, one).probabilities(logits, CLASSES, by), before)
    ratio = moved / before / (one / other)  # Saerens' formula, but for the sum
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(3))


@settings(max_examples=20)
@given(shares, shares, st.integers(0, 999))
def test_there_and_back_is_where_it_began(one, other, seed):
    logits = np.random.default_rng(seed).normal(size=(9, 3), scale=3)
    there = np.log(prevalence(one, other).probabilities(logits, CLASSES))
    back = prevalence(other, one).probabilities(there, CLASSES)
    np.testing.assert_allclose(back, softmax(logits, axis=1), rtol=1e-9)


def test_probabilities_are_calibrated_at_the_prevalence_that_the_pictures_have():
    there = (0.1, 0.2, 0.7)
    labels, logits = drawn(20_000, there, seed=0)
    moved = prevalence(there).probabilities(logits, CLASSES)
    assert error(moved, labels) < 0.015
    assert error(softmax(logits, axis=1), labels) > 0.1
    right = (moved.argmax(axis=1) == labels).mean()
    assert right > (logits.argmax(axis=1) == labels).mean() + 0.05


def test_a_class_that_does_not_occur_has_probability_0():
    found = prevalence((0.5, 0.5, 0)).probabilities(np.zeros((1, 3)), CLASSES)
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3, 0]])


def test_weighted_sets_hold_the_true_class_at_the_prevalence_and_plain_ones_do_not():
    there = (0.1, 0.2, 0.7)
    at = prevalence(there)
    weighted, plain = [], []
    for seed in range(60):
        labels, logits = drawn(400, (0.6, 0.3, 0.1), seed)
        new, theirs = drawn(2000, there, 1000 + seed)
        rows = np.arange(len(new))
        at_home = conformal.fit(softmax(logits, axis=1), labels, 0.9)
        plain.append(at_home.sets(softmax(theirs, axis=1))[rows, new].mean())
        moved = at.probabilities(logits, CLASSES)
        fit = conformal.fit(moved, labels, 0.9, at.weights(labels, CLASSES))
        weighted.append(fit.sets(at.probabilities(theirs, CLASSES))[rows, new].mean())
    # Three standard errors of a mean of 60 fits to about 40 pictures of the commonest class.
    assert np.mean(weighted) == pytest.approx(0.91, abs=0.025)
    assert np.mean(plain) < 0.85


@settings(max_examples=30)
@given(st.integers(2, 300), st.floats(0.05, 0.95), st.integers(0, 999))
def test_equal_weights_are_none(n, coverage, seed):
    labels, logits = drawn(n, (0.6, 0.3, 0.1), seed)
    probabilities = softmax(logits, axis=1)
    plain = conformal.fit(probabilities, labels, coverage)
    assert conformal.fit(probabilities, labels, coverage, np.ones(3)) == plain


def test_a_class_without_a_picture_to_weigh_leaves_every_class_in_every_set():
    labels, logits = drawn(200, (0.7, 0.3, 0), 0)
    at = prevalence((0.5, 0.4, 0.1))
    weights = at.weights(labels, CLASSES)
    assert np.isinf(weights[2])
    fit = conformal.fit(at.probabilities(logits, CLASSES), labels, 0.9, weights)
    assert fit.sets(at.probabilities(logits, CLASSES)).all()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, (0.6, 0.3, 0.1)),
        ({"train.sampling": "balanced"}, (1 / 3, 1 / 3, 1 / 3)),
        ({"train.class_weights": "balanced"}, (1 / 3, 1 / 3, 1 / 3)),
        ({"train.repeat": ("c=3",)}, (0.5, 0.25, 0.25)),
        ({"train.sampling": "balanced", "train.repeat": ("c=2",)}, (0.25, 0.25, 0.5)),
        # Balanced twice is not balanced: the weights are of the pictures, not of what is shown.
        (
            {"train.sampling": "balanced", "train.class_weights": "balanced"},
            (1 / 9, 2 / 9, 6 / 9),
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_taken_out_is_how_often_a_class_was_shown_times_its_weight(
    keys, expected, tmp_path
):
    page = {"digest": "", "counts": {"train": [600, 300, 100]}}
    (tmp_path / "pictures.json").write_text(json.dumps(page))
    config = configs.replaced(configs.default(), keys)
    found = tuple(trained_at(tmp_path, config, CLASSES).values())
    assert found == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a=0.5,b=0.3,c=0.1", "add up to 0.9"),
        ("a=0.5,b=0.5,d=0", "'d', which is no class of the network"),
        ("a=0.5,b=0.5", "nothing of 'c'"),
        ("a=0.5,a=0.5,b=0,c=0", "'a' twice"),
        ("a=1.5,b=-0.5,c=0", "number from 0 to 1"),
        ("a=many,b=0.5,c=0", "number from 0 to 1"),
        ("a=nan,b=0.5,c=0.5", "number from 0 to 1"),
        ("a,b=0.5,c=0.5", "CLASS=SHARE"),
        ("", "nothing of 'a'"),
        ({"a": None, "b": 0.5, "c": 0.5}, "number from 0 to 1"),
    ],
)
def test_shares_that_are_none_are_refused(given, said):
    with pytest.raises(UserError, match="prevalence") as caught:
        read_stated(given, CLASSES)
    assert said in str(caught.value)


def test_rounded_shares_are_taken_and_sum_to_1():
    found = read_stated("c = 0.333, a=0.333, b=0.333", CLASSES)
    assert list(found) == list(CLASSES)
    assert sum(found.values()) == pytest.approx(1)


def test_kept_answers_know_their_prevalence(tmp_path):
    labels, logits = drawn(20, (0.6, 0.3, 0.1), 0)
    ids = tuple(map(str, range(20)))
    at = prevalence((0.2, 0.3, 0.5))
    answers = Answers(CLASSES, ids, ("",) * 20, labels, logits, prevalence=at)
    write(answers, tmp_path / "a.parquet")
    kept = read(tmp_path / "a.parquet")
    assert kept.prevalence == at
    np.testing.assert_array_equal(kept.probabilities(), at.probabilities(logits, CLASSES))
    assert b"prevalence" in parquet.read_schema(tmp_path / "a.parquet").metadata


# bcjax predict and evaluate

KINDS = synthetic.CLASSES
STATED = {name: 0.5 if i == 0 else 0.5 / (len(KINDS) - 1) for i, name in enumerate(KINDS)}
FLAG = "--prevalence=" + ",".join(f"{name}={share}" for name, share in STATED.items())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two networks near each other."""
    return near_each_other(tmp_path_factory.mktemp("runs"), "ab")


@pytest.fixture
def runs(made, tmp_path):
    """Copies of them."""
    return [shutil.copytree(workdir, tmp_path / workdir.name) for workdir in made]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A folder of four drawings."""
    folder = tmp_path_factory.mktemp("cells")
    for index in range(4):
        Image.fromarray(synthetic.draw(3, index, size=40).image).save(folder / f"{index}.png")
    return folder


def moved(probabilities, run):
    trained = trained_at(run, settled(), KINDS)
    found = probabilities * [STATED[name] / trained[name] for name in KINDS]
    return found / found.sum(axis=1, keepdims=True)


def test_pictures_are_labelled_at_the_prevalence_and_every_output_says_so(runs, cells):
    net = bcjax.load(runs[0])
    plain, found = net.predict(cells), net.predict(cells, prevalence=STATED)
    np.testing.assert_allclose(found.probabilities, moved(plain.probabilities, runs[0]))
    asked = ("predict", f"--workdir={runs[0]}", FLAG, cells)
    rows = json.loads(run_bcjax(*asked, "--json").out)
    assert rows == [each.to_dict() for each in found]
    assert rows[0]["prevalence"] == pytest.approx(STATED)
    assert found.to_dict()["prevalence"]["stated"] == pytest.approx(STATED)
    assert found.to_pandas().attrs["prevalence"] == pytest.approx(STATED)
    (row, *_) = csv.DictReader(io.StringIO(run_bcjax(*asked, "--csv").out))
    assert row["prevalence"].startswith(f"{KINDS[0]}=0.5;")
    assert "stated prevalence" in " ".join(run_bcjax(*asked).out.split())
    assert "prevalence" not in plain[0].to_dict()


def test_sets_are_weighted_from_the_answers_that_the_calibration_kept(runs, cells):
    bcjax.calibrate(runs[0], coverage=0.7)
    net = bcjax.load(runs[0])
    found = net.predict(cells, prevalence=STATED)
    kept = read(runs[0] / "calibration" / "0.parquet")
    at = net.prevalence(STATED)
    fit = conformal.fit(
        at.probabilities(kept.logits, KINDS, net.calibration.temperature),
        kept.labels,
        0.7,
        at.weights(kept.labels, KINDS),
    )
    np.testing.assert_array_equal(found.sets, fit.sets(found.probabilities))
    shown = " ".join(run_bcjax("predict", f"--workdir={runs[0]}", FLAG, cells).out.split())
    assert "or less is wrong" not in shown
    plain = moved(net.predict(cells).probabilities, runs[0])
    np.testing.assert_allclose(found.probabilities, plain)
    (runs[0] / "calibration" / "0.parquet").unlink()  # as earlier versions left it
    with pytest.raises(UserError, match="calibrate anew"):
        net.predict(cells, prevalence=STATED)


def test_an_ensemble_answers_at_it_too(runs, cells):
    several = bcjax.load(runs)
    found = several.predict(cells, prevalence=STATED)
    plain = several.predict(cells)
    np.testing.assert_allclose(found.probabilities, moved(plain.probabilities, runs[0]))
    np.testing.assert_array_equal(found.entropy, plain.entropy)
    evaluation = bcjax.evaluate(runs[0], "val", runs=[runs[1]], prevalence=STATED)
    assert evaluation.path.name == "val-ensemble-prevalence.json"
    assert evaluation.prevalence.stated == pytest.approx(STATED)


def test_an_evaluation_at_it_stands_beside_the_plain_one(runs):
    bcjax.calibrate(runs[0])
    plain = bcjax.evaluate(runs[0], "val")
    before = plain.path.read_bytes()
    ran = run_bcjax("evaluate", f"--workdir={runs[0]}", "--split=val", FLAG)
    assert ran.status == 0, ran.err
    assert "stated prevalence" in " ".join(ran.out.split())
    assert plain.path.read_bytes() == before
    found = bcjax.Evaluation.read(runs[0] / "eval" / "val-prevalence.json")
    assert any("stated prevalence" in caution for caution in found.cautions)
    kept = read(runs[0] / "eval" / "val-prevalence.parquet")
    expected = moved(read(plain.path.with_suffix(".parquet")).probabilities(), runs[0])
    np.testing.assert_allclose(kept.probabilities(), expected)
    loss = -np.log(expected[np.arange(kept.n), kept.labels]).mean()
    right = (expected.argmax(axis=1) == kept.labels).mean()
    assert found.metrics["accuracy"].value == pytest.approx(right)
    assert found.calibration.log_loss.raw == pytest.approx(loss)
    written = bcjax.report(runs[0], "val-prevalence").html.read_text()
    assert "stated prevalence" in written


def test_members_answer_at_it_each_and_together(runs):
    whole = runs[0].parent / "whole"
    whole.mkdir()
    shutil.copy(runs[0] / "config.json", whole)
    for i, run in enumerate(runs):
        shutil.move(run, whole / f"member-{i}")
    found = bcjax.evaluate(whole, "val", prevalence=STATED)
    assert found.path == whole / "eval" / "val-prevalence.json"
    assert [caution for caution in found.cautions if "member" in caution] == []
    for i in (0, 1):
        kept = read(whole / f"member-{i}" / "eval" / "val-prevalence.parquet")
        assert kept.prevalence == found.prevalence


def test_stating_the_prevalence_of_the_training_changes_no_figure(runs):
    plain = bcjax.evaluate(runs[0], "val")
    own = trained_at(runs[0], settled(), KINDS)
    found = bcjax.evaluate(runs[0], "val", prevalence=own)
    assert found.values == pytest.approx(plain.values)


def test_what_does_not_go_with_it_is_refused(runs, cells):
    none = dict.fromkeys(KINDS, 0.0) | {KINDS[0]: 1.0}
    with pytest.raises(UserError, match="does not occur, but"):
        bcjax.evaluate(runs[0], "val", prevalence=none)
    assert bcjax.load(runs[0]).predict(cells, prevalence=none).probabilities[:, 0] == pytest.approx(
        1
    )
    ran = run_bcjax("evaluate", f"--workdir={runs[0]}", FLAG, "--watch")
    refused(ran, "--prevalence", "--watch")
    refused(run_bcjax("predict", f"--workdir={runs[0]}", "--prevalence=x=1", cells), "no class")
    page = json.loads((runs[0] / "pictures.json").read_text())
    (runs[0] / "pictures.json").write_text(json.dumps(page | {"counts": {}}))
    ran = run_bcjax("predict", f"--workdir={runs[0]}", FLAG, cells)
    refused(ran, runs[0], "how many pictures of each class")
