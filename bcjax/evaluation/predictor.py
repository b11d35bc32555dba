"""What answers images: a network in JAX, or a file that it was exported to."""

import abc
import collections
import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

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
from bcjax.evaluation.decode_ahead import Decoded, decode_ahead
from bcjax.evaluation.images import Images, collect, each_image
from bcjax.evaluation.picture_stream import NamedImage
from bcjax.evaluation.predictions import Predictions, Unreadable, joined
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

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True, eq=False)
class Computed(Generic[Result]):
    """What a network gives for a batch of images.

    Attributes:
      outputs: Arrays with a row for each readable image.
      names: The names of the readable images.
      unreadable: The images that could not be read.
    """

    outputs: Result
    names: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]


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

    @property
    def at_once(self) -> int:
        """How many batches are computed at the same time: one for each device."""
        return 1

    def begin(self, pixels: Pixels, turn: int = 0) -> Callable[[], Outputs]:
        """Begins to compute `outputs`; returns what waits for them.

        Args:
          pixels: As for `outputs`; they must not be changed before the outputs are there.
          turn: The number of the batch: devices take turns.
        """
        del turn
        return self._computing.submit(self.outputs, pixels).result

    @jax_settings.fixed()
    def predict(
        self, images: Images, batch_size: int = 64, *, prevalence: Stated | None = None
    ) -> Predictions:
        """Answers images.

        A file, its bytes, its PIL image and its array get the same answer, bit for bit. The
        exception are JPEG files larger than the network's images: they may be decoded at a
        fraction of their size, as in training, which is faster. Arrays of the same pictures that
        another program decoded are other pixels, and some get another label.

        Args:
          images: One or many, see `collect`: paths, folders, patterns, zip files, CSV lists,
            encoded bytes, PIL images, arrays of uint8 of any size.
          batch_size: Images in one call of the compiled program.
          prevalence: The share of each class among these images, as a mapping or as text such as
            "neutrophil=0.6,lymphocyte=0.4": the answers are those at it, see `prevalence`. None:
            the prevalence at which the network was trained.

        Raises:
          UserError: If a path does not exist, or something is no image. Images that are damaged
            are listed in the result. Also if the prevalence does not fit the classes.
        """
        found = collect(images, self.config.data.max_pixels)
        parts = list(self.stream(found, batch_size, prevalence=prevalence))
        return joined(parts) if parts else self.nothing(prevalence)

    def stream(
        self,
        images: Images,
        batch_size: int = 64,
        *,
        prevalence: Stated | None = None,
        start: int = 0,
        threads: int | None = None,
    ) -> Generator[Predictions, None, None]:
        """Answers images batch after batch, in order, in memory that does not grow with them.

        Threads read and decode the images of later batches while a device computes with one, and
        the next batch is sent to it meanwhile; each device computes whole batches, in turns. So the
        answers are those of `predict` and of a single device, bit for bit.

        Examples:
          >>> for batch in net.stream("scans/", prevalence=None):    # doctest: +SKIP
          ...     print(batch.names[0], batch.labels[0], batch.unreadable)

        Args:
          images: As for `predict`. An iterable is asked for the next image when its turn comes,
            a few batches ahead: a generator may make more than memory holds.
          batch_size: Images in one call of the compiled program, and in one of the predictions.
          prevalence: As for `predict`.
          start: How many of the images were answered before and are passed over unread: a multiple
            of `batch_size`.
          threads: The threads that decode; None: one for each core.

        Yields:
          The answers for `batch_size` images, less those in its `unreadable`; the last for what is
          left.

        Raises:
          UserError: As `predict`; an image that is none is only found when its turn comes.
        """
        at = self.prevalence(prevalence)
        found = each_image(images, self.config.data.max_pixels)
        answered = self.answers(found, batch_size, start=start, threads=threads)
        calibration = self.calibration and self.calibration.at(at)  # fitted once
        return (
            self._predictions(each.outputs, each.names, each.unreadable, at, calibration)
            for each in answered
        )

    def nothing(self, prevalence: Stated | None = None) -> Predictions:
        """Returns the answers for no image at all."""
        outputs = _first(self.outputs(np.zeros((1, *self.image_size, 3), np.uint8)), 0)
        return self.predictions(outputs, (), (), self.prevalence(prevalence))

    def prevalence(self, stated: Stated | None) -> Prevalence | None:
        """Returns a stated prevalence beside that of the training; None if none is stated."""
        if stated is None:
            return None
        return state(stated, self.workdir, self.config, self.classes)

    def answers(
        self,
        images: Iterable[NamedImage],
        batch_size: int,
        *,
        start: int = 0,
        threads: int | None = None,
    ) -> "Iterator[Computed[Outputs]]":
        """Yields the outputs for images, batch after batch; arguments are those of `stream`.

        Raises:
          UserError: If an answer is not finite.
        """
        check_batch_size(batch_size, start)
        return self._finite(self._compute(self.begin, images, batch_size, start, threads))

    def _finite(self, computed: "Iterator[Computed[Outputs]]") -> "Iterator[Computed[Outputs]]":
        for each in computed:
            finite = np.isfinite(each.outputs.logits).all(axis=1)
            if not finite.all():
                raise UserError(
                    f"The answer of {self} to {each.names[int(finite.argmin())]} is not finite: "
                    "its weights answer no such image; choose another checkpoint."
                )
            yield each

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
        calibration = self.calibration and self.calibration.at(prevalence)
        return self._predictions(outputs, names, unreadable, prevalence, calibration)

    def _predictions(
        self,
        outputs: Outputs,
        names: Sequence[str],
        unreadable: Sequence[Unreadable],
        prevalence: Prevalence | None,
        calibration: Calibration | None,
    ) -> Predictions:
        """Returns `predictions` by the calibration at the prevalence."""
        logits, distances = outputs.logits, outputs.distances
        predictions = calibrated(logits, names, self.classes, unreadable, calibration, prevalence)
        if calibration is None:
            return predictions
        predictions = dataclasses.replace(predictions, energy=outliers.energy(logits))
        if (known := calibration.outliers) is None or distances is None:
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
                encoded = image.read()
                pixels[position] = self.transform(encoded)
            except (BadImageError, OSError) as error:
                raise UserError(f"{image.name} cannot be read ({error}): leave it out.") from error
            if count_frames(encoded) > 1:
                several.append(image.name)
        if several:
            log.warning(first_frames(several))
        return pixels

    @cached_property
    def transform(self) -> InputTransform:
        """From an encoded image to the pixels that the network reads.

        Raises:
          UserError: If the run's `data.stain_reference` is gone.
        """
        return InputTransform.from_config(self.config.data)

    def run(
        self,
        begin: Callable[[Pixels, int], Callable[[], Any]],
        found: Sequence[NamedImage],
        batch_size: int,
    ) -> tuple[Any, tuple[str, ...], tuple[Unreadable, ...]]:
        """Returns what a function gives for images, the images' names, and those unreadable.

        Args:
          begin: As the method `begin`: begins to compute arrays with a row for each image of a
            batch, and returns what waits for them.
          found: The images.
          batch_size: The most images of a batch.
        """
        check_batch_size(batch_size)
        parts = list(self._compute(begin, found, batch_size))
        # With no image at all the shapes still are those of some.
        none = np.zeros((1, *self.image_size, 3), np.uint8)
        outputs = [each.outputs for each in parts] or [_first(begin(none, 0)(), 0)]
        return (
            jax.tree.map(lambda *each: np.concatenate(each), *outputs),
            tuple(name for each in parts for name in each.names),
            tuple(bad for each in parts for bad in each.unreadable),
        )

    def _compute(
        self,
        begin: Callable[[Pixels, int], Callable[[], Any]],
        images: Iterable[NamedImage],
        batch_size: int,
        start: int = 0,
        threads: int | None = None,
    ) -> "Iterator[Computed[Any]]":
        """Yields what a function gives for each batch; while one is computed, the next is begun."""
        left: Iterator[NamedImage] = itertools.islice(images, start, None)
        if not start:  # one batch that is not whole has a program of its size
            few = list(itertools.islice(left, batch_size))
            batch_size = max(1, min(batch_size, len(few)))
            left = itertools.chain(few, left)
        several: list[str] = []
        begun: collections.deque[tuple[Decoded, Callable[[], Any]]] = collections.deque()
        decoded = decode_ahead(left, self.transform, self.image_size, batch_size, threads=threads)
        with contextlib.closing(decoded):
            for turn, batch in enumerate(decoded):
                several += batch.several
                begun.append((batch, begin(batch.pixels, turn)))
                if len(begun) == 2 * self.at_once:  # each device has its next one already
                    yield _computed(*begun.popleft())
            while begun:
                yield _computed(*begun.popleft())
        if several:
            log.warning(first_frames(several))

    @cached_property
    def _computing(self) -> ThreadPoolExecutor:
        """The thread that computes `outputs` while the next batch is prepared."""
        return ThreadPoolExecutor(1, "bcjax-outputs")


def check_batch_size(batch_size: int, start: int = 0) -> None:
    """Checks how images are divided into batches, and after how many of them a stream begins.

    Raises:
      UserError: If the size is no size, or the images before are no whole batches.
    """
    configs.check_argument("batch_size", batch_size, like="train.batch_size")
    if start < 0 or start % batch_size:
        raise UserError(f"start={start} is no multiple of batch_size={batch_size}.")


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
      calibration: The calibration of what answered, at the prevalence.
      prevalence: The prevalence at which it answers; None: that of the training.
    """
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


def _computed(batch: Decoded, wait: Callable[[], Any]) -> "Computed[Any]":
    return Computed(_first(wait(), len(batch.names)), batch.names, batch.unreadable)
