"""From an encoded picture to the rectangle of RGB uint8 that a network sees.

This happens once, when a picture is decoded: the cell is masked, its stain normalised, the picture
resized. One `InputTransform`, made from the config that is saved with a run, serves every store,
`evaluate` and `predict`: so a picture has the same bits wherever it is read.
"""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from jaxtyping import Bool, UInt8
from ml_collections import ConfigDict

from bcjax.config import ImageSize
from bcjax.data import stain as stains
from bcjax.data.decode import MAX_PIXELS, BadImageError, decode, read_file
from bcjax.data.stain import NoStainError, Stain
from bcjax.runtime.errors import UserError

Colour = tuple[int, int, int]

# Lengths of the mask, as fractions of the picture's shorter side.
_BLUR = 0.016  # sigma: closes the gaps between granules, and rounds the edge
_ERODE = 0.028  # radius: cuts off what only touches the cell
_DILATE = 0.042  # radius: gives back what was eroded, and the pale rim beyond


@dataclasses.dataclass(frozen=True)
class CellMask:
    """Finds the stained cell in a picture, and paints over everything else.

    It takes the steps of the field's notebooks: a threshold on hue, saturation and value, a blur,
    an erosion, a dilation, and the largest contour that is left. Lengths are fractions of the
    picture's shorter side, so that a picture is masked alike at any size.

    The default range of the config fits the PBC and BCCD photographs. In a smear photographed by
    yellow light it finds little more than nuclei: give a range of its own there.

    Attributes:
      low: Smallest hue, saturation and value of stain, each 0 to 255 (hue too: 255 is 360 degrees).
      high: Largest hue, saturation and value of stain.
      background: RGB, 0 to 255, painted over everything that is not the cell.
    """

    low: Colour
    high: Colour
    background: Colour = (255, 255, 255)

    def find(self, pixels: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
        """Returns where the cell is, with its holes filled; all False if nothing is stained."""
        side = min(pixels.shape[:2])
        stained = cv2.inRange(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL), self.low, self.high)
        stained = cv2.GaussianBlur(stained, (0, 0), max(_BLUR * side, 0.1))
        stained = (stained > 127).astype(np.uint8)
        stained = cv2.erode(stained, _disc(_ERODE * side))
        stained = cv2.dilate(stained, _disc(_DILATE * side))
        contours, _ = cv2.findContours(stained, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cell = np.zeros_like(stained)
        if contours:
            largest = max(contours, key=cv2.contourArea)
            cv2.drawContours(cell, [largest], 0, 1, cv2.FILLED)
        return cell.astype(bool)

    def __call__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """Returns the cell on a plain background; the unchanged picture if there is no cell."""
        cell = self.find(pixels)
        if not cell.any():
            return pixels
        return np.where(cell[..., None], pixels, np.array(self.background, np.uint8))


@dataclasses.dataclass(frozen=True)
class InputTransform:
    """Decodes a picture, masks it, normalises its stain, resizes it and removes its colour.

    Resizing is by area when shrinking, else bilinear. Instances can be pickled, for worker
    processes.

    Attributes:
      size: Height and width of the result.
      resize: "squash": the whole picture, whatever its shape, becomes the result. "crop": the
        largest part of that shape is cut out of its middle. "pad": the whole picture keeps its
        shape and lies in the middle.
      crop_fraction: Side of what "crop" cuts out, in (0, 1] of that largest part's.
      pad_colour: RGB, 0 to 255, around a picture that "pad" makes fit.
      grey: Whether all three channels become the luma (ITU-R BT.601).
      mask: Paints over everything but the cell; None: nothing does.
      stain: Normalises the stain; None: nothing does.
      max_pixels: The most pixels of a picture that is decoded.
    """

    size: ImageSize
    resize: str = "squash"
    crop_fraction: float = 1.0
    pad_colour: Colour = (0, 0, 0)
    grey: bool = False
    mask: CellMask | None = None
    stain: Stain | None = None
    max_pixels: int = MAX_PIXELS

    @classmethod
    def from_config(cls, data: ConfigDict) -> Self:
        """Returns the transform that the config's `data` branch describes.

        Raises:
          UserError: If `stain_reference` cannot be read, shows no stain, or is another picture than
            `stain_sha256` says.
        """
        mask = None
        if data.mask:
            mask = CellMask(data.mask_low, data.mask_high, data.mask_background)
        return cls(
            size=ImageSize.of(data.image_size),
            resize=data.resize or "squash",
            crop_fraction=data.crop_fraction or 1.0,
            pad_colour=data.pad_colour,
            grey=data.grey,
            mask=mask,
            stain=_stain(data, mask),
            max_pixels=data.max_pixels,
        )

    def __call__(self, encoded: bytes) -> UInt8[np.ndarray, "height width 3"]:
        """Decodes and transforms one picture.

        Raises:
          BadImageError: As `decode`.
        """
        changes = [change for change in (self.mask, self.stain) if change is not None]
        # A reduced JPEG is smoother: cells and dyes are sought in the camera's own pixels.
        # In both directions, because its EXIF may turn it by a quarter.
        reduced = 0 if changes else max(self._filled)
        pixels = decode(encoded, at_least=reduced, max_pixels=self.max_pixels)
        for change in changes:
            pixels = change(pixels)
        pixels = self._place(self._resize(pixels))
        if self.grey:
            pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return pixels

    @functools.cached_property
    def _filled(self) -> tuple[int, ...]:
        """Height and width that the resized picture fills, before a part is cut out of it."""
        share = self.crop_fraction if self.resize == "crop" else 1
        return tuple(round(side / share) for side in self.size)

    def _resize(self, pixels: np.ndarray) -> np.ndarray:
        before, filled = pixels.shape[:2], self._filled
        if before == filled:
            return pixels
        scales = [goal / side for goal, side in zip(filled, before, strict=True)]
        after = filled
        if self.resize == "crop":
            scaled = [int(side * max(scales)) for side in before]
            after = tuple(map(max, filled, scaled))
        elif self.resize == "pad":
            after = tuple(max(1, round(side * min(scales))) for side in before)
        if before == after:
            return pixels
        shrinks = before[0] >= after[0] and before[1] >= after[1]
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return cv2.resize(pixels, after[::-1], interpolation=method)

    def _place(self, pixels: np.ndarray) -> np.ndarray:
        """Cuts the result out of the middle, or puts the picture there."""
        if pixels.shape[:2] == self.size:
            return pixels
        top, left = (abs(a - b) // 2 for a, b in zip(pixels.shape[:2], self.size, strict=True))
        if self.resize != "pad":
            height, width = self.size
            return np.ascontiguousarray(pixels[top : top + height, left : left + width])
        height, width = pixels.shape[:2]
        padded = np.full((*self.size, 3), self.pad_colour, np.uint8)
        padded[top : top + height, left : left + width] = pixels
        return padded


def _stain(data: ConfigDict, mask: CellMask | None) -> Stain | None:
    if not data.stain:
        return None
    method, reference = stains.METHODS[data.stain], data.stain_reference
    if not reference:
        return method()
    try:
        encoded = read_file(Path(reference))
        if data.stain_sha256 not in (None, reference_sha256(encoded)):
            raise UserError(
                f"config.data.stain_reference, {reference}, is not the picture that the run was "
                "trained with: put that one back."
            )
        pixels = decode(encoded, max_pixels=data.max_pixels)
        # Masked as every other picture is, so that the reference itself stays unchanged.
        return method.from_reference(mask(pixels) if mask else pixels)
    except NoStainError as error:
        raise UserError(
            f"config.data.stain_reference, {reference}, shows no stain: choose another picture."
        ) from error
    except (OSError, BadImageError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"config.data.stain_reference, {reference}, cannot be read ({reason}): pictures are "
            "normalised to its stain, so put it there."
        ) from error


def reference_sha256(encoded: bytes) -> str:
    """Returns what `data.stain_sha256` says of a reference."""
    return hashlib.sha256(encoded).hexdigest()


def _disc(radius: float) -> np.ndarray:
    reach = round(radius)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
