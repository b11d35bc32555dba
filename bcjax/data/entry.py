"""What happens to a picture once, when it is decoded: from bytes to a square of RGB uint8.

One object serves every store, `evaluate` and `predict`, and comes from the config that is saved
with a run, so a picture is the same bits wherever it is read.
"""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from ml_collections import ConfigDict

from bcjax.data import stain as stains
from bcjax.data.decode import BadImageError, decode
from bcjax.data.masking import Colour, Mask
from bcjax.data.stain import NoStainError, Stain
from bcjax.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Entry:
    """Decodes a picture, masks it, normalises its stain, resizes it and drops its colour.

    Resizing is by area when shrinking, else bilinear. Picklable, for worker processes.

    Attributes:
      size: Side of the square, in pixels.
      resize: "squash": the whole picture, whatever its shape, becomes the square. "crop": a square
        is cut out of its middle. "pad": the whole picture keeps its shape and lies in the middle.
      crop_fraction: Side of what "crop" cuts out, in (0, 1] of the picture's shorter side.
      pad_colour: RGB, 0 to 255, around what "pad" makes fit.
      grey: Whether all three channels are made the luma (ITU-R BT.601).
      mask: What paints over all but the cell; None: nothing.
      stain: What normalises the stain; None: nothing.
    """

    size: int
    resize: str = "squash"
    crop_fraction: float = 1.0
    pad_colour: Colour = (0, 0, 0)
    grey: bool = False
    mask: Mask | None = None
    stain: Stain | None = None

    def __call__(self, encoded: bytes) -> UInt8[np.ndarray, "size size 3"]:
        """Returns the picture in `encoded`, which is as `decode` reads it.

        Raises:
          BadImageError: As `decode`.
        """
        changes = [change for change in (self.mask, self.stain) if change is not None]
        # A reduced JPEG is smoother: cells and dyes are to be found in what the camera saw.
        pixels = decode(encoded, at_least=0 if changes else self._shortest)
        for change in changes:
            pixels = change(pixels)
        pixels = self._placed(self._resized(pixels))
        if self.grey:
            pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return pixels

    @property
    def _shortest(self) -> int:
        """Of the resized picture, the side that need not be shorter."""
        return round(self.size / self.crop_fraction) if self.resize == "crop" else self.size

    def _resized(self, pixels: np.ndarray) -> np.ndarray:
        before = pixels.shape[:2]
        after: tuple[int, ...] = (self.size, self.size)
        if self.resize == "crop":
            scale = self._shortest / min(before)
            after = tuple(max(self._shortest, int(side * scale)) for side in before)
        elif self.resize == "pad":
            scale = self.size / max(before)
            after = tuple(max(1, round(side * scale)) for side in before)
        if before == after:
            return pixels
        shrinks = before[0] >= after[0] and before[1] >= after[1]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(pixels, after[::-1], interpolation=method)

    def _placed(self, pixels: np.ndarray) -> np.ndarray:
        """Cuts the square out of the middle, or lays the picture there."""
        size = self.size
        if self.resize != "pad":
            top, left = ((side - size) // 2 for side in pixels.shape[:2])
            return np.ascontiguousarray(pixels[top : top + size, left : left + size])
        height, width = pixels.shape[:2]
        top, left = (size - height) // 2, (size - width) // 2
        square = np.full((size, size, 3), self.pad_colour, np.uint8)
        square[top : top + height, left : left + width] = pixels
        return square


def entry_of(data: ConfigDict) -> Entry:
    """Returns what the config's `data` branch describes.

    Raises:
      UserError: If `stain_reference` cannot be read, or shows no stain.
    """
    mask = None
    if data.mask:
        mask = Mask(*(_colour(data[f"mask_{key}"]) for key in ("low", "high", "background")))
    return Entry(
        size=data.image_size,
        resize=data.resize or "squash",
        crop_fraction=data.crop_fraction or 1.0,
        pad_colour=_colour(data.pad_colour),
        grey=data.grey,
        mask=mask,
        stain=_stain(data.stain, data.stain_reference, mask),
    )


def _colour(levels: tuple[int, ...]) -> Colour:
    red, green, blue = levels
    return red, green, blue


def _stain(name: str | None, reference: str | None, mask: Mask | None) -> Stain | None:
    if not name:
        return None
    method = stains.METHODS[name]
    if not reference:
        return method()
    try:
        pixels = decode(Path(reference).read_bytes())
        # As all others, so that the reference itself would be left as it is.
        return method.of(mask(pixels) if mask else pixels)
    except NoStainError as error:
        raise UserError(
            f"config.data.stain_reference, {reference}, shows no stain: choose another picture."
        ) from error
    except (OSError, BadImageError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"config.data.stain_reference, {reference}, cannot be read ({why}): pictures are "
            "normalised to its stain, so put it there."
        ) from error
