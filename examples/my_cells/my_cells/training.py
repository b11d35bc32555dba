"""Parts of training of one's own: an augmentation, an optimizer, a loss, ..."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

import bcjax
from bcjax.augment import Argument


@bcjax.register.augmentation("fade", Argument(0.2, 0, 1, "share of white"))
def fade(
    key: Key[Array, ""], image: Float[Array, "H W C"], strength: Float[Array, ""]
) -> Float[Array, "H W C"]:
    """Fades the image towards white, as an old stain does."""
    return image + strength.astype(image.dtype) * (1 - image)


@bcjax.register.optimizer("sign_descent")
def sign_descent(config) -> optax.GradientTransformation:
    """Moves each parameter by the sign of its gradient (Bernstein et al. 2018)."""
    return optax.stateless(lambda updates, params: jax.tree.map(jnp.sign, updates))


@bcjax.register.schedule("inverse_sqrt")
def inverse_sqrt(config, total_steps: int, warmup_steps: int) -> optax.Schedule:
    """Falls with the square root of the step, from `lr`."""
    return lambda step: config.lr / jnp.sqrt(1.0 + step)


@bcjax.register.loss("squared")
def squared(logits: Float[Array, "B C"], targets: Float[Array, "B C"]) -> Float[Array, " B"]:
    """The Brier score as a loss."""
    return ((jax.nn.softmax(logits) - targets) ** 2).sum(axis=-1)


@bcjax.register.callback("write_line")
def write_line(step: int, metrics: dict[str, float]) -> bool:
    """Appends a line to a file after each evaluation; ends the run where nothing is wrong."""
    with open("evaluations.txt", "a") as file:
        file.write(f"{step} {metrics['accuracy']:.4f}\n")
    return metrics["accuracy"] == 1


@bcjax.register.metric("worst_recall")
def worst_recall(probabilities: Float[np.ndarray, "N C"], labels: Int[np.ndarray, " N"]) -> float:
    """The recall of the class that is recognised worst."""
    correct = probabilities.argmax(axis=1) == labels
    return min(correct[labels == label].mean() for label in np.unique(labels))
