"""Drawings of the eight kinds of peripheral blood cell, for when there is no data at hand.

Each kind is drawn as what a haematologist recognises it by. Sizes are those of the PBC photographs,
360 pixels of which are about 36 micrometres. What is drawn varies from cell to cell, as much as the
kind allows: a classifier must find the kind.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import simplejpeg

from bcjax.data.records import Record, Source
from bcjax.data.sources.smear import Point, Smear
from bcjax.runtime.errors import UserError

# To be raised when the same (label, index, seed, size) gives another picture: it names caches.
VERSION = 1
# Of every twenty pictures of a class, in turn: 14 to train on, 3 to choose by, 3 to test on.
_VAL, _TEST = {2, 9, 16}, {4, 11, 18}
_FEWEST = 5  # pictures of a class that reach into every split


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A drawn picture, with the truth about it.

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
      seed: Another seed, 0 or more, draws other cells.
      size: Side in pixels.

    Raises:
      IndexError: If there is no class `label`.
      ValueError: If `label`, `index` or `seed` is negative.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, label, index))))
    kind = KINDS[CLASSES[label]]
    radius = rng.uniform(kind.smallest, kind.largest)
    # Never so far from the centre that the cell does not cover it.
    x, y = 0.5 + radius * rng.uniform(-0.35, 0.35, 2)
    smear = Smear(size, rng)
    for _ in range(rng.integers(0, 3)):  # in any smear platelets lie about, under red cells too
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(radius + 0.12, 0.65)
        place = (x + distance * np.cos(angle), y + distance * np.sin(angle))
        KINDS["platelet"].draw(DrawnCell(smear, place, rng.uniform(0.02, 0.045), angle))
    smear.red_cells((x, y), clearing=1.05 * radius)
    mask = kind.draw(DrawnCell(smear, (x, y), radius, rng.uniform(0, 2 * np.pi)))
    return Drawing(smear.photograph(), mask > 0.5)


def draw_by_id(id_: str, *, seed: int = 0, size: int = 128) -> Drawing:
    """Draws the picture called `id_` in a `source` of this seed and size."""
    _, name, file = id_.split("/")
    return draw(CLASSES.index(name), int(file.removesuffix(".jpg")), seed=seed, size=size)


def source(count: int = 2400, *, size: int = 128, seed: int = 0) -> Source:
    """Returns `count` drawings, classes in turn, each class split 70/15/15 by its own index.

    Nothing is drawn until a record is read. Pictures are JPEG of quality 95 without chroma
    subsampling: PNG cannot compress a camera's noise and takes three times the bytes.

    Args:
      count: Number of pictures.
      size: Side in pixels.
      seed: Another seed, 0 or more, draws other cells.

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
        read=functools.partial(_encode, label, index, seed, size),
        split=split,
    )


def _encode(label: int, index: int, seed: int, size: int) -> bytes:
    image = draw(label, index, seed=seed, size=size).image
    return simplejpeg.encode_jpeg(image, quality=95, colorspace="RGB", colorsubsampling="444")


@dataclasses.dataclass(frozen=True)
class DrawnCell:
    """A cell on a smear, which draws its parts in lengths relative to its radius.

    Attributes:
      smear: The glass that the cell lies on.
      centre: Centre (x, y), as fractions of the picture's side.
      radius: Radius, as a fraction of the picture's side.
      angle: Direction of the nucleus, in radians.
    """

    smear: Smear
    centre: Point
    radius: float
    angle: float

    def at(self, points: np.ndarray) -> np.ndarray:
        """Maps the cell's own coordinates (N, 2), whose edge is at distance 1, to the smear's."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        return points @ [[c, s], [-s, c]] * self.radius + self.centre

    def body(self, wobble: float) -> np.ndarray:
        return self.smear.outline(self.centre, self.radius, wobble)

    def round_nucleus(self, offset: float, radius: float, wobble: float) -> np.ndarray:
        x, y = self.at(np.array([offset, 0.0]))
        return self.smear.outline((x, y), radius * self.radius, wobble)

    def bent_nucleus(self, arc: float, bend: float, width: float, taper: float) -> np.ndarray:
        """A band of `width` along `arc` radians of a circle of `bend`; `taper` widens its ends."""
        along = np.linspace(-1, 1, 17)
        theta = arc / 2 * along
        points = bend * np.stack([np.cos(theta) - 0.5, np.sin(theta)], -1)
        points += self.smear.rng.normal(0, 0.03, points.shape)
        widths = width * (1 + taper * (along**2 - 0.4)) * self.smear.rng.normal(1, 0.05, 17)
        return self.smear.lobes(self.at(points), widths * self.radius)

    def lobed_nucleus(self, count: int, ring: float, width: float, filament: float) -> np.ndarray:
        """`count` lobes of `width`, strung on a filament along a circle of `ring`."""
        rng = self.smear.rng
        step = min(rng.uniform(2.3, 2.9) * width / ring, 4.6 / (count - 1))  # never a closed ring
        theta = (np.arange(count) - (count - 1) / 2) * step + rng.normal(0, 0.1, count)
        middles = ring * np.stack([np.cos(theta), np.sin(theta)], -1)
        middles *= rng.uniform(0.8, 1.1, (count, 1))
        middles -= middles.mean(0) * rng.uniform(0.3, 0.9)
        # A lobe is two discs melted together: longer than wide, and each lies its own way.
        lean = rng.uniform(0, np.pi, count)
        half = 0.35 * width * np.stack([np.cos(lean), np.sin(lean)], -1)
        points = np.stack([middles - half, middles + half], 1).reshape(-1, 2)
        widths = np.repeat(width * rng.uniform(0.75, 1.0, count), 2)
        return self.smear.lobes(self.at(points), widths * self.radius, filament)

    def fill_nucleus(self, mask: np.ndarray, violet: float, clumps: float, grain: float) -> None:
        """Chromatin: `violet` in patches of `grain`, differing by `clumps`, densest at the edge."""
        texture = self.smear.texture(grain) + 0.7 * self.smear.texture(0.6 * grain)
        self.smear.lay(mask, violet=violet * np.clip(1 + clumps * texture, 0.3, 1.6), blue=0.25)
        self.smear.stain(self.smear.border(mask, 0.012), violet=0.35 * violet)

    def grains(self, radius: float, count: int, spread: float = 0.95) -> np.ndarray:
        """`count` granules; unlike the other parts they have a `radius` relative to the picture."""
        return self.smear.granules(self.centre, spread * self.radius, radius, count)


def basophil(cell: DrawnCell) -> np.ndarray:
    """Coarse violet-black granules that hide a bilobed nucleus."""
    rng = cell.smear.rng
    body = cell.body(0.10)
    cell.smear.lay(body, violet=rng.uniform(0.2, 0.5), blue=0.1)
    nucleus = cell.lobed_nucleus(2, 0.45, 0.52, 0.03) * body
    cell.fill_nucleus(nucleus, rng.uniform(0.6, 0.9), 0.12, 0.04)
    granules = cell.grains(0.0145, int(rng.integers(60, 160)), 1.0)
    cell.smear.stain(granules, violet=rng.uniform(0.4, 0.75))
    return np.maximum(body, granules)


def eosinophil(cell: DrawnCell) -> np.ndarray:
    """Packed with round orange-red granules; the nucleus has two lobes, sometimes three."""
    rng = cell.smear.rng
    body = cell.body(0.08)
    cell.smear.lay(body, eosin=rng.uniform(0.2, 0.5), blue=0.2)
    granules = cell.grains(0.014, int(rng.integers(130, 250))) * body
    cell.smear.stain(granules, eosin=rng.uniform(0.35, 0.75), violet=0.04)
    count = 2 if rng.random() < 0.8 else 3
    nucleus = cell.lobed_nucleus(count, 0.5, rng.uniform(0.34, 0.44), 0.03) * body
    cell.fill_nucleus(nucleus, rng.uniform(0.75, 1.1), 0.14, 0.035)
    return body


def erythroblast(cell: DrawnCell) -> np.ndarray:
    """A red cell to be: a round, dark nucleus; its cytoplasm turns from blue to pink-grey."""
    rng = cell.smear.rng
    body = cell.body(0.08)
    maturity = rng.random()
    cell.smear.lay(
        body,
        blue=1.1 - 0.7 * maturity,
        haemoglobin=0.3 + 0.6 * maturity,
        violet=0.12 * (1 - maturity),
    )
    size = rng.uniform(0.66, 0.78) - 0.16 * maturity  # the nucleus shrinks as the cell ripens
    nucleus = cell.round_nucleus(rng.uniform(0.0, 0.9 - size), size, 0.05)
    cell.fill_nucleus(nucleus, rng.uniform(0.95, 1.2), 0.18 - 0.1 * maturity, 0.03)
    return np.maximum(body, nucleus)


def immature_granulocyte(cell: DrawnCell) -> np.ndarray:
    """Large, with a big round to kidney-shaped nucleus of fine chromatin and fine granules."""
    rng = cell.smear.rng
    body = cell.body(0.12)
    cell.smear.lay(body, blue=rng.uniform(0.15, 0.5), eosin=rng.uniform(0.1, 0.25), violet=0.08)
    granules = cell.grains(0.0085, int(rng.integers(100, 220))) * body
    cell.smear.stain(granules, violet=rng.uniform(0.15, 0.45))
    if rng.random() < 0.5:
        nucleus = cell.round_nucleus(rng.uniform(0.1, 0.3), rng.uniform(0.58, 0.74), 0.1)
    else:
        nucleus = cell.bent_nucleus(
            rng.uniform(1.4, 2.3), rng.uniform(0.4, 0.5), rng.uniform(0.33, 0.42), 0.2
        )
    nucleus = nucleus * body
    cell.fill_nucleus(nucleus, rng.uniform(0.65, 1.05), 0.14, 0.025)
    cell.smear.stain(granules * nucleus, violet=0.15)
    return body


def lymphocyte(cell: DrawnCell) -> np.ndarray:
    """A dense round nucleus that nearly fills the cell, and a thin sky-blue rim."""
    rng = cell.smear.rng
    body = cell.body(0.14)
    cell.smear.lay(body, blue=rng.uniform(0.5, 1.0), violet=0.05)
    size = rng.uniform(0.78, 0.92)
    nucleus = cell.round_nucleus(rng.uniform(0.0, 0.98 - size), size, 0.09)
    cell.fill_nucleus(nucleus, rng.uniform(0.75, 1.15), 0.14, 0.04)
    return np.maximum(body, nucleus)


def monocyte(cell: DrawnCell) -> np.ndarray:
    """The largest: a folded nucleus of lacy chromatin in grey-blue cytoplasm with vacuoles."""
    rng = cell.smear.rng
    body = cell.body(0.16)
    cloud = 0.12 * cell.smear.texture(0.03)
    cell.smear.lay(body, blue=rng.uniform(0.35, 0.75) + cloud, violet=rng.uniform(0.05, 0.15))
    cell.smear.stain(cell.grains(0.008, 60) * body, violet=0.15)
    vacuoles = cell.grains(0.017, int(rng.integers(0, 25))) * body
    cell.smear.lay(np.sqrt(vacuoles), blue=0.1)
    nucleus = cell.bent_nucleus(
        rng.uniform(2.2, 3.8), rng.uniform(0.42, 0.52), rng.uniform(0.28, 0.38), 0.35
    )
    nucleus = nucleus * body
    cell.fill_nucleus(nucleus, rng.uniform(0.65, 1.0), 0.24, 0.03)
    return body


def neutrophil(cell: DrawnCell) -> np.ndarray:
    """Three to five lobes on thin filaments, in pale pink cytoplasm with very fine granules."""
    rng = cell.smear.rng
    body = cell.body(0.08)
    cell.smear.lay(body, eosin=rng.uniform(0.1, 0.3), blue=rng.uniform(0.1, 0.3), violet=0.03)
    granules = cell.grains(0.008, int(rng.integers(80, 180))) * body
    cell.smear.stain(granules, violet=rng.uniform(0.08, 0.3), eosin=0.1)
    count = int(rng.integers(3, 6))
    nucleus = cell.lobed_nucleus(count, 0.52, rng.uniform(0.43, 0.48) - 0.045 * count, 0.018) * body
    cell.fill_nucleus(nucleus, rng.uniform(0.75, 1.15), 0.14, 0.035)
    return body


def platelet(cell: DrawnCell) -> np.ndarray:
    """No cell but a fragment: a small pale disc with violet granules, and no nucleus."""
    rng = cell.smear.rng
    body = cell.body(0.2)
    cell.smear.lay(body, violet=rng.uniform(0.1, 0.3), blue=rng.uniform(0.15, 0.3))
    granules = cell.grains(0.0085, int(rng.integers(15, 40)), 0.8) * body
    cell.smear.stain(granules, violet=rng.uniform(0.4, 0.9))
    return body


class CellKind(NamedTuple):
    """How to draw one kind of cell.

    Attributes:
      smallest: Smallest radius, as a fraction of the picture's side.
      largest: Largest radius, likewise.
      draw: Draws the cell and returns where it is, float32 (size, size) in [0, 1].
    """

    smallest: float
    largest: float
    draw: Callable[[DrawnCell], np.ndarray]


KINDS: dict[str, CellKind] = {
    "basophil": CellKind(0.155, 0.215, basophil),
    "eosinophil": CellKind(0.175, 0.225, eosinophil),
    "erythroblast": CellKind(0.11, 0.175, erythroblast),
    "ig": CellKind(0.19, 0.25, immature_granulocyte),
    "lymphocyte": CellKind(0.135, 0.195, lymphocyte),
    "monocyte": CellKind(0.195, 0.27, monocyte),
    "neutrophil": CellKind(0.17, 0.225, neutrophil),
    "platelet": CellKind(0.05, 0.08, platelet),
}
CLASSES = tuple(KINDS)
