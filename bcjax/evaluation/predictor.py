"""What answers images: a network in JAX, or a file that it was exported to."""

import abc
import dataclasses
import logging
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8
from ml_collections import ConfigDict

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.data.decode import BadImageError, count_frames, first_frames
from bcjax.data.input_transform import InputTransform
from bcjax.evaluation.calibration import outliers, temperature
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.images import Images, NamedImage, collect
from bcjax.evaluation.predictions import Predictions, Unreadable
from bcjax.evaluation.prevalence import Prevalence, Stated, state
from bcjax.runtime import jax_settings
from bcjax.runtime.errors import UserError

log = logging.getLogger("bcjax")

Pixels = UInt8[np.ndarray, "B height width 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class Outputs:
    """What a network gives for a batch of images.

    Attributes:
      logits: Before the softmax and any calibration, float32.
      distances: Mahalanobis distance of the features to the nearest class; None: outliers cannot be
        told, for want of a calibration.
    """

    logits: Float[np.ndarray, "B C"]
    distances: Float[np.ndarray, "B"] | None


jax.tree_util.register_dataclass(Outputs)


class Predictor(abc.ABC):
    """Answers images, whatever their size and format.

    A subclass computes `outputs`; the rest, from decoding to calibration, is the same for all.

    Attributes:
      config: The config that the network was trained with.
      classes: Class names, in the order of the logits.
      step: The checkpoint's step.
      workdir: The run's folder.
      calibration: The calibration of the checkpoint; None before `bcjax calibrate`.
    """

    config: ConfigDict
    classes: tuple[str, ...]
    step: int
    workdir: Path
    calibration: Calibration | None

    @abc.abstractmethod
    def outputs(self, pixels: Pixels) -> Outputs:
        """Returns what the network gives for preprocessed images.

        Args:
          pixels: uint8, of the network's size; `preprocess` makes them. Each other size of a batch
            may take a compilation.
        """

    @property
    def image_size(self) -> ImageSize:
        """Height and width of the images that the network reads, in pixels."""
        return ImageSize.of(self.config.data.image_size)

    @jax_settings.fixed()
    def predict(
        self, images: Images, batch_size: int = 64, *, prevalence: Stated | None = None
    ) -> Predictions:
        """Answers images.

        A file, its bytes, its PIL image and its array get the same answer, bit for bit. The
        exception are JPEG files much larger than the network's images: they are decoded at a
        fraction of their size, which is faster, and differs from their arrays by rounding.

        Args:
          images: One or many, see `collect`: paths, folders, encoded bytes, PIL images, arrays of
            uint8 of any size.
          batch_size: Images in one call of the compiled program.
          prevalence: The share of each class among these images, as a mapping or as text such as
            "neutrophil=0.6,lymphocyte=0.4": the answers are those at it, see `prevalence`. None:
            the prevalence at which the network was trained.

        Raises:
          UserError: If a path does not exist, or something is no image. Images that are damaged
            are listed in the result. Also if the prevalence does not fit the classes.
        """
        at = self.prevalence(prevalence)
        found = collect(images, self.config.data.max_pixels)
        outputs, names, unreadable = self.answer(found, batch_size)
        return self.predictions(outputs, names, unreadable, at)

    def prevalence(self, stated: Stated | None) -> Prevalence | None:
        """Returns a stated prevalence beside that of the training; None if none is stated."""
        if stated is None:
            return None
        return state(stated, self.workdir, self.config, self.classes)

    def answer(
        self, images: Sequence[NamedImage], batch_size: int
    ) -> tuple[Outputs, tuple[str, ...], tuple[Unreadable, ...]]:
        """Returns the outputs for images, the images' names, and those that cannot be read.

        Args:
          images: The images.
          batch_size: Images in one call of the compiled program.

        Raises:
          UserError: If an answer is not finite.
        """
        outputs, names, unreadable = self.run(self.outputs, images, batch_size)
        finite = np.isfinite(outputs.logits).all(axis=1)
        if not finite.all():
            raise UserError(
                f"The answer of {self} to {names[int(finite.argmin())]} is not finite: its weights "
                "answer no such image; choose another checkpoint."
            )
        return outputs, names, unreadable

    def predictions(
        self,
        outputs: Outputs,
        names: Sequence[str],
        unreadable: Sequence[Unreadable] = (),
        prevalence: Prevalence | None = None,
    ) -> Predictions:
        """Returns what outputs say of images, by the calibration if there is one.

        Args:
          outputs: What the network gave for them.
          names: The names of the images.
          unreadable: Further images, which could not be read.
          prevalence: The prevalence at which it answers; None: that of the training.
        """
        logits, distances = outputs.logits, outputs.distances
        predictions = calibrated(
            logits, names, self.classes, unreadable, self.calibration, prevalence
        )
        if self.calibration is None:
            return predictions
        predictions = dataclasses.replace(predictions, energy=outliers.energy(logits))
        if (known := self.calibration.outliers) is None or distances is None:
            return predictions
        return dataclasses.replace(predictions, outlier=known.are(distances), distance=distances)

    def preprocess(self, images: Images) -> UInt8[np.ndarray, "N height width 3"]:
        """Returns images as the network reads them: decoded and resized as during training.

        Args:
          images: One or many, as for `predict`.

        Raises:
          UserError: If an image cannot be read.
        """
        return self.read(collect(images, self.config.data.max_pixels))

    def read(self, images: Sequence[NamedImage]) -> UInt8[np.ndarray, "N height width 3"]:
        """Returns the pixels of images, as `preprocess`.

        Raises:
          UserError: If an image cannot be read.
        """
        pixels = np.zeros((len(images), *self.image_size, 3), np.uint8)
        several: list[str] = []
        for position, image in enumerate(images):
            try:
                pixels[position] = self._decode(image, several)
            except (BadImageError, OSError) as error:
                raise UserError(f"{image.name} cannot be read ({error}): leave it out.") from error
        _warn_of_frames(several)
        return pixels

    @cached_property
    def transform(self) -> InputTransform:
        """From an encoded image to the pixels that the network reads.

        Raises:
          UserError: If the run's `data.stain_reference` is gone.
        """
        return InputTransform.from_config(self.config.data)

    def run(
        self, compute: Callable[[Pixels], Any], found: Sequence[NamedImage], batch_size: int
    ) -> tuple[Any, tuple[str, ...], tuple[Unreadable, ...]]:
        """Returns what a function gives for images, the images' names, and those unreadable.

        Args:
          compute: Returns arrays with a row for each image of a batch; batches have one size.
          found: The images.
          batch_size: The most images of a batch.
        """
        configs.check_argument("batch_size", batch_size, like="train.batch_size")
        batch_size = max(1, min(batch_size, len(found)))
        names: list[str] = []
        unreadable: list[Unreadable] = []
        several: list[str] = []
        # Always a whole batch, so that one program serves all.
        shape = (batch_size, *self.image_size, 3)
        outputs = []
        for start in range(0, len(found), batch_size):
            pixels, readable = np.zeros(shape, np.uint8), 0
            for image in found[start : start + batch_size]:
                try:
                    pixels[readable] = self._decode(image, several)
                except (BadImageError, OSError) as error:
                    unreadable.append(Unreadable(image.name, str(error)))
                else:
                    names.append(image.name)
                    readable += 1
            if readable:
                outputs.append(_first(compute(pixels), readable))
        _warn_of_frames(several)
        # With no image at all the shapes still are those of some.
        outputs = outputs or [_first(compute(np.zeros(shape, np.uint8)), 0)]
        joined = jax.tree.map(lambda *each: np.concatenate(each), *outputs)
        return joined, tuple(names), tuple(unreadable)

    def _decode(self, image: NamedImage, several: list[str]) -> UInt8[np.ndarray, "height width 3"]:
        """Reads one image; its name joins `several` if it has several pages or frames."""
        encoded = image.read()
        pixels = self.transform(encoded)
        if count_frames(encoded) > 1:
            several.append(image.name)
        return pixels


def calibrated(
    logits: Float[np.ndarray, "N C"],
    names: Sequence[str],
    classes: Sequence[str],
    unreadable: Sequence[Unreadable],
    calibration: Calibration | None,
    prevalence: Prevalence | None = None,
) -> Predictions:
    """Returns what logits say of images, by the calibration if there is one.

    Args:
      logits: The logits.
      names: The names of the images.
      classes: The names of the classes, in the order of the logits.
      unreadable: Further images, which could not be read.
      calibration: The calibration of what answered.
      prevalence: The prevalence at which it answers; None: that of the training.
    """
    calibration = calibration and calibration.at(prevalence)
    if calibration:
        probabilities = calibration.probabilities(logits)
    elif prevalence:
        probabilities = prevalence.probabilities(logits, classes)
    else:
        probabilities = temperature.probabilities(logits, 1.0)
    predictions = Predictions(
        names=tuple(names),
        classes=tuple(classes),
        logits=logits,
        probabilities=probabilities,
        unreadable=tuple(unreadable),
        prevalence=prevalence,
    )
    if calibration is None:
        return predictions
    return dataclasses.replace(
        predictions,
        sets=calibration.conformal.sets(probabilities),
        uncertain=calibration.abstention.uncertain(probabilities),
    )


def _first(outputs: Any, rows: int) -> Any:
    return jax.tree.map(lambda each: np.asarray(each)[:rows], outputs)


def _warn_of_frames(names: Sequence[str]) -> None:
    if names:
        log.warning(first_frames(names))
