import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import color

from bcjax.augment import stain

jitter = jax.jit(stain.stain_jitter)
DENSITIES = np.random.default_rng(0).uniform(0, 0.5, (16, 16, 3))  # of the dyes
SLIDE = (10 ** -(DENSITIES @ stain.ABSORBED)).astype(np.float32)


def drawn(seed, strength):
    """Returns a key with the alpha and beta that a jitter draws from it."""
    key = jax.random.key(seed)
    return key, strength * np.asarray(jax.random.uniform(key, (2, 3), minval=-1.0), np.float64)


@pytest.mark.parametrize("strength", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_the_density_of_each_dye_is_changed(seed, strength):
    key, (alpha, beta) = drawn(seed, strength)
    changed = DENSITIES * (1 + alpha) + beta
    expected = np.clip(10 ** -(changed @ stain.ABSORBED), 0, 1)
    np.testing.assert_allclose(jitter(key, SLIDE, jnp.float32(strength)), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_it_agrees_with_scikit_image(seed):
    """Which gives densities in units of 6, for light of a millionth is its darkest."""
    key, (alpha, beta) = drawn(seed, 0.1)
    expected = color.hed2rgb(color.rgb2hed(SLIDE) * (1 + alpha) + beta / 6)
    np.testing.assert_allclose(jitter(key, SLIDE, jnp.float32(0.1)), expected, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_white_ground_stays_even_and_nearly_white(seed):
    ground = jitter(jax.random.key(seed), np.ones((16, 16, 3), np.float32), jnp.float32(0.05))
    assert np.ptp(ground, axis=(0, 1)).max() == 0
    # At worst 0.05 of each dye more: its optical density by what the dyes absorb of a colour.
    assert (ground[0, 0] >= 10 ** (-0.05 * stain.ABSORBED.sum(0)) - 1e-6).all()


def test_black_does_not_blow_up():
    black = np.zeros((16, 16, 3), np.float32)
    assert np.asarray(jitter(jax.random.key(0), black, jnp.float32(0.2))).max() < 0.05


def test_each_picture_is_stained_in_its_own_way():
    keys = jax.random.split(jax.random.key(0), 8)
    seen = jax.vmap(jitter, in_axes=(0, None, None))(keys, SLIDE, jnp.float32(0.05))
    assert len({np.asarray(picture).tobytes() for picture in seen}) == 8
