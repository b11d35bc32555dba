"""Cautions about how a network and its confidence came about, and what is done with cautions."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.guards.pictures import EvaluatedSplit
from bcjax.runtime.errors import UserError


def about_calibration(pictures: EvaluatedSplit, calibration: Calibration) -> tuple[str, ...]:
    """Returns the sentences about a calibration that is measured on pictures."""
    if pictures.own and pictures.split == calibration.split:
        return ("The calibration was fitted on these pictures: it will fit others less well.",)
    return tuple(f"The calibration's pictures: {caution}" for caution in calibration.cautions)


def about_augmentation(line: str) -> tuple[str, ...]:
    """Returns the sentence about pictures that were augmented; `line` is "" if they were not."""
    if not line:
        return ()
    return (
        f"The pictures were augmented by {line}: this figure cannot be compared with one of the "
        "pictures as they are.",
    )


def about_soup(
    pictures: EvaluatedSplit,
    chosen_on: str,
    workdirs: Sequence[Path],
    weights: Sequence[str | None],
) -> tuple[str, ...]:
    """Returns the sentences about a soup.

    Args:
      pictures: What it is evaluated on.
      chosen_on: The split by which its ingredients were chosen; "": all were taken.
      workdirs: The runs' folders, for each ingredient.
      weights: The published weights that each ingredient's training began with; None for none.
    """
    sentences = []
    if len(set(workdirs)) > 1 and (len(set(weights)) > 1 or not weights[0]):
        sentences.append(
            "The soup's ingredients did not all begin at the same published weights "
            "(config.model.weights): the mean of such seldom answers well."
        )
    if chosen_on and pictures.own and pictures.split == chosen_on:
        sentences.append("The soup was chosen by these pictures: others may be answered less well.")
    return tuple(sentences)


def of_several(by_name: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Returns the cautions of several networks: what holds of each, then what holds of some.

    Args:
      by_name: The cautions of each network by its name, which stands before what not all share.
    """
    each = list(by_name.values())
    common = [caution for caution in each[0] if all(caution in cautions for cautions in each)]
    some = [
        f"{name}: {caution}"
        for name, cautions in by_name.items()
        for caution in cautions
        if caution not in common
    ]
    return (*common, *some)


def with_leaks(cautions: Iterable[str], leaks: str) -> tuple[str, ...]:
    """Returns cautions with the sentence on pictures that the splits share; "" if there are none.

    Evaluations that were written by versions before have it beside their cautions.
    """
    return tuple(dict.fromkeys([*cautions, *([f"{leaks}."] if leaks else [])]))


def refuse(cautions: Sequence[str]) -> None:
    """Refuses a figure that may not be read without cautions, before it is written.

    Args:
      cautions: The sentences about the figure.

    Raises:
      UserError: If there are any, naming them.
    """
    if cautions:
        raise UserError(f"Nothing is written, because of strict: {' '.join(cautions)}")
