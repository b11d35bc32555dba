"""What the config's model branch adds to a step: the classifier's penalty, and grey pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from tiny import CLASSES, RECIPE, SIZE, batches, placed, trainer

from bcjax.engine.step import METRICS, normalise
from bcjax.models.layers import Head
from bcjax.runtime import mesh as meshes

MESH = meshes.create()
RATE = 0.5


class WithHead(nn.Module):
    @nn.compact
    def __call__(self, images, train=False):
        x = nn.relu(nn.Conv(4, (3, 3), name="stem")(images)).mean(axis=(1, 2))
        return Head(CLASSES, hidden=(5,), name="head")(x, train)


def stepped(**recipe):
    one = trainer(MESH, WithHead(), optimizer=optax.sgd(RATE), **recipe)
    before = jax.device_get(one.init().params)
    state, rows = one.call(one.init(), placed(MESH, batches(1, 8)), {})
    return before, jax.device_get(state.params), rows


def test_the_penalty_shrinks_the_kernels_of_the_classifier_alone():
    l1, l2 = 0.1, 0.2
    before, plain, rows = stepped()
    _, penalised, same_rows = stepped(l1=l1, l2=l2)
    for layer in ("dense1", "logits"):
        kernel = before["head"][layer]["kernel"]
        pull = RATE * (l1 * np.sign(kernel) + 2 * l2 * kernel)
        found = penalised["head"][layer].pop("kernel")
        np.testing.assert_allclose(found, plain["head"][layer].pop("kernel") - pull, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), plain, penalised)
    reported = METRICS.index("loss")  # what is reported is the loss of the answers
    np.testing.assert_allclose(rows[:, reported], same_rows[:, reported], rtol=1e-6)


def test_one_number_for_the_mean_turns_pictures_to_their_luma():
    images = np.random.default_rng(0).random((2, SIZE, SIZE, 3), np.float32)
    grey = normalise(jnp.asarray(images), (0.25,), (0.5,))
    luma = 0.299 * images[..., :1] + 0.587 * images[..., 1:2] + 0.114 * images[..., 2:]
    np.testing.assert_allclose(grey, (luma - 0.25) / 0.5, atol=1e-6)
    white = normalise(jnp.ones((1, 2, 2, 3)), (0.0,), (1.0,))
    np.testing.assert_allclose(white, 1.0, atol=1e-6)


def test_three_numbers_leave_pictures_their_colours():
    images = np.random.default_rng(0).random((2, SIZE, SIZE, 3), np.float32)
    found = normalise(jnp.asarray(images), RECIPE.mean, RECIPE.std)
    expected = (images - np.float32(RECIPE.mean)) / np.float32(RECIPE.std)
    np.testing.assert_allclose(found, expected, atol=1e-6)
