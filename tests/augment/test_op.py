"""What every operation on the values of pixels keeps to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bcjax.augment import colour, filters

OPS = colour.OPS | filters.OPS
KEYS = jax.random.split(jax.random.key(0), 4)
SHAPE = (24, 24, 3)
RANDOM = np.random.default_rng(0).random((4, *SHAPE), dtype=np.float32)
EXTREME = np.stack(
    [np.zeros(SHAPE), np.ones(SHAPE), RANDOM[0] > 0.5, RANDOM[1] / 64], dtype=np.float32
)


@functools.cache
def mapped(name):
    return jax.jit(jax.vmap(OPS[name].apply))


def strengths(*values):
    return np.resize(np.float32(values), len(KEYS))


@pytest.fixture(params=OPS)
def name(request):
    return request.param


@pytest.mark.parametrize("dtype", [np.float32, jnp.bfloat16])
def test_nothing_changes_at_strength_0(name, dtype):
    for images in (RANDOM, EXTREME):
        images = jnp.asarray(images, dtype)
        result = mapped(name)(KEYS, images, strengths(0))
        assert result.dtype == dtype
        assert np.asarray(result).tobytes() == np.asarray(images).tobytes()


def test_something_changes_at_full_strength(name):
    changed = mapped(name)(KEYS, RANDOM, strengths(OPS[name].full)) != RANDOM
    assert changed.mean() > 0.5


@settings(max_examples=25)
@given(
    npst.arrays(np.float32, (4, *SHAPE), elements=st.floats(0, 1, width=32)),
    st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4),
)
def test_pictures_stay_within_0_and_1(images, parts):
    for name, op in OPS.items():
        values = np.float32(parts) if op.draw == "signed" else np.abs(np.float32(parts))
        result = np.asarray(mapped(name)(KEYS, images, values * np.float32(op.magnitude.high)))
        assert result.shape == images.shape, name
        assert result.min() >= 0, name  # and is a number
        assert result.max() <= 1, name


def test_one_picture_is_what_it_is_among_others(name):
    values = strengths(*(OPS[name].magnitude.high * share for share in (0.3, 0.6, 0.9)))
    many = np.asarray(mapped(name)(KEYS, RANDOM, values))
    one = jax.jit(OPS[name].apply)
    for i in range(2):
        assert np.array_equal(one(KEYS[i], RANDOM[i], values[i]), many[i])


def test_another_strength_is_the_same_program(name):
    mapped(name)(KEYS, RANDOM, strengths(OPS[name].magnitude.high))
    compiled = mapped(name)._cache_size()
    mapped(name)(KEYS, RANDOM, strengths(OPS[name].magnitude.high / 2))
    assert mapped(name)._cache_size() == compiled


def test_grey_pictures_keep_their_one_channel(name):
    result = jax.eval_shape(OPS[name].apply, KEYS[0], jnp.zeros((24, 24, 1)), jnp.float32(0.5))
    assert result.shape == (24, 24, 1)
