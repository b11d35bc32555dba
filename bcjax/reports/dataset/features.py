"""What pictures are compared by: their colours, or what a trained network sees in them."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from bcjax.data.curate.measured_pictures import Measures
from bcjax.data.records import Record
from bcjax.data.store import load_ahead

_BATCH = 64  # pictures at a time
_AHEAD = 4  # batches


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
    about = "colour statistics (histograms of R, G and B)"
    return Features(about, np.arange(len(measures)), np.sqrt(measures.histogram))


class Network:
    """A trained network, asked for what its classifier reads."""

    def __init__(self, workdir: Path, which: str = "best"):
        """Reads a checkpoint: "best", "latest" or a step.

        Raises:
          UserError: If there is none, or the run's `data.stain_reference` is gone.
        """
        # Here, for JAX takes a second to import, and colours need none of it.
        import jax

        from bcjax.data.input_transform import InputTransform
        from bcjax.engine import network
        from bcjax.engine.step import infer
        from bcjax.runtime import compilation, mesh

        compilation.use_cache()
        trained = network.load(workdir, which, mesh.create())
        settings = trained.config.model
        self._entry = InputTransform.from_config(trained.config.data)
        self._about = f"features of {settings.name} ({workdir}, step {trained.step:,})"

        @jax.jit
        def features(variables: Any, pixels: jax.Array) -> jax.Array:
            mean, std = settings.mean, settings.std
            return infer(trained.model, variables, pixels, mean, std, method="features")

        self._features = functools.partial(features, trained.variables)

    def __call__(self, records: Sequence[Record], positions: Int[np.ndarray, "n"]) -> Features:
        """Looks at some of N pictures, one or more."""
        batch = min(_BATCH, len(positions))
        # Always a whole batch, so that one program serves all.
        padded = np.resize(positions, -(-len(positions) // batch) * batch).reshape(-1, batch)
        values = [
            np.asarray(self._features(pixels), np.float32)
            for pixels in load_ahead(
                list(padded), functools.partial(self._load, records), prefetch=_AHEAD
            )
        ]
        return Features(self._about, positions, np.concatenate(values)[: len(positions)])

    def _load(
        self, records: Sequence[Record], positions: Int[np.ndarray, "B"]
    ) -> UInt8[np.ndarray, "B size size 3"]:
        return np.stack([self._entry(records[i].read()) for i in positions])
