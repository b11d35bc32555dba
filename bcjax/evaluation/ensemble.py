"""Answers of several networks, or to several views of a picture, averaged into one.

The mean of the probabilities, each voice the same (Lakshminarayanan et al., Deep ensembles,
NeurIPS 2017, arXiv:1612.01474).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.special import log_softmax, logsumexp

from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation import evaluator as evaluation
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluator import Evaluator, Result
from bcjax.evaluation.views import View
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Member:
    """A network that has a voice: a checkpoint of a run, and how to ask it."""

    evaluator: Evaluator
    trained: RestoredNetwork

    @property
    def workdir(self) -> Path:
        return self.evaluator.workdir

    def __str__(self) -> str:
        return f"{self.workdir} (checkpoint {self.trained.step})"

    def about(self, answers: Answers) -> Result:
        """Returns which one it is, and the headline of its own answers."""
        return {
            "workdir": str(self.workdir),
            "checkpoint": self.trained.step,
            "metrics": _headline(answers),
        }


def members(evaluators: Sequence[Evaluator], checkpoints: Sequence[str]) -> Iterator[Member]:
    """Yields the named checkpoints of each run, one after another, each once.

    Args:
      evaluators: Of the runs, for one split.
      checkpoints: "best", "latest" or a step each.

    Raises:
      UserError: If a run has no such checkpoint, or all that is named is one and the same.
    """
    seen: dict[tuple[Path, int], str] = {}
    for evaluator, which in itertools.product(evaluators, checkpoints):
        member = Member(evaluator, evaluator.load(which))
        key = (member.workdir.resolve(), member.trained.step)
        if key not in seen:
            seen[key] = str(member)
            yield member
    if len(seen) < 2 <= len(evaluators) * len(checkpoints):
        raise UserError(
            f"All that is to be averaged is {next(iter(seen.values()))}: name another checkpoint, "
            "or another run."
        )


def evaluate(
    evaluators: Sequence[Evaluator], checkpoints: Sequence[str], views: Sequence[View] = ()
) -> tuple[Result, Answers]:
    """Averages runs, checkpoints of each, and views of each picture, and measures the whole.

    Args:
      evaluators: Of the runs, for one split; each shows the pictures as its network wants them.
      checkpoints: "best", "latest" or a step each, of every run.
      views: Of each picture; (): the picture as it is.

    Returns:
      As of one network, the checkpoint being the first one's. Beside it "views" and, of more than
      one network, "ensemble": what was averaged, each with the headline that it has alone.

    Raises:
      UserError: If runs differ in classes or pictures, or a checkpoint is not there.
    """
    names, pages, voices = [], [], []
    for member in members(evaluators, checkpoints):  # one network held at a time
        seen = answers(member, views)
        names.append(str(member))
        pages.append(member.about(average(seen)))
        voices.append(seen)
    whole = average([average(seen) for seen in voices], names)
    about = about_views(views, voices) | {"cautions": cautions(evaluators)}
    if len(pages) > 1:
        about["ensemble"] = pages
    return evaluators[0].measured(whole, pages[0]["checkpoint"], **about), whole


def answers(member: Member, views: Sequence[View] = ()) -> list[Answers]:
    """Returns a network's answers to each view; without any, to the pictures as they are."""
    return [member.evaluator.answers(member.trained, view) for view in views or (None,)]


def about_views(views: Sequence[View], voices: Sequence[Sequence[Answers]]) -> Result:
    """Returns {"views": each with its headline}, or {} where there are none.

    Args:
      views: Of each picture.
      voices: For each network its answers to each view.
    """
    if not views:
        return {}
    each = [average(column) for column in zip(*voices, strict=True)]
    return {
        "views": [
            {"view": view.name, "metrics": _headline(seen)}
            for view, seen in zip(views, each, strict=True)
        ]
    }


def cautions(evaluators: Sequence[Evaluator]) -> list[str]:
    """Returns what a reader must know of any of the runs, each sentence once."""
    said = [sentence for each in evaluators for sentence in each.about["cautions"]]
    return list(dict.fromkeys(said))


def average(voices: Sequence[Answers], names: Sequence[str] = ()) -> Answers:
    """Averages probabilities, picture by picture; the logits returned are their logarithms.

    Args:
      voices: Of the same pictures, in any order; of one alone, it is returned as it is.
      names: Whose answers they are, to be named where they do not fit; (): they do.

    Raises:
      UserError: Naming what differs, if classes, pictures or their labels do.
    """
    first, *others = voices
    if not others:
        return first
    logits = [first.logits]
    for position, other in enumerate(others, start=1):
        whose = (names[0], names[position]) if names else ("the first", "another")
        logits.append(_matched(first, other, *whose))
    # In logarithms, where no probability is 0.
    each = log_softmax(np.stack(logits).astype(np.float64), axis=-1)
    mean = logsumexp(each, axis=0) - np.log(len(voices))
    return dataclasses.replace(first, logits=mean.astype(np.float32))


def _matched(one: Answers, other: Answers, name: str, other_name: str) -> Float[np.ndarray, "N C"]:
    """Returns the other's logits in the order of the one's pictures."""
    both = f"{other_name} cannot be averaged with {name}"
    if one.classes != other.classes:
        raise UserError(f"{both}, for {_differing('class', one.classes, other.classes)}.")
    place = {picture: position for position, picture in enumerate(other.ids)}
    if set(one.ids) != place.keys():
        raise UserError(f"{both}, for {_differing('picture', one.ids, other.ids)}.")
    order = [place[picture] for picture in one.ids]
    labels = other.labels[order]
    if (labels != one.labels).any():
        which = int((labels != one.labels).argmax())
        here, there = one.classes[one.labels[which]], one.classes[labels[which]]
        raise UserError(
            f"{both}, for the picture {one.ids[which]!r} is labelled {there} there and {here} "
            "here: use runs of one data set."
        )
    return other.logits[order]


def _differing(what: str, here: Sequence[str], there: Sequence[str]) -> str:
    """Names what only one of two lists has."""
    only = {"here": set(here) - set(there), "there": set(there) - set(here)}
    parts = [f"{len(few)} only {where}, such as {min(few)!r}" for where, few in only.items() if few]
    found = "; ".join(parts) or "their order"
    return f"they differ in {what} names ({found}): use runs of one data set, split alike"


def _headline(answers: Answers) -> dict[str, float]:
    return evaluation.headline(evaluation.measure(answers, resamples=0))
