"""The pictures that a person should look at: wrong though sure, and the least sure."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from bcjax.data.decode import decode
from bcjax.data.prepared import PreparedSet
from bcjax.evaluation.answers import Answers
from bcjax.reports.pages.numbers import percent
from bcjax.reports.pages.pictures import fitted
from bcjax.reports.pages.story import Block, Gallery, Picture, Text

_SHOWN = 16  # pictures in each
_SIDE = 112  # pixels of the longer side


def galleries(answers: Answers, prepared: PreparedSet, split: str) -> list[Block]:
    """Hangs the errors, the surest first, and the least sure answers.

    Args:
      answers: To a split of the set.
      prepared: The set.
      split: Its name there.
    """
    probabilities = answers.probabilities()
    confidence = probabilities.max(axis=1)
    answered = probabilities.argmax(axis=1)
    by_surety = np.argsort(-confidence, kind="stable")
    wrong = by_surety[answered[by_surety] != answers.labels[by_surety]]
    unsure = by_surety[::-1][:_SHOWN]
    errors: Block
    if len(wrong):
        count = f"{len(wrong):,} of {answers.n:,}"
        which = f", the {_SHOWN} of which it was surest" if len(wrong) > _SHOWN else ""
        shown = _hung(answers, probabilities, wrong[:_SHOWN], prepared, split)
        errors = Gallery("errors", f"Wrong answers: {count}{which}", shown)
    else:
        errors = Text(f"None of the {answers.n:,} answers is wrong.")
    least = _hung(answers, probabilities, unsure, prepared, split)
    return [errors, Gallery("least_sure", "The answers of which it was least sure", least)]


def _hung(
    answers: Answers,
    probabilities: np.ndarray,
    rows: Int[np.ndarray, "n"],
    prepared: PreparedSet,
    split: str,
) -> Sequence[Picture]:
    place = {id_: position for position, id_ in enumerate(prepared.ids(split))}
    held = prepared.examples(split)[[place[answers.ids[row]] for row in rows]]
    names = answers.classes
    pictures = []
    for row, example in zip(rows, held, strict=True):
        true, best = answers.labels[row], probabilities[row].argmax()
        note = f"answered {names[best]}, {percent(probabilities[row, best])}"
        if true != best:
            note += f"; {names[true]}: {percent(probabilities[row, true])}"
        pixels = fitted(decode(example.image), _SIDE)
        pictures.append(Picture(pixels, answers.ids[row], names[true], note))
    return pictures
