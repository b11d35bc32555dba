"""Labels pictures from anywhere with a trained network."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bcjax import mesh as meshes
from bcjax import network
from bcjax.data.decode import BadImageError
from bcjax.data.entry import entry_of
from bcjax.data.sources.folder import PICTURES
from bcjax.errors import UserError
from bcjax.steps import infer

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
    """

    def __init__(self, workdir: Path, which: str = "best"):
        """Reads a checkpoint: "best", "latest" or a step.

        Raises:
          UserError: If there is none, or the run's `data.stain_reference` is gone.
        """
        self._trained = network.load(workdir, which, meshes.create())
        self._entry = entry_of(self._trained.config.data)
        self.classes = self._trained.classes
        model, settings = self._trained.model, self._trained.config.model

        @jax.jit
        def probabilities(variables: Any, pixels: jax.Array) -> jax.Array:
            return jax.nn.softmax(infer(model, variables, pixels, settings.mean, settings.std))

        self._probabilities = probabilities

    def __call__(
        self, paths: Sequence[Path], batch_size: int
    ) -> tuple[list[Row], list[tuple[Path, str]]]:
        """Labels pictures.

        Args:
          paths: Files.
          batch_size: Pictures at a time.

        Returns:
          For each readable picture its filename, label and probabilities by class name; and the
          others, each with what is wrong with it.
        """
        rows: list[Row] = []
        bad: list[tuple[Path, str]] = []
        for known, pixels in self._batches(paths, batch_size, bad):
            answers = jax.device_get(self._probabilities(self._trained.variables, pixels))
            for path, answer in zip(known, answers, strict=False):  # the rest is padding
                by_name = dict(zip(self.classes, answer.tolist(), strict=True))
                label = self.classes[int(answer.argmax())]
                rows.append({"filename": str(path), "label": label, "probabilities": by_name})
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
