"""Stain jitter: as if each dye of the slide had been taken up more, or less."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from bcjax.augment.blend import like, planes
from bcjax.augment.op import Op, Range

# How much red, green and blue light haematoxylin, eosin and DAB absorb: Ruifrok and Johnston 2001,
# "Quantification of histochemical staining by color deconvolution".
ABSORBED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_DYES = np.linalg.inv(ABSORBED)  # optical density of RGB to that of the dyes

_DARKEST = 1 / 255  # what an 8-bit camera tells from black; black has no optical density


def stain_jitter(
    key: Key[Array, ""], image: Float[Array, "H W 3"], strength: Float[Array, ""]
) -> Float[Array, "H W 3"]:
    """Changes the density c of each dye to c * (1 + alpha) + beta.

    Alpha and beta are drawn evenly from [-strength, strength], of each dye. Densities are optical,
    to base 10: at 1, a tenth of the light comes through. A grey picture stays as it is.
    """
    if image.shape[-1] == 1:
        return image
    alpha, beta = strength * jax.random.uniform(key, (6,), minval=-1.0).reshape(2, 3)
    # To the dyes, changed, and back is linear in the logarithm of the light: one 3x3 matrix.
    change = (_DYES[:, :, None] * alpha[:, None] * ABSORBED).sum(1)
    shift = -np.log(10) * (beta[:, None] * ABSORBED).sum(0)
    light = [jnp.log(jnp.maximum(plane, _DARKEST)) for plane in planes(image)]
    jittered = [
        jnp.exp(shift[c] + light[c] + sum(change[d, c] * light[d] for d in range(3)))
        for c in range(3)
    ]
    return jnp.where(strength == 0, image, like(image, jnp.stack(jittered, axis=-1)))


OPS: dict[str, Op] = {
    "stain_jitter": Op(
        stain_jitter,
        Range(0.05, 0, 1, "optical density, and share of it"),
        "exact",
        "Tellez et al., Quantifying the effects of augmentation, MedIA 2019, arXiv:1902.06543",
        full=0.2,
    )
}
