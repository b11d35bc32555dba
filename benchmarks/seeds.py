"""How often equal configs are called different, with few seeds each.

    python benchmarks/seeds.py --out=benchmarks/results/seeds.json

Two configs that are equal in truth are trained again and again, in a simulation: the skill of a run
varies with its seed, some pictures are hard for all runs, some for the runs of one config. Their
macro F1 is compared as `bcjax ablate` and `bcjax compare` do, over seeds and pictures
(`bcjax/metrics/runs.py`), and by the pictures alone, on the mean over the seeds. Of right 95 %
intervals 5 % do not hold the truth, a difference of 0.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import page as pages

from bcjax.metrics import resampling, runs, scores
from bcjax.metrics.predictions import Predictions
from bcjax.metrics.resampling import Resampled

SEEDS = (2, 3, 5)
COMPARISONS = 400
RESAMPLES = 200
CLASSES = 4
SKILL = 1.5  # how far the logit of the true class lies above the others, in their deviations


class World(NamedTuple):
    """What varies in a simulation, as deviations of the true class's logit.

    Attributes:
      said: What is special about it, in words.
      pictures: Number of pictures.
      seed: Between the seeds of a config.
      hard: Between pictures, alike for all runs.
      own: Between pictures, alike for the runs of one config.
    """

    said: str
    pictures: int
    seed: float
    hard: float
    own: float


WORLDS = (
    World("seeds do not matter", 200, 0.0, 1.0, 1.0),
    World("seeds matter a little", 200, 0.2, 1.0, 1.0),
    World("seeds matter much", 200, 0.5, 1.0, 1.0),
    World("few pictures, hard ones among them", 100, 0.3, 2.0, 2.0),
    World("more pictures", 500, 0.1, 1.0, 1.0),
    World("more pictures, seeds alone matter", 500, 0.5, 0.0, 0.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    page = pages.begin() | {
        "comparisons": COMPARISONS,
        "worlds": [
            {
                **world._asdict(),
                "false_positives": {seeds: simulate(world, seeds) for seeds in SEEDS},
            }
            for world in WORLDS
        ],
    }
    pages.write(page, options.out)
    print(table(page))


def simulate(world: World, seeds: int) -> dict[str, float]:
    """The share of comparisons of equal configs that call them different."""
    rng = np.random.default_rng(seeds)
    missed = {"seeds_and_pictures": 0, "pictures": 0}
    for _ in range(COMPARISONS):
        hard = rng.normal(0, world.hard, world.pictures)
        one, other = (config(rng, world, seeds, hard) for _ in range(2))
        found = {
            "seeds_and_pictures": runs.difference(one, other),
            "pictures": resampling.difference(resampling.mean(*one), resampling.mean(*other)),
        }
        for name, difference in found.items():
            assert difference.low is not None
            assert difference.high is not None
            missed[name] += not difference.low <= 0 <= difference.high
    return {name: count / COMPARISONS for name, count in missed.items()}


def config(rng: np.random.Generator, world: World, seeds: int, hard: np.ndarray) -> list[Resampled]:
    """The macro F1 of the runs of one config."""
    labels = np.arange(world.pictures) % CLASSES
    own = rng.normal(0, world.own, world.pictures)
    measured = []
    for _ in range(seeds):
        logits = rng.normal(size=(world.pictures, CLASSES))
        skill = SKILL + hard + own + rng.normal(0, world.seed)
        logits[np.arange(world.pictures), labels] += skill
        likelihoods = np.exp(logits)
        predictions = Predictions(likelihoods / likelihoods.sum(axis=1, keepdims=True), labels)
        metrics = resampling.resample(predictions, None, resamples=RESAMPLES, kind=scores.counts)
        measured.append(metrics.metric("macro_f1"))
    return measured


def table(page: dict) -> str:
    """The page as Markdown."""
    counts = list(page["worlds"][0]["false_positives"])
    lines = [
        "| equal configs called different, of "
        f"{page['comparisons']:,} | pictures "
        + "".join(f"| {count} seeds | pictures alone " for count in counts)
        + "|",
        "|---|---|" + "---|---|" * len(counts),
    ]
    for world in page["worlds"]:
        cells = "".join(
            f"| {each['seeds_and_pictures']:.1%} | {each['pictures']:.1%} "
            for each in world["false_positives"].values()
        )
        lines.append(f"| {world['said']} | {world['pictures']} {cells}|")
    return "\n".join([*lines, "", pages.measured(page)])


if __name__ == "__main__":
    main()
