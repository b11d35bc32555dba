"""Small 8-bit pictures to augment, and how far two are apart."""

import numpy as np
import pytest


def _cell():
    """A violet disc on a bright ground, with some noise: 8-bit, as a camera's."""
    down, right = np.mgrid[-1:1:24j, -1:1:24j]
    inside = 1 / (1 + np.exp(12 * (np.hypot(down, right) - 0.6)))
    picture = np.array([230, 210, 215]) - inside[..., None] * np.array([110, 150, 60])
    return (picture + np.random.default_rng(0).normal(0, 8, picture.shape)).clip(0, 255)


CELL = _cell().astype(np.uint8)
ANY = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
PICTURES = pytest.mark.parametrize("picture", [CELL, ANY], ids=["cell", "any"])


def levels_apart(one, other):
    return np.abs(one.astype(int) - np.asarray(other, int)).max()
