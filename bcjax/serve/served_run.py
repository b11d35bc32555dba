"""A run that is served: its network now, exchanged for a newer checkpoint without a pause."""

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import UInt8

from bcjax.data.input_transform import InputTransform
from bcjax.evaluation.predictions import Predictions
from bcjax.evaluation.predictor import Outputs, Predictor
from bcjax.exports.formats import FORMATS
from bcjax.runtime import jax_settings
from bcjax.runtime.errors import UserError, disk_faults_told
from bcjax.runtime.run_dir import RunDir
from bcjax.serve import backends
from bcjax.serve.settings import Settings

log = logging.getLogger("bcjax")

USE = "For research only: it is no medical device."


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A network that is ready to answer.

    Attributes:
      predictor: The network.
      backend: "jax" or "onnx".
      why: Why by that.
      transform: From an encoded picture to its pixels, within the limits of the service.
      sizes: The sizes of batches that it computes, ascending; (): any.
      written: When what it was made of was written, in ns; another network has other times.
    """

    predictor: Predictor
    backend: str
    why: str
    transform: InputTransform
    sizes: tuple[int, ...]
    written: tuple[int, ...]

    @classmethod
    def load(cls, workdir: Path, checkpoint: str, backend: str, settings: Settings) -> Self:
        """Loads and compiles a network, so that its first answer is as quick as any.

        Raises:
          UserError: If it cannot be loaded, or its answers are not finite.
        """
        chosen = backends.load(workdir, checkpoint, backend)
        transform = dataclasses.replace(chosen.predictor.transform, max_pixels=settings.max_pixels)
        sizes = _sizes(settings.max_batch) if chosen.backend == "jax" else ()
        written = _written(workdir, chosen)
        loaded = cls(chosen.predictor, chosen.backend, chosen.why, transform, sizes, written)
        loaded._warm(settings.max_batch)
        return loaded

    @property
    def step(self) -> int:
        return self.predictor.step

    def answer(
        self, pixels: Sequence[UInt8[np.ndarray, "height width 3"]], names: Sequence[str]
    ) -> Predictions:
        """Returns the answers for some pictures, in their order."""
        count = len(pixels)
        size = next((size for size in self.sizes if size >= count), count)
        batch = np.zeros((size, *self.predictor.image_size, 3), np.uint8)
        batch[:count] = pixels
        outputs = self.predictor.outputs(batch)
        distances = None if outputs.distances is None else outputs.distances[:count]
        return self.predictor.predictions(Outputs(outputs.logits[:count], distances), names)

    @jax_settings.fixed()
    def _warm(self, max_batch: int) -> None:
        for size in self.sizes or (1, max_batch):
            pixels = np.full((size, *self.predictor.image_size, 3), 127, np.uint8)
            answers = self.answer(list(pixels), [""] * size)
            if not np.isfinite(answers.logits).all():
                raise UserError(
                    f"The answers of checkpoint {self.step} of {self.predictor.workdir} are not "
                    "finite: choose another checkpoint."
                )


def _sizes(max_batch: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the largest: XLA compiles a program for each."""
    powers = (1 << power for power in range(max_batch.bit_length()))
    return tuple(sorted({*powers, max_batch}))


class ServedRun:
    """A run under the name that clients know it by.

    Attributes:
      name: The name.
      workdir: The run's folder.
      loaded: The network that answers now. A request takes it once, so that all of its pictures are
        answered by one checkpoint.
    """

    def __init__(self, name: str, workdir: Path, checkpoint: str, backend: str, settings: Settings):
        """Loads a run.

        Raises:
          UserError: If it cannot be loaded.
        """
        self.name, self.workdir = name, workdir
        self._checkpoint, self._backend, self._settings = checkpoint, backend, settings
        RunDir(workdir).check_exists()
        self._seen = self._fingerprint()
        self.loaded = LoadedNetwork.load(workdir, checkpoint, backend, settings)

    def reload(self) -> bool | None:
        """Exchanges the network if the run has a newer one, while the old one answers.

        Returns:
          Whether it was exchanged; None: it should have been, and could not: the old one stays.
        """
        found = self._fingerprint()
        if found == self._seen:
            return False
        self._seen = found
        began = time.monotonic()
        try:
            with disk_faults_told():
                new = LoadedNetwork.load(
                    self.workdir, self._checkpoint, self._backend, self._settings
                )
        except Exception as error:
            log.error(
                "%s: a newer network cannot be loaded, checkpoint %d stays (%s)",
                self.name, self.loaded.step, error, exc_info=not isinstance(error, UserError),
            )  # fmt: skip
            return None
        if _identity(new) == _identity(self.loaded):
            return False
        self.loaded = new
        log.info(
            "%s: checkpoint %d answers now, by %s %s; loaded in %.1f s.",
            self.name, new.step, new.backend, new.why, time.monotonic() - began,
        )  # fmt: skip
        return True

    def about(self) -> dict[str, Any]:
        """Returns what clients may know of the run, ready for JSON."""
        loaded = self.loaded
        predictor = loaded.predictor
        height, width = predictor.image_size
        return {
            "model": self.name,
            "run": self.workdir.resolve().name,
            "checkpoint": loaded.step,
            "network": predictor.config.model.name,
            "classes": list(predictor.classes),
            "height": height,
            "width": width,
            "backend": loaded.backend,
            "calibrated": predictor.calibration is not None,
            "use": USE,
        }

    def _fingerprint(self) -> frozenset[tuple[str, int]]:
        """What changes when a checkpoint, a calibration or an export is written or deleted."""
        run = RunDir(self.workdir)
        steps = (path for path in run.checkpoints.glob("*") if path.name.isdigit())
        fitted = (run.path / "calibration").glob("*.json")
        found = set()
        for path in (*steps, *fitted, *run.exported.glob("*.onnx")):
            try:
                found.add((str(path), path.stat().st_mtime_ns))
            except FileNotFoundError:  # deleted since it was listed
                continue
        return frozenset(found)


def _identity(loaded: LoadedNetwork) -> tuple[Any, ...]:
    return loaded.step, loaded.backend, loaded.written


def _written(workdir: Path, chosen: backends.Chosen) -> tuple[int, ...]:
    run = RunDir(workdir)
    made_of = [run.calibration(chosen.predictor.step)]
    if chosen.backend == "onnx":
        made_of.append(run.exported / FORMATS["onnx"].file)
    return tuple(path.stat().st_mtime_ns if path.exists() else 0 for path in made_of)
