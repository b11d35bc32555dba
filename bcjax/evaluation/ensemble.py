"""Ensembles: answers of several networks, or to several views of a picture, averaged into one.

The mean of the probabilities, every network weighing the same (Lakshminarayanan et al., Deep
ensembles, NeurIPS 2017, arXiv:1612.01474).
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import scipy
from jaxtyping import Float

from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.disagreement import Disagreement, log_mean
from bcjax.evaluation.evaluation import Evaluation, NetworkScores, ViewScores
from bcjax.evaluation.evaluator import Evaluator
from bcjax.evaluation.guards.pictures import of_average
from bcjax.evaluation.prevalence import Prevalence
from bcjax.evaluation.views import View
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class EnsembleNetwork:
    """One network of an ensemble.

    Attributes:
      evaluator: The evaluator of its run.
      trained: The network.
    """

    evaluator: Evaluator
    trained: RestoredNetwork

    @property
    def workdir(self) -> Path:
        """The run's folder."""
        return self.evaluator.workdir

    def __str__(self) -> str:
        """Returns "runs/a (checkpoint 1200)"."""
        return f"{self.workdir} (checkpoint {self.trained.step})"

    def answers(self, views: Sequence[View] = ()) -> list[Answers]:
        """Returns its answers to each view; without any, to the pictures as they are."""
        return [self.evaluator.answers(self.trained, view) for view in views or (None,)]

    def scores(self, answers: Answers, kept: bool | None = None) -> NetworkScores:
        """Returns which network it is, with the metrics of its own answers."""
        values = answers.measure(resamples=0).values
        return NetworkScores(str(self.workdir), self.trained.step, values, kept)


def load_networks(
    evaluators: Sequence[Evaluator], checkpoints: Sequence[str]
) -> Iterator[EnsembleNetwork]:
    """Yields the named checkpoints of each run, one after another, none twice.

    Args:
      evaluators: The evaluators of the runs, for one split.
      checkpoints: "best", "latest" or a step each.

    Raises:
      UserError: If a run has no such checkpoint, or all that is named is a single network.
    """
    loaded: dict[tuple[Path, int], str] = {}
    for evaluator, which in itertools.product(evaluators, checkpoints):
        network = EnsembleNetwork(evaluator, evaluator.load(which))
        key = (network.workdir.resolve(), network.trained.step)
        if key not in loaded:
            loaded[key] = str(network)
            yield network
    if len(loaded) < 2 <= len(evaluators) * len(checkpoints):
        (only,) = loaded.values()
        raise UserError(
            f"All that is to be averaged is {only}: name another checkpoint, or another run."
        )


def evaluate(
    evaluators: Sequence[Evaluator], checkpoints: Sequence[str], views: Sequence[View] = ()
) -> tuple[Evaluation, Answers]:
    """Averages runs, checkpoints of each, and views of each picture, and measures the average.

    Args:
      evaluators: The evaluators of the runs, for one split; each shows the pictures as its network
        wants them.
      checkpoints: "best", "latest" or a step each, of every run.
      views: The views of each picture; empty: the picture as it is.

    Raises:
      UserError: If runs differ in classes or pictures, or a checkpoint is not there.
    """
    names, steps, parts, by_network = [], [], [], []
    for network in load_networks(evaluators, checkpoints):  # one network in memory at a time
        by_view = network.answers(views)
        names.append(str(network))
        steps.append((network.workdir, network.trained.step))
        parts.append(network.scores(average(by_view)))
        by_network.append(by_view)
    whole = together([average(by_view) for by_view in by_network], names)
    evaluation = evaluators[0].evaluate_answers(
        whole,
        parts[0].checkpoint,
        of_average([each.pictures for each in evaluators], "answers"),
        views=view_scores(views, by_network),
        ensemble=tuple(parts) if len(parts) > 1 else (),
        calibration=None if views else calibrations.read_ensemble(evaluators[0].workdir, steps),
    )
    return evaluation, whole


def view_scores(
    views: Sequence[View], by_network: Sequence[Sequence[Answers]]
) -> tuple[ViewScores, ...]:
    """Returns the metrics of each view alone.

    Args:
      views: The views.
      by_network: For each network its answers to each view.
    """
    if not views:
        return ()
    by_view = [average(column) for column in zip(*by_network, strict=True)]
    return tuple(
        ViewScores(view.name, answers.measure(resamples=0).values)
        for view, answers in zip(views, by_view, strict=True)
    )


def average(several: Sequence[Answers], names: Sequence[str] = ()) -> Answers:
    """Averages probabilities, picture by picture; the logits returned are their logarithms.

    Args:
      several: Answers to the same pictures, in any order; a single one is returned as it is.
      names: What answered each time, for the message if they do not fit; empty: they do fit.

    Raises:
      UserError: If they differ in classes, pictures or labels, naming what differs.
    """
    if len(several) == 1:
        return several[0]
    return _mean(several, _log_probabilities(several, names))


def together(several: Sequence[Answers], names: Sequence[str] = ()) -> Answers:
    """Averages the answers of several networks, and measures how much they disagree; `average`."""
    if len(several) == 1:
        return several[0]
    each = _log_probabilities(several, names)
    return dataclasses.replace(_mean(several, each), disagreement=Disagreement.of(each))


def _mean(several: Sequence[Answers], each: Float[np.ndarray, "M N C"]) -> Answers:
    return dataclasses.replace(
        several[0], logits=log_mean(each).astype(np.float32), prevalence=prevalence_of(several)
    )


def prevalence_of(several: Sequence[Answers]) -> Prevalence | None:
    """Returns the prevalence of what networks answer together."""
    stated = [each.prevalence for each in several if each.prevalence]
    return Prevalence.of_several(stated) if stated else None


def _log_probabilities(
    several: Sequence[Answers], names: Sequence[str]
) -> Float[np.ndarray, "M N C"]:
    """Returns the logarithms of all probabilities, in the order of the first one's pictures."""
    first, *others = several
    logits = [first.logits]
    for position, other in enumerate(others, start=1):
        both = (names[0], names[position]) if names else ("the first", "another")
        logits.append(_reordered_logits(first, other, *both))
    # In logarithms, where no probability is 0.
    return scipy.special.log_softmax(np.stack(logits).astype(np.float64), axis=-1)


def _reordered_logits(
    one: Answers, other: Answers, name: str, other_name: str
) -> Float[np.ndarray, "N C"]:
    """Returns the other's logits in the order of the one's pictures."""
    both = f"{other_name} cannot be averaged with {name}"
    if one.classes != other.classes:
        raise UserError(f"{both}, for {difference('class', one.classes, other.classes)}.")
    place = {picture: position for position, picture in enumerate(other.ids)}
    if set(one.ids) != place.keys():
        raise UserError(f"{both}, for {difference('picture', one.ids, other.ids)}.")
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


def difference(what: str, here: Sequence[str], there: Sequence[str]) -> str:
    """Returns a clause that names what only one of two lists has."""
    only = {"here": set(here) - set(there), "there": set(there) - set(here)}
    parts = [f"{len(few)} only {where}, such as {min(few)!r}" for where, few in only.items() if few]
    how = "; ".join(parts) or "their order"
    return f"they differ in {what} names ({how}): use runs of one data set, split alike"
