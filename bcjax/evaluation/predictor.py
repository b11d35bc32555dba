"""Labels pictures from anywhere with a trained network."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bcjax.data.decode import BadImageError
from bcjax.data.entry import entry_of
from bcjax.data.sources.folder import PICTURES
from bcjax.engine import network
from bcjax.engine.step import infer
from bcjax.evaluation.calibration import fitted, outliers, temperature
from bcjax.evaluation.calibration.fitted import Calibration
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

Row = dict[str, Any]


def find_pictures(names: Sequence[str]) -> list[Path]:
    """Returns the named files, and all pictures below the named folders, in order.

    Raises:
      UserError: If a name does not exist, or a folder holds no picture.
    """
    found = []
    for path in map(Path, names):
        if not path.exists():
            raise UserError(f"There is no picture or folder {path}.")
        inside = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in PICTURES]
        if path.is_dir() and not inside:
            raise UserError(f"The folder {path} holds no picture.")
        found += inside if path.is_dir() else [path]
    return found


class Predictor:
    """A trained network that answers for encoded pictures, whatever their size and mode.

    Attributes:
      classes: Names, in the order of the logits.
      calibration: Of the checkpoint; None: there is none.
    """

    def __init__(self, workdir: Path, which: str = "best", calibration: Calibration | None = None):
        """Reads a checkpoint.

        Args:
          workdir: The run's folder.
          which: "best", "latest" or a step.
          calibration: Of the checkpoint; None: the one in the workdir, if it is there.

        Raises:
          UserError: If there is no such checkpoint, its calibration is damaged, or the run's
            `data.stain_reference` is gone.
        """
        self._trained = network.load(workdir, which, meshes.create())
        self._entry = entry_of(self._trained.config.data)
        self.classes = self._trained.classes
        self.calibration = calibration or fitted.read(workdir, self._trained.step)
        looks = bool(self.calibration and self.calibration.outliers)
        model, settings = self._trained.model, self._trained.config.model

        @jax.jit
        def answer(variables: Any, pixels: jax.Array) -> tuple[jax.Array, jax.Array]:
            mean, std = settings.mean, settings.std
            if not looks:
                return infer(model, variables, pixels, mean, std), jnp.zeros((len(pixels), 0))
            seen = infer(model, variables, pixels, mean, std, "features")
            logits = model.apply(variables, seen, train=False, method="classify")
            return cast(jax.Array, logits), seen.astype(jnp.float32)

        self._answer = answer

    def __call__(
        self, paths: Sequence[Path], batch_size: int
    ) -> tuple[list[Row], list[tuple[Path, str]]]:
        """Labels pictures.

        Args:
          paths: Files.
          batch_size: Pictures at a time.

        Returns:
          For each readable picture its filename, label and probabilities by class name, with a
          calibration also what `_judged` adds; and the others, each with what is wrong with it.
        """
        rows: list[Row] = []
        bad: list[tuple[Path, str]] = []
        scale = self.calibration.temperature if self.calibration else 1.0
        for known, pixels in self._batches(paths, batch_size, bad):
            logits, seen = jax.device_get(self._answer(self._trained.variables, pixels))
            logits, seen = logits[: len(known)], seen[: len(known)]  # the rest is padding
            probabilities = temperature.divide(logits, scale)
            found: list[Row] = [
                {
                    "filename": str(path),
                    "label": self.classes[int(each.argmax())],
                    "probabilities": dict(zip(self.classes, each.tolist(), strict=True)),
                }
                for path, each in zip(known, probabilities, strict=True)
            ]
            if self.calibration:
                judged = _judged(self.calibration, logits, probabilities, seen)
                found = [row | more for row, more in zip(found, judged, strict=True)]
            rows += found
        return rows, bad

    def _batches(
        self, paths: Sequence[Path], batch_size: int, bad: list[tuple[Path, str]]
    ) -> Iterator[tuple[list[Path], np.ndarray]]:
        size = self._entry.size
        for start in range(0, len(paths), batch_size):
            known: list[Path] = []
            # Always a whole batch, so that one program serves all.
            pixels = np.zeros((batch_size, size, size, 3), np.uint8)
            for path in paths[start : start + batch_size]:
                try:
                    pixels[len(known)] = self._entry(path.read_bytes())
                    known.append(path)
                except (BadImageError, OSError) as error:
                    bad.append((path, str(error)))
            if known:
                yield known, pixels


def _judged(
    calibration: Calibration,
    logits: Float[np.ndarray, "B C"],
    probabilities: Float[np.ndarray, "B C"],
    features: Float[np.ndarray, "B F"],
) -> list[Row]:
    """Returns what a calibration says of answers.

    Of each: the `set` of classes that holds the true one as often as was asked for; whether the
    answer is `uncertain`; whether the picture is an `outlier`, by its `distance` from the training
    pictures; and its `energy`, another score of that. None: that was not, or could not be, fitted.
    """
    count = len(logits)
    uncertain = calibration.abstention.uncertain(probabilities)
    held = calibration.outliers
    columns: dict[str, Sequence[Any]] = {
        "set": [
            [name for name, inside in zip(calibration.classes, row, strict=True) if inside]
            for row in calibration.conformal.sets(probabilities)
        ],
        "uncertain": [None] * count if uncertain is None else uncertain.tolist(),
        "outlier": [None] * count if held is None else held.are(features).tolist(),
        "distance": [None] * count if held is None else held.distance(features).tolist(),
        "energy": outliers.energy(logits).tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
