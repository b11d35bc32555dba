import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import pictures

from bcjax.augment import dihedral
from bcjax.augment.policy import build

PICTURE = np.arange(5 * 5 * 3, dtype=np.uint8).reshape(5, 5, 3)
FLIPS = [PICTURE[::a, ::b] for a in (1, -1) for b in (1, -1)]
TURNS = [np.rot90(PICTURE, quarters) for quarters in range(4)]
LAYOUTS = [np.rot90(picture, quarters) for picture in FLIPS[:2] for quarters in range(4)]


def flip_and_turn(key, image):
    first, second = jax.random.split(key)
    return dihedral.turn(second, dihedral.flip(first, image))


OPERATIONS = [
    pytest.param(dihedral.flip, FLIPS, id="flip"),
    pytest.param(dihedral.turn, TURNS, id="turn"),
    pytest.param(flip_and_turn, LAYOUTS, id="flip-and-turn"),
]


def test_there_are_eight_layouts():
    assert len({layout.tobytes() for layout in LAYOUTS}) == 8


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("operation", "layouts"), OPERATIONS)
def test_every_layout_is_equally_likely(operation, layouts, dtype):
    keys = jax.random.split(jax.random.key(0), 4000)
    seen = jax.jit(jax.vmap(operation, in_axes=(0, None)))(keys, PICTURE.astype(dtype))
    assert seen.dtype == dtype
    counts = [int((seen == layout.astype(dtype)).all(axis=(1, 2, 3)).sum()) for layout in layouts]
    assert sum(counts) == len(keys)  # each result is one of them, hence has the picture's pixels
    expected = len(keys) / len(layouts)
    chi_square = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_square < 24.3  # with 7 degrees of freedom, one sample in 1,000 is above


COMPILED = {operation: jax.jit(operation) for operation in (dihedral.flip, dihedral.turn)}


@settings(deadline=None)  # the first example compiles
@given(st.integers(0, 2**32 - 1))
def test_plain_compiled_and_mapped_are_the_same(seed):
    key = jax.random.key(seed)
    for operation, compiled in COMPILED.items():
        plain = operation(key, PICTURE)
        assert np.array_equal(plain, compiled(key, PICTURE))
        assert np.array_equal(plain, jax.vmap(operation)(key[None], PICTURE[None])[0])


def test_pictures_that_are_not_square_can_be_flipped():
    picture = PICTURE[:, :3]
    seen = {np.asarray(dihedral.flip(jax.random.key(i), picture)).tobytes() for i in range(32)}
    assert seen == {picture[::a, ::b].tobytes() for a in (1, -1) for b in (1, -1)}


IMAGES = pictures(16)["image"].astype(np.float32)


@jax.jit(static_argnames=("ops",))
def augmented(index, images, seed=0, step=0, ops=("flip", "turn")):
    policy = build(ops)
    key = jax.random.fold_in(jax.random.key(seed), step)
    return policy(key, images, index, policy.numbers)[0]


@settings(deadline=None)
@given(st.permutations(range(16)), st.integers(0, 100))
def test_the_place_in_the_batch_does_not_matter(order, step):
    index, order = np.arange(16) * 7, np.array(order)
    straight = augmented(index, IMAGES, step=step)
    assert np.array_equal(straight[order], augmented(index[order], IMAGES[order], step=step))


@pytest.mark.parametrize("change", [{"seed": 1}, {"step": 1}])
def test_another_seed_or_step_is_another_layout(change):
    index = np.arange(16)
    differ = (augmented(index, IMAGES) != augmented(index, IMAGES, **change)).any(axis=(1, 2, 3))
    assert differ.sum() > 8


def test_pictures_are_laid_down_independently_of_one_another():
    same = np.broadcast_to(IMAGES[0], IMAGES.shape)
    for step in range(4):
        seen = np.asarray(augmented(np.arange(16), same, step=step))
        assert len({picture.tobytes() for picture in seen}) > 4


def test_what_is_not_listed_does_nothing():
    index = np.arange(16)
    assert np.array_equal(augmented(index, IMAGES, ops=()), IMAGES)
    flipped = np.asarray(augmented(index, IMAGES, ops=("flip",)))
    turned = np.asarray(augmented(index, IMAGES, ops=("turn",)))
    for image, one, other in zip(IMAGES, flipped, turned, strict=True):
        assert any(np.array_equal(one, image[::a, ::b]) for a in (1, -1) for b in (1, -1))
        assert any(np.array_equal(other, np.rot90(image, quarters)) for quarters in range(4))
