"""Which pictures are explained: those that are named, or the worst mistakes of a split."""

import dataclasses
import difflib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from ml_collections import ConfigDict

from bcjax.data import prepare
from bcjax.data.decode import BadImageError
from bcjax.data.entry import entry_of
from bcjax.engine.network import RestoredNetwork
from bcjax.evaluation import answers as written
from bcjax.evaluation.answers import Answers
from bcjax.evaluation.evaluator import Evaluator
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture to explain.

    Attributes:
      id: Its stable name or, of a file, the path.
      pixels: As the network is fed, before normalisation.
      label: Position of its class; None: nobody has said.
    """

    id: str
    pixels: UInt8[np.ndarray, "H W 3"]
    label: int | None


def kept(workdir: Path, split: str, step: int) -> Answers | None:
    """Returns what `bcjax evaluate` has written, if it has, and of this checkpoint."""
    result = workdir / "eval" / f"{split}.json"
    answers = result.with_suffix(".parquet")
    if not answers.exists() or json.loads(result.read_text())["checkpoint"] != step:
        return None
    return written.read(answers)


def answered(workdir: Path, split: str, trained: RestoredNetwork) -> Answers:
    """Answers the split now.

    Raises:
      UserError: If there is no such split.
    """
    return Evaluator(workdir, split=split).answers(trained)


def most_wrong(answers: Answers, count: int) -> Int[np.ndarray, "count"]:
    """Returns the positions of the most confidently wrong pictures, the worst first.

    They are ranked by how far the likeliest wrong class lies before the right one, so that after
    all that are wrong come, least sure first, those that are right.
    """
    probabilities = answers.probabilities()
    rows = np.arange(answers.n)
    right = probabilities[rows, answers.labels]
    probabilities[rows, answers.labels] = -1
    return np.argsort(right - probabilities.max(axis=1), kind="stable")[:count]


def evenly(data: ConfigDict, split: str, count: int) -> Int[np.ndarray, "count"]:
    """Returns `count` positions spread over a split, or all; `data` is the config's branch.

    Raises:
      UserError: If there is no such split.
    """
    prepared = prepare.ensure(data)
    examples = prepared.size(split)
    if not examples:
        raise UserError(f"{prepared.path} has no {split} split: it has {prepared.named()}.")
    return np.linspace(0, examples - 1, min(count, examples)).round().astype(int)


def at(positions: Sequence[int] | np.ndarray, data: ConfigDict, split: str) -> list[Picture]:
    """Reads pictures of a split by their positions; `data` is the config's branch."""
    prepared = prepare.ensure(data)
    ids, entry = prepared.ids(split), entry_of(data)
    examples = prepared.examples(split)[positions]
    return [
        Picture(ids[position], entry(example.image), example.label)
        for position, example in zip(positions, examples, strict=True)
    ]


def named(names: Sequence[str], data: ConfigDict, split: str) -> list[Picture]:
    """Reads pictures that are files, or ids of the split.

    Raises:
      UserError: If a name is neither, or a file holds no picture.
    """
    if all(Path(name).is_file() for name in names):
        return [_file(name, data) for name in names]  # the run's own pictures may be elsewhere
    ids = prepare.ensure(data).ids(split)
    position = {id_: where for where, id_ in enumerate(ids)}
    for name in names:
        if name not in position and not Path(name).exists():
            near = difflib.get_close_matches(name, ids, 1, cutoff=0.0)[0]
            raise UserError(
                f"There is no file {name!r}, and no such picture in the {split} split, where "
                f"{near!r} is the nearest: name one of either."
            )
    return [
        at([position[name]], data, split)[0] if name in position else _file(name, data)
        for name in names
    ]


def _file(name: str, data: ConfigDict) -> Picture:
    try:
        return Picture(name, entry_of(data)(Path(name).read_bytes()), None)
    except IsADirectoryError as error:
        raise UserError(f"{name} is a folder: name the pictures in it.") from error
    except (BadImageError, OSError) as error:
        raise UserError(f"{name} cannot be read ({error}): leave it out.") from error
