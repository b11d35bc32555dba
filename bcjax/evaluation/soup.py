"""Soups: the mean of several networks' weights, which costs no more to ask than one of them.

Wortsman et al., Model soups, ICML 2022, arXiv:2203.05482. It is for networks that began at the same
weights; of others the mean is seldom a network that knows anything.
"""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from bcjax import config as configs
from bcjax.engine import network
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.state import Variables
from bcjax.evaluation import ensemble
from bcjax.evaluation import evaluator as evaluation
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.batch_statistics import BatchStatistics
from bcjax.evaluation.ensemble import Member
from bcjax.evaluation.evaluator import Evaluator, Result
from bcjax.evaluation.views import View
from bcjax.metrics.scores import higher_is_better
from bcjax.runtime import files
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

T = TypeVar("T")
Kind = Literal["uniform", "greedy"]
KINDS: tuple[Kind, ...] = ("uniform", "greedy")

# What decides which function the weights are of, and what may differ there all the same.
_NETWORK = (
    "model.", "data.image_size", "data.resize", "data.crop_fraction", "data.pad_colour",
    "data.grey", "data.mask", "data.stain",
)  # fmt: skip
_FREE = ("model.weights", "model.l1", "model.l2", "model.dropout", "model.drop_path", "model.remat")


@dataclasses.dataclass(frozen=True)
class Soup:
    """A mean of weights.

    Attributes:
      trained: The network, the first ingredient's but for its variables.
      kept: Positions of the ingredients that are in it, in the order in which they were added.
    """

    trained: RestoredNetwork
    kept: tuple[int, ...]


def mean(ingredients: Sequence[Variables]) -> Variables:
    """Averages trees of arrays, leaf by leaf; equal ones give the same bits."""

    def of(*leaves: Any) -> np.ndarray:
        # A sum of float32 is exact in float64, or equal ones would not give themselves again.
        total = sum(np.asarray(leaf, np.float64) for leaf in leaves)
        return np.asarray(total / len(leaves), leaves[0].dtype)

    return jax.tree.map(of, *ingredients)


def greedy(
    ingredients: int, blend: Callable[[tuple[int, ...]], T], score: Callable[[T], float]
) -> tuple[T, tuple[int, ...]]:
    """Adds ingredients from the best one on, each if the soup does not become worse by it.

    Args:
      ingredients: How many there are.
      blend: Makes the soup of some, by their positions.
      score: Of a soup, more being better.

    Returns:
      The soup, whose score is that of the best ingredient or better, and what is in it.
    """
    alone: list[tuple[int, ...]] = [(position,) for position in range(ingredients)]
    scores = [score(blend(position)) for position in alone]
    first, *others = sorted(range(ingredients), key=lambda position: -scores[position])
    kept, best, soup = alone[first], scores[first], blend(alone[first])
    for position in others:
        more = blend((*kept, position))
        if (reached := score(more)) >= best:
            kept, best, soup = (*kept, position), reached, more
    return soup, kept


def make(members: Sequence[Member], kind: Kind) -> Soup:
    """Averages networks.

    Batch statistics that moved in training are taken anew, from training pictures of the first run:
    the mean of statistics is not the statistics of the mean.

    Args:
      members: At least one; the first one's run says by which split and metric the greedy soup is
        chosen (`eval.split`, `checkpoint.best`).
      kind: "uniform": of all. "greedy": see `greedy`.

    Raises:
      UserError: If they are not all of one network.
    """
    first = members[0]
    for other in members[1:]:
        _check_alike(first, other)
    ingredients = [jax.device_get(member.trained.variables) for member in members]
    statistics = BatchStatistics(first.workdir, first.trained, ingredients)

    def blend(positions: tuple[int, ...]) -> RestoredNetwork:
        variables = mean([ingredients[position] for position in positions])
        if len(positions) > 1:  # one alone has the statistics that it was trained with
            variables = statistics(variables)
        placed = meshes.everywhere(first.evaluator.mesh, variables)
        return dataclasses.replace(first.trained, variables=placed)

    if kind == "uniform":
        every = tuple(range(len(members)))
        return Soup(blend(every), every)
    config = first.trained.config
    judge = Evaluator(first.workdir, split=config.eval.split)
    sign = 1 if higher_is_better(config.checkpoint.best) else -1

    def score(trained: RestoredNetwork) -> float:
        result = evaluation.measure(judge.answers(trained), resamples=0)
        return sign * evaluation.headline(result)[config.checkpoint.best]

    return Soup(*greedy(len(members), blend, score))


def evaluate(
    evaluators: Sequence[Evaluator],
    checkpoints: Sequence[str],
    kind: Kind,
    views: Sequence[View] = (),
) -> tuple[Result, Answers, RestoredNetwork]:
    """Makes a soup of runs, or of checkpoints of each, and measures it.

    Args:
      evaluators: Of the runs, for one split.
      checkpoints: "best", "latest" or a step each, of every run.
      kind: See `make`.
      views: Of each picture; (): the picture as it is.

    Returns:
      As of one network, the checkpoint being the first one's, and the network. In the result,
      "soup": its kind, by which split and metric it was chosen, and each ingredient with the
      headline that it has alone.

    Raises:
      UserError: If they are not all of one network, or a checkpoint is not there.
    """
    members = list(ensemble.members(evaluators, checkpoints))
    made = make(members, kind)
    first, config = members[0], members[0].trained.config
    seen = ensemble.answers(Member(first.evaluator, made.trained), views)
    page: dict[str, Any] = {"kind": kind}
    cautions = ensemble.cautions(evaluators) + _cautions(members)
    if kind == "greedy":
        page |= {"chosen_on": config.eval.split, "chosen_by": config.checkpoint.best}
        if first.evaluator.matching is None and first.evaluator.split == config.eval.split:
            cautions.append(
                "The soup was chosen by these pictures: others may be answered less well."
            )
    page["ingredients"] = [
        {"kept": position in made.kept}
        | member.about(ensemble.average(ensemble.answers(member, views)))
        for position, member in enumerate(members)
    ]
    about = ensemble.about_views(views, [seen]) | {"soup": page, "cautions": cautions}
    answers = ensemble.average(seen)
    return first.evaluator.measured(answers, first.trained.step, **about), answers, made.trained


def save(soup: RestoredNetwork, page: Result, beside: Path, workdir: Path) -> None:
    """Writes a soup as the folder of a run at step 0, which every command takes.

    Args:
      soup: From `evaluate`.
      page: Of what it is made, for soup.json.
      beside: The first ingredient's folder, whose pictures the run has.
      workdir: The folder to make.

    Raises:
      UserError: If it holds something already.
    """
    network.check_free(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    files.write_json(RunDir(workdir).soup, page)
    if RunDir(beside).pictures.exists():
        shutil.copy(RunDir(beside).pictures, RunDir(workdir).pictures)
    config = soup.config.copy_and_resolve_references()
    config.workdir = str(workdir)
    config.optim.ema = 0.0  # the weights are those that answer, averages or not
    network.write_run(config, soup.variables, soup.classes, workdir)


def _check_alike(first: Member, other: Member) -> None:
    there, here = other.trained, first.trained
    different = [
        key
        for key in configs.differences(there.config, here.config)
        if key.startswith(_NETWORK) and not key.startswith(_FREE)
    ]
    if there.classes != here.classes:
        different.append("the classes")
    if different:
        raise UserError(
            f"{other.workdir} is of another network than {first.workdir}, which differs in "
            f"{'; '.join(different)}: weights of one network alone can be averaged; leave out "
            "--soup to average the answers."
        )


def _cautions(members: Sequence[Member]) -> list[str]:
    """Returns a sentence if it is not known that all began at the same weights."""
    began = {member.trained.config.model.weights for member in members}
    if len({member.workdir for member in members}) == 1 or (len(began) == 1 and began != {None}):
        return []
    return [
        "The soup's ingredients did not all begin at the same published weights "
        "(config.model.weights): the mean of such seldom answers well."
    ]
