"""What a network costs on a device that is not here: estimates by stated rules."""

import pytest

import bcjax
from bcjax import config as configs
from bcjax.models import create
from bcjax.models.network import count
from bcjax.runtime.errors import UserError
from bcjax.tune import objectives, targets
from bcjax.tune.sweep import Sweep
from bcjax.tune.targets import TARGETS


def config(**changes):
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return configs.replaced(configs.default(), {"data.source": "synthetic"} | changes)


def test_ram_is_the_input_and_output_of_the_widest_layer():
    # conv 3 -> 8 at 16 px, conv 8 -> 4 at 8 px after a pool, and a classifier of 5 classes
    small = config(model__name="conv2d", model__widths=(8, 4), data__image_size=16)
    assert targets.cost(small, 5).ram == 16 * 16 * (3 + 8)
    wide = config(model__name="conv2d", model__widths=(2, 40), data__image_size=16)
    assert targets.cost(wide, 5).ram == 8 * 8 * (2 + 40)


def test_ram_of_mobilenet_v2_is_that_of_its_widest_depthwise_convolution():
    found = targets.cost(config(model__name="mobilenet_v2_100", data__image_size=224), 8)
    assert found.ram == 96 * (112**2 + 56**2)


def test_ram_follows_both_sides_of_the_picture():
    tall = config(model__name="conv2d", data__image_size=(64, 32))
    square = config(model__name="conv2d", data__image_size=32)
    assert targets.cost(tall, 4).ram == 2 * targets.cost(square, 4).ram


def test_latency_is_the_multiply_adds_by_the_published_speed():
    network = config(model__name="mobilenet_v1_100", data__image_size=224)
    macs = count(create("mobilenet_v1_100", classes=1000), configs.ImageSize(224, 224)).macs
    found = targets.cost(network, 1000, TARGETS["Pixel 4"])
    assert found.latency == pytest.approx(macs / 569e6 * 0.005)
    assert found.latency == pytest.approx(0.005, rel=0.01)  # as published of this network
    assert TARGETS["Cortex-M7 216MHz"].macs_per_s * 2 == pytest.approx(249e6, rel=0.01)
    assert targets.cost(network, 1000, TARGETS["this machine"]).latency is None


def test_a_target_says_that_it_is_an_estimate_and_whose():
    assert "estimates for Pixel 3" in targets.caution(TARGETS["Pixel 3"])
    assert "in 13.4 ms" in targets.caution(TARGETS["Pixel 3"])
    assert "arXiv:1801.06601" in targets.caution(TARGETS["Cortex-M7 216MHz"])
    assert "measured on this machine" in targets.caution(TARGETS["this machine"])


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"objective": "latency", "target": "Cortex-M4"}, "no target 'Cortex-M4': choose of Cort"),
        (
            {"objective": "accuracy", "target": "Pixel 3"},
            "says where latency, size or ram is meant",
        ),
    ],
)
def test_a_target_that_cannot_be_meant_is_refused(asked, named, tmp_path):
    with pytest.raises(UserError, match=named):
        bcjax.sweep(config(), {"seed": [1]}, tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_ram_is_an_objective_to_be_less():
    assert objectives.direction("ram") == "minimize"
    sweep = Sweep.of(config(), {"seed": [1]}, objective="accuracy,ram", target="Pixel 3")
    assert sweep.target == TARGETS["Pixel 3"]
