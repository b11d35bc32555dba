"""The map: where each picture lies, and its picture on one sheet."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from bcjax.data.records import Record
from bcjax.reports.dataset import embedding, sprites
from bcjax.reports.dataset.features import Features
from bcjax.reports.pages.pictures import data_uri

WIDTH, HEIGHT = 1000, 720  # of the map, in its own units
_MARGIN = 16
_CELL = 64  # pixels of a picture on the sheet
_COLUMNS = 40
_QUALITY = 72  # of the sheet


@dataclasses.dataclass(frozen=True)
class Point:
    """A picture on the map.

    Attributes:
      x: In 0..WIDTH.
      y: In 0..HEIGHT, downwards.
      id: Of the picture.
      label: Of its class.
      split: Where it lies.
    """

    x: float
    y: float
    id: str
    label: int
    split: str


@dataclasses.dataclass(frozen=True)
class Map:
    """Points, and a sheet of their pictures in the same order, row after row.

    Attributes:
      points: At least one.
      sheet: A data URI.
      columns: Pictures in a row of the sheet.
      cell: Pixels of each, both ways.
    """

    points: Sequence[Point]
    sheet: str
    columns: int
    cell: int = _CELL
    width: int = WIDTH
    height: int = HEIGHT


def map_of(
    features: Features, mapped: Int[np.ndarray, "n"], records: Sequence[Record], seed: int
) -> Map | None:
    """Lays out the pictures at `mapped`, all of which have features; None for too few."""
    order = np.argsort(features.positions)
    rows = order[np.searchsorted(features.positions, mapped, sorter=order)]
    plane = embedding.layout(features.values[rows], seed)
    if plane is None:
        return None
    chosen = [records[i] for i in mapped]
    room = np.array((WIDTH, HEIGHT)) - 2 * _MARGIN
    points = [
        Point(round(float(x), 1), round(float(y), 1), record.id, record.label, record.split)
        for (x, y), record in zip(plane * room + _MARGIN, chosen, strict=True)
    ]
    columns = min(_COLUMNS, len(points))
    sheet = sprites.sheet(chosen, _CELL, columns)
    return Map(points, data_uri(sheet, _QUALITY), columns)
