"""A network that looks at each picture in several ways, as one network.

The views of `bcjax evaluate --views` that only move pixels, mirror images and quarter turns, become
part of the file: whoever has it gets the average of the answers without knowing of it.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from bcjax.config import ImageSize
from bcjax.evaluation.trained_ensemble import TrainedEnsemble
from bcjax.evaluation.trained_network import TrainedNetwork
from bcjax.evaluation.views import Matrix, View, parse
from bcjax.runtime.errors import UserError


class AveragedViews(nn.Module):
    """A network whose answer is the mean of its answers to several views of a picture.

    Its variables are those of the network. The views are further pictures of the same batch.

    Attributes:
      model: The network.
      views: The views, each of which moves pixels and nothing else.
    """

    model: nn.Module
    views: tuple[View, ...]

    def setup(self) -> None:
        nn.share_scope(self, self.model)

    def __call__(
        self, images: Float[Array, "B height width 3"], *, train: bool = False
    ) -> Float[Array, "B C"]:
        """Returns the logarithms of the mean probabilities."""
        height, width = images.shape[1:3]
        # One below the other, so that a picture's views follow each other in the batch.
        seen = jnp.concatenate([_moved(images, view.matrix) for view in self.views], axis=1)
        logits = self.model(seen.reshape(-1, height, width, 3), train=train)
        each = logits.reshape(-1, len(self.views), logits.shape[-1])
        return log_mean([each[:, view] for view in range(len(self.views))])


def log_mean(logits: Sequence[Float[Array, "..."]]) -> Float[Array, "..."]:
    """Returns the logarithms of the means of the probabilities that several logits stand for."""
    each = [jax.nn.log_softmax(these) for these in logits]
    most = functools.reduce(jnp.maximum, each)  # so that no sum is too small for float32
    total = functools.reduce(jnp.add, [jnp.exp(these - most) for these in each])
    return jnp.log(total / len(each)) + most


Trained = TypeVar("Trained", bound=TrainedNetwork | TrainedEnsemble)


def averaged(net: Trained, views: str) -> Trained:
    """Returns a network, or several, that answer by the mean over views of each picture.

    No calibration goes with them, for theirs is of the pictures as they are.

    Args:
      net: What answers, in the precision that it shall compute in.
      views: Such as "flip, turn", see `bcjax.evaluation.views.parse`.

    Raises:
      UserError: If a view is none, or does more than to move pixels.
    """
    if isinstance(net, TrainedEnsemble):
        networks = tuple(map(functools.partial(averaged, views=views), net.networks))
        return dataclasses.replace(net, networks=networks, calibration=None)
    parsed = parse(views, square=ImageSize.of(net.config.data.image_size).square)
    for view in parsed:
        if not _moves_pixels(view.matrix):
            raise UserError(
                f"views has {view.name}, which a file cannot make, for its pixels lie between those"
                " of the picture: export with flip, turn or both."
            )
    model = AveragedViews(net.model, parsed)
    return dataclasses.replace(net, model=model, calibration=None)


def _moves_pixels(matrix: Matrix) -> bool:
    rows = np.array(matrix)
    return bool(np.isin(rows, (-1, 0, 1)).all() and not rows[:, 2].any())


def _moved(images: Float[Array, "B H W 3"], matrix: Matrix) -> Float[Array, "B H W 3"]:
    """Returns each picture with the pixel matrix @ (x, y) at (x, y), counted from the middle."""
    (x_of_x, x_of_y, _), (y_of_x, y_of_y, _) = matrix
    if not x_of_x:
        images = images.transpose(0, 2, 1, 3)
    signs = {1: x_of_y + y_of_y, 2: x_of_x + y_of_x}
    reverse = tuple(axis for axis, sign in signs.items() if sign < 0)
    return jnp.flip(images, reverse) if reverse else images
