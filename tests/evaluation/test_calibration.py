"""What is fitted to logits keeps what it promises, on pictures that it was not fitted on."""

import dataclasses
import json

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom
from sklearn.covariance import ledoit_wolf

from bcjax import metrics
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import abstention, conformal, outliers, temperature
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration.measure import CalibrationMeasurements, measure
from bcjax.evaluation.calibration.outliers import separate
from bcjax.runtime.errors import UserError

CLASSES = ("basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil")
SEEDS = range(20)


def truthful(n, *, seed, spread=3.0, weights=None):
    """Logits, float32, and labels drawn from their very softmax."""
    rng = np.random.default_rng(seed)
    logits = spread * rng.normal(size=(n, len(CLASSES)))
    logits += np.log(np.ones(len(CLASSES)) if weights is None else weights)
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return logits.astype(np.float32), labels.astype(np.int32)


def answers(logits, labels, classes=CLASSES):
    ids = tuple(str(i) for i in range(len(labels)))
    return Answers(classes, ids, ("",) * len(labels), labels, logits)


def within_sampling_error(rate, expected, n):
    """Whether a rate among `n` would be seen once in 1,000 times, or more often."""
    low, high = binom.interval(0.999, n, expected)
    return low / n <= rate <= high / n


# temperature


@settings(max_examples=50)
@given(st.data())
def test_temperature_never_worsens_the_log_loss_of_what_it_was_fitted_on(data):
    n = data.draw(st.integers(1, 12))
    finite = st.floats(-60, 60, width=32)
    logits = data.draw(arrays(np.float32, (n, 3), elements=finite))
    labels = data.draw(arrays(np.int32, n, elements=st.integers(0, 2)))
    fitted_to = temperature.fit(logits, labels)
    assert 0.01 <= fitted_to <= 100
    after = temperature.log_loss(logits, labels, fitted_to)
    assert after <= temperature.log_loss(logits, labels, 1.0)


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_temperature_is_found(true):
    logits, labels = truthful(20_000, seed=0)
    assert temperature.fit(logits * true, labels) == pytest.approx(true, rel=0.03)


def test_temperature_is_where_the_derivative_of_the_loss_vanishes():
    logits, labels = truthful(300, seed=1)
    best = temperature.fit(logits * 3, labels)
    around = [temperature.log_loss(logits * 3, labels, best * by) for by in (0.999, 1, 1.001)]
    assert min(around) == around[1]


def test_temperature_stays_where_every_picture_is_right():
    logits, _ = truthful(50, seed=0)
    assert temperature.fit(logits, logits.argmax(axis=1)) == 1.0


def units(n):
    return np.arange(n)


@pytest.mark.parametrize(
    ("n", "wrong"), [(1, 0), (5, 1), (29, 12), (30, 9), (400, 9), (400, 0), (30, 21), (30, 30)]
)
def test_too_few_pictures_or_too_few_wrong_or_right_ones_give_no_temperature(n, wrong):
    logits = np.repeat(np.array([[3.0, 0, 0, 0, 0]], np.float32), n, axis=0)
    labels = (np.arange(n) < wrong).astype(np.int32)
    found = temperature.fit_if_determined(logits, labels, units(n))
    assert (found.value, found.estimate) == (1.0, None)
    assert f"of these {n}, {wrong} are answered wrongly." in found.why_not
    assert f"{temperature.FEWEST} pictures or more" in found.why_not


def test_with_as_many_as_it_says_there_is_a_temperature_with_its_interval():
    logits = np.repeat(np.array([[3.0, 0, 0, 0, 0]], np.float32), 30, axis=0)
    for wrong in (10, 20):
        labels = (np.arange(30) < wrong).astype(np.int32)
        found = temperature.fit_if_determined(logits, labels, units(30))
        assert found.why_not == ""
        assert found.estimate.low < found.value < found.estimate.high
        assert (found.estimate.n, found.estimate.interval) == (30, "bootstrap")


def test_the_interval_of_the_temperature_is_that_of_fits_to_resamples():
    logits, labels = truthful(200, seed=3)
    found = temperature.fit_if_determined(logits * 2, labels, units(200), resamples=300).estimate
    rng = np.random.default_rng(0)  # the same resamples, fitted one by one
    fits = []
    for _ in range(300):
        drawn = rng.integers(200, size=200)
        fits.append(temperature.fit(2 * logits[drawn], labels[drawn]))
    low, high = np.quantile(fits, (0.025, 0.975))
    assert (found.low, found.high) == (pytest.approx(low, rel=2e-3), pytest.approx(high, rel=2e-3))


def test_the_interval_holds_the_true_temperature_in_19_of_20_fits_or_nearly():
    held = 0
    for seed in range(60):
        logits, labels = truthful(150, seed=seed)
        found = temperature.fit_if_determined(logits * 1.5, labels, units(150), 200).estimate
        held += found.low <= 1.5 <= found.high
    assert held >= binom.ppf(0.001, 60, 0.92)


@pytest.mark.parametrize(("sharpened", "holds"), [(1.0, True), (3.0, False)])
def test_an_interval_that_holds_1_is_known(sharpened, holds):
    logits, labels = truthful(300, seed=5)
    assert temperature.fit_if_determined(logits * sharpened, labels, units(300)).may_be_1 == holds


def test_pictures_of_one_group_say_less_of_the_temperature_than_as_many_on_their_own():
    logits, labels = truthful(60, seed=1)
    logits, labels = np.repeat(logits, 5, axis=0), np.repeat(labels, 5)
    alone = temperature.fit_if_determined(logits, labels, units(300)).estimate
    grouped = temperature.fit_if_determined(logits, labels, np.repeat(units(60), 5)).estimate
    assert grouped.value == alone.value
    assert grouped.interval == "group bootstrap"
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_what_too_few_pictures_leave_unfitted_is_said():
    logits, labels = truthful(500, seed=0)
    few = answers(logits[:5], labels[:5])
    no_temperature, complete = measure(fit(few), few).unfitted
    assert no_temperature.startswith("No temperature was fitted")
    assert complete == (
        "Every class is in every set: a coverage of 90% takes 9 pictures or more, and there are 5."
    )
    enough = answers(logits, labels)
    assert measure(fit(enough), enough).unfitted == []


def test_a_calibration_of_an_earlier_version_is_read(tmp_path):
    path = calibrations.write(fit(answers(*truthful(400, seed=0))), tmp_path)
    page = json.loads(path.read_text())
    del page["fitted"]
    path.write_text(json.dumps(page))
    assert calibrations.read(tmp_path, 7).fitted is None


def test_log_loss_and_brier_are_those_of_scikit_learn():
    from sklearn.metrics import brier_score_loss, log_loss

    given_answers = answers(*truthful(400, seed=2))
    calibration = fit(given_answers)
    measured = measure(calibration, given_answers)
    for name, at in (("raw", 1.0), ("scaled", calibration.temperature)):
        probabilities = given_answers.probabilities(at)
        labels = given_answers.labels
        assert getattr(measured.log_loss, name) == pytest.approx(log_loss(labels, probabilities))
        brier = brier_score_loss(labels, probabilities, labels=range(5), scale_by_half=False)
        assert getattr(measured.brier, name) == pytest.approx(brier)


def test_the_error_of_calibration_is_that_of_its_definition():
    logits = np.log([[0.9, 0.1], [0.91, 0.09], [0.6, 0.4], [0.65, 0.35]]).astype(np.float32)
    two = answers(logits, np.array([0, 1, 0, 0], np.int32), ("a", "b"))
    ece = measure(fit(two), two).ece.raw
    # Bins of 1/15: two of 0.905 of which one is right, one of 0.6 and one of 0.65, both right.
    assert ece == pytest.approx(2 / 4 * (0.905 - 0.5) + 0.4 / 4 + 0.35 / 4, abs=1e-6)


# conformal


@pytest.mark.parametrize("asked", [0.7, 0.9, 0.95])
@pytest.mark.parametrize("by_class", [False, True])
def test_sets_hold_the_true_class_as_often_as_asked(asked, by_class):
    """Whatever the network's own confidence: here it is twice too sure, and classes are uneven."""
    weights = np.array([1, 2, 4, 8, 8])
    held = []
    for seed in SEEDS:
        calibration = fit(answers(*truthful(1000, seed=seed, weights=weights)), coverage=asked)
        logits, labels = truthful(1000, seed=seed + 1000, weights=weights)
        sets = calibration.conformal.sets(calibration.probabilities(logits), by_class=by_class)
        held.append((sets[np.arange(1000), labels], labels))
    holds, labels = (np.concatenate(each) for each in zip(*held, strict=True))
    # A fit's own coverage varies as much as that of as many pictures: half of them count.
    assert within_sampling_error(holds.mean(), asked, len(holds) // 2)
    if by_class:
        for label in range(len(CLASSES)):
            of_class = holds[labels == label]
            assert within_sampling_error(of_class.mean(), asked, len(of_class) // 2)


@given(st.integers(1, 60), st.sampled_from([0.5, 0.55, 0.7, 0.9, 0.95, 0.99]))
def test_the_threshold_is_the_rank_of_the_finite_sample(n, coverage):
    probabilities = np.linspace(0.01, 0.99, n)[:, None]
    both = np.hstack([probabilities, 1 - probabilities])
    found = conformal.fit(both, np.zeros(n, np.int32), coverage)
    held = int((probabilities >= found.least).sum())
    if n >= found.needed:
        assert held - 1 < (n + 1) * coverage - 1e-9 <= held
    else:
        assert found.least == 0


def test_a_class_of_too_few_pictures_is_in_every_set_and_is_named():
    logits, labels = truthful(500, seed=0)
    keep = (labels != 2) | (np.cumsum(labels == 2) <= 8)  # one less than a coverage of 0.9 needs
    some = answers(logits[keep], labels[keep])
    calibration = fit(some, coverage=0.9)
    assert calibration.conformal.needed == 9
    sets = calibration.conformal.sets(calibration.probabilities(logits), by_class=True)
    assert sets[:, 2].all()
    assert not sets[:, 0].all()
    assert measure(calibration, some).conformal.by_class.too_few == ("lymphocyte",)


# abstention


def test_the_error_of_what_is_answered_is_as_asked_in_19_of_20_fits():
    asked, trials, (logits, labels) = 0.01, 100, truthful(20_000, seed=999, spread=12)
    probabilities = temperature.probabilities(logits, 1.0)
    wrong = probabilities.argmax(axis=1) != labels
    assert wrong.mean() > 5 * asked  # so that it must abstain
    errors, shares = [], []
    for seed in range(trials):
        logits, labels = truthful(1400, seed=seed, spread=12)
        found = abstention.fit(temperature.probabilities(logits, 1.0), labels, asked)
        answered = ~found.uncertain(probabilities)
        shares.append(answered.mean())
        errors.append(wrong[answered].sum() / max(1, answered.sum()))
    assert sum(error > asked for error in errors) <= binom.ppf(0.999, trials, 0.05)
    assert np.mean(shares) > 0.6  # who knew the true errors would answer 0.79


def test_a_network_that_is_right_answers_everything_and_a_blind_one_nothing():
    logits, _ = truthful(2000, seed=0)
    probabilities = temperature.probabilities(logits, 1.0)
    seeing = abstention.fit(probabilities, logits.argmax(axis=1), 0.01)
    assert seeing.threshold == 0
    assert not seeing.uncertain(probabilities).any()
    blind = abstention.fit(probabilities, np.roll(logits.argmax(axis=1), 1), 0.01)
    assert blind.threshold == 1
    assert blind.uncertain(np.eye(5)).all()


def test_too_few_pictures_vouch_for_no_error_rate():
    logits, _ = truthful(600, seed=0)
    right = logits.argmax(axis=1)
    probabilities = temperature.probabilities(logits, 1.0)
    needed = abstention.fit(probabilities, right, 0.01).needed
    assert needed == 437  # 0.99 ** 437 is the first below 0.05 / 4
    too_few = abstention.fit(probabilities[: needed - 1], right[: needed - 1], 0.01)
    assert too_few.threshold is None
    assert too_few.uncertain(probabilities) is None
    assert abstention.fit(probabilities[:needed], right[:needed], 0.01).threshold == 0


def test_the_equally_sure_are_answered_together():
    """Each of four levels of confidence has 500 pictures, and all errors are in the lowest."""
    confidence = np.repeat([0.99, 0.9, 0.8, 0.7], 500)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.repeat([0, 0, 0, 1], 500)
    shuffled = np.random.default_rng(0).permutation(2000)
    found = abstention.fit(probabilities[shuffled], labels[shuffled], 0.05)
    assert found.threshold == 0.7


# outliers


@pytest.fixture(scope="module")
def seen():
    """Features of three classes, in 6 dimensions of which the last never varies."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 3], 400)  # class 2 has no picture
    mixing = rng.normal(size=(6, 6))
    mixing[:, -1] = 0
    features = 4 * labels[:, None] * np.arange(6) + rng.normal(size=(400, 6)) @ mixing
    return features.astype(np.float32), labels


def test_distances_are_those_of_the_formula(seen):
    features, labels = seen
    varied = features[:, :5]
    found = outliers.fit(varied, labels, varied, np.zeros((400, 4), np.float32))
    means = {label: varied[labels == label].astype(np.float64).mean(axis=0) for label in (0, 1, 3)}
    within = varied - np.stack([means[label] for label in labels])
    precision = np.linalg.inv(ledoit_wolf(within, assume_centered=True)[0])
    strange = varied[:20] + 7.0
    by_hand = [min(np.sqrt((x - m) @ precision @ (x - m)) for m in means.values()) for x in strange]
    np.testing.assert_allclose(found.distance(strange), by_hand, rtol=1e-6)
    np.testing.assert_allclose(found.energies, -np.log(4))


def test_all_but_the_share_kept_are_outliers_and_strangers_are_told(seen):
    features, labels = seen
    logits, _ = truthful(200, seed=0)
    found = outliers.fit(features[200:], labels[200:], features[:200], logits, kept=0.9)
    assert found.are(found.distance(features[:200])).sum() in (19, 20)
    far = features[:50] + 100
    told = separate(found, outliers.energy(logits[:50] / 100), found.distance(far))
    assert (told.n, told.n_held) == (50, 200)
    assert told.distance.auroc == 1
    assert told.distance.above.value == 1
    assert 0.5 < told.energy.auroc <= 1  # flat logits have less energy to spend


# together


def fit(given_answers, **asked):
    asked = {"coverage": 0.9, "error_rate": 0.05} | asked
    return calibrations.fit(given_answers, step=7, split="val", **asked)


def test_it_is_read_as_it_was_written(tmp_path, seen):
    features, labels = seen
    logits, _ = truthful(400, seed=0)
    plain = fit(answers(*truthful(400, seed=0)))
    strange = outliers.fit(features, labels, features, logits)
    told = separate(strange, strange.energies, strange.distances)
    whole = dataclasses.replace(plain, outliers=strange, not_cells=told)
    assert calibrations.read(tmp_path, 7) is None
    for calibration in (plain, whole):
        path = calibrations.write(calibration, tmp_path)
        read = calibrations.read(tmp_path, 7)
        assert json.loads(path.read_text())["temperature"] == calibration.temperature
        written = dataclasses.replace(calibration, path=path, answers=None)
        np.testing.assert_equal(dataclasses.asdict(read), dataclasses.asdict(written))
    assert sorted(p.name for p in path.parent.iterdir()) == ["7.json", "7.npz", "7.parquet"]


@pytest.mark.parametrize("damage", ["cut", "empty", "not finite", "no arrays", "half the arrays"])
def test_a_damaged_one_is_refused(tmp_path, seen, damage):
    features, labels = seen
    given_answers = answers(*truthful(400, seed=0))
    strange = outliers.fit(features, labels, features, given_answers.logits)
    path = calibrations.write(dataclasses.replace(fit(given_answers), outliers=strange), tmp_path)
    npz = path.with_suffix(".npz")
    if damage == "no arrays":
        npz.unlink()
    elif damage == "half the arrays":
        npz.write_bytes(npz.read_bytes()[: npz.stat().st_size // 2])
    elif damage == "not finite":
        page = json.loads(path.read_text()) | {"temperature": float("nan")}
        path.write_text(json.dumps(page))
    else:
        path.write_text("{}" if damage == "empty" else path.read_text()[:100])
    with pytest.raises(UserError, match=r"7\.json is damaged .*bcjax calibrate"):
        calibrations.read(tmp_path, 7)


def test_what_is_measured_is_counted(tmp_path):
    calibration = fit(answers(*truthful(1000, seed=0)))
    others = answers(*truthful(800, seed=1))
    measured = measure(calibration, others)
    probabilities = calibration.probabilities(others.logits)
    sets = calibration.conformal.sets(probabilities)
    held = int(sets[np.arange(800), others.labels].sum())
    low, high = metrics.wilson(held, 800)
    found = measured.conformal
    assert found.measured == metrics.Estimate(held / 800, 800, "wilson", low, high)
    assert found.mean_size == sets.sum() / 800
    assert [each.measured.n for each in found.per_class] == [
        int((others.labels == label).sum()) for label in range(5)
    ]
    sure = probabilities.max(axis=1) > calibration.abstention.threshold
    assert measured.abstention.answered.value == sure.mean()
    assert measured.abstention.error.n == sure.sum()
    assert (measured.n, measured.fitted_n, measured.fitted_on) == (800, 1000, "val")
    page = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert page == measured.to_dict()
    assert CalibrationMeasurements.from_dict(page) == measured


def test_logits_that_are_not_finite_and_answers_of_other_classes_are_refused():
    logits, labels = truthful(20, seed=0)
    calibration = fit(answers(logits, labels))
    with pytest.raises(ValueError, match="were calibrated, not"):
        measure(calibration, answers(logits, labels, CLASSES[::-1]))
    logits[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fit(answers(logits, labels))


def test_probabilities_energies_and_distances_are_those_of_scipy():
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 20, (200, 8)).astype(np.float32)
    np.testing.assert_array_equal(
        temperature.probabilities(logits, 1.7),
        scipy.special.softmax(logits.astype(np.float64) / 1.7, axis=1),
    )
    np.testing.assert_allclose(
        outliers.energy(logits), -scipy.special.logsumexp(logits.astype(np.float64), axis=1), 1e-14
    )
    features, means, whitening = (draw.normal(size=shape) for shape in ((200, 5), (3, 5), (5, 4)))
    apart = scipy.spatial.distance.cdist(features @ whitening, means @ whitening)
    np.testing.assert_allclose(
        outliers._distance(features, means, whitening), apart.min(axis=1), 1e-12
    )
