"""A network traced for other runtimes answers as it does here, without batch norm."""

import jax
import networks
import numpy as np
import pytest
from flax import linen as nn

from bcjax.models import portable
from bcjax.models.layers import Conv
from bcjax.models.norm import Norm


def traced(model, variables):
    def answer(images):
        with portable.tracing():
            return model.apply(variables, images, train=False)

    return answer


class Twice(nn.Module):
    """A convolution that is read by its batch norm and by something else."""

    bias: bool

    @nn.compact
    def __call__(self, x, train=False):
        y = Conv(4, 3, use_bias=self.bias)(x)
        return Norm("batch")(y, train) + y + Norm("batch")(x, train).sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("bias", [True, False])
def test_only_a_batch_norm_after_a_convolution_becomes_part_of_it(bias):
    images = networks.pictures(2, 8)
    model = Twice(bias)
    variables = networks.with_statistics(model.init(networks.key(), images))
    answer = traced(model, variables)
    np.testing.assert_allclose(answer(images), model.apply(variables, images), rtol=1e-4, atol=1e-5)
    program = jax.make_jaxpr(answer)(images)
    convolutions = [e for e in program.eqns if e.primitive.name == "conv_general_dilated"]
    assert len(convolutions) == 2  # as it is, and with the batch norm
    assert not any(equation.primitive.name == "rsqrt" for equation in program.eqns)


def test_convolutions_and_maxima_are_the_operations_of_their_names():
    model, variables = networks.initialised("googlenet")
    program = jax.make_jaxpr(traced(model, variables))(networks.pictures(1, 32))
    found = {equation.primitive.name for equation in program.eqns}
    assert {"conv_general_dilated", "reduce_window_max"} <= found
    assert not found & {"custom_vjp_call", "platform_index", "optimization_barrier", "slice"}
