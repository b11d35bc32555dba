"""The list of augmentations: as it is written, as it is drawn, the same wherever a picture lies."""

import functools
import inspect
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Network, batches, placed, trainer

from bcjax.augment import OPS, Argument, Op, build, op, register
from bcjax.augment import policy as policies
from bcjax.augment.table import CHOOSING, MIXING, PAPER_OPS
from bcjax.engine.dispatch import Hyperparameters
from bcjax.runtime import mesh as meshes
from bcjax.runtime.errors import UserError

SIDE = 16
IMAGES = np.random.default_rng(0).random((6, SIDE, SIDE, 3), np.float32)
INDEX = np.array([5, 0, 9, 3, 7, 1], np.int32)
KEY = jax.random.fold_in(jax.random.key(0), 0)
LAYOUT = ("flip", "turn")
EACH = (
    "flip", "resized_crop(0.3)", "rand_augment(2, 9, spread=2, ops=(rotate, contrast, equalise))",
    "stain_jitter(p=0.5)",
)  # fmt: skip
MIXED = ("turn", "one_of(mixup(0.2), cutmix(1.0), p=0.8)")


@functools.cache
def compiled(ops):
    policy = build(ops)
    return policy.numbers, jax.jit(policy.__call__)


def applied(ops, images=IMAGES, index=INDEX, step=0, seed=0, **changed):
    """Returns the pictures and the labels' share; `changed` replaces numbers of the first line."""
    numbers, run = compiled(ops)
    if changed:
        numbers = ({**numbers[0], **changed}, *numbers[1:])
    key = jax.random.fold_in(jax.random.key(seed), step)
    return run(key, jnp.asarray(images), jnp.asarray(index), numbers)


# What is written


@pytest.mark.parametrize(
    ("ops", "named"),
    [
        (["rotat(3)"], ["'rotat(3)'", "no augmentation 'rotat'", "did you mean 'rotate'?"]),
        (["rotate(400)"], ["'rotate(400)'", "magnitude of rotate", "from 0 to 180 (degrees)"]),
        (["rotate(-1)"], ["from 0 to 180"]),
        (["rotate(10, p=2)"], ["the p of rotate", "from 0 to 1 (probability)"]),
        (["rotate(10, q=1)"], ["takes no 'q'", "rotate(magnitude, p)"]),
        (["rotate(10, 1, 1)"], ["it is rotate(magnitude, p)"]),
        (["rotate(10, magnitude=1)"], ["it is rotate(magnitude, p)"]),
        (["rotate('far')"], ["write a name, or name(magnitude, option=...)"]),
        (["rotate(10"], ["write a name"]),
        (["import os"], ["write a name"]),
        (["__import__('os').remove('x')"], ["write a name"]),
        (["grid_mask(1, ration=0.4)"], ["takes no 'ration'", "did you mean 'ratio'?"]),
        (["rand_augment(0)"], ["the layers of rand_augment", "from 1 to 8"]),
        (["rand_augment(2, 31)"], ["the magnitude of rand_augment", "from 0 to 30"]),
        (["rand_augment(ops=(rotat,))"], ["does not choose 'rotat': did you mean 'rotate'?"]),
        (["rand_augment(ops=3)"], ["name some"]),
        (["rand_augment(ops=(cutout,))"], ["does not choose 'cutout'"]),
        (["trivial_augment(3)"], ["it is trivial_augment()"]),
        (["rotate(nan)"], ["nan is no number", "it is rotate(magnitude, p)"]),
        (["rotate(10, p=nan)"], ["write a name, or name(magnitude, option=...)"]),
        (["rotate(1e999)"], ["from 0 to 180"]),
        (["rotate(flip)"], ["flip is no number"]),
        (["rand_augment(2, nan)"], ["nan is no number"]),
        (["rand_augment(1.5)"], ["a whole number of layers"]),
        (["one_of(mixup(nan))"], ["nan is no number", "it is mixup(alpha)"]),
        (["mixup", "flip"], ["'mixup' before 'flip'", "mix once, and last"]),
        (["mixup", "cutmix"], ["mix once, and last", "one_of"]),
        (["mixup(0)"], ["the alpha of mixup", "from 0.001"]),
        (["one_of(mixup, rotate)"], ["one_of takes mixup(alpha), cutmix(alpha)"]),
        (["one_of()"], ["one_of takes"]),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(ops, named):
    with pytest.raises(UserError) as refusal:
        build(ops)
    for name in named:
        assert name in str(refusal.value)


def test_arguments_may_be_named():
    assert build(["rotate(10, p=0.5)"]).numbers == ({"magnitude": 10.0, "p": 0.5},)
    assert build(["rotate(magnitude=10, p=0.5)"]).numbers == ({"magnitude": 10.0, "p": 0.5},)
    assert build(["cutmix(p=0.5)"]).numbers == build(["one_of(cutmix(1), p=0.5)"]).numbers


def test_every_operation_says_where_it_comes_from_and_what_is_allowed():
    for name, each in OPS.items():
        assert each.paper, name
        for allowed in (each.magnitude, *each.options.values()):
            assert allowed.low <= allowed.default <= allowed.high, name
        assert each.magnitude.low == 0 <= each.full <= each.magnitude.high, name
        parameters = list(inspect.signature(each.apply).parameters)
        assert each.options.keys() == set(parameters[3:]), name
    assert all(OPS[name].full for name in PAPER_OPS)


def negative(key, image, strength):
    """Turns light into dark."""
    return jnp.where(strength > 0, 1 - image, image)


def test_an_operation_from_outside_is_written_like_any_other():
    with mock.patch.dict(OPS):
        register("negative", Op(negative, Argument(1, 0, 1), "exact", paper="none", full=1))
        np.testing.assert_array_equal(applied(("negative",))[0], 1 - IMAGES)
        assert build(["rand_augment(ops=(negative, rotate))"])
        for name in ("negative", "rand_augment", "mixup"):
            with pytest.raises(UserError, match=f"There already is an augmentation '{name}'"):
                register(name, OPS["rotate"])
        with pytest.raises(UserError, match="choose a name like"):
            register("my-op", OPS["rotate"])
    assert "negative" not in OPS


# What is drawn


@pytest.mark.parametrize("name", sorted(OPS))
def test_magnitude_0_and_probability_0_change_no_bit(name):
    for nothing in ({"magnitude": 0.0}, {"p": 0.0}):
        shown, share = applied((f"{name}(p=1)",), **nothing)
        assert np.array_equal(shown, IMAGES)
        assert share == 1


def test_probability_is_a_share_of_the_pictures():
    many = np.broadcast_to(IMAGES[:1], (400, *IMAGES.shape[1:]))
    shown, _ = applied(("invert(p=0.25)",), many, np.arange(400, dtype=np.int32))
    inverted = np.any(np.asarray(shown) != many, axis=(1, 2, 3)).sum()
    assert 65 < inverted < 135  # 4 standard deviations


def test_moves_are_interpolated_once():
    """Neighbours that move pixels are one warp: there and back again is where they were."""
    straight, _ = applied(("flip", "turn"))
    for ops in (("flip", "turn", "rotate(0)"), ("flip", "turn", "scale(0)", "shear_x(0)")):
        assert np.array_equal(applied(ops)[0], straight)


@pytest.mark.parametrize("ops", [EACH, MIXED, ("trivial_augment",)])
def test_pictures_stay_pictures(ops):
    for step in range(5):
        shown, share = applied(ops, step=step)
        assert shown.shape == IMAGES.shape
        assert 0 <= np.min(shown) <= np.max(shown) <= 1
        assert 0 <= share <= 1


@pytest.mark.parametrize("name", sorted([*OPS, *CHOOSING, *MIXING]))
def test_rectangles_stay_rectangles(name):
    """The pixels of a line that only moves them are those of the picture, each as often."""
    ops = ("one_of(mixup, cutmix)",) if name == "one_of" else (name,)
    images = np.random.default_rng(1).random((4, 12, 20, 3), np.float32)
    shown, share = applied(ops, images, INDEX[:4])
    shown = np.asarray(shown)
    assert shown.shape == images.shape
    assert 0 <= np.min(shown) <= np.max(shown) <= 1
    assert 0 <= share <= 1
    if name in ("flip", "turn", "quadrants"):
        np.testing.assert_array_equal(np.sort(shown, axis=None), np.sort(images, axis=None))


def test_bfloat16_stays_bfloat16():
    images = jnp.asarray(IMAGES, jnp.bfloat16)
    for ops in (EACH, MIXED):
        policy = build(ops)
        shown, _ = jax.eval_shape(policy.__call__, KEY, images, INDEX, policy.numbers)
        assert shown.dtype == jnp.bfloat16


@settings(max_examples=20)
@given(st.permutations(range(6)), st.integers(0, 100), st.sampled_from([LAYOUT, EACH]))
def test_the_place_in_the_batch_does_not_matter(order, step, ops):
    order = np.array(order)
    straight, _ = applied(ops, step=step)
    assert np.array_equal(straight[order], applied(ops, IMAGES[order], INDEX[order], step)[0])


MANY = np.random.default_rng(1).random((16, SIDE, SIDE, 3), np.float32)
EVERY = np.arange(16, dtype=np.int32)


@pytest.mark.parametrize("change", [{"seed": 1}, {"step": 1}])
def test_another_seed_or_step_is_another_layout(change):
    shown, other = applied(LAYOUT, MANY, EVERY)[0], applied(LAYOUT, MANY, EVERY, **change)[0]
    assert (shown != other).any(axis=(1, 2, 3)).sum() > 8


def test_pictures_are_laid_down_independently_of_one_another():
    same = np.broadcast_to(MANY[0], MANY.shape)
    for step in range(4):
        shown = np.asarray(applied(LAYOUT, same, EVERY, step=step)[0])
        assert len({picture.tobytes() for picture in shown}) > 4


def test_what_is_not_listed_does_nothing():
    assert np.array_equal(applied((), MANY, EVERY)[0], MANY)
    flipped, turned = (np.asarray(applied((name,), MANY, EVERY)[0]) for name in LAYOUT)
    for image, one, other in zip(MANY, flipped, turned, strict=True):
        assert any(np.array_equal(one, image[::a, ::b]) for a in (1, -1) for b in (1, -1))
        assert any(np.array_equal(other, np.rot90(image, quarters)) for quarters in range(4))


def test_a_picture_that_is_in_a_batch_twice_is_augmented_in_two_ways():
    images, index = IMAGES[[0, 0, 0, 1, 2, 3]], INDEX[[0, 0, 0, 1, 2, 3]]
    shown, _ = applied(("rotate(90)",), images, index)
    assert len({np.asarray(picture).tobytes() for picture in shown}) == 6
    alone, _ = applied(("rotate(90)",))
    assert np.array_equal(np.asarray(shown)[[0, 3, 4, 5]], alone[:4])


# RandAugment and TrivialAugment


def chosen(ops, step):
    """For each picture the operation that explains what became of it; "" for none."""
    shown, _ = applied((f"rand_augment(1, 30, ops=({','.join(ops)},))",), step=step)
    for image, result in zip(IMAGES, np.asarray(shown), strict=True):
        explained = [""] if np.array_equal(image, result) else []
        explained += [
            name
            for name in ops
            if np.allclose(
                OPS[name].apply(jax.random.key(0), image, jnp.float32(1)), result, atol=1e-6
            )
        ]
        assert len(explained) == 1
        yield explained[0]


def test_one_layer_is_one_operation_or_nothing_equally_likely():
    ops = ("invert", "grey", "autocontrast")
    seen = [name for step in range(60) for name in chosen(ops, step)]
    counts = [seen.count(name) for name in ("", *ops)]
    assert sum((count - 90) ** 2 / 90 for count in counts) < 16.3  # 1 in 1,000 is above


def test_rate_0_and_magnitude_0_do_nothing():
    assert np.array_equal(applied(("rand_augment(2, 9)",), rate=0.0)[0], IMAGES)
    plain = ",".join(name for name in PAPER_OPS if OPS[name].draw != "share")
    assert np.array_equal(applied((f"rand_augment(2, 0, ops=({plain}))",))[0], IMAGES)


@pytest.mark.parametrize("magnitude", [6, 15, 30])
def test_the_magnitude_is_a_share_of_the_highest(magnitude):
    shown, _ = applied((f"rand_augment(1, {magnitude}, ops=(brightness,))",))
    factors = np.median(np.asarray(shown)[..., :1, :] / IMAGES[..., :1, :], axis=(1, 2, 3))
    expected = 0.9 * magnitude / policies.LEVELS
    for factor in factors:  # brightened ones may be clipped
        assert min(abs(factor - f) for f in (1, 1 - expected, 1 + expected)) < 1e-3 or factor > 1


def test_branches_on_a_cpu_give_what_all_branches_at_once_give():
    in_a_loop, _ = applied(("rand_augment(2, 9)",))
    policy = build(("rand_augment(2, 9)",))
    with mock.patch.object(policies, "in_turn", lambda function: function):
        at_once, _ = jax.jit(policy.__call__)(KEY, IMAGES, INDEX, policy.numbers)
    np.testing.assert_allclose(in_a_loop, at_once, atol=1e-6)


def test_what_is_mapped_in_turn_takes_any_tree():
    def signed(tree, key):
        return {"x": jax.lax.cond(tree["negative"], jnp.negative, jnp.abs, tree["x"])}, key

    tree = {"negative": np.array([True, False, True]), "x": np.array([1.0, -2.0, 3.0])}
    result, key = jax.vmap(op.in_turn(signed), (0, None))(tree, 7)
    assert result["x"].tolist() == [-1, 2, -3]
    assert np.array_equal(key, [7, 7, 7])


# In a training step


def test_another_magnitude_is_the_same_program():
    mesh = meshes.create()
    policies = [
        ("rotate(10)", "rand_augment(1, 5, ops=(invert, shear_x))", "mixup(0.2)"),
        ("rotate(25)", "rand_augment(1, 9, ops=(invert, shear_x))", "mixup(0.4)"),
    ]
    one, other = (trainer(mesh, Network(), ops=ops) for ops in policies)
    host = batches(1, 8)
    batch = {name: array[0] for name, array in host.items()}
    texts = [
        jax.jit(t.step)
        .lower(t.abstract, batch, {}, Hyperparameters(augment=build(ops).numbers))
        .as_text()
        for t, ops in zip((one, other), policies, strict=True)
    ]
    assert texts[0] == texts[1]
    moved = [t.call(t.init(), placed(mesh, host), {})[0].params for t in (one, other)]
    assert any(not np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, moved), strict=True))
