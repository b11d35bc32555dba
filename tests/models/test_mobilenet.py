"""MobileNets: width multipliers, and Keras's padding."""

import functools

import jax
import numpy as np
import pytest
from jax import lax
from networks import key, shapes

from bcjax.models import create
from bcjax.models.layers import Conv
from bcjax.models.mobilenet import Separable
from bcjax.models.norm import Norm


@pytest.mark.parametrize(
    ("alpha", "stem", "top", "expected"),
    [
        (0.35, 16, 1280, [8, 8, 16, 24, 32, 56, 112]),
        (1.0, 32, 1280, [16, 24, 32, 64, 96, 160, 320]),
        (1.4, 48, 1792, [24, 32, 48, 88, 136, 224, 448]),
    ],
)
def test_the_second_narrows_all_but_its_top(alpha, stem, top, expected):
    model = create("mobilenet_v2", classes=2, alpha=alpha)
    layout = model.layout.widened(model.alpha)
    assert (layout.stem, layout.top) == (stem, top)
    assert [row.width for row in layout.rows] == expected


def test_the_first_rounds_its_widths_down():
    params = shapes(create("mobilenet_v1", classes=2, alpha=0.3))["params"]
    assert params["stem"]["conv"]["kernel"].shape[-1] == 9  # 9.6
    last = [params[f"stage{i}"]["block1"]["pointwise_conv"]["kernel"] for i in range(1, 6)]
    assert [kernel.shape[-1] for kernel in last] == [19, 38, 76, 153, 307]


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_a_multiplier_can_be_an_option_or_part_of_the_name(name):
    assert create(name, classes=2, alpha=0.5) == create(f"{name}_050", classes=2)
    assert create(name, classes=2) == create(f"{name}_100", classes=2)
    assert create(name, classes=2) != create(f"{name}_050", classes=2)


@pytest.mark.parametrize(
    ("convention", "side", "edges"),
    [
        ("tf", 8, (0, 1)),
        ("tf", 7, (1, 1)),
        ("keras", 8, (0, 1)),
        ("keras", 7, (0, 1)),  # where "SAME" is (1, 1)
        ("keras", 1, (1, 1)),
        ("torch", 8, (1, 1)),
        ("torch", 7, (1, 1)),
    ],
)
def test_a_halving_block_of_the_first_pads_as_its_convention_does(convention, side, edges):
    x = jax.random.normal(key(), (2, side, side, 4))
    conv = functools.partial(Conv, convention=convention)
    block = Separable(8, 2, conv, Norm, convention)
    init = jax.jit(lambda x: block.init_with_output(key(), x, False, capture_intermediates=True))
    _, variables = init(x)
    expected = lax.conv_general_dilated(
        x,
        variables["params"]["depthwise_conv"]["kernel"],
        (2, 2),
        [edges, edges],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=4,
    )
    found = variables["intermediates"]["depthwise_conv"]["__call__"][0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
