"""What is kept of a picture to know it again when it was turned, sheared or mirrored."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

_SIDE = 120  # the shorter side of the picture in which landmarks are sought; SIFT doubles it
_LONGEST = 4  # times that, the longer side at most
_MOST = 160  # landmarks kept, strongest first
_FILL = 24  # a pixel this dark is no slide, but the black that a moved picture was framed with
_WORDS = 512

# The mirror image of a 4 x 4 x 8 SIFT descriptor: rows the other way up, angles negated.
_MIRROR = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


class Landmarks(NamedTuple):
    """A picture's landmarks: 25 KB. Coordinates are x, y in pixels of `grey`, their centres whole.

    Attributes:
      points: At most 160, strongest first.
      descriptors: RootSIFT, of length 255.
      grey: The picture, its shorter side 60 pixels.
      inside: Where that is not fill, nor next to it.
    """

    points: Float32[np.ndarray, "K 2"]
    descriptors: UInt8[np.ndarray, "K 128"]
    grey: UInt8[np.ndarray, "h w"]
    inside: Bool[np.ndarray, "h w"]


def landmarks(pixels: UInt8[np.ndarray, "H W 3"]) -> Landmarks:
    """Finds the landmarks of a picture, RGB, away from black fill.

    SIFT (Lowe, IJCV 2004) under the Hellinger kernel (Arandjelovic and Zisserman, "Three things
    everyone should know to improve object retrieval", CVPR 2012).
    """
    grey = _scaled(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), _SIDE)
    inside = (_scaled(pixels.max(2), _SIDE) > _FILL).astype(np.uint8)
    # A landmark describes what is around it, and the fill's edge is the frame's, not the slide's.
    clear = cv2.erode(inside, np.ones((9, 9), np.uint8))
    sift = cv2.SIFT.create(nfeatures=_MOST, contrastThreshold=0.01)
    found, descriptors = sift.detectAndCompute(grey, clear)
    if not found:
        descriptors = np.zeros((0, 128), np.float32)
    points = np.array([each.pt for each in found], np.float32).reshape(-1, 2)
    root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
    return Landmarks(
        (points[:_MOST] - 0.5) / 2,
        np.round(255 * root[:_MOST]).astype(np.uint8),
        _halved(grey),
        _halved(clear) > 0,
    )


def mirrored(descriptors: np.ndarray) -> np.ndarray:
    """The descriptors (K, 128) that the picture's mirror image has at the same landmarks."""
    return descriptors[:, _MIRROR]


def words(pictures: Sequence[Landmarks]) -> Float32[np.ndarray, "N 512"]:
    """How often each picture has each of 512 kinds of landmark, blind to where and to mirroring.

    A bag of visual words (Sivic and Zisserman, ICCV 2003): square roots of counts, of length 1. The
    vocabulary is of landmarks drawn at random, always the same: k-means finds copies no better.
    """
    rng = np.random.default_rng(0)
    some = [pictures[i] for i in rng.permutation(len(pictures))[:_WORDS] if len(pictures[i].points)]
    counts = np.zeros((len(pictures), _WORDS), np.float32)
    if some:
        pool = _unmirrored(np.concatenate([picture.descriptors for picture in some]))
        vocabulary = pool[rng.permutation(len(pool))[:_WORDS]]
        offset = (vocabulary**2).sum(1) / 2
        for row, picture in zip(counts, pictures, strict=True):
            nearest = (_unmirrored(picture.descriptors) @ vocabulary.T - offset).argmax(1)
            row[:] = np.bincount(nearest, minlength=_WORDS)
    # The number of landmarks is the counts' sum, so their roots' length.
    return np.sqrt(counts / np.maximum(counts.sum(1, keepdims=True), 1))


def _unmirrored(descriptors: np.ndarray) -> np.ndarray:
    """float32 (K, 256) of (K, 128): the same for a landmark and for its mirror image."""
    unit = descriptors.astype(np.float32) / 255
    other = mirrored(unit)
    return np.concatenate([unit + other, np.abs(unit - other)], axis=1)


def _scaled(picture: np.ndarray, side: int) -> np.ndarray:
    """(H, W) at another size: its shorter side `side`, if it is not very long."""
    scale = min(side / min(picture.shape), _LONGEST * side / max(picture.shape))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = [max(2, round(scale * each)) for each in picture.shape[::-1]]
    return cv2.resize(picture, size, interpolation=method)


def _halved(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
