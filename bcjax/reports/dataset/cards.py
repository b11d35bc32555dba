"""A card for each class: samples, mean and deviation, levels, and what a mask leaves."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from bcjax.data.curate.measured_pictures import BINS, MeasuredPictures
from bcjax.data.input_transform import CellMask, InputTransform
from bcjax.reports.dataset import plots, sprites
from bcjax.reports.dataset.averages import average
from bcjax.reports.dataset.look import by_class
from bcjax.reports.pages.pictures import data_uri

_AVERAGED = 200  # pictures of each class
_SAMPLES = 24  # pictures shown of each class; fewer where there are many classes
_SAMPLES_IN_ALL = 480
_COLUMNS = 6
_MASKED = 6  # of these, with their masks
_SIDE = 96  # pixels
_GAP = 3


@dataclasses.dataclass(frozen=True)
class Card:
    """What the pictures of a class look like. Pictures are data URIs.

    Attributes:
      name: Of the class.
      count: Pictures in all splits.
      shown: How many of them the sheet shows.
      sheet: Some of them, chosen at random.
      averaged: How many were averaged.
      mean: Of these.
      deviation: Of these, times `gain`.
      gain: The same for all classes.
      masked: Some pictures, and in a second row what a mask leaves of each.
      levels: Chart of luma, red, green and blue.
    """

    name: str
    count: int
    shown: int
    sheet: str
    averaged: int
    mean: str
    deviation: str
    gain: float
    masked: list[str]
    levels: str


def cards(
    pictures: MeasuredPictures,
    labels: Int[np.ndarray, "N"],
    classes: tuple[str, ...],
    data: ConfigDict,
    rng: np.random.Generator,
) -> list[Card]:
    """Returns a card for each class that has pictures.

    Args:
      pictures: All of them.
      labels: Of these.
      classes: Names in label order.
      data: The config's `data` branch, for the mask.
      rng: Chooses the pictures.
    """
    each = max(_COLUMNS, min(_SAMPLES, _SAMPLES_IN_ALL // len(classes)))
    members = {label: rng.permutation(own) for label, own in by_class(labels).items()}
    averages = {
        label: average([pictures.records[i] for i in own[:_AVERAGED]])
        for label, own in members.items()
    }
    gain = 255 / max(max(float(a.deviation.max()) for a in averages.values()), 1.0)
    channels = {
        label: pictures.measures.histogram[own].mean(0).reshape(3, BINS)
        for label, own in members.items()
    }
    most = max(max(averages[i].luma.max(), channels[i].max()) for i in members)
    mask = _mask(data)
    made = []
    for label, own in members.items():
        name, found = classes[label], averages[label]
        some = [pictures.records[i] for i in own[:each]]
        masked = [sprites.sheet(some[:_MASKED], _SIDE, _MASKED, _GAP, of) for of in (None, mask)]
        made.append(
            Card(
                name,
                count=len(own),
                shown=len(some),
                sheet=data_uri(sprites.sheet(some, _SIDE, _COLUMNS, _GAP)),
                averaged=found.n,
                mean=data_uri(_drawn(found.mean)),
                deviation=data_uri(_drawn(gain * found.deviation)),
                gain=gain,
                masked=[data_uri(row) for row in masked],
                levels=plots.levels(
                    f"levels{label}", found.luma, channels[label], float(most), name
                ),
            )
        )
    return made


def _mask(data: ConfigDict) -> CellMask | None:
    """What the config describes, whether or not it is turned on there."""
    data = data.copy_and_resolve_references()
    data.update({"mask": True, "stain": ""})
    return InputTransform.from_config(data).mask


def _drawn(levels: Float[np.ndarray, "S S 3"]) -> np.ndarray:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)
