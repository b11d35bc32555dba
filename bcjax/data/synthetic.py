"""Drawings of the eight kinds of peripheral blood cell, for when there is no data at hand."""

import dataclasses
import functools

import numpy as np
import simplejpeg

from bcjax.data.cells import KINDS, Cell
from bcjax.data.drawing import Smear
from bcjax.data.records import Record, Source
from bcjax.runtime.errors import UserError

CLASSES = tuple(KINDS)
# To be raised when the same (label, index, seed, size) gives another picture: it names caches.
VERSION = 1
# Of every twenty pictures of a class, in turn: 14 to train on, 3 to choose by, 3 to test on.
_VAL, _TEST = {2, 9, 16}, {4, 11, 18}
_FEWEST = 5  # pictures of a class that reach into every split


@dataclasses.dataclass(frozen=True)
class Drawing:
    """One drawing.

    Attributes:
      image: uint8 (size, size, 3), RGB.
      mask: bool (size, size), True where the central cell is.
    """

    image: np.ndarray
    mask: np.ndarray


def draw(label: int, index: int, *, seed: int = 0, size: int = 128) -> Drawing:
    """Draws a smear with one cell of a class near its centre.

    The scene is a pure function of (seed, label, index), whatever else was drawn before; `size`
    only says with how many pixels it is drawn.

    Args:
      label: Index into `CLASSES`.
      index: Which cell of this class, from 0.
      seed: Which world, from 0.
      size: Side in pixels.

    Raises:
      IndexError: If there is no class `label`.
      ValueError: If `label`, `index` or `seed` is negative.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, label, index))))
    smallest, largest, paint = KINDS[CLASSES[label]]
    radius = rng.uniform(smallest, largest)
    # Never so far off that the picture's centre is not on the cell.
    x, y = 0.5 + radius * rng.uniform(-0.35, 0.35, 2)
    smear = Smear(size, rng)
    for _ in range(rng.integers(0, 3)):  # in any smear platelets lie about, under red cells too
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(radius + 0.12, 0.65)
        place = (x + distance * np.cos(angle), y + distance * np.sin(angle))
        KINDS["platelet"][2](Cell(smear, place, rng.uniform(0.02, 0.045), angle))
    smear.red_cells((x, y), clearing=1.05 * radius)
    mask = paint(Cell(smear, (x, y), radius, rng.uniform(0, 2 * np.pi)))
    return Drawing(smear.photograph(), mask > 0.5)


def named(id_: str, *, seed: int = 0, size: int = 128) -> Drawing:
    """Draws what a `source` of this seed and size calls `id_`."""
    _, name, file = id_.split("/")
    return draw(CLASSES.index(name), int(file.removesuffix(".jpg")), seed=seed, size=size)


def source(count: int = 2400, *, size: int = 128, seed: int = 0) -> Source:
    """`count` drawings, classes in turn, each class split 70/15/15 by its own index.

    Nothing is drawn until a record is read. Pictures are JPEG of quality 95 without chroma
    subsampling: PNG cannot compress a camera's noise and takes three times the bytes.

    Args:
      count: Pictures in all.
      size: Side in pixels.
      seed: Which world, from 0.

    Raises:
      UserError: If `count` leaves some split without some class, `size` is too small to show a
        cell, or `seed` is negative.
    """
    fewest = _FEWEST * len(CLASSES)
    if count < fewest:
        raise UserError(
            f"{count} synthetic pictures leave a split without a class; ask for {fewest} or more."
        )
    if size < 16:
        raise UserError(
            f"Nothing can be seen on {size} pixels a side; ask for a size of 16 or more."
        )
    if seed < 0:
        raise UserError(f"The seed of synthetic pictures is {seed}; give one that is 0 or more.")
    return Source(
        kind="synthetic",
        location="synthetic",
        classes=CLASSES,
        records=[_record(i % len(CLASSES), i // len(CLASSES), seed, size) for i in range(count)],
        fingerprint=f"synthetic-v{VERSION}-{count}x{size}-seed{seed}",
        notes=("These pictures are drawings made by bcjax, not photographs of cells.",),
    )


def _record(label: int, index: int, seed: int, size: int) -> Record:
    turn = index % 20
    split = "val" if turn in _VAL else "test" if turn in _TEST else "train"
    return Record(
        id=f"{split}/{CLASSES[label]}/{index:06d}.jpg",
        label=label,
        read=functools.partial(_encoded, label, index, seed, size),
        split=split,
    )


def _encoded(label: int, index: int, seed: int, size: int) -> bytes:
    image = draw(label, index, seed=seed, size=size).image
    return simplejpeg.encode_jpeg(image, quality=95, colorspace="RGB", colorsubsampling="444")
