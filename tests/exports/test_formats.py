"""Every kind of network can be written in every format, for batches of any size."""

import functools

import jax
import networks
import numpy as np
import onnx
import pytest
from jax import numpy as jnp

from bcjax import models
from bcjax.config import ImageSize
from bcjax.exports import onnx_file
from bcjax.exports.formats import FORMATS
from bcjax.exports.servable import Servable
from bcjax.models import portable
from bcjax.runtime.errors import UserError

SIDE = 32
SMALL = ("mobilenet_v2_035", "deep_efficientnet")  # blocks that no shallow network has


@functools.cache
def network(name):
    if name in networks.TINY:
        model, variables = networks.initialised(name)
    else:
        model = models.create(name, classes=3)
        variables = networks.jit(model.init)(networks.key(), networks.pictures(1, SIDE))
    return model, networks.with_statistics(variables)


@functools.cache
def answers(name):
    """The network's own answers to batches of one picture and of three."""
    model, variables = network(name)
    apply = networks.jit(lambda x: jax.nn.softmax(model.apply(variables, x, train=False)))
    return [np.asarray(apply(pictures(count).astype(np.float32) / 255)) for count in (1, 3)]


def of(model, variables):
    def answer(images):
        with portable.tracing():
            logits = model.apply(variables, images.astype(jnp.float32) / 255, train=False)
        return {"probabilities": jax.nn.softmax(logits)}

    page = {"use": "For tests.", "classes": ["a", "b", "c"]}
    return Servable(None, answer, ImageSize(SIDE, SIDE), ("a", "b", "c"), ("probabilities",), page)


def pictures(count):
    return np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("form", "name"),
    [("onnx", name) for name in (*networks.TINY, *SMALL)]
    + [("litert", name) for name in (*networks.TINY, *SMALL)]
    + [("stablehlo", name) for name in ("basic", "averaged", "vit", "mobilenet_v2_035")],
)
def test_a_file_answers_as_the_network_in_batches_of_any_size(form, name, tmp_path):
    if form == "litert":
        pytest.importorskip("litert_converter", reason="the format litert is not installed")
    runtime = FORMATS[form].runtime(FORMATS[form].written(of(*network(name)), tmp_path, None))
    for expected in answers(name):
        found = runtime(pictures(len(expected)))["probabilities"]
        np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("name", ["basic", "mobilenet_v2_035", "deep_efficientnet", "googlenet"])
def test_an_onnx_graph_holds_little_but_convolutions(name, tmp_path):
    file = tmp_path / "model.onnx"
    onnx_file.write(of(*network(name)), file)
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    kinds = [node.op_type for node in model.graph.node]
    assert {node.domain for node in model.graph.node} <= {""}
    assert kinds.count("Transpose") == 1  # of the pictures, while they are uint8
    assert kinds[:2] == ["Transpose", "Cast"]
    assert "GlobalAveragePool" in kinds
    assert not {"BatchNormalization", "Expand", "Max", "Min"} & set(kinds)
    assert '"classes": ["a", "b", "c"]' in model.metadata_props[0].value


@pytest.mark.parametrize("name", ["basic", "mobilenet_v2_035", "lenet"])
def test_a_litert_graph_holds_built_in_operators_in_the_layout_of_the_network(name, tmp_path):
    pytest.importorskip("litert_converter", reason="the format litert is not installed")
    from ai_edge_litert import schema_py_generated as schema

    content = FORMATS["litert"].written(of(*network(name)), tmp_path, None).read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    (graph,) = model.subgraphs
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    kinds = {names[model.operatorCodes[node.opcodeIndex].builtinCode] for node in graph.operators}
    assert not {"CUSTOM", "TRANSPOSE", "BROADCAST_TO"} & kinds
    assert list(graph.tensors[graph.inputs[0]].shapeSignature) == [-1, SIDE, SIDE, 3]


def test_a_network_that_litert_cannot_run_is_one_sentence(tmp_path):
    pytest.importorskip("litert_converter", reason="the format litert is not installed")
    model = networks.Average(3)
    variables = model.init(networks.key(), networks.pictures(1, SIDE))
    path = FORMATS["litert"].written(of(model, variables), tmp_path, None)
    runtime = FORMATS["litert"].runtime(path)
    with pytest.raises(UserError, match=r"LiteRT cannot hold this network .*stablehlo"):
        runtime(np.zeros((1, SIDE, SIDE, 4), np.uint8))


class Unusual(networks.Average):
    def __call__(self, images, train=False):
        logits = super().__call__(images, train)
        return jax.lax.random_gamma_grad(jnp.ones_like(logits), logits)


def test_an_operation_that_a_format_does_not_have_is_named(tmp_path):
    model = Unusual(3)
    variables = model.init(networks.key(), networks.pictures(1, SIDE))
    with pytest.raises(UserError, match=r"onnx cannot hold.*stablehlo"):
        onnx_file.write(of(model, jax.tree.map(np.asarray, variables)), tmp_path / "m.onnx")
