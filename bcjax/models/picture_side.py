"""The smallest picture that a network without padding can look at."""

from jaxtyping import Array, Float

from bcjax.runtime.errors import UserError


def require_side(images: Float[Array, "B H W C"], least: int) -> None:
    """Refuses pictures of which no pixel would reach the classifier.

    Raises:
      UserError: A side is shorter than `least` pixels.
    """
    height, width = images.shape[1:3]
    if min(height, width) < least:
        raise UserError(
            f"Pictures of {height}x{width} are too small for this network, which needs {least} px: "
            "choose a larger data.image_size, or model.small_stem=True."
        )
