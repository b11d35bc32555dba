"""The classification loss, and the weights that balance rare classes in it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from bcjax.runtime.errors import UserError


def cross_entropy(
    logits: Float[Array, "B C"],
    labels: Int[Array, " B"] | Float[Array, "B C"],
    *,
    label_smoothing: float = 0.0,
    class_weights: Float[Array, " C"] | None = None,
) -> Float[Array, " B"]:
    """Returns the softmax cross-entropy of each example, in nats.

    Computed in float32 whatever the dtype of the logits.

    Args:
      logits: Any float dtype.
      labels: Class indices in [0, C), or probabilities that sum to 1 (mixed examples).
      label_smoothing: Share of the target spread evenly over the classes, in [0, 1)
        (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567).
      class_weights: Factors of 0 or more. The loss of an example is multiplied by the mean
        weight under its target before smoothing: sum_c target_c * weight_c. As in Keras, and
        unlike in PyTorch, the mean is then to be taken over the number of examples and not over
        the sum of their weights: an example counts the same in any batch.

    Returns:
      float32, one loss per example, not averaged.
    """
    return of_targets(
        optax.softmax_cross_entropy, logits, labels,
        label_smoothing=label_smoothing, class_weights=class_weights,
    )  # fmt: skip


def focal(
    logits: Float[Array, "B C"],
    labels: Int[Array, " B"],
    *,
    gamma: float,
    class_weights: Float[Array, " C"] | None = None,
) -> Float[Array, " B"]:
    """Returns the focal loss of each example, in nats, in float32.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002.

    Cross-entropy times (1 - p)^gamma, where p is the probability of the label: what is learnt
    already weighs little. It is defined for labels, not for probabilities.

    Args:
      logits: Any float dtype.
      labels: Class indices in [0, C).
      gamma: 0 or more; 0 is cross-entropy.
      class_weights: The paper's alpha: factors of 0 or more, by class.

    Returns:
      float32, one loss per example, not averaged.
    """
    entropy = cross_entropy(logits, labels, class_weights=class_weights)
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    log_p = jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]
    # -expm1 keeps 1 - p exact where p is nearly 1; the floor, the gradient of its power finite.
    return entropy * jnp.maximum(-jnp.expm1(log_p), 1e-12) ** gamma


# From logits (B, C) and probabilities of the classes (B, C), both float32, to a loss each (B,).
Loss = Callable[[Float[Array, "B C"], Float[Array, "B C"]], Float[Array, " B"]]

# Those of `bcjax.register.loss`, by name, for `train.loss`.
REGISTERED: dict[str, Loss] = {}


def of_targets(
    loss: Loss,
    logits: Float[Array, "B C"],
    labels: Int[Array, " B"] | Float[Array, "B C"],
    *,
    label_smoothing: float = 0.0,
    class_weights: Float[Array, " C"] | None = None,
) -> Float[Array, " B"]:
    """Returns any loss of each example; the other arguments are those of `cross_entropy`."""
    targets = labels
    if labels.ndim < logits.ndim:
        targets = jax.nn.one_hot(labels, logits.shape[-1])
    targets = targets.astype(jnp.float32)
    each = loss(logits.astype(jnp.float32), optax.smooth_labels(targets, label_smoothing))
    if class_weights is not None:
        # Not a matrix product: TPUs would round its factors to bfloat16.
        each *= jnp.sum(targets * class_weights, axis=-1)
    return each


def balanced_weights(counts: Int[np.ndarray, " C"]) -> Float[np.ndarray, " C"]:
    """Returns the weight of each class in the loss with which all classes weigh the same in total.

    N / (C * n_c), as scikit-learn's `compute_class_weight`. The mean weight of the training
    examples is 1, so that the learning rate need not change.

    Args:
      counts: Training examples of each class.

    Returns:
      float32.

    Raises:
      UserError: If a class has no example.
    """
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        raise UserError(
            f"Class {empty[0]} has no training examples, so it cannot have a 'balanced' weight: "
            "add some, drop the class, or set train.class_weights to 'none'."
        )
    return (counts.sum() / (counts.size * counts)).astype(np.float32)
