"""Finding the stained cell in a picture, and painting over all else.

The steps that the field's notebooks take: a threshold on hue, saturation and value, a blur, an
erosion, a dilation, and the largest contour that is left. Lengths are fractions of the picture's
shorter side, so that a picture is masked alike at any size.

The default range of the config fits the PBC and BCCD photographs. In a smear photographed by yellow
light it finds little more than nuclei: give a range of its own there.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

Colour = tuple[int, int, int]

_BLUR = 0.016  # sigma: closes the gaps between granules, and rounds the edge
_ERODE = 0.028  # radius: cuts off what only touches the cell
_DILATE = 0.042  # radius: gives back what was eroded, and the pale rim beyond


@dataclasses.dataclass(frozen=True)
class Mask:
    """Tells the largest stained cell from the rest.

    Attributes:
      low: Hue, saturation and value of stain, each 0 to 255 (hue too: 255 is 360 degrees), at
        least.
      high: And at most.
      background: RGB, 0 to 255, of all that is not the cell.
    """

    low: Colour
    high: Colour
    background: Colour = (255, 255, 255)

    def find(self, pixels: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "H W"]:
        """Returns where the cell is, holes filled; nowhere, if nothing has the stain's colour."""
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
        """Returns the cell on a plain background; the picture as it is, if there is no cell."""
        cell = self.find(pixels)
        if not cell.any():
            return pixels
        return np.where(cell[..., None], pixels, np.array(self.background, np.uint8))


def _disc(radius: float) -> np.ndarray:
    reach = round(radius)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
