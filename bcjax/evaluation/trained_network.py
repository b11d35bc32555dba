"""Answers for images from anywhere, with a trained network."""

import dataclasses
import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from bcjax import config as configs
from bcjax.config import ImageSize
from bcjax.data.decode import BadImageError, count_frames, first_frames
from bcjax.data.input_transform import InputTransform
from bcjax.engine import network
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.state import Variables
from bcjax.engine.step import infer
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration import outliers, temperature
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.images import Images, NamedImage, collect
from bcjax.evaluation.predictions import Embeddings, Predictions, Unreadable
from bcjax.evaluation.prevalence import Prevalence, Stated, state
from bcjax.runtime import jax_settings
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

if TYPE_CHECKING:
    from bcjax.evaluation.explanation.explainer import Explainer
    from bcjax.evaluation.explanation.explanation import Explanation

log = logging.getLogger("bcjax")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedNetwork(RestoredNetwork):
    """A trained network that answers for images, whatever their size and format.

    Examples:
      >>> net = bcjax.load("runs/a")                                 # doctest: +SKIP
      >>> net.predict("cells/")                                      # doctest: +SKIP
      >>> jax.jit(net.logits)(net.preprocess("cells/"))              # doctest: +SKIP

    Attributes:
      config: The config that the network was trained with.
      classes: Class names, in the order of the logits.
      model: The linen module: `model.apply(variables, images, train=False)`.
      variables: Its parameters and batch statistics (their averages, if the run kept any).
      step: The checkpoint's step.
      workdir: The run's folder.
      calibration: The calibration of the checkpoint; None before `bcjax calibrate`.
    """

    workdir: Path
    calibration: Calibration | None

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
        logits, features, names, unreadable = self.answer(found, batch_size)
        predictions = calibrated(logits, names, self.classes, unreadable, self.calibration, at)
        if self.calibration is None:
            return predictions
        predictions = dataclasses.replace(predictions, energy=outliers.energy(logits))
        if (known := self.calibration.outliers) is None or features is None:
            return predictions
        return dataclasses.replace(
            predictions, outlier=known.are(features), distance=known.distance(features)
        )

    def prevalence(self, stated: Stated | None) -> Prevalence | None:
        """Returns a stated prevalence beside that of the training; None if none is stated."""
        if stated is None:
            return None
        return state(stated, self.workdir, self.config, self.classes)

    def answer(
        self, images: Sequence[NamedImage], batch_size: int
    ) -> tuple[
        Float[np.ndarray, "N C"],
        Float[np.ndarray, "N F"] | None,
        tuple[str, ...],
        tuple[Unreadable, ...],
    ]:
        """Returns logits, features, the names of the images, and those that cannot be read.

        The features are those that outliers are judged by; None: there are no such judgements.

        Args:
          images: The images.
          batch_size: Images in one call of the compiled program.

        Raises:
          UserError: If an answer is not finite.
        """
        (logits, features), names, unreadable = self._run(self._answer, images, batch_size)
        finite = np.isfinite(logits).all(axis=1)
        if not finite.all():
            raise UserError(
                f"The answer of {self} to {names[int(finite.argmin())]} is not finite: its weights "
                "answer no such image; choose another checkpoint."
            )
        return logits, features, names, unreadable

    @jax_settings.fixed()
    def embed(self, images: Images, batch_size: int = 64) -> Embeddings:
        """Returns what the classifier reads of images: one vector of features for each.

        Args:
          images: One or many, as for `predict`.
          batch_size: Images in one call of the compiled program.

        Raises:
          UserError: As `predict`.
        """
        found = collect(images, self.config.data.max_pixels)
        features, names, unreadable = self._run(self._features, found, batch_size)
        return Embeddings(names, features, unreadable)

    @jax_settings.fixed()
    def explain(
        self,
        image: Images,
        methods: str | Sequence[str] = ("grad-cam",),
        target: str = "predicted",
        stage: str = "",
    ) -> "Explanation":
        """Returns which places of one image the answer rests on.

        Args:
          image: One image, as for `predict`.
          methods: One or several out of "grad-cam", "grad-cam++", "integrated-gradients" and
            "occlusion".
          target: The class to explain: "predicted", or a name.
          stage: The stage that Grad-CAM reads; "" for the last one whose map is fine enough.

        Raises:
          UserError: If that is not one image, or there is no such method, class or stage.
        """
        from bcjax.evaluation.explanation.explainer import Explainer, explain, targets
        from bcjax.evaluation.explanation.selection import ImageToExplain

        found = collect(image, self.config.data.max_pixels)
        if len(found) != 1:
            raise UserError(f"One image is explained at a time: these are {len(found)}.")
        shown = [ImageToExplain(found[0].name, self._read(found)[0], None)]
        methods = (methods,) if isinstance(methods, str) else tuple(methods)
        key = (methods, stage)
        if key not in self._explainers:
            self._explainers[key] = Explainer(self, methods, stage)
        return explain(self._explainers[key], self, shown, targets(target, shown, self.classes))[0]

    def preprocess(self, images: Images) -> UInt8[np.ndarray, "N height width 3"]:
        """Returns images as the network reads them: decoded and resized as during training.

        Args:
          images: One or many, as for `predict`.

        Raises:
          UserError: If an image cannot be read.
        """
        return self._read(collect(images, self.config.data.max_pixels))

    def logits(self, images: UInt8[Array, "B height width 3"]) -> Float[Array, "B C"]:
        """Returns the logits of preprocessed images: a pure function, to be used within `jax.jit`.

        Args:
          images: uint8, of the network's size; `preprocess` makes them.
        """
        self._check(images)
        return self._apply(self.variables, images, "__call__")

    def features(self, images: UInt8[Array, "B height width 3"]) -> Float[Array, "B F"]:
        """Returns what the classifier reads of preprocessed images: a pure function, as `logits`.

        Args:
          images: uint8, of the network's size; `preprocess` makes them.
        """
        self._check(images)
        return self._apply(self.variables, images, "features").astype(jnp.float32)

    def __repr__(self) -> str:
        return (
            f"TrainedNetwork({self.config.model.name} of {self.workdir}, step {self.step}: "
            f"{len(self.classes)} classes, {self.image_size} px)"
        )

    def _apply(self, variables: Variables, images: Array, method: str) -> Array:
        settings = self.config.model
        return infer(self.model, variables, images, settings.mean, settings.std, method)

    def _check(self, images: Array) -> None:
        shape = (*self.image_size, 3)
        if images.ndim != 4 or images.shape[1:] != shape or images.dtype != jnp.uint8:
            raise UserError(
                f"The network reads uint8 images of shape (B, {', '.join(map(str, shape))}), not "
                f"{images.dtype} of {images.shape}: net.preprocess(images) makes them."
            )

    def _read(self, images: Sequence[NamedImage]) -> np.ndarray:
        pixels = np.zeros((len(images), *self.image_size, 3), np.uint8)
        several: list[str] = []
        for position, image in enumerate(images):
            try:
                pixels[position] = self._decode(image, several)
            except (BadImageError, OSError) as error:
                raise UserError(f"{image.name} cannot be read ({error}): leave it out.") from error
        _warn_of_frames(several)
        return pixels

    def _decode(self, image: NamedImage, several: list[str]) -> UInt8[np.ndarray, "height width 3"]:
        """Reads one image; its name joins `several` if it has several pages or frames."""
        encoded = image.read()
        pixels = self._entry(encoded)
        if count_frames(encoded) > 1:
            several.append(image.name)
        return pixels

    @cached_property
    def _entry(self) -> InputTransform:
        return InputTransform.from_config(self.config.data)

    @cached_property
    def _explainers(self) -> dict[tuple[tuple[str, ...], str], "Explainer"]:
        return {}

    @cached_property
    def _answer(self) -> Any:
        """Compiled (variables, images) -> logits and, if outliers are judged by them, features."""
        needs_features = bool(self.calibration and self.calibration.outliers)

        @jax.jit
        def answer(variables: Variables, images: Array) -> tuple[Array, Array | None]:
            if not needs_features:
                return self._apply(variables, images, "__call__"), None
            features = self._apply(variables, images, "features")
            logits = self.model.apply(variables, features, train=False, method="classify")
            return cast(Array, logits), features.astype(jnp.float32)

        return answer

    @cached_property
    def _features(self) -> Any:
        """Compiled (variables, images) -> features and nothing else."""

        @jax.jit
        def features(variables: Variables, images: Array) -> Array:
            return self._apply(variables, images, "features").astype(jnp.float32)

        return features

    def _run(
        self, compiled: Any, found: Sequence[NamedImage], batch_size: int
    ) -> tuple[Any, tuple[str, ...], tuple[Unreadable, ...]]:
        """Returns the output of a compiled function, the images' names, and those unreadable."""
        configs.check_argument("batch_size", batch_size, like="train.batch_size")
        batch_size = max(1, min(batch_size, len(found)))
        names: list[str] = []
        unreadable: list[Unreadable] = []
        several: list[str] = []
        # Always a whole batch, so that one program serves all.
        shape = (batch_size, *self.image_size, 3)
        empty = jax.eval_shape(compiled, self.variables, jax.ShapeDtypeStruct(shape, jnp.uint8))
        outputs = [jax.tree.map(lambda each: np.zeros((0, *each.shape[1:]), each.dtype), empty)]
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
                output = jax.device_get(compiled(self.variables, pixels))
                outputs.append(jax.tree.map(lambda each, end=readable: each[:end], output))
        _warn_of_frames(several)
        joined = jax.tree.map(lambda *each: np.concatenate(each), *outputs)
        return joined, tuple(names), tuple(unreadable)


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


def _warn_of_frames(names: Sequence[str]) -> None:
    if names:
        log.warning(first_frames(names))


def load(
    workdir: str | Path,
    checkpoint: str | int = "best",
    *,
    calibration: Calibration | None = None,
    max_pixels: int | None = None,
) -> TrainedNetwork:
    """Reads a trained network from the folder of its run.

    Args:
      workdir: The run's folder.
      checkpoint: "best", "latest" or a step.
      calibration: Used in the place of the checkpoint's own calibration.
      max_pixels: The most pixels that an image may have; None: as the run's `data.max_pixels` says.

    Raises:
      UserError: If there is no such checkpoint, its calibration is damaged, or the run's
        `data.stain_reference` is gone.
    """
    workdir = Path(workdir)
    trained = network.load(workdir, str(checkpoint), meshes.create())
    if max_pixels is not None:
        configs.check_argument("max_pixels", max_pixels, like="data.max_pixels")
        trained.config.data.max_pixels = max_pixels
    if calibration is None:
        calibration = calibrations.read(workdir, trained.step)
    loaded = TrainedNetwork(**vars(trained), workdir=workdir, calibration=calibration)
    _ = loaded._entry  # read now: a missing stain reference is reported here
    return loaded
