"""What is read in a compiled program's text is what the program does."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn

from bcjax.benchmark.operations import Program, main_memory_bytes
from bcjax.models.layers import Conv
from bcjax.models.norm import Norm

# As a TPU's compiler writes it, shortened: layouts, memory spaces and its estimates.
TPU = """HloModule jit_f, is_scheduled=true

%fused (p.1: bf16[8,64], p.2: bf16[64,32]) -> bf16[8,32] {
  %p.1 = bf16[8,64]{1,0:T(8,128)(2,1)} parameter(0)
  %p.2 = bf16[64,32]{1,0:T(8,128)(2,1)S(1)} parameter(1)
  ROOT %dot.1 = bf16[8,32]{1,0} convolution(%p.1, %p.2), metadata={op_name="jit(f)/dense/dot"}
}

ENTRY %main.1 (a.1: bf16[8,64], b.1: bf16[64,32]) -> bf16[8,32] {
  %a.1 = bf16[8,64]{1,0:T(8,128)(2,1)} parameter(0)
  %b.1 = bf16[64,32]{1,0:T(8,128)(2,1)} parameter(1)
  %begun = (bf16[64,32]{1,0:T(8,128)(2,1)S(1)}, bf16[64,32]{1,0}, u32[]{:S(2)}) copy-start(%b.1)
  %done = bf16[64,32]{1,0:T(8,128)(2,1)S(1)} copy-done(%begun)
  ROOT %out = bf16[8,32]{1,0} fusion(%a.1, /*index=1*/%done), calls=%fused, "estimated_cycles":"9"
}
"""


def compiled(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return Program(jax.jit(function).lower(*arguments).compile().as_text())


def kinds(program):
    return [program.kind(operation) for operation, _ in program.dispatched()]


def test_a_prefetch_is_read_once_and_what_is_near_the_core_is_not_read_from_memory():
    program = Program(TPU)
    (prefetch, _), (fusion, _) = program.dispatched()
    assert program.memory_bytes(prefetch) == 64 * 32 * 2
    assert program.memory_bytes(fusion) == (8 * 64 + 8 * 32) * 2
    assert (prefetch.cycles, fusion.cycles) == (None, 9)
    assert program.kind(fusion) == "convolution"
    assert program.path(fusion) == "jit(f)/dense/dot"


@pytest.mark.parametrize(
    ("shape", "size"), [("f32[2,3]{1,0}", 24), ("(pred[5], s8[7])", 12), ("bf16[]", 2), ("()", 0)]
)
def test_bytes_of_a_shape(shape, size):
    assert main_memory_bytes(shape) == size


def test_a_product_reads_both_matrices_and_writes_the_third():
    program = compiled(jnp.matmul, (256, 512), (512, 128))
    (product,) = (o for o, _ in program.dispatched() if program.kind(o) == "convolution")
    assert program.memory_bytes(product) == 4 * (256 * 512 + 512 * 128 + 256 * 128)


def test_what_only_moves_numbers_is_told_from_what_computes():
    transposed = compiled(lambda x: x.T, (64, 32))
    assert kinds(transposed) == ["moves"]
    cast = compiled(lambda x: x.astype(jnp.bfloat16), (64, 32))
    assert [(cast.kind(o), cast.only(o)) for o, _ in cast.dispatched()] == [("moves", "convert")]
    assert kinds(compiled(lambda x: jnp.exp(x) + 1, (64, 32))) == ["element-wise"]
    assert "reduction" in kinds(compiled(lambda x: jnp.exp(x).sum(0), (64, 32)))


def test_a_scope_says_what_an_operation_is_for():
    def step(parameters, gradient):
        with jax.named_scope("optimizer"):
            return parameters - 0.1 * gradient

    assert kinds(compiled(step, (64,), (64,))) == ["optimizer"]


def test_a_grouped_convolution_is_depthwise():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=8,
        )  # fmt: skip

    assert "depthwise" in kinds(compiled(convolve, (2, 16, 16, 8), (3, 3, 1, 8)))


def test_a_layer_s_operations_are_known_by_its_name():
    class Layers(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = Conv(8, 3, groups=8, name="depthwise_conv")(x)
            return Norm(name="norm")(x, train=True)

    x = jnp.ones((2, 16, 16, 8))
    variables = Layers().init(jax.random.key(0), x)

    def applied(x):
        return Layers().apply(variables, x, mutable="batch_stats")[0]

    assert {"depthwise", "normalisation"} <= set(kinds(compiled(applied, x.shape)))


def test_a_program_that_is_not_told_does_nothing():
    assert Program("").dispatched() == []


def test_what_a_loop_does_counts_as_often_as_it_turns():
    def turns(x):
        return jax.lax.scan(lambda x, _: (jnp.sin(x) @ x, None), x, None, length=5)[0]

    program = compiled(turns, (64, 64))
    assert {n for o, n in program.dispatched() if program.kind(o) == "convolution"} == {5}
