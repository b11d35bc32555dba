"""Cautions about runs that are compared: how many seeds there are, and whether two answer alike."""

from collections.abc import Sequence

import numpy as np

from bcjax.evaluation.answers import Answers


def about_seeds(runs: Sequence[int]) -> tuple[str, ...]:
    """Returns the sentence about configs that were trained with one seed; none without any.

    Args:
      runs: How many runs with different seeds there are of each compared config.
    """
    single = sum(count < 2 for count in runs)
    if not single:
        return ()
    if single == len(runs):
        whose = "Each config was"
    else:
        whose = f"{single} of {len(runs)} configs {'was' if single == 1 else 'were'}"
    return (
        f"{whose} trained with one seed: seed noise is not in the intervals, so they do not say "
        "whether a config is better than another, and there is no p for that. Train several seeds.",
    )


def about_identical(
    name: str, reference: str, runs: Sequence[Answers], others: Sequence[Answers]
) -> tuple[str, ...]:
    """Returns the sentence about runs that gave the same answers as others; none if they did not.

    Args:
      name: What the runs are called.
      reference: What the others are called.
      runs: Their answers, one seed after another.
      others: The answers of the others, by the same seeds.
    """
    if len(runs) != len(others):
        return ()
    pairs = list(zip(runs, others, strict=True))
    n = runs[0].n
    if all(
        one.ids == other.ids and np.array_equal(one.logits, other.logits) for one, other in pairs
    ):
        return (
            f"{name} and {reference} gave identical answers to all {n:,} pictures: what they "
            "differ in had no effect, and there is nothing to test.",
        )
    return ()


def about_best(trials: int, split: str, compared: int, alike: int) -> tuple[str, ...]:
    """Returns the sentences about the best of several trials.

    Args:
      trials: How many trials it is the best of.
      split: The split by which it was chosen.
      compared: How many others were compared with it, picture by picture.
      alike: How many of these the pictures do not tell from it.
    """
    sentences = (
        f"The best of {trials:,} trials was chosen by these {split} pictures: its figure is too "
        "good, and pictures of another split tell how good it is.",
        "Each trial is one run: seed noise is not in its figure, so another seed may rank them "
        "otherwise.",
    )
    if not compared:
        return sentences
    return (
        *sentences,
        f"Of the {compared:,} next best, {alike:,} cannot be told apart from the best by these "
        "pictures.",
    )
