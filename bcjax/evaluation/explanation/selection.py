"""Which images are explained: those that are named, or the worst mistakes of a split."""

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from ml_collections import ConfigDict

from bcjax.data.decode import BadImageError, read_file
from bcjax.data.input_transform import InputTransform
from bcjax.data.preparation import prepare
from bcjax.evaluation.answers import Answers
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class ImageToExplain:
    """One image, as the network sees it.

    Attributes:
      id: Its stable name in the data set or, for a file, the path.
      pixels: The pixels that the network is given, before normalisation.
      label: Position of its class; None if its class is not known.
    """

    id: str
    pixels: UInt8[np.ndarray, "H W 3"]
    label: int | None


def most_wrong(answers: Answers, count: int) -> Int[np.ndarray, "count"]:
    """Returns the positions of the most confidently wrong images, the worst first.

    They are ordered by how far the most probable wrong class lies above the right one. If fewer
    than `count` are wrong, the least confidently right ones follow.
    """
    probabilities = answers.probabilities()
    rows = np.arange(answers.n)
    right = probabilities[rows, answers.labels]
    probabilities[rows, answers.labels] = -1
    return np.argsort(right - probabilities.max(axis=1), kind="stable")[:count]


def evenly_spaced(data: ConfigDict, split: str, count: int) -> Int[np.ndarray, "count"]:
    """Returns `count` positions, evenly spaced over a split; all if it holds fewer.

    Args:
      data: The config's `data` branch.
      split: The split, such as "test".
      count: How many.

    Raises:
      UserError: If there is no such split.
    """
    prepared = prepare(data)
    examples = prepared.size(split)
    if not examples:
        raise UserError(
            f"{prepared.path} has no {split} split: it has {prepared.describe_splits()}."
        )
    return np.linspace(0, examples - 1, min(count, examples)).round().astype(int)


def at(positions: Sequence[int] | np.ndarray, data: ConfigDict, split: str) -> list[ImageToExplain]:
    """Reads images of a split by their positions; `data` is the config's `data` branch."""
    prepared = prepare(data)
    ids, entry = prepared.ids(split), InputTransform.from_config(data)
    examples = prepared.examples(split)[positions]
    return [
        ImageToExplain(ids[position], entry(example.image), example.label)
        for position, example in zip(positions, examples, strict=True)
    ]


def named(names: Sequence[str], data: ConfigDict, split: str) -> list[ImageToExplain]:
    """Reads images that are files, or ids of the split.

    Raises:
      UserError: If a name is neither, or a file holds no image.
    """
    if all(Path(name).is_file() for name in names):
        return [_from_file(name, data) for name in names]  # the run's own data need not be here
    ids = prepare(data).ids(split)
    position = {id_: index for index, id_ in enumerate(ids)}
    for name in names:
        if name not in position and not Path(name).exists():
            near = difflib.get_close_matches(name, ids, 1, cutoff=0.0)[0]
            raise UserError(
                f"There is no file {name!r}, and no such picture in the {split} split, where "
                f"{near!r} is the nearest: name one of either."
            )
    return [
        at([position[name]], data, split)[0] if name in position else _from_file(name, data)
        for name in names
    ]


def _from_file(name: str, data: ConfigDict) -> ImageToExplain:
    if Path(name).is_dir():
        raise UserError(f"{name} is a folder: name the pictures in it.")
    try:
        return ImageToExplain(name, InputTransform.from_config(data)(read_file(Path(name))), None)
    except (BadImageError, OSError) as error:
        raise UserError(f"{name} cannot be read ({error}): leave it out.") from error
