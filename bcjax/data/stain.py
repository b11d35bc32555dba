"""Stain normalisation: giving a picture the stain of another, so that laboratories look alike.

Both methods describe a stain by a few numbers, which they measure in a reference picture, and
change another picture until it has the same numbers. Their default numbers were measured in tissue
in haematoxylin and eosin: for blood, a good picture of the user's own is a better reference. Black,
as around a picture that was rotated, is not stain: it is not measured and stays black.
"""

import dataclasses
from typing import ClassVar

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

Triple = tuple[float, float, float]
Pixels = UInt8[np.ndarray, "H W 3"]

_BLACK = 16  # of 255: a pixel that is darker in every channel is black

# Reinhard et al. 2001: RGB to the responses of the eye's cones, and their logarithms to Ruderman's
# axes: light (l), yellow to blue (alpha) and red to green (beta).
_TO_LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_TO_LAB = np.array([[3**-0.5], [6**-0.5], [2**-0.5]]) * [[1, 1, 1], [1, 1, -2], [1, -1, 0]]
_FLAT = (0.02, 0.001, 0.001)  # deviations on the axes below which there is only noise
_BRIGHTEST = 7.0  # logarithm of a cone's response; white has 5.5

# Macenko et al. 2009, with the customary constants of M. Veta's implementation.
_LOG = np.log(np.arange(1, 257, dtype=np.float32))  # of each level, plus 1 since 0 has no logarithm
_CLEAR = 0.15  # density, in any channel, below which there is no stain to learn from
_TAIL = 1.0  # per cent of the pixels that may be outliers, at each end
_SAME = 0.05  # two dyes that are closer than this, in radians, are one


class NoStainError(ValueError):
    """A picture is blank, or of one colour: no stain can be measured in it."""


@dataclasses.dataclass(frozen=True)
class Reinhard:
    """Matches mean and standard deviation of the lightness and of two axes of colour.

    E. Reinhard et al., Color transfer between images, IEEE Computer Graphics 21(5), 2001. The
    default is HistomicsTK's standard: slide TCGA-A2-A3XS-DX1 (M. Amgad et al. 2019).

    Attributes:
      mean: Mean on Ruderman's axes l, alpha and beta, with natural logarithms of levels 1 to 255.
      std: Standard deviation on these axes.
    """

    name: ClassVar[str] = "reinhard"
    mean: Triple = (8.74108109, -0.12440419, 0.0444982)
    std: Triple = (0.6135447, 0.10989545, 0.0286032)

    @classmethod
    def from_reference(cls, pixels: Pixels) -> "Reinhard":
        """Measures the stain of a reference picture.

        Raises:
          NoStainError: If it does not vary on all three axes, as a grey picture.
        """
        _, mean, std = _ruderman(pixels, _black(pixels))
        return cls(_triple(mean), _triple(std))

    def __call__(self, pixels: Pixels) -> Pixels:
        """Returns the picture in this stain; unchanged if it has no stain itself."""
        black = _black(pixels)
        try:
            lab, mean, std = _ruderman(pixels, black)
        except NoStainError:
            return pixels
        scale = np.array(self.std) / std
        # One affine map of (l, alpha, beta, 1) undoes the axes too.
        back = np.linalg.inv(_TO_LAB)
        shift = back @ (np.array(self.mean) - scale * mean)
        cones = cv2.transform(lab, np.column_stack([back * scale, shift]))
        cones = cv2.exp(np.minimum(cones, _BRIGHTEST))
        return _levels(cv2.transform(cones, np.linalg.inv(_TO_LMS)), pixels, black)


@dataclasses.dataclass(frozen=True)
class Macenko:
    """Separates two dyes by optical density, and gives each the reference's colour and amount.

    M. Macenko et al., A method for normalizing histology slides for quantitative analysis, ISBI
    2009. The default is the reference of M. Veta's implementation, which others have copied. The
    method was made for tissue; three things are different here, for smears: the lamp is not assumed
    to be white; the dyes are told apart by blue and not by red light, which haemoglobin absorbs
    too; and where the amount of one dye would be negative, only the other is there.

    Attributes:
      lamp: Light through clear glass, 0 to 255: the 99th percentile of each channel.
      dyes: Optical density of each dye over red, green and blue, of length 1; the dye that lets
        more blue light through (haematoxylin, azure) comes first.
      most: The 99th percentile of the amount of each dye.
    """

    name: ClassVar[str] = "macenko"
    lamp: Triple = (240.0, 240.0, 240.0)
    dyes: tuple[Triple, Triple] = ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581))
    most: tuple[float, float] = (1.9705, 1.0308)

    @classmethod
    def from_reference(cls, pixels: Pixels) -> "Macenko":
        """Measures the stain of a reference picture.

        Raises:
          NoStainError: If it does not show two dyes.
        """
        black = _black(pixels)
        dyes, _, most = _unmix(pixels, black)
        both = _triple(dyes[0]), _triple(dyes[1])
        return cls(_triple(_lamp(pixels, black)), both, (float(most[0]), float(most[1])))

    def __call__(self, pixels: Pixels) -> Pixels:
        """Returns the picture in these dyes; unchanged if it does not show two dyes."""
        black = _black(pixels)
        try:
            _, amounts, most = _unmix(pixels, black)
        except NoStainError:
            return pixels
        dyes = np.array(self.dyes) * (np.array(self.most) / most)[:, None]
        through = cv2.exp(cv2.transform(amounts, -dyes.T))
        return _levels(through * np.array(self.lamp, np.float32) - 1, pixels, black)


Stain = Reinhard | Macenko
METHODS: dict[str, type[Stain]] = {method.name: method for method in (Reinhard, Macenko)}


def _black(pixels: Pixels) -> Bool[np.ndarray, "H W"]:
    return pixels.max(-1) < _BLACK


def _ruderman(
    pixels: Pixels, black: Bool[np.ndarray, "H W"]
) -> tuple[Float32[np.ndarray, "H W 3"], Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Returns a picture on Ruderman's axes, and its mean and deviation there."""
    light = np.maximum(pixels, 1).astype(np.float32)  # 0 has no logarithm
    lab = cv2.transform(cv2.log(cv2.transform(light, _TO_LMS)), _TO_LAB)
    measured = (~black).astype(np.uint8)
    mean, std = (moment.ravel() for moment in cv2.meanStdDev(lab, mask=measured))
    if (std < _FLAT).any():
        raise NoStainError
    return lab, mean, std


def _lamp(pixels: Pixels, black: Bool[np.ndarray, "H W"]) -> Float[np.ndarray, "3"]:
    return np.percentile(pixels[~black], 100 - _TAIL, axis=0)


def _unmix(
    pixels: Pixels, black: Bool[np.ndarray, "H W"]
) -> tuple[Float[np.ndarray, "2 3"], Float32[np.ndarray, "H W 2"], Float[np.ndarray, "2"]]:
    """Returns a picture's two dyes, the amount of each at each pixel, and its 99th percentile."""
    if black.all():
        raise NoStainError
    density = np.log(_lamp(pixels, black), dtype=np.float32) - _LOG[pixels]
    stained = density[(density >= _CLEAR).all(-1) & ~black]
    if len(stained) < 3:
        raise NoStainError
    # The plane of the two dyes, in which stained pixels differ most.
    centred = stained - stained.mean(0, dtype=float)
    plane = np.linalg.eigh(np.einsum("ni,nj->ij", centred, centred))[1][:, :0:-1]
    # Towards more density, whichever sign the solver gave.
    plane *= np.where(plane.sum(0) < 0, -1, 1)
    along, across = cv2.transform(stained[None], plane.T)[0].T
    angles = np.percentile(np.arctan2(across, along), (_TAIL, 100 - _TAIL))
    dyes = np.stack([np.cos(angles), np.sin(angles)], -1) @ plane.T
    dyes = dyes[np.argsort(dyes[:, 2])]
    amounts = _amounts(density, dyes)
    most = np.percentile(amounts[~black], 100 - _TAIL, axis=0).astype(float)
    if angles[1] - angles[0] < _SAME or most.min() < _CLEAR:
        raise NoStainError
    return dyes, amounts, most


def _amounts(
    density: Float32[np.ndarray, "H W 3"], dyes: Float[np.ndarray, "2 3"]
) -> Float32[np.ndarray, "H W 2"]:
    """Returns the amounts of two dyes by least squares; both negative only above the lamp."""
    both = cv2.transform(density, np.linalg.pinv(dyes).T)
    one = both[..., :1] * both[..., 1:] < 0  # impossible: there is only one of them
    alone = np.maximum(cv2.transform(density, dyes), 0)
    return np.where(one, np.where(both > 0, alone, 0), both)


def _levels(
    light: Float[np.ndarray, "H W 3"], pixels: Pixels, black: Bool[np.ndarray, "H W"]
) -> Pixels:
    """Rounds light to levels; black stays black."""
    levels = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    return np.where(black[..., None], pixels, levels)


def _triple(numbers: np.ndarray) -> Triple:
    red, green, blue = numbers.tolist()
    return red, green, blue
