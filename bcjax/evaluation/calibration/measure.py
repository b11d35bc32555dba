"""What a calibration does to answers, be they those it was fitted on or others."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from bcjax import metrics
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import outliers, temperature
from bcjax.evaluation.calibration.fitted import Calibration
from bcjax.evaluation.calibration.outliers import Outliers
from bcjax.metrics import intervals
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.scores import calibration_error, mean_scores, unweighted


def measure(calibration: Calibration, answers: Answers) -> dict[str, Any]:
    """Measures probabilities, sets and abstention on answers.

    A share is `{"value", "n", "interval": "wilson", "low", "high"}`, 95 %, and None of nothing; of
    pictures in groups the interval ("group wilson") is as wide as if each group were one picture.

    Args:
      calibration: Of the checkpoint that answered.
      answers: Of its classes.

    Returns:
      Plain Python values, ready for JSON (never NaN):

      - `step`, `temperature`; `fitted_on` and `fitted_n`: of which split how many pictures; `n`
      - `log_loss` (nats), `ece` and `brier` as in `metrics`, each `{"raw", "scaled"}`: before and
        after the logits are divided by the temperature
      - `conformal`: `coverage` asked for, `least` probability of a class in a set, `measured`
        (share of the sets that hold the true class), `mean_size` and `empty` (share) of the sets,
        `per_class` (`name`, `measured`); and the same under `by_class`, of sets fitted by class,
        with the classes that had `too_few` pictures
      - `abstention`: `error_rate` asked for, `confidence`, `threshold`, `needed` pictures to vouch
        for it, `answered` (share), `error` among these (share)
      - `energy`, where outliers were fitted: `threshold`, `above` (share)

    Raises:
      ValueError: If the answers are of other classes.
    """
    if answers.classes != calibration.classes:
        raise ValueError(f"{calibration.classes} were calibrated, not {answers.classes}.")
    probabilities = calibration.probabilities(answers.logits)
    wrong = probabilities.argmax(axis=1) != answers.labels
    units = intervals.units(answers.groups, answers.n)
    fitted, abstention = calibration.conformal, calibration.abstention
    marginal, by_class = (fitted.sets(probabilities, by_class=b) for b in (False, True))
    too_few = [
        name
        for name, count in zip(answers.classes, fitted.counts, strict=True)
        if count < fitted.needed
    ]
    measured = {
        "step": calibration.step,
        "temperature": calibration.temperature,
        "fitted_on": calibration.split,
        "fitted_n": calibration.n,
        "n": answers.n,
        **_scores(calibration, answers),
        "conformal": {
            "coverage": fitted.coverage,
            "least": fitted.least,
            **_of_sets(marginal, answers, units),
            "by_class": {"too_few": too_few, **_of_sets(by_class, answers, units)},
        },
        "abstention": {
            "error_rate": abstention.error_rate,
            "confidence": abstention.confidence,
            "threshold": abstention.threshold,
            "needed": abstention.needed,
            **_of_answered(abstention.uncertain(probabilities), wrong, units),
        },
    }
    if calibration.outliers:
        threshold = calibration.outliers.energy_threshold
        above = outliers.energy(answers.logits) > threshold
        measured["energy"] = {"threshold": threshold, "above": share(above, units)}
    return measured


def strangers(
    fitted: Outliers, energies: Float[np.ndarray, "N"], distances: Float[np.ndarray, "N"]
) -> dict[str, Any]:
    """Measures how well each score tells strange pictures from the held-out ones.

    Args:
      fitted: With the scores of the held-out pictures.
      energies: Of the strange ones.
      distances: Of the strange ones.

    Returns:
      `n` strange and `n_held` held-out pictures; and for `energy` and `distance` each the `auroc`
      (1: every strange picture scores higher than all others) and, of the strange pictures, those
      `above` the threshold (share).
    """
    # Here, for it takes two seconds to import.
    from sklearn.metrics import roc_auc_score

    def of(held: np.ndarray, strange: np.ndarray, threshold: float) -> dict[str, Any]:
        is_strange = np.repeat([False, True], [len(held), len(strange)])
        auroc = float(roc_auc_score(is_strange, np.concatenate([held, strange])))
        return {"auroc": auroc, "above": share(strange > threshold)}

    return {
        "n": len(energies),
        "n_held": len(fitted.energies),
        "energy": of(fitted.energies, energies, fitted.energy_threshold),
        "distance": of(fitted.distances, distances, fitted.distance_threshold),
    }


def share(
    which: Bool[np.ndarray, "N"], units: Int[np.ndarray, "N"] | None = None
) -> dict[str, Any] | None:
    """Returns which share is true; None of nothing.

    Args:
      which: Of the pictures.
      units: Of each picture its group, whose pictures count as one for the interval; None: each
        picture is a group.
    """
    n, trials = len(which), len(which) if units is None else len(np.unique(units))
    if not n:
        return None
    value = float(which.mean())
    low, high = metrics.wilson(value * trials, trials)
    kind = "wilson" if trials == n else "group wilson"
    return {"value": value, "n": n, "interval": kind, "low": low, "high": high}


def _of_sets(
    sets: Bool[np.ndarray, "N C"], answers: Answers, units: Int[np.ndarray, "N"]
) -> dict[str, Any]:
    holds, sizes = sets[np.arange(answers.n), answers.labels], sets.sum(axis=1)
    of_class = [answers.labels == label for label in range(len(answers.classes))]
    return {
        "measured": share(holds, units),
        "mean_size": float(sizes.mean()),
        "empty": share(sizes == 0, units),
        "per_class": [
            {"name": name, "measured": share(holds[those], units[those])}
            for name, those in zip(answers.classes, of_class, strict=True)
        ],
    }


def _of_answered(
    uncertain: Bool[np.ndarray, "N"] | None,
    wrong: Bool[np.ndarray, "N"],
    units: Int[np.ndarray, "N"],
) -> dict[str, Any]:
    if uncertain is None:
        return {"answered": None, "error": None}
    return {
        "answered": share(~uncertain, units),
        "error": share(wrong[~uncertain], units[~uncertain]),
    }


def _scores(calibration: Calibration, answers: Answers) -> dict[str, dict[str, float]]:
    """Log loss, calibration error and Brier score, before and after."""
    found: dict[str, dict[str, float]] = {"log_loss": {}, "ece": {}, "brier": {}}
    for when, at in (("raw", 1.0), ("scaled", calibration.temperature)):
        # Of the logits themselves, for a probability may be too small for a float.
        found["log_loss"][when] = temperature.log_loss(answers.logits, answers.labels, at)
        predictions = Predictions(temperature.divide(answers.logits, at), answers.labels)
        for name, measure in (("ece", calibration_error), ("brier", mean_scores)):
            found[name][when] = float(unweighted(measure(predictions), answers.n)[name])
    return found
