"""Whether a map falls on the cell, where it is known where the cell is: in drawn pictures."""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float
from ml_collections import ConfigDict

from bcjax.data import synthetic
from bcjax.data.entry import entry_of


def cell(id_: str, data: ConfigDict) -> Bool[np.ndarray, "H W"]:
    """Returns where the cell of a drawn picture is, once the picture is decoded.

    Args:
      id_: Of the picture.
      data: The config's `data` branch, of source "synthetic".
    """
    drawn = synthetic.named(id_).mask
    # Placed as the picture is, but a mask has no colours to be painted over or normalised.
    entry = dataclasses.replace(entry_of(data), grey=False, mask=None, stain=None)
    _, encoded = cv2.imencode(".png", drawn.astype(np.uint8) * 255)
    return entry(encoded.tobytes())[..., 0] > 127


def energy(found: Float[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> float:
    """The share, in 0..1, of what speaks for the class that lies in the mask.

    The energy-based pointing game of Wang et al., Score-CAM, CVPR Workshops 2020
    (arXiv:1910.01279); by chance it is the mask's share of the area. 0 for an empty map.
    """
    speaks_for = np.maximum(found, 0)
    return float(speaks_for[mask].sum() / max(speaks_for.sum(), np.finfo(np.float32).tiny))


def points(found: Float[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"]) -> bool:
    """Whether the map's maximum lies in the mask: the pointing game.

    Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016 (arXiv:1608.00507).
    """
    return bool(mask.flat[found.argmax()])
