"""The eight kinds of cell, each as what a haematologist tells it by.

Sizes are those of the PBC photographs, 360 pixels of which are about 36 micrometres. What is drawn
varies from cell to cell, as much as the kind allows: it is the kind that a classifier must find.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from bcjax.data.drawing import Point, Smear


@dataclasses.dataclass(frozen=True)
class Cell:
    """Where a cell lies on a smear; draws its parts in lengths relative to its radius.

    Attributes:
      smear: The glass.
      centre: As a fraction of the picture's side.
      radius: Likewise.
      angle: Radians; which way the nucleus lies.
    """

    smear: Smear
    centre: Point
    radius: float
    angle: float

    def at(self, points: np.ndarray) -> np.ndarray:
        """The cell's own coordinates (N, 2) on the smear; the cell's edge is at distance 1."""
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


def basophil(cell: Cell) -> np.ndarray:
    """Coarse violet-black granules that hide a bilobed nucleus."""
    rng = cell.smear.rng
    body = cell.body(0.10)
    cell.smear.lay(body, violet=rng.uniform(0.2, 0.5), blue=0.1)
    nucleus = cell.lobed_nucleus(2, 0.45, 0.52, 0.03) * body
    cell.fill_nucleus(nucleus, rng.uniform(0.6, 0.9), 0.12, 0.04)
    granules = cell.grains(0.0145, int(rng.integers(60, 160)), 1.0)
    cell.smear.stain(granules, violet=rng.uniform(0.4, 0.75))
    return np.maximum(body, granules)


def eosinophil(cell: Cell) -> np.ndarray:
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


def erythroblast(cell: Cell) -> np.ndarray:
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


def immature_granulocyte(cell: Cell) -> np.ndarray:
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


def lymphocyte(cell: Cell) -> np.ndarray:
    """A dense round nucleus that nearly fills the cell, and a thin sky-blue rim."""
    rng = cell.smear.rng
    body = cell.body(0.14)
    cell.smear.lay(body, blue=rng.uniform(0.5, 1.0), violet=0.05)
    size = rng.uniform(0.78, 0.92)
    nucleus = cell.round_nucleus(rng.uniform(0.0, 0.98 - size), size, 0.09)
    cell.fill_nucleus(nucleus, rng.uniform(0.75, 1.15), 0.14, 0.04)
    return np.maximum(body, nucleus)


def monocyte(cell: Cell) -> np.ndarray:
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


def neutrophil(cell: Cell) -> np.ndarray:
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


def platelet(cell: Cell) -> np.ndarray:
    """No cell but a fragment: a small pale disc with violet granules, and no nucleus."""
    rng = cell.smear.rng
    body = cell.body(0.2)
    cell.smear.lay(body, violet=rng.uniform(0.1, 0.3), blue=rng.uniform(0.15, 0.3))
    granules = cell.grains(0.0085, int(rng.integers(15, 40)), 0.8) * body
    cell.smear.stain(granules, violet=rng.uniform(0.4, 0.9))
    return body


# Smallest and largest radius, as fractions of the picture's side, and how to draw it.
KINDS: dict[str, tuple[float, float, Callable[[Cell], np.ndarray]]] = {
    "basophil": (0.155, 0.215, basophil),
    "eosinophil": (0.175, 0.225, eosinophil),
    "erythroblast": (0.11, 0.175, erythroblast),
    "ig": (0.19, 0.25, immature_granulocyte),
    "lymphocyte": (0.135, 0.195, lymphocyte),
    "monocyte": (0.195, 0.27, monocyte),
    "neutrophil": (0.17, 0.225, neutrophil),
    "platelet": (0.05, 0.08, platelet),
}
