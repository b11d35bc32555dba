"""Model soups: the mean of several networks' weights, as fast as a single network.

Wortsman et al., Model soups, ICML 2022, arXiv:2203.05482. They work for networks whose training
began at the same weights; the mean of others seldom knows anything.
"""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from bcjax import config as configs
from bcjax.data.ancestry import Ancestry
from bcjax.engine import network
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.state import Variables
from bcjax.evaluation import ensemble
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.batch_statistics import BatchStatistics
from bcjax.evaluation.ensemble import EnsembleNetwork
from bcjax.evaluation.evaluation import Evaluation, SoupRecipe
from bcjax.evaluation.evaluator import Evaluator
from bcjax.evaluation.guards import cautions
from bcjax.evaluation.guards.pictures import of_average
from bcjax.evaluation.views import View
from bcjax.metrics.names import sign
from bcjax.runtime import files
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.run_dir import RunDir

T = TypeVar("T")
Kind = Literal["uniform", "greedy"]
KINDS: tuple[Kind, ...] = ("uniform", "greedy")

# Settings that decide which function the weights belong to.
_NETWORK = (
    "model.", "data.image_size", "data.resize", "data.crop_fraction", "data.pad_colour",
    "data.grey", "data.mask", "data.stain",
)  # fmt: skip
# Settings among these that may differ all the same.
_FREE = ("model.weights", "model.l1", "model.l2", "model.dropout", "model.drop_path", "model.remat")


def mean(ingredients: Sequence[Variables]) -> Variables:
    """Averages trees of arrays, leaf by leaf; the mean of equal trees is the same to the bit."""

    def average(*leaves: Any) -> np.ndarray:
        # Sums of float32 are exact in float64; else the mean of equal ones might differ from them.
        total = sum(np.asarray(leaf, np.float64) for leaf in leaves)
        return np.asarray(total / len(leaves), leaves[0].dtype)

    return jax.tree.map(average, *ingredients)


def greedy(
    ingredients: int, blend: Callable[[tuple[int, ...]], T], score: Callable[[T], float]
) -> tuple[T, tuple[int, ...]]:
    """Adds ingredients from the best one on, each if it does not make the soup worse.

    Args:
      ingredients: Number of ingredients.
      blend: Makes the soup of the ingredients at some positions.
      score: Scores a soup; higher is better.

    Returns:
      The soup, which scores as high as the best ingredient or higher, and the positions in it.
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


def make(
    networks: Sequence[EnsembleNetwork], kind: Kind
) -> tuple[RestoredNetwork, tuple[int, ...]]:
    """Averages the weights of networks.

    Batch statistics that moved in training are computed again, from training pictures of the first
    run, because the mean of statistics is not the statistics of the mean.

    Args:
      networks: At least one. The first one's config says by which split and metric a greedy soup is
        chosen (`eval.split`, `checkpoint.best`).
      kind: "uniform": the mean of all. "greedy": see `greedy`.

    Returns:
      The soup, which is the first network with other variables, and the positions of the networks
      that are in it, in the order in which they were added.

    Raises:
      UserError: If the networks are not the same function of different weights.
    """
    first = networks[0]
    for other in networks[1:]:
        _check_alike(first, other)
    ingredients = [jax.device_get(network.trained.variables) for network in networks]
    statistics = BatchStatistics(first.workdir, first.trained, ingredients)

    def blend(positions: tuple[int, ...]) -> RestoredNetwork:
        variables = mean([ingredients[position] for position in positions])
        if len(positions) > 1:  # a single one keeps the statistics that it was trained with
            variables = statistics(variables)
        placed = meshes.replicate(first.evaluator.mesh, variables)
        return dataclasses.replace(first.trained, variables=placed)

    if kind == "uniform":
        every = tuple(range(len(networks)))
        return blend(every), every
    config = first.trained.config
    judge = Evaluator(first.workdir, split=config.eval.split)
    metric = config.checkpoint.best

    def score(trained: RestoredNetwork) -> float:
        values = judge.answers(trained).measure(resamples=0).values
        if metric not in values:
            raise UserError(
                f"No greedy soup can be chosen: {metric} (config.checkpoint.best) is undefined on "
                f"the {config.eval.split} split. Give soup=uniform."
            )
        return sign(metric) * values[metric]

    return greedy(len(networks), blend, score)


def evaluate(
    evaluators: Sequence[Evaluator],
    checkpoints: Sequence[str],
    kind: Kind,
    views: Sequence[View] = (),
) -> tuple[Evaluation, Answers, RestoredNetwork]:
    """Makes a soup of runs, or of checkpoints of each, and measures it.

    Args:
      evaluators: The evaluators of the runs, for one split.
      checkpoints: "best", "latest" or a step each, of every run.
      kind: See `make`.
      views: The views of each picture; empty: the picture as it is.

    Returns:
      The evaluation, the answers, and the soup as a network.

    Raises:
      UserError: If the networks are not alike, or a checkpoint is not there.
    """
    networks = list(ensemble.load_networks(evaluators, checkpoints))
    soup, kept = make(networks, kind)
    first, config = networks[0], networks[0].trained.config
    by_view = EnsembleNetwork(first.evaluator, soup).answers(views)
    chosen_on = config.eval.split if kind == "greedy" else ""
    recipe = SoupRecipe(
        kind=kind,
        ingredients=tuple(
            network.scores(ensemble.average(network.answers(views)), kept=position in kept)
            for position, network in enumerate(networks)
        ),
        chosen_on=chosen_on,
        chosen_by=config.checkpoint.best if kind == "greedy" else "",
    )
    sentences = cautions.about_soup(
        first.evaluator.pictures,
        chosen_on,
        [network.workdir for network in networks],
        [network.trained.config.model.weights for network in networks],
    )
    answers = ensemble.average(by_view)
    evaluation = first.evaluator.evaluate_answers(
        answers,
        first.trained.step,
        of_average([each.pictures for each in evaluators], "weights"),
        extra_cautions=sentences,
        views=ensemble.view_scores(views, [by_view]),
        soup=recipe,
    )
    return evaluation, answers, soup


def save(soup: RestoredNetwork, recipe: SoupRecipe, first: Path, workdir: Path) -> None:
    """Writes a soup as the folder of a run at step 0, which every command takes.

    Args:
      soup: The network.
      recipe: What it is made of, for soup.json.
      first: Folder of the first ingredient's run, whose pictures the new run has.
      workdir: The folder to make.

    Raises:
      UserError: If it holds something already.
    """
    network.check_free(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    files.write_json(RunDir(workdir).soup, recipe.to_dict())
    if RunDir(first).pictures.exists():
        shutil.copy(RunDir(first).pictures, workdir)
    # The weights are those that predict, averaged over steps or not: they keep no averages.
    config = configs.replaced(soup.config, {"workdir": str(workdir)})
    # The first run is part of it even where it was left out: its pictures chose the others, and
    # gave the statistics of batch norm.
    made_of = [first, *(Path(each.workdir) for each in recipe.ingredients if each.kept)]
    ancestry = Ancestry.of_average(map(Ancestry.read, made_of))
    network.write_run(config, soup.variables, soup.classes, workdir, ancestry)


def _check_alike(first: EnsembleNetwork, other: EnsembleNetwork) -> None:
    there, here = other.trained, first.trained
    different = configs.describe(
        {
            key: values
            for key, values in configs.differences(there.config, here.config).items()
            if key.startswith(_NETWORK) and not key.startswith(_FREE)
        }
    )
    if there.classes != here.classes:
        different.append("the classes")
    if different:
        raise UserError(
            f"{other.workdir} is of another network than {first.workdir}, which differs in "
            f"{'; '.join(different)}: weights of one network alone can be averaged; leave out "
            "soup to average the answers."
        )
