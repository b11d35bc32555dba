"""The matrix of the distance in a tenth of its bytes, for files that telephones fetch.

Of a network with D features the whitening matrix has D * D numbers: of MobileNetV2 at 0.35 of its
width four times as many as the network itself. Any matrix W with the same W W' gives the same
distances. So the lower triangular one is taken, and all but its diagonal is rounded to 8 bits, or
to 16 where distances would change much. This goes row after row; what a row loses, those below it
take over as far as features vary together (Frantar et al., ICLR 2023, arXiv:2210.17323). Of 600
pictures of PBC and MobileNetV2, no distance changed by more than 0.4 %, and the matrix took 0.6 MB
for 6.5.
"""

import dataclasses
from typing import Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Integer

from bcjax.evaluation.calibration.outliers import Outliers
from bcjax.evaluation.trained_network import TrainedNetwork

_LEAST = 256  # features: of fewer, the matrix is small as it is
# What the largest number of a column becomes, and the type that holds it: the first is tried first.
_LEVELS = ((63, np.int8), (2047, np.int16))
_MOST = 0.005  # by which a distance may change
_DRAWN = 500  # features by which that is known


@dataclasses.dataclass(frozen=True, eq=False)
class SmallWhitening:
    """A whitening matrix: `diagonal` on the diagonal, and `rounded * scale` below it.

    Attributes:
      rounded: Integers, zero on the diagonal and above.
      scale: What they are multiplied by, for each column.
      diagonal: The diagonal.
    """

    rounded: Integer[np.ndarray, "D D"]
    scale: Float32[np.ndarray, "D"]
    diagonal: Float32[np.ndarray, "D"]

    @classmethod
    def of(cls, whitening: Float[np.ndarray, "D R"]) -> Self | None:
        """Returns it for a matrix; None for one that is small, or that it would change much."""
        features, directions = whitening.shape
        if features < _LEAST or directions < features:
            return None
        lower = np.linalg.cholesky(whitening @ whitening.T)
        for levels, kind in _LEVELS:
            small = cls._rounded(lower, levels, kind)
            if small._change(lower) < _MOST:
                return small
        return None

    @classmethod
    def _rounded(cls, lower: Float[np.ndarray, "D D"], levels: int, kind: type) -> Self:
        rest = np.tril(lower, -1)
        scale = np.abs(rest).max(axis=0) / levels
        scale[scale == 0] = 1
        rounded = np.zeros_like(rest)
        for row in range(1, len(lower)):
            most = np.iinfo(kind).max
            rounded[row, :row] = np.round(rest[row, :row] / scale[:row]).clip(-most, most)
            lost = (rest[row] - rounded[row] * scale) / lower[row, row]
            lost[row:] = 0
            rest[row + 1 :] -= np.outer(lower[row + 1 :, row], lost)
        return cls(
            rounded.astype(kind), scale.astype(np.float32), np.diag(lower).astype(np.float32)
        )

    def _change(self, lower: Float[np.ndarray, "D D"]) -> float:
        """Returns by how much the distance of drawn features changes at most, relatively."""
        white = np.random.default_rng(0).normal(size=(_DRAWN, len(lower)))
        features = np.linalg.solve(lower.T, white.T).T
        before = np.linalg.norm(white, axis=1)
        return float(np.abs(np.linalg.norm(features @ self.matrix, axis=1) / before - 1).max())

    @property
    def matrix(self) -> Float32[np.ndarray, "D D"]:
        return self.rounded * self.scale + np.diag(self.diagonal)

    def __call__(self, features: Float32[Array, "B D"]) -> Float32[Array, "B D"]:
        """Returns `features @ matrix`; the integers stay integers in what is traced."""
        numbers = jnp.asarray(self.rounded).astype(jnp.float32)
        return (features @ numbers) * self.scale + features * self.diagonal


def with_small_distance(net: TrainedNetwork) -> tuple[TrainedNetwork, SmallWhitening | None]:
    """Returns a network that tells outliers by a matrix that takes few bytes, and the matrix.

    The network is the same, and the matrix None, where the one that it has is small, or where it
    was not calibrated.
    """
    calibration = net.calibration
    outliers: Outliers | None = calibration.outliers if calibration else None
    if calibration is None or outliers is None:
        return net, None
    small = SmallWhitening.of(outliers.whitening)
    if small is None:
        return net, None
    changed = dataclasses.replace(outliers, whitening=small.matrix.astype(np.float64))
    calibration = dataclasses.replace(calibration, outliers=changed)
    return dataclasses.replace(net, calibration=calibration), small
