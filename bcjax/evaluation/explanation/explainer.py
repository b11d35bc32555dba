"""A trained network, and every method that explains its answers."""

import difflib
from collections.abc import Callable, Sequence

import jax
import numpy as np
import scipy
from jaxtyping import Array, Float, UInt8

from bcjax.config import ImageSize
from bcjax.engine.network import RestoredNetwork
from bcjax.engine.state import Variables
from bcjax.evaluation.explanation import stages
from bcjax.evaluation.explanation.explanation import Explanation
from bcjax.evaluation.explanation.methods import (
    WEIGHTINGS,
    FromBaseline,
    Method,
    class_activation_map,
    integrated_gradients,
    occlusion,
)
from bcjax.evaluation.explanation.selection import ImageToExplain
from bcjax.evaluation.explanation.stages import Image
from bcjax.runtime.errors import UserError

METHODS = (*WEIGHTINGS, "integrated-gradients", "occlusion")
# Squares are an eighth of the image's side, which is less than a cell, and overlap by half.
_PATCHES_PER_SIDE = 8

Pixels = UInt8[np.ndarray, "H W 3"]


class Explainer:
    """Draws the evidence for a class in an image, as maps of the image's size, in logits.

    Each method is compiled once, whatever images, classes and parameters follow.

    Attributes:
      methods: Names of the methods, in the order in which they were given.
      stage: The stage whose output Grad-CAM and Grad-CAM++ read; "" where neither is used.
      shape: Height, width and channels of that output.
    """

    def __init__(self, network: RestoredNetwork, methods: Sequence[str] = METHODS, stage: str = ""):
        """Builds the methods.

        Args:
          network: The network to explain.
          methods: Names out of `METHODS`.
          stage: The stage that Grad-CAM reads, see `stages.choose`.

        Raises:
          UserError: If there is no such stage, or no such method.
        """
        for name in methods:
            if name not in METHODS:
                nearest = difflib.get_close_matches(name, METHODS, 1, cutoff=0.0)[0]
                raise UserError(f"There is no method {name!r}: did you mean {nearest!r}?")
        config = network.config
        size = ImageSize.of(config.data.image_size)
        normalisation = config.model.mean, config.model.std
        self.methods = tuple(methods)
        self.model = stages.without_remat(network.model)
        self.stage, self.shape = "", (0, 0, 0)
        logits = stages.logits(self.model, *normalisation)
        self._logits_fn = jax.jit(logits)
        patch = max(2, round(min(size) / _PATCHES_PER_SIDE))
        self._maps: dict[str, Method] = {
            "integrated-gradients": _from_median(integrated_gradients(logits)),
            "occlusion": _from_median(occlusion(logits, patch=patch, stride=max(1, patch // 2))),
        }
        if stage or set(methods) & set(WEIGHTINGS):
            shapes = stages.map_shapes(self.model, size, config.model.channels)
            self.stage = stages.choose(shapes, stage)
            self.shape = shapes[self.stage]
            output = stages.stage_output(self.model, *normalisation, self.stage)
            for name, weighting in WEIGHTINGS.items():
                self._maps[name] = class_activation_map(output, self.shape, weighting)

    def logits(self, variables: Variables, pixels: Pixels) -> Float[np.ndarray, "classes"]:
        """Returns the network's logits for an image, float32."""
        return self._logits(variables, _to_unit_range(pixels))

    def __call__(
        self, method: str, variables: Variables, pixels: Pixels, target: int
    ) -> Float[np.ndarray, "H W"]:
        """Returns the map of one method, float32; evidence against the class is negative.

        Args:
          method: One of `methods`.
          variables: Parameters and batch statistics of the network.
          pixels: The image, of the size that the network was trained with.
          target: Position of the class.
        """
        return np.asarray(self._maps[method](variables, _to_unit_range(pixels), target))

    def completeness_gap(
        self, map_: Float[np.ndarray, "H W"], variables: Variables, pixels: Pixels, target: int
    ) -> float:
        """Returns how far the sum of an integrated-gradients map is from what it should be.

        It should be the logit of the image minus the logit of the baseline, an image that has the
        median colour everywhere. The gap is in logits, and 0 for an exact integral.
        """
        image = _to_unit_range(pixels)
        full, empty = (self._logits(variables, x)[target] for x in (image, _baseline(image)))
        return float(map_.sum() - (full - empty))

    def _logits(self, variables: Variables, image: np.ndarray) -> np.ndarray:
        return np.asarray(self._logits_fn(variables, image[None])[0])


def targets(
    target: str, images: Sequence[ImageToExplain], classes: Sequence[str]
) -> list[int | None]:
    """Returns the position of the class to explain in each image; None for the predicted one.

    Args:
      target: "predicted", "true" or the name of a class.
      images: The images to explain.
      classes: Class names.

    Raises:
      UserError: If there is no such class, or the true class of an image is not known.
    """
    if target == "predicted":
        return [None] * len(images)
    if target == "true":
        unknown = [image.id for image in images if image.label is None]
        if unknown:
            raise UserError(
                f"The true class of {unknown[0]} is not known: give --target=CLASS or predicted."
            )
        return [image.label for image in images]
    if target not in classes:
        raise UserError(
            f"There is no class {target!r}: give --target predicted, true or one of "
            f"{', '.join(classes)}."
        )
    return [list(classes).index(target)] * len(images)


def explain(
    explainer: Explainer,
    network: RestoredNetwork,
    images: Sequence[ImageToExplain],
    targets: Sequence[int | None],
    on_explained: Callable[[Explanation], None] = lambda explanation: None,
) -> list[Explanation]:
    """Explains the network's answer to each image.

    Args:
      explainer: The methods, built for this network.
      network: The network.
      images: The images to answer.
      targets: Position of the class to explain in each image; None for the predicted one.
      on_explained: Called with each explanation as soon as it is there.
    """
    explanations = []
    for image, asked in zip(images, targets, strict=True):
        probabilities = scipy.special.softmax(
            explainer.logits(network.variables, image.pixels).astype(np.float64)
        )
        predicted = int(probabilities.argmax())
        target = predicted if asked is None else asked
        arguments = (network.variables, image.pixels, target)
        maps = {name: explainer(name, *arguments) for name in explainer.methods}
        integrated = maps.get("integrated-gradients")
        gap = None if integrated is None else explainer.completeness_gap(integrated, *arguments)
        probability = float(probabilities[predicted])
        explanations.append(
            Explanation(image, tuple(network.classes), predicted, probability, target, maps, gap)
        )
        on_explained(explanations[-1])
    return explanations


def _to_unit_range(pixels: Pixels) -> Float[np.ndarray, "H W 3"]:
    return pixels.astype(np.float32) / 255


def _from_median(method: FromBaseline) -> Method:
    def explain(variables: Variables, image: Image, target: int) -> Array | np.ndarray:
        return method(variables, image, _baseline(image), target)

    return explain


def _baseline(image: Image) -> Float[np.ndarray, "H W 3"]:
    """An image of the median colour everywhere, that of the glass or of the red cells.

    Black, the usual baseline, is the deepest stain: with it the glass would become the evidence.
    """
    return np.broadcast_to(np.median(image, axis=(0, 1)), image.shape)
