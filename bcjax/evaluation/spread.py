"""How far the members of a run lie apart, and what they answer together."""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from scipy import stats

from bcjax import config as configs
from bcjax.evaluation import ensemble
from bcjax.evaluation import evaluator as evaluate
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluator import Evaluator, Result
from bcjax.metrics.intervals import LEVEL
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir


def evaluate_members(
    workdir: Path, which: str, **pictures: Any
) -> dict[Path, tuple[Result, Answers]]:
    """Evaluates each member of a run, and all of them together.

    Together they answer with the mean of their probabilities; where each fold is held out by
    another member, with the answers that each gave to its own fold.

    Args:
      workdir: Of the run.
      which: "best", "latest" or a step.
      **pictures: Which ones, as an `Evaluator` takes them.

    Returns:
      By folder, that of the run being the last: see `together`.

    Raises:
      UserError: If no member has a checkpoint, or one answers what is not finite.
    """
    config = configs.load(workdir)
    apart = config.train.vary == "fold" and not pictures.get("source")
    found: dict[Path, tuple[Result, Answers]] = {}
    evaluator: Evaluator | None = None
    for folder in RunDir(workdir).members():
        if not RunDir(folder).checkpoints.exists():
            continue  # it diverged before the first, or has not begun
        if evaluator is None or apart:
            evaluator = Evaluator(folder, **pictures)
        else:  # of the same pictures, which are decoded once, and the same program
            evaluator = copy.copy(evaluator)
            evaluator.workdir = folder
        if evaluator.steps():
            found[folder] = evaluator(which)
    if not found:
        raise UserError(f"{workdir} holds no member with a checkpoint yet: train first, or wait.")
    return found | {workdir: together(config, found)}


def together(
    config: ConfigDict, found: Mapping[Path, tuple[Result, Answers]]
) -> tuple[Result, Answers]:
    """Measures what members answer together.

    Args:
      config: Of all of them.
      found: Of each, by its folder, on one split.

    Returns:
      As of one network, the checkpoint being the first one's; `members`, see `over`; and
      `held_out`: whether each answered its own fold.
    """
    first = next(iter(found.values()))[0]
    answers = [answered for _, answered in found.values()]
    own = first["source"] == config.data.source
    held_out = own and config.train.vary == "fold" and first["split"] == config.eval.split
    whole = _joined(answers) if held_out else ensemble.average(answers)
    kept = ("split", "checkpoint", "source", "leaks", "cautions")
    where = {key: first[key] for key in kept if key in first}
    spread = over({folder: result for folder, (result, _) in found.items()})
    measured = evaluate.measure(whole, resamples=config.eval.resamples)
    return where | {"members": spread, "held_out": held_out} | measured, whole


def over(results: Mapping[Path, Result]) -> dict[str, Any]:
    """Returns mean, deviation and interval of each headline metric over members.

    Args:
      results: Of the members, by folder.

    Returns:
      `metrics`: for each that all of them have `mean`, `deviation` (of a member, n - 1 in its
      denominator), `low` and `high` (95 %, Student's t: of the mean over all seeds or folds there
      might be, on these pictures), `n` members; and `each`: `workdir`, `checkpoint`, `metrics`.
    """
    headlines = {folder: evaluate.headline(result) for folder, result in results.items()}
    common = set.intersection(*(set(each) for each in headlines.values()))
    first = next(iter(headlines.values()))
    return {
        "metrics": {
            name: _spread([each[name] for each in headlines.values()])
            for name in first
            if name in common
        },
        "each": [
            {
                "workdir": str(folder),
                "checkpoint": results[folder]["checkpoint"],
                "metrics": headline,
            }
            for folder, headline in headlines.items()
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
