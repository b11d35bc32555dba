"""What pictures are compared by: their colours, or what a trained network sees in them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from bcjax.data.curate.measure import Measures
from bcjax.data.records import Record

_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Features:
    """Of some of N pictures.

    Attributes:
      about: What they are, in a few words for a person.
      positions: Of the pictures that have them.
      values: Of these, in turn.
    """

    about: str
    positions: Int[np.ndarray, "n"]
    values: Float[np.ndarray, "n C"]


def of_colours(measures: Measures) -> Features:
    """The roots of each picture's R, G and B histograms: their distance is Hellinger's."""
    about = "colour statistics: histograms of R, G and B"
    return Features(about, np.arange(len(measures)), np.sqrt(measures.histogram))


def of_network(
    workdir: Path, which: str, records: Sequence[Record], positions: Int[np.ndarray, "n"]
) -> Features:
    """What the classifier of a trained network reads of the pictures at `positions`.

    Args:
      workdir: The run's folder.
      which: "best", "latest" or a step.
      records: Of N pictures.
      positions: Of one or more of them.

    Raises:
      UserError: If the run has no such checkpoint.
    """
    # Here, for JAX takes a second to import, and colours need none of it.
    import jax

    from bcjax import compilation, mesh, network
    from bcjax.data import pipeline
    from bcjax.data.entry import entry_of
    from bcjax.steps import infer

    compilation.use_cache()
    trained = network.load(workdir, which, mesh.create())
    entry, settings = entry_of(trained.config.data), trained.config.model

    @jax.jit
    def features(variables, pixels):
        mean, std = settings.mean, settings.std
        return infer(trained.model, variables, pixels, mean, std, method="features")

    def load(rows: np.ndarray) -> np.ndarray:
        return np.stack([entry(records[position].read()) for position in rows])

    # Always a whole batch, so that one program serves all.
    batch = min(_BATCH, len(positions))
    padded = np.resize(positions, -(-len(positions) // batch) * batch).reshape(-1, batch)
    values = [
        np.asarray(features(trained.variables, pixels), np.float32)
        for pixels in pipeline.ahead(padded, load, prefetch=4)
    ]
    about = f"features of {settings.name}, {workdir} at step {trained.step:,}"
    return Features(about, positions, np.concatenate(values)[: len(positions)])
