"""Which pictures are alike: features, and a map on which neighbours are alike.

Pictures are compared by their colours, or by what a trained network sees in them.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from bcjax.data.curate.measured_pictures import Measures
from bcjax.data.records import Record
from bcjax.data.store import load_ahead
from bcjax.reports.pages.pictures import contact_sheet, data_uri

_BATCH = 64  # pictures at a time
_PREFETCH = 4  # batches
_COMPONENTS = 48  # principal components that t-SNE is given
_PERPLEXITY = 30.0
_FEWEST = 8  # pictures that make a map
_WIDTH, _HEIGHT = 1000, 720  # of the map, in its own units
_MARGIN = 16
_CELL = 64  # pixels of a picture on the contact sheet
_COLUMNS = 40
_QUALITY = 72  # of the contact sheet


@dataclasses.dataclass(frozen=True)
class Features:
    """Features of some of N pictures.

    Attributes:
      about: What the features are, in a few words for a person.
      positions: Positions of these pictures among the N.
      values: Their features, in the same order.
    """

    about: str
    positions: Int[np.ndarray, "n"]
    values: Float[np.ndarray, "n C"]


def colour_features(measures: Measures) -> Features:
    """Returns the roots of the R, G and B histograms, whose distance is Hellinger's."""
    about = "colour statistics (histograms of R, G and B)"
    return Features(about, np.arange(len(measures)), np.sqrt(measures.histogram))


class NetworkFeatures:
    """Computes what the classifier of a trained network reads."""

    def __init__(self, workdir: Path, checkpoint: str = "best"):
        """Reads a checkpoint of a run: "best", "latest" or a step.

        Raises:
          UserError: If there is none, or the run's `data.stain_reference` is gone.
        """
        # Here, because JAX takes a second to import and colours do without it.
        import jax

        from bcjax.data.input_transform import InputTransform
        from bcjax.engine import network
        from bcjax.engine.step import infer
        from bcjax.runtime import compilation, mesh

        compilation.use_cache()
        trained = network.load(workdir, checkpoint, mesh.create())
        settings = trained.config.model
        self._transform = InputTransform.from_config(trained.config.data)
        self._about = f"features of {settings.name} ({workdir}, step {trained.step:,})"

        @jax.jit
        def features(variables: Any, pixels: jax.Array) -> jax.Array:
            mean, std = settings.mean, settings.std
            return infer(trained.model, variables, pixels, mean, std, method="features")

        self._features = functools.partial(features, trained.variables)

    def __call__(self, records: Sequence[Record], positions: Int[np.ndarray, "n"]) -> Features:
        """Returns the features of the pictures at `positions`, one or more."""
        batch = min(_BATCH, len(positions))
        # Always a whole batch, so that one program serves all.
        padded = np.resize(positions, -(-len(positions) // batch) * batch).reshape(-1, batch)
        load = functools.partial(self._load, records)
        values = [
            np.asarray(self._features(pixels), np.float32)
            for pixels in load_ahead(list(padded), load, prefetch=_PREFETCH)
        ]
        return Features(self._about, positions, np.concatenate(values)[: len(positions)])

    def _load(
        self, records: Sequence[Record], positions: Int[np.ndarray, "B"]
    ) -> UInt8[np.ndarray, "B size size 3"]:
        return np.stack([self._transform(records[i].read()) for i in positions])


@dataclasses.dataclass(frozen=True)
class Point:
    """A picture on the map.

    Attributes:
      x: In 0..width of the map.
      y: In 0..height of the map, downwards.
      id: Id of the picture.
      label: Label of its class.
      split: The split that it is in.
    """

    x: float
    y: float
    id: str
    label: int
    split: str


@dataclasses.dataclass(frozen=True)
class EmbeddingMap:
    """A map of pictures, and a contact sheet of them in the same order, row after row.

    Attributes:
      points: The pictures, at least one.
      sheet: The contact sheet as a data URI.
      columns: Pictures in a row of the contact sheet.
      cell: Pixels of each picture on it, both ways.
      width: Width of the map in its own units.
      height: Height of the map in its own units.
    """

    points: Sequence[Point]
    sheet: str
    columns: int
    cell: int = _CELL
    width: int = _WIDTH
    height: int = _HEIGHT


def embedding_map(
    features: Features, mapped: Int[np.ndarray, "n"], records: Sequence[Record], seed: int
) -> EmbeddingMap | None:
    """Lays out the pictures at `mapped`, all of which have features; None for too few."""
    order = np.argsort(features.positions)
    rows = order[np.searchsorted(features.positions, mapped, sorter=order)]
    plane = layout(features.values[rows], seed)
    if plane is None:
        return None
    chosen = [records[i] for i in mapped]
    room = np.array((_WIDTH, _HEIGHT)) - 2 * _MARGIN
    points = [
        Point(round(float(x), 1), round(float(y), 1), record.id, record.label, record.split)
        for (x, y), record in zip(plane * room + _MARGIN, chosen, strict=True)
    ]
    columns = min(_COLUMNS, len(points))
    sheet = data_uri(contact_sheet(chosen, _CELL, columns), _QUALITY)
    return EmbeddingMap(points, sheet, columns)


def layout(values: Float[np.ndarray, "n C"], seed: int) -> Float32[np.ndarray, "n 2"] | None:
    """Lays features out on a plane: neighbours stay neighbours, x and y themselves mean nothing.

    t-SNE (van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008) of their principal
    components, started from the first two.

    Returns:
      Both coordinates in 0..1; None for too few pictures.
    """
    # Here, because scikit-learn takes a second to import.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(values) < _FEWEST:
        return None
    components = min(_COMPONENTS, *values.shape)
    reduced = PCA(components, random_state=seed).fit_transform(values)
    perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
    # One thread: those of its thousand short steps wait for each other by spinning. On two cores
    # that others use too, 2,000 pictures took 57 to 75 s with two threads and take 16 to 21 s with
    # one; on two idle ones 9 s and 12 s. The map is the same.
    with threadpool_limits(1):
        plane = TSNE(perplexity=perplexity, random_state=seed).fit_transform(reduced)
    return (plane - plane.min(0)) / np.maximum(np.ptp(plane, axis=0), 1e-6)
