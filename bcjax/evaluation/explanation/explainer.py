"""A trained network, and every method to ask what an answer of it rests on."""

import difflib
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Float, UInt8

from bcjax.engine.network import RestoredNetwork
from bcjax.engine.state import Variables
from bcjax.evaluation.explanation import cam, gradients, occlusion, stages
from bcjax.runtime.errors import UserError

METHODS = (*cam.METHODS, "integrated-gradients", "occlusion")
# Squares are an eighth of the picture's side, which is less than a cell, and overlap by half.
_PATCHES_A_SIDE = 8

Pixels = UInt8[np.ndarray, "H W 3"]


class Explainer:
    """Draws what speaks for a class in a picture, as maps of the picture's size, in logits.

    Each method is compiled once, whatever pictures, classes and parameters follow.

    Attributes:
      methods: In the order asked for.
      stage: Whose map Grad-CAM and Grad-CAM++ read; "" where neither is asked for.
      shape: Height, width and channels of that map.
    """

    def __init__(self, trained: RestoredNetwork, methods: Sequence[str] = METHODS, stage: str = ""):
        """Builds what is asked for; `stage` as `stages.choose`.

        Raises:
          UserError: If there is no such stage, or no method of a name.
        """
        for name in methods:
            if name not in METHODS:
                nearest = difflib.get_close_matches(name, METHODS, 1, cutoff=0.0)[0]
                raise UserError(f"There is no method {name!r}: did you mean {nearest!r}?")
        config = trained.config
        side, look = config.data.image_size, (config.model.mean, config.model.std)
        self.methods = tuple(methods)
        self.model = stages.plain(trained.model)
        self.stage, self.shape = "", (0, 0, 0)
        answer = stages.logits(self.model, *look)
        self._answer = jax.jit(answer)
        self._maps = {}
        if stage or set(methods) & set(cam.METHODS):
            maps = stages.maps(self.model, side, config.model.channels)
            self.stage = stages.choose(maps, stage)
            self.shape = maps[self.stage]
            tapped = stages.tapped(self.model, *look, self.stage)
            for name, combine in cam.METHODS.items():
                self._maps[name] = cam.explainer(tapped, self.shape, combine)
        patch = max(2, round(side / _PATCHES_A_SIDE))
        self._against: dict[str, Callable] = {
            "integrated-gradients": gradients.explainer(answer),
            "occlusion": occlusion.explainer(answer, patch=patch, stride=max(1, patch // 2)),
        }

    def logits(self, variables: Variables, pixels: Pixels) -> Float[np.ndarray, "classes"]:
        """What the network answers for a picture, float32."""
        return self._logits(variables, _unit(pixels))

    def __call__(
        self, method: str, variables: Variables, pixels: Pixels, target: int
    ) -> Float[np.ndarray, "H W"]:
        """Returns the map of one method, float32; what speaks against the class is negative.

        Args:
          method: One of `methods`.
          variables: Of the network.
          pixels: The picture, of the size that the network was trained with.
          target: Position of the class.
        """
        image = _unit(pixels)
        if method in self._maps:
            return np.asarray(self._maps[method](variables, image, target))
        return np.asarray(self._against[method](variables, image, _nothing(image), target))

    def gap(
        self, found: Float[np.ndarray, "H W"], variables: Variables, pixels: Pixels, target: int
    ) -> float:
        """How far the sum of an integrated-gradients map is from the difference it shares out.

        That is the logit of the picture less the logit of a picture in its median colour alone;
        the gap is in logits, and 0 for an exact integral.
        """
        image = _unit(pixels)
        full, empty = (self._logits(variables, x)[target] for x in (image, _nothing(image)))
        return float(found.sum() - (full - empty))

    def _logits(self, variables: Variables, image: np.ndarray) -> np.ndarray:
        return np.asarray(self._answer(variables, image[None])[0])


def _unit(pixels: Pixels) -> Float[np.ndarray, "H W 3"]:
    return pixels.astype(np.float32) / 255


def _nothing(image: Float[np.ndarray, "H W 3"]) -> Float[np.ndarray, "H W 3"]:
    """The picture's median colour all over: the glass or the red cells, and nothing to tell.

    Black, the usual baseline, is the deepest stain: it would make the glass the evidence.
    """
    return np.broadcast_to(np.median(image, axis=(0, 1)), image.shape)
