"""Elastic warp: a cell in a smear is soft, and no two are squeezed alike."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Key

from bcjax.augment.op import Op, Range
from bcjax.augment.warp import from_middle, sample

CELLS = 4  # of the coarse grid, along each side


def elastic(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float32[Array, ""]
) -> Float[Array, "H W C"]:
    """Moves each pixel a little, its neighbours nearly alike.

    The displacement is a cubic B-spline over a grid of `CELLS` x `CELLS` cells, whose coefficients
    are evenly drawn from +-`strength` of the side: no pixel moves further along an axis. Up to
    0.48 of a cell no part of the picture is folded over another (Choi and Lee, Graphical Models
    2000, doi:10.1006/gmod.2000.0531), whence the highest magnitude.
    """
    H, W, _ = image.shape
    # Drawn in a row: in its final shape XLA takes seven times as long to compile it.
    drawn = jax.random.uniform(key, (2 * (CELLS + 3) ** 2,), minval=-1.0)
    coefficients = drawn.reshape(2, CELLS + 3, CELLS + 3)
    rows, columns = jnp.asarray(basis(H)), jnp.asarray(basis(W))
    # All bits: on an accelerator's matrix unit the default may be bfloat16, and the field rough.
    field = jnp.einsum("hi,aij,wj->ahw", rows, coefficients, columns, precision="highest")
    across, down = strength * field
    x, y = from_middle(H, W)
    return sample(image, x + W * across, y + H * down)


def basis(size: int) -> np.ndarray:
    """Returns each pixel's share in each coefficient, float32 (size, CELLS + 3): rows sum to 1."""
    place = (np.arange(size) + 0.5) / size * CELLS
    distance = np.abs(place[:, None] - np.arange(-1, CELLS + 2))
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


OPS: dict[str, Op] = {
    "elastic": Op(
        elastic,
        Range(0.05, 0.0, 0.48 / CELLS, "share of the side"),
        "exact",
        "Simard et al., Best practices for CNNs, ICDAR 2003, doi:10.1109/ICDAR.2003.1227801; "
        "coarse grid: Ronneberger et al., U-Net, MICCAI 2015, arXiv:1505.04597",
    )
}
