"""Every lowering of a convolution gives the compiler's values and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import jit

from bcjax.models.convolution import Way, convolve, way, xla_forward
from bcjax.models.layers import Conv
from bcjax.models.windows import Geometry

CHANNELS = 6


@st.composite
def convolutions(draw):
    """Draws sides, taps, geometry and groups of a convolution that fits its picture."""
    pair = functools.partial(st.tuples, st.integers(1, 3), st.integers(1, 3))
    taps = draw(st.one_of(st.just((1, 1)), pair(), st.just((5, 3))))
    # A window that tiles the picture has a lowering of its own.
    stride = draw(st.one_of(st.just(taps), pair()))
    edge = st.tuples(st.integers(0, 2), st.integers(0, 3))
    edges = draw(st.one_of(st.just(((0, 0), (0, 0))), st.tuples(edge, edge)))
    geometry = Geometry(stride, edges, draw(st.sampled_from([(1, 1), (2, 1), (2, 2)])))
    sides = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    if 0 in geometry.sides(sides, taps):
        sides = tuple(
            gap * (size - 1) + 2 for gap, size in zip(geometry.dilation, taps, strict=True)
        )
    return sides, taps, geometry, draw(st.sampled_from([1, 2, CHANNELS]))


def numbers(seed, shape, dtype):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def value_and_gradients(convolution, x, kernel, geometry, groups):
    value, back = jax.vjp(lambda x, kernel: convolution(x, kernel, geometry, groups), x, kernel)
    return value, *back(numbers(2, value.shape, value.dtype))


@functools.partial(jit, static_argnums=(2, 3))
def both(x, kernel, geometry, groups):
    ours = value_and_gradients(convolve, x, kernel, geometry, groups)
    return ours, value_and_gradients(xla_forward, x, kernel, geometry, groups)


def apart(found, expected):
    """The largest difference, as a share of the largest value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return np.abs(found - expected).max(initial=0) / max(np.abs(expected).max(initial=0), 1e-30)


@settings(max_examples=16)
@given(convolutions(), st.sampled_from([("float32", 1e-5), ("bfloat16", 2**-7)]))
def test_a_cpu_computes_what_the_compiler_does(convolution, precision):
    (sides, taps, geometry, groups), (dtype, tolerance) = convolution, precision
    x = numbers(0, (2, *sides, CHANNELS), dtype)
    kernel = numbers(1, (*taps, CHANNELS // groups, CHANNELS), dtype)
    found, expected = both(x, kernel, geometry, groups)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype == jnp.dtype(dtype)
        assert apart(ours, theirs) <= tolerance


@pytest.mark.parametrize(
    ("size", "stride", "groups", "expected"),
    [
        (1, 1, 1, Way.POINTWISE),
        (1, 2, 1, Way.POINTWISE),
        (4, 4, 1, Way.PATCHIFY),
        (3, 1, 1, Way.WINDOWED),
        (3, 2, CHANNELS, Way.DEPTHWISE),
        (3, 1, 2, Way.COMPILER),
    ],
)
def test_each_kind_of_convolution_has_its_way(size, stride, groups, expected):
    edge = (size // 2, size // 2) if size % 2 else (0, 0)
    x, kernel = (
        jnp.zeros((1, 8, 8, CHANNELS)),
        jnp.zeros((size, size, CHANNELS // groups, CHANNELS)),
    )
    assert way(x, kernel, Geometry((stride, stride), (edge, edge)), groups) is expected


@pytest.mark.parametrize(("size", "groups"), [(1, 1), (3, 1), (3, CHANNELS)])
def test_a_bias_is_added_and_has_its_gradient(size, groups):
    geometry = Geometry(edges=((size // 2, size // 2),) * 2)
    x = numbers(0, (2, 5, 6, CHANNELS), "float32")
    kernel = numbers(1, (size, size, CHANNELS // groups, CHANNELS), "float32")
    bias = numbers(3, (CHANNELS,), "float32")

    def gradients(convolution):
        return jit(jax.grad(lambda *of: jnp.sum(convolution(*of) ** 2), (0, 1, 2)))(x, kernel, bias)

    found = gradients(lambda x, kernel, bias: convolve(x, kernel, geometry, groups, bias))
    expected = gradients(lambda x, kernel, bias: xla_forward(x, kernel, geometry, groups) + bias)
    for ours, theirs in zip(found, expected, strict=True):
        assert apart(ours, theirs) <= 1e-5


@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
@pytest.mark.parametrize("outputs", [4, 4 * CHANNELS])
def test_a_kernel_has_the_same_gradient_on_a_tall_map(dilation, outputs):
    x = numbers(0, (2, 12, 7, CHANNELS), "float32")
    kernel = numbers(1, (3, 2, CHANNELS, outputs), "float32")
    geometry = Geometry((1, 2), ((1, 2), (0, 1)), dilation)
    found, expected = both(x, kernel, geometry, 1)
    for ours, theirs in zip(found, expected, strict=True):
        assert apart(ours, theirs) <= 1e-5


@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("channels", [1, 3, 64])
def test_a_kernel_has_the_same_gradient_with_few_and_many_channels(channels, stride, dilation):
    x = numbers(0, (2, 9, 8, channels), "float32")
    kernel = numbers(1, (3, 2, channels, 5), "float32")
    found, expected = both(x, kernel, Geometry(stride, ((1, 2), (0, 1)), dilation), 1)
    for ours, theirs in zip(found, expected, strict=True):
        assert apart(ours, theirs) <= 1e-5


@pytest.mark.parametrize(("size", "sides"), [(1, (4, 4)), (3, (2, 3))])
def test_a_product_of_few_rows_has_the_same_value_and_gradients(size, sides):
    x = numbers(0, (1, *sides, CHANNELS), "float32")
    kernel = numbers(1, (size, size, CHANNELS, 8), "float32")
    geometry = Geometry(edges=((size // 2, size // 2),) * 2)
    found, expected = both(x, kernel, geometry, 1)
    for ours, theirs in zip(found, expected, strict=True):
        assert apart(ours, theirs) <= 1e-5


def test_accelerators_get_the_compilers_convolution():
    def step(x, kernel):
        return jnp.sum(convolve(x, kernel, Geometry((1, 1), ((1, 1), (1, 1))), CHANNELS) ** 2)

    x, kernel = jnp.zeros((2, 5, 5, CHANNELS)), jnp.zeros((3, 3, 1, CHANNELS))
    gradient = jax.jit(jax.grad(step, (0, 1)))
    for platform, convolutions_expected in (("tpu", 3), ("cuda", 3), ("cpu", 0)):
        lowered = jax.export.export(gradient, platforms=[platform])(x, kernel).mlir_module()
        assert lowered.count("stablehlo.convolution") == convolutions_expected, platform


@pytest.mark.parametrize(("size", "stride", "groups"), [(1, 1, 1), (2, 2, 1), (3, 2, 1), (3, 1, 4)])
def test_the_parameters_are_those_of_linens_convolution(size, stride, groups):
    x = numbers(0, (2, 9, 9, 4), "float32")
    ours = Conv(8 if groups == 1 else 4, size, stride, groups, padding=0, use_bias=True)
    theirs = nn.Conv(
        ours.width, (size, size), stride, "VALID", feature_group_count=groups, use_bias=True
    )
    variables = theirs.init(jax.random.key(0, impl="rbg"), x)
    np.testing.assert_allclose(
        ours.apply(variables, x), theirs.apply(variables, x), rtol=1e-4, atol=1e-5
    )
