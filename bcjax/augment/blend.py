"""How most operations on colours are written: the picture, blended with another one."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def blend(
    image: Float[Array, "H W C"],
    other: Float[Array, "..."] | float,
    share: Float[Array, ""] | float,
) -> Float[Array, "H W C"]:
    """Returns the picture with a `share` of `other` in it: itself, to the bit, at 0.

    Args:
      image: In 0..1.
      other: A picture, or what broadcasts to one.
      share: Below 0 the result is farther from `other` than the picture was; 1 gives `other`.
    """
    plain = image.astype(jnp.float32)
    return like(image, plain + share * (other - plain))


def like(image: Float[Array, "H W C"], result: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
    """Returns `result` within 0..1, in the dtype of `image`."""
    return jnp.clip(result, 0, 1).astype(image.dtype)


def planes(image: Float[Array, "H W C"]) -> list[Float[Array, "H W"]]:
    """Returns the channels in float32.

    What mixes channels is written as sums of planes: the compiler makes one pass over the picture
    of them, while a product with a 3x3 matrix is a pass of its own, and slow for so small a matrix.
    """
    plain = image.astype(jnp.float32)
    return [plain[..., channel] for channel in range(image.shape[-1])]
