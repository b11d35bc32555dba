"""Explains answers of a trained network, and measures how far the explanations can be believed."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation.explanation import localisation, sanity
from bcjax.evaluation.explanation.choice import Picture
from bcjax.evaluation.explanation.explainer import Explainer
from bcjax.runtime.errors import UserError

_RANDOMISED = 4  # pictures whose maps are drawn again with a network that has learnt nothing

Figures = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Explained:
    """An answer, and what it rests on.

    Attributes:
      picture: What was shown.
      predicted: Position of the likeliest class.
      probability: Of that class, in 0..1.
      target: Position of the class that the maps speak for.
      maps: By method, float32 (H, W), in logits.
      gap: Of integrated gradients, see `Explainer.gap`; None without.
    """

    picture: Picture
    predicted: int
    probability: float
    target: int
    maps: dict[str, Float[np.ndarray, "H W"]]
    gap: float | None


def targets(asked: str, pictures: Sequence[Picture], classes: Sequence[str]) -> list[int | None]:
    """Returns the position of the class to explain in each picture; None: the predicted one.

    Args:
      asked: "predicted", "true" or the name of a class.
      pictures: To explain.
      classes: Names.

    Raises:
      UserError: If that is no class, or a picture's own is asked for that nobody knows.
    """
    if asked == "predicted":
        return [None] * len(pictures)
    if asked == "true":
        unknown = [picture.id for picture in pictures if picture.label is None]
        if unknown:
            raise UserError(
                f"Nobody has said what {unknown[0]} is: give --target=CLASS or predicted."
            )
        return [picture.label for picture in pictures]
    if asked not in classes:
        raise UserError(
            f"There is no class {asked!r}: give --target predicted, true or one of "
            f"{', '.join(classes)}."
        )
    return [list(classes).index(asked)] * len(pictures)


def explain(
    explainer: Explainer,
    trained: RestoredNetwork,
    pictures: Sequence[Picture],
    targets: Sequence[int | None],
    progress: Callable[[Explained], None] = lambda explained: None,
) -> list[Explained]:
    """Explains the answer to each picture.

    Args:
      explainer: Of the network.
      trained: The network.
      pictures: To answer.
      targets: The class to explain in each; None: the predicted one.
      progress: Is told of each picture that is explained.
    """
    found = []
    for picture, asked in zip(pictures, targets, strict=True):
        logits = explainer.logits(trained.variables, picture.pixels).astype(np.float64)
        shares = np.exp(logits - logits.max())
        predicted = int(logits.argmax())
        target = predicted if asked is None else asked
        of = (trained.variables, picture.pixels, target)
        maps = {name: explainer(name, *of) for name in explainer.methods}
        integrated = maps.get("integrated-gradients")
        gap = None if integrated is None else explainer.gap(integrated, *of)
        probability = float(shares.max() / shares.sum())
        found.append(Explained(picture, predicted, probability, target, maps, gap))
        progress(found[-1])
    return found


def sane(explainer: Explainer, trained: RestoredNetwork, found: Sequence[Explained]) -> Figures:
    """Compares maps with those of the same network before it had learnt anything.

    Returns:
      By method, the mean rank correlation of the first few pictures' maps with those drawn for the
      same class after all parameters were randomised: near 0 where a map shows what was learnt,
      near 1 where it shows the picture. With n, the pictures in which it is defined.
    """
    some = found[:_RANDOMISED]
    config = trained.config
    picture = (config.data.image_size, config.data.image_size, config.model.channels)
    ignorant = sanity.randomised(explainer.model, trained.variables, picture)
    figures = {}
    for name in explainer.methods:
        each = [
            sanity.rank_correlation(
                one.maps[name], explainer(name, ignorant, one.picture.pixels, one.target)
            )
            for one in some
        ]
        known = [value for value in each if value is not None]
        figures[name] = {
            "rank_correlation": float(np.mean(known)) if known else None,
            "n": len(known),
        }
    return figures


def localised(trained: RestoredNetwork, found: Sequence[Explained]) -> Figures:
    """Measures how much of each method's maps lies on the cell, in pictures that are drawn.

    Returns:
      `area`, the cell's mean share of the picture, which is what chance gives; and by method
      `energy`, the mean share of the map that lies on the cell, and `pointing`, the share of
      pictures where the map's maximum does. All in 0..1, and n. {} where pictures are not drawn.
    """
    data = trained.config.data
    drawn = [one for one in found if one.picture.label is not None]
    if data.source != "synthetic" or not drawn:
        return {}
    masks = [localisation.cell(one.picture.id, data) for one in drawn]
    figures: Figures = {"n": len(drawn), "area": float(np.mean(masks))}
    for name in drawn[0].maps:
        pairs = [(one.maps[name], mask) for one, mask in zip(drawn, masks, strict=True)]
        figures[name] = {
            "energy": float(np.mean([localisation.energy(*pair) for pair in pairs])),
            "pointing": float(np.mean([localisation.points(*pair) for pair in pairs])),
        }
    return figures
