"""What the pictures of each class look like: samples, mean, deviation, levels, cell masks."""

import dataclasses
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Float, Int
from ml_collections import ConfigDict

from bcjax.data.curate.measured_pictures import BINS, MeasuredPictures
from bcjax.data.input_transform import CellMask, InputTransform
from bcjax.data.records import Record
from bcjax.reports.dataset.charts import level_chart
from bcjax.reports.pages.page import Chart
from bcjax.reports.pages.pictures import contact_sheet, data_uri

_DRAWN = 40  # classes; one card takes a second
_AVERAGED = 200  # pictures of each class
_SAMPLES = 24  # pictures shown of each class; fewer if there are many classes
_SAMPLES_IN_ALL = 480
_COLUMNS = 6
_MASKED = 6  # of the samples, with their masks
_SIDE = 96  # pixels
_GAP = 3


@dataclasses.dataclass(frozen=True)
class ClassCard:
    """What the pictures of a class look like; all pictures are data URIs.

    Attributes:
      name: Name of the class.
      count: Pictures in all splits.
      shown: How many pictures `sheet` shows.
      sheet: Some pictures of the class, chosen at random.
      averaged: How many pictures were averaged.
      mean: Their mean.
      deviation: Their standard deviation, times `gain`.
      gain: The same for all classes.
      masked: Two rows: some pictures, and what the cell mask leaves of each.
      levels: Luma, red, green and blue of its pixels.
    """

    name: str
    count: int
    shown: int
    sheet: str
    averaged: int
    mean: str
    deviation: str
    gain: float
    masked: Sequence[str]
    levels: Chart


def class_cards(
    pictures: MeasuredPictures,
    labels: Int[np.ndarray, "N"],
    classes: Sequence[str],
    drawn: Sequence[int],
    data: ConfigDict,
    rng: np.random.Generator,
) -> list[ClassCard]:
    """Returns a card for each class that is drawn and has pictures.

    Args:
      pictures: All pictures.
      labels: Their labels.
      classes: Names in label order.
      drawn: The labels of the classes that are drawn.
      data: The config's `data` branch, for the mask.
      rng: Chooses the pictures that are shown.
    """
    each = max(_COLUMNS, min(_SAMPLES, _SAMPLES_IN_ALL // len(drawn)))
    by_class = positions_by_class(labels)
    members = {label: rng.permutation(by_class[label]) for label in drawn if label in by_class}
    averages = {
        label: _average([pictures.records[i] for i in own[:_AVERAGED]])
        for label, own in members.items()
    }
    gain = 255 / max(max(float(a.deviation.max()) for a in averages.values()), 1.0)
    channels = {
        label: pictures.measures.histogram[own].mean(0).reshape(3, BINS)
        for label, own in members.items()
    }
    highest = float(max(max(averages[i].luma.max(), channels[i].max()) for i in members))
    mask = _mask(data)
    cards = []
    for label, own in members.items():
        name, average = classes[label], averages[label]
        shown = [pictures.records[i] for i in own[:each]]
        masked = [
            data_uri(contact_sheet(shown[:_MASKED], _SIDE, _MASKED, _GAP, each_mask))
            for each_mask in (None, mask)
        ]
        chart = f"levels{label}"
        cards.append(
            ClassCard(
                name,
                count=len(own),
                shown=len(shown),
                sheet=data_uri(contact_sheet(shown, _SIDE, _COLUMNS, _GAP)),
                averaged=average.n,
                mean=data_uri(_as_picture(average.mean)),
                deviation=data_uri(_as_picture(gain * average.deviation)),
                gain=gain,
                masked=masked,
                levels=level_chart(chart, average.luma, channels[label], highest, name),
            )
        )
    return cards


def drawn_classes(labels: Int[np.ndarray, "N"], classes: int) -> list[int]:
    """Returns the labels of the classes that are drawn, from the most frequent of many.

    All of them up to 40. Of more, the 20 with the most pictures and the 20 with the fewest, where
    most of what is wrong with a set can be seen: a chart or a card of each of 1,000 would take
    many minutes, and nobody would look at it.

    Args:
      labels: The labels of all pictures.
      classes: How many classes there are.
    """
    if classes <= _DRAWN:
        return list(range(classes))
    order = np.argsort(-np.bincount(labels, minlength=classes), kind="stable")
    return [*order[: _DRAWN // 2].tolist(), *order[-_DRAWN // 2 :].tolist()]


def positions_by_class(labels: Int[np.ndarray, "N"]) -> dict[int, Int[np.ndarray, "n"]]:
    """Returns the positions of each label's pictures."""
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    return dict(zip(present.tolist(), np.split(order, starts[1:]), strict=False))


def _mask(data: ConfigDict) -> CellMask | None:
    """Returns the cell mask that the config describes, even if it is turned off there."""
    data = data.copy_and_resolve_references()
    data.update({"mask": True, "stain": None})
    return InputTransform.from_config(data).mask


def _as_picture(levels: Float[np.ndarray, "S S 3"]) -> np.ndarray:
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class _Average:
    """The average of n pictures, each resized to a square.

    Attributes:
      n: How many pictures.
      mean: Mean of each pixel and channel, in 0..255.
      deviation: Standard deviation of each pixel and channel, in the same unit.
      luma: Share of the pixels in each of `BINS` bins of the luma (ITU-R BT.601).
    """

    n: int
    mean: Float[np.ndarray, "S S 3"]
    deviation: Float[np.ndarray, "S S 3"]
    luma: Float[np.ndarray, "B"]


def _average(records: Sequence[Record]) -> _Average:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        squares, lumas = zip(*pool.map(_square_and_luma, records), strict=True)
    pixels = np.stack(squares)
    mean, deviation = pixels.mean(0, np.float32), pixels.std(0, np.float32)
    return _Average(len(records), mean, deviation, np.mean(lumas, axis=0))


def _square_and_luma(record: Record) -> tuple[np.ndarray, np.ndarray]:
    pixels = record.pixels()
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    counts = np.bincount(luma.ravel() // (256 // BINS), minlength=BINS)
    return cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), counts / luma.size
