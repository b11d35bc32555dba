"""How far the members of a run lie apart, and what they answer together."""

import copy
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from scipy import stats

from bcjax import config as configs
from bcjax import ensemble, evaluate, vary
from bcjax.answers import Answers
from bcjax.errors import UserError
from bcjax.evaluate import Evaluator, Result
from bcjax.metrics.intervals import LEVEL


def evaluate_members(workdir: Path, which: str, **pictures: Any) -> tuple[Result, Answers]:
    """Evaluates each member, writes its result to its own folder, and measures them together.

    Together they answer with the mean of their probabilities; where each fold is held out by
    another member, with the answers that each gave to its own fold.

    Args:
      workdir: Of the run.
      which: "best", "latest" or a step.
      **pictures: Which ones, as an `Evaluator` takes them.

    Returns:
      As of one network, and beside it "members": see `over`. The checkpoint is the first one's.

    Raises:
      UserError: If no member has a checkpoint, one answers what is not finite, or the pictures are
        of other classes.
    """
    config = configs.load(workdir)
    folds, source = config.train.vary == "fold", pictures.get("source", "")
    folders = [path for path in vary.folders(workdir) if (path / "checkpoints").exists()]
    if not folders:
        raise UserError(f"{workdir} holds no member with a checkpoint yet: train first, or wait.")
    first: Evaluator | None = None
    results, answers = [], []
    for folder in folders:
        if first is None or (folds and not source):
            evaluator = Evaluator(folder, **pictures)
        else:  # of the same pictures, which are decoded once
            evaluator = copy.copy(first)
            evaluator.workdir = folder
        first = first or evaluator
        if evaluator.matching is not None:
            raise UserError(
                f"Pictures of other classes are shown to one member: give --workdir={folder}."
            )
        if not evaluator.steps():  # it diverged before its first checkpoint
            continue
        result, answered = evaluator(which)
        name = f"{Path(source).stem}-{evaluator.split}" if source else evaluator.split
        evaluate.write(result, answered, folder, name)
        results.append(result | {"workdir": str(folder)})
        answers.append(answered)
    if not results:
        raise UserError(f"{workdir} holds no member with a checkpoint yet: train first, or wait.")
    return together(config, results, answers)


def together(
    config: ConfigDict, results: Sequence[Result], answers: Sequence[Answers]
) -> tuple[Result, Answers]:
    """Measures what members answer together: see `evaluate_members`.

    Args:
      config: Of all of them.
      results: Of each on one split, with its `workdir`.
      answers: That these are of.
    """
    first = results[0]
    own = first["source"] == config.data.source
    held_out = own and config.train.vary == "fold" and first["split"] == config.eval.split
    whole = _joined(answers) if held_out else ensemble.average(answers)
    kept = ("split", "checkpoint", "source", "leaks", "cautions")
    where = {key: first[key] for key in kept if key in first}
    measured = evaluate.measure(whole, resamples=config.eval.resamples)
    return where | {"members": over(results), "held_out": held_out} | measured, whole


def over(results: Sequence[Result]) -> dict[str, Any]:
    """Returns mean, deviation and interval of each headline metric over members.

    Args:
      results: Of the members, each with its `workdir`.

    Returns:
      `metrics`: for each that all of them have `mean`, `deviation` (of a member, n - 1 in its
      denominator), `low` and `high` (95 %, Student's t: of the mean over all seeds or folds there
      might be, on these pictures), `n` members; and `each`: `workdir`, `checkpoint`, headline.
    """
    headlines = [evaluate.headline(result) for result in results]
    common = [name for name in headlines[0] if all(name in each for each in headlines)]
    return {
        "metrics": {name: _spread([each[name] for each in headlines]) for name in common},
        "each": [
            {"workdir": result["workdir"], "checkpoint": result["checkpoint"], "metrics": headline}
            for result, headline in zip(results, headlines, strict=True)
        ],
    }


def _spread(values: Sequence[float]) -> dict[str, float | int | None]:
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return {"mean": mean, "deviation": None, "low": None, "high": None, "n": n}
    deviation = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * deviation / math.sqrt(n)
    return {
        "mean": mean, "deviation": deviation, "low": mean - half, "high": mean + half, "n": n,
    }  # fmt: skip


def _joined(answers: Sequence[Answers]) -> Answers:
    """The answers one after another, each picture being in one of them."""
    return dataclasses.replace(
        answers[0],
        ids=tuple(id_ for each in answers for id_ in each.ids),
        groups=tuple(group for each in answers for group in each.groups),
        labels=np.concatenate([each.labels for each in answers]),
        logits=np.concatenate([each.logits for each in answers]),
    )
