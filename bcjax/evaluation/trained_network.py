"""Answers for images from anywhere, with a trained network."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from bcjax import config as configs
from bcjax.engine import network
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.state import Variables
from bcjax.engine.step import infer
from bcjax.evaluation.calibration import calibration as calibrations
from bcjax.evaluation.calibration.calibration import Calibration
from bcjax.evaluation.images import Images, collect
from bcjax.evaluation.predictions import Embeddings
from bcjax.evaluation.predictor import Outputs, Pixels, Predictor
from bcjax.runtime import jax_settings
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError
from bcjax.runtime.program_cache import CachedProgram

if TYPE_CHECKING:
    from bcjax.evaluation.explanation.explainer import Explainer
    from bcjax.evaluation.explanation.explanation import Explanation
    from bcjax.exports.exported import Exported


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TrainedNetwork(RestoredNetwork, Predictor):
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

    def outputs(self, pixels: Pixels) -> Outputs:
        """Returns the logits and distances of preprocessed images.

        Args:
          pixels: uint8, of the network's size; `preprocess` makes them. Each other size of a batch
            takes a compilation.
        """
        return self.begin(pixels)()

    @property
    def at_once(self) -> int:
        """How many batches are computed at the same time: one for each device."""
        return len(self._copies)

    @jax_settings.fixed()
    def begin(self, pixels: Pixels, turn: int = 0) -> Callable[[], Outputs]:
        """Sends preprocessed images to a device; returns what waits for its answer.

        Args:
          pixels: As for `outputs`; they must not be changed before the outputs are there.
          turn: The number of the batch: devices take turns.
        """
        wait = self._dispatch(self._answer, pixels, turn)
        known = self.calibration.outliers if self.calibration else None

        def outputs() -> Outputs:
            logits, features = wait()
            distances = None if known is None or features is None else known.distance(features)
            return Outputs(logits, distances)

        return outputs

    def _dispatch(self, compiled: Any, pixels: Pixels, turn: int) -> Callable[[], Any]:
        """Calls a compiled (variables, images) on the device whose turn it is."""
        device, variables = self._copies[turn % len(self._copies)]
        answer = compiled(variables, jax.device_put(pixels, device))
        for leaf in jax.tree.leaves(answer):
            leaf.copy_to_host_async()
        return partial(jax.device_get, answer)

    @cached_property
    def _copies(self) -> list[tuple[jax.Device, Variables]]:
        """The devices of this process, and the variables on each of them.

        Each device computes whole batches by itself, so that the program, and with it each bit of
        an answer, is the same on one device and on several.
        """

        def copy(leaf: Any, device: jax.Device) -> Array:
            for shard in getattr(leaf, "addressable_shards", ()):
                if shard.device == device and shard.data.shape == leaf.shape:
                    return shard.data
            return jax.device_put(leaf, device)

        return [
            (device, jax.tree.map(partial(copy, device=device), self.variables))
            for device in jax.local_devices()
        ]

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
        begin = partial(self._dispatch, self._features)
        features, names, unreadable = self.run(begin, found, batch_size)
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
        shown = [ImageToExplain(found[0].name, self.read(found)[0], None)]
        methods = (methods,) if isinstance(methods, str) else tuple(methods)
        key = (methods, stage)
        if key not in self._explainers:
            self._explainers[key] = Explainer(self, methods, stage)
        return explain(self._explainers[key], self, shown, targets(target, shown, self.classes))[0]

    def export(self, out: str | Path | None = None, **options: Any) -> "Exported":
        """Writes the network for other runtimes, as `bcjax.export` does.

        Examples:
          >>> net.export("clinic/", formats=["onnx", "webapp"])      # doctest: +SKIP

        Args:
          out: The folder to write to; None: `export/` in the run's folder.
          **options: Those of `bcjax.export`.

        Raises:
          UserError: As `bcjax.export`, as the other errors.
        """
        import bcjax  # its export is above this room

        return bcjax.export(self, out, **options)

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

    @cached_property
    def _explainers(self) -> dict[tuple[tuple[str, ...], str], "Explainer"]:
        return {}

    @cached_property
    def _answer(self) -> CachedProgram:
        """Compiled (variables, images) -> logits and, if outliers are judged by them, features."""
        needs_features = bool(self.calibration and self.calibration.outliers)

        def answer(variables: Variables, images: Array) -> tuple[Array, Array | None]:
            if not needs_features:
                return self._apply(variables, images, "__call__"), None
            features = self._apply(variables, images, "features")
            logits = self.model.apply(variables, features, train=False, method="classify")
            return cast(Array, logits), features.astype(jnp.float32)

        return self._cached(answer, "answer with features" if needs_features else "answer")

    @cached_property
    def _features(self) -> CachedProgram:
        """Compiled (variables, images) -> features and nothing else."""

        def features(variables: Variables, images: Array) -> Array:
            return self._apply(variables, images, "features").astype(jnp.float32)

        return self._cached(features, "features alone")

    def _cached(self, function: Callable, gives: str) -> CachedProgram:
        pixels = (self.model, self.config.model.mean, self.config.model.std)
        return CachedProgram(function, {"pixels": pixels, "gives": gives})


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
    _ = loaded.transform  # read now: a missing stain reference is reported here
    return loaded
