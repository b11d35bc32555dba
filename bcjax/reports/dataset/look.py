"""The pictures of a prepared set as records that can be measured, and a fair sample of them."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.data.curate.measured_pictures import MeasuredPictures, Measures, measure
from bcjax.data.preparation import prepare
from bcjax.data.prepared import EncodedExamples, PreparedSet
from bcjax.data.records import Record

# What of the config's `data` branch makes other pictures, or other splits, of a source.
_RULES = (
    "exclude", "keep", "drop", "group_by", "resplit", "val_fraction", "test_fraction",
    "split_seed", "folds", "canary",
)  # fmt: skip
_FLOOR = 20  # pictures of each class in a sample, however rare it is
_CHUNK = 512  # pictures held encoded at a time


def opened(data: ConfigDict, *, as_trained: bool) -> PreparedSet:
    """Opens `data.source`: as it is trained on, or as it is found.

    As it is found, a set may hold what no network should be trained on, such as a picture under
    two labels: that is to be looked at. And nothing is held back: what names no split is train.

    Args:
      data: The config's `data` branch. With rules in it, what they make of the pictures is shown.
      as_trained: Whether to show what is trained on even so.

    Raises:
      UserError: If the source cannot be read, or the rules do not fit it.
    """
    default = configs.default().data
    if as_trained or any(data[key] != default[key] for key in _RULES):
        return prepare(data)
    data = data.copy_and_resolve_references()
    data.update({"val_fraction": 0.0, "test_fraction": 0.0})
    return prepare(data, complete=False)


def look(prepared: PreparedSet, threads: int | None = None) -> MeasuredPictures:
    """Measures every picture of a set, split after split.

    Args:
      prepared: The set.
      threads: None: one for each core.
    """
    records: list[Record] = []
    parts: list[Measures] = []
    for split in prepared.counts:
        examples, ids = prepared.examples(split), prepared.ids(split)
        for start in range(0, len(ids), _CHUNK):
            positions = range(start, min(start + _CHUNK, len(ids)))
            held = examples[positions]  # together, for one by one costs more than to measure them
            chunk = [
                Record(ids[i], each.label, functools.partial(_read, examples, i), split=split)
                for i, each in zip(positions, held, strict=True)
            ]
            known = [
                dataclasses.replace(record, read=functools.partial(bytes, each.image))
                for record, each in zip(chunk, held, strict=True)
            ]
            parts.append(measure(known, threads))
            records += chunk
    columns = (field.name for field in dataclasses.fields(Measures))
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in columns)
    return MeasuredPictures.from_measures(records, Measures(*joined))


def sample(
    labels: Int[np.ndarray, "N"], limit: int, rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Positions of some `limit` pictures in a random order, each class with its share or 20.

    Args:
      labels: Of all pictures.
      limit: May be exceeded by 20 for each rare class.
      rng: Where the choice comes from.
    """
    share = min(1.0, limit / max(1, len(labels)))
    chosen = [
        rng.permutation(members)[: max(_FLOOR, int(share * len(members)))]
        for members in by_class(labels).values()
    ]
    return rng.permutation(np.concatenate(chosen))


def by_class(labels: Int[np.ndarray, "N"]) -> dict[int, Int[np.ndarray, "n"]]:
    """Positions of each label's pictures."""
    return {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}


def _read(examples: EncodedExamples, position: int) -> bytes:
    return examples[[position]][0].image
