"""A network before another laboratory's pictures, beside what it does at home.

Where classes overlap in part, there are two questions. Open: which class is it, of all that the
network knows? Closed: which of those that both laboratories have?
"""

import dataclasses
import json
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation import answers as written
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluator import Evaluator, Result
from bcjax.metrics import resampling, scores
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.resampling import ResampledMetrics
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

METRICS = ("accuracy", "balanced_accuracy")
_HOME_SEED = 1  # another than theirs, whose resamples are independent


def evaluate(evaluator: Evaluator, which: str) -> tuple[Result, Answers]:
    """Evaluates "best", "latest" or a step; the result says under `laboratory` what `compare` does.

    Raises:
      UserError: If there is no such checkpoint.
    """
    trained = evaluator.load(which)
    answers = evaluator.answers(trained)
    section = compare(evaluator, trained, answers)
    return evaluator.result(answers, trained.step, laboratory=section), answers


def compare(evaluator: Evaluator, trained: RestoredNetwork, theirs: Answers) -> Result:
    """Measures answers for another laboratory's pictures beside those for the home test split.

    Args:
      evaluator: Of the other pictures.
      trained: What answered.
      theirs: The answers, as `evaluator.answers` gives them: of the classes that are mapped.

    Returns:
      Plain Python values, ready for JSON:

      - `classes`: their class to home class; `left_out`: their classes that map nowhere, and how
        many pictures each has
      - `stain`: how they were normalised on entry, "none" or the method and its reference; and
        `home_stain`
      - `n`; `open` and `closed`: figures accuracy and balanced_accuracy
      - `home`: the same of the home pictures of the same classes, with `split` and `n`; None where
        those are not to be had, and then `why`
      - `drop`: for open and closed, home less other, intervals of independent resamples; or None
    """
    matching = evaluator.matching
    assert matching is not None, "only other data is compared"
    resamples = evaluator.config.eval.resamples
    overlap = sorted({label for label in matching.to_home if label >= 0})
    there = _both(theirs, overlap, resamples, seed=0)
    split = trained.config.eval.final_split
    section: Result = {
        "classes": matching.mapped,
        "left_out": matching.left_out,
        "stain": _stain(evaluator.config.data),
        "home_stain": _stain(trained.config.data),
        "n": theirs.n,
        **_figures(there),
    }
    try:
        home = _of_classes(_home(evaluator.workdir, trained, split), overlap)
    except UserError as error:
        return section | {"home": None, "drop": None, "why": str(error)}
    if not home.n:
        why = f"The home {split} split has no picture of these classes."
        return section | {"home": None, "drop": None, "why": why}
    here = _both(home, overlap, resamples, seed=_HOME_SEED)
    drop = {
        way: {
            metric: resampling.combine(
                lambda a, b: a - b, here[way].metric(metric), there[way].metric(metric)
            )
            .estimate()
            .to_dict()
            for metric in METRICS
        }
        for way in there
    }
    at_home = {"split": split, "n": home.n, **_figures(here)}
    return section | {"home": at_home, "drop": drop}


def _home(workdir: Path, trained: RestoredNetwork, split: str) -> Answers:
    """The network's answers for its own pictures: as an evaluation left them, or anew."""
    run_dir = RunDir(workdir)
    page, kept = run_dir.evaluation(split), run_dir.answers(split)
    if page.exists() and kept.exists():
        result = json.loads(page.read_text())
        if result["checkpoint"] == trained.step and result["split"] == split:
            return written.read(kept)
    trained_on = run_dir.trained_on()
    if trained_on is None:
        raise UserError("The network was not trained here: there are no home pictures.")
    at_home = Evaluator(workdir, split=split)
    if at_home.prepared.digest != trained_on.digest:
        raise UserError(
            "The home pictures, or their splits, are not those of the training any more: some may "
            "have been trained on."
        )
    return at_home.answers(trained)


def _of_classes(answers: Answers, classes: list[int]) -> Answers:
    kept = np.flatnonzero(np.isin(answers.labels, classes))
    return dataclasses.replace(
        answers,
        ids=tuple(answers.ids[i] for i in kept),
        groups=tuple(answers.groups[i] for i in kept),
        labels=answers.labels[kept],
        logits=answers.logits[kept],
    )


def _both(
    answers: Answers, overlap: list[int], resamples: int, seed: int
) -> dict[str, ResampledMetrics]:
    """Measures open and closed; the labels lie in the overlap."""
    only = dataclasses.replace(answers, logits=answers.logits[:, overlap])
    ways = {
        "open": Predictions(answers.probabilities(), answers.labels),
        "closed": Predictions(only.probabilities(), np.searchsorted(overlap, answers.labels)),
    }
    return {
        way: resampling.resample(
            predictions, answers.groups, resamples=resamples, seed=seed, kind=scores.counts
        )
        for way, predictions in ways.items()
    }


def _figures(both: dict[str, ResampledMetrics]) -> Result:
    return {
        way: {name: each.to_dict() for name, each in found.estimates(METRICS).items()}
        for way, found in both.items()
    }


def _stain(data: ConfigDict) -> str:
    if not data.stain:
        return "none"
    return f"{data.stain} to {data.stain_reference or 'the reference of its paper'}"
