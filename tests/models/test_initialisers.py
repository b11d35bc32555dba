"""How parameters begin."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import stats

from bcjax.models import initialisers
from bcjax.models.initialisers import Normal, lecun_normal
from bcjax.runtime import mesh as meshes


class Network(nn.Module):
    classes: int = 3

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(400, kernel_init=Normal(2.0, "fan_in"), name="wide")(x)
        x = nn.Dense(70, kernel_init=Normal(0.02**2), name="narrow")(x)
        return nn.Dense(self.classes, kernel_init=lecun_normal, name="head")(x)


EXAMPLE = jnp.zeros((1, 90))
KEY = jax.random.key(0)


def drawn(model=None, key=KEY, **options):
    model = model or Network()
    return initialisers.variables(model, key, EXAMPLE, train=False, **options)["params"]


@pytest.mark.parametrize("shape", [(70, 90), (3, 3, 20, 40), (5, 5, 1, 300)])
@pytest.mark.parametrize(
    ("ours", "flax"),
    [
        (Normal(2.0, "fan_in"), nn.initializers.variance_scaling(2.0, "fan_in", "normal")),
        (Normal(2.0, "fan_out"), nn.initializers.variance_scaling(2.0, "fan_out", "normal")),
        (Normal(2.0, "fan_in", truncated=True), nn.initializers.he_normal()),
        (lecun_normal, nn.initializers.lecun_normal()),
        (Normal(0.02**2), nn.initializers.normal(0.02)),
    ],
)
def test_an_initialiser_has_the_distribution_of_flaxs(ours, flax, shape):
    one, other = (np.ravel(draw(KEY, shape)) for draw in (ours, flax))
    assert one.dtype == np.float32
    assert one.std() == pytest.approx(other.std(), rel=0.05)
    assert stats.ks_2samp(one, flax(jax.random.key(1), shape).ravel()).pvalue > 1e-3
    assert np.abs(one).max() < 1.4 * np.abs(other).max()


def test_what_is_drawn_together_has_the_distributions_asked_for():
    params = drawn()
    for name, deviation in (("wide", math.sqrt(2 / 90)), ("narrow", 0.02)):
        kernel = np.ravel(params[name]["kernel"])
        assert stats.kstest(kernel / deviation, "norm").pvalue > 1e-3
        assert not np.any(params[name]["bias"])
    assert np.unique(params["wide"]["kernel"]).size > 30_000  # of 36,000: no row is another's


def test_a_truncated_distribution_ends_at_two_deviations_of_the_whole_one():
    head = np.ravel(drawn(Network(classes=500))["head"]["kernel"]) * math.sqrt(70)
    assert head.std() == pytest.approx(1, rel=0.02)
    assert 2.2 < np.abs(head).max() <= 2 / 0.8796


def test_the_tree_is_that_of_init():
    ours, plain = drawn(), Network().init(KEY, EXAMPLE, train=False)["params"]
    assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, plain)
    assert jax.tree.map(jnp.result_type, ours) == jax.tree.map(jnp.result_type, plain)


def test_a_parameter_depends_on_the_key_and_its_own_path_alone():
    params, other = drawn(), drawn(Network(classes=7))
    for name in ("wide", "narrow"):
        assert np.array_equal(params[name]["kernel"], other[name]["kernel"])
    again, elsewhere = drawn(), drawn(key=jax.random.key(1))
    assert np.array_equal(params["wide"]["kernel"], again["wide"]["kernel"])
    assert not np.any(params["wide"]["kernel"] == elsewhere["wide"]["kernel"])


def test_devices_draw_together_what_one_draws_alone():
    sharding = meshes.batch_sharding(meshes.create())
    together = jax.jit(lambda key: drawn(key=key, sharding=sharding))(KEY)
    jax.tree.map(np.testing.assert_array_equal, together, jax.jit(lambda k: drawn(key=k))(KEY))
