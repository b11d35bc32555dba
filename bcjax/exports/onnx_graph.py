"""Simplifies an ONNX graph: constants computed, layouts joined, activations by their names."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import ModelProto, numpy_helper

from bcjax.exports import onnx_layout
from bcjax.exports.onnx_editing import Graph, shapes_of

# What broadcasts by itself, so that an Expand before it does nothing.
_BROADCASTING = ("Add", "Sub", "Mul", "Div", "Max", "Min")


def simplified(model: ModelProto) -> ModelProto:
    """Returns a graph with the same results up to rounding, and fewer nodes."""
    model = onnxslim.slim(model)
    _name_clips(model)
    _drop_expansions(model)
    model = _by_runtime(model)
    _name_means(model)
    onnx_layout.join(model)
    return _by_runtime(model)


def _by_runtime(model: ModelProto) -> ModelProto:
    """Lets ONNX Runtime do what it does to any file before it runs, with standard operators."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Beyond "basic" there are operators of its own, and layouts of this processor.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        found = onnx.load(path)
    used = {node.domain for node in found.graph.node}
    kept = [each for each in found.opset_import if each.domain in used]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    return found


def _name_clips(model: ModelProto) -> None:
    """Makes Relu of max(x, 0), and Clip of min(max(x, 0), 6), which runtimes join to a Conv."""
    graph = Graph(model)
    for node in graph.graph.node:
        if node.op_type == "Max" and len(node.input) == 2:
            found = graph.split(node)
            if found and found[1] == 0:
                graph.replace(node, "Relu", [found[0]])
    for node in graph.graph.node:
        if node.op_type != "Min" or len(node.input) != 2:
            continue
        found = graph.split(node)
        maker = graph.maker.get(found[0]) if found else None
        if found and maker is not None and maker.op_type == "Relu":
            low = graph.add("clip_low", np.array(0, np.float32))
            high = graph.add(f"clip_high_{found[1]:g}", np.array(found[1], np.float32))
            graph.replace(node, "Clip", [maker.input[0], low, high])
    graph.sweep()


def _drop_expansions(model: ModelProto) -> None:
    """Takes out what only repeats a value for an operation that broadcasts by itself.

    Only an Expand that keeps the rank goes: one that adds axes says where they are.
    """
    graph = Graph(model)
    ranks = {
        each.name: len(each.type.tensor_type.shape.dim)
        for each in (*graph.graph.value_info, *graph.graph.input)
        if each.type.tensor_type.HasField("shape")
    }
    for node in graph.graph.node:
        if node.op_type not in _BROADCASTING or len(node.input) != 2:
            continue
        for place, other in ((0, 1), (1, 0)):
            maker = graph.maker.get(node.input[place])
            if maker is None or maker.op_type != "Expand":
                continue
            before = maker.input[0]
            same = ranks.get(before) == ranks.get(node.input[place]) is not None
            full = graph.maker.get(node.input[other])
            if same and (full is None or full.op_type != "Expand"):
                node.input[place] = before
    graph.sweep()


def _name_means(model: ModelProto) -> None:
    """Makes ReduceMean of a sum that is divided by the number of what was added."""
    graph, shapes = Graph(model), shapes_of(model)
    for node in graph.graph.node:
        if node.op_type != "Div":
            continue
        value, divisor = node.input[0], graph.number(node.input[1])
        total = graph.maker.get(value)
        if total is None or total.op_type != "ReduceSum" or graph.readers[value] > 1:
            continue
        axes = total.input[1] if len(total.input) > 1 else ""
        shape = shapes.get(total.input[0])
        if axes not in graph.constants or not shape:
            continue
        sides = [shape[axis] for axis in numpy_helper.to_array(graph.constants[axes])]
        if np.prod(sides) == divisor:
            keep = next((a.i for a in total.attribute if a.name == "keepdims"), 1)
            graph.replace(node, "ReduceMean", [total.input[0], axes], keepdims=keep)
    graph.sweep()
