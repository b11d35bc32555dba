"""Simplifies an ONNX graph: constants computed, layouts joined, activations by their names."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxslim
from onnx import ModelProto, NodeProto, helper, numpy_helper

# What broadcasts by itself, so that an Expand before it does nothing.
_BROADCASTING = ("Add", "Sub", "Mul", "Div", "Max", "Min")


def simplified(model: ModelProto) -> ModelProto:
    """Returns a graph with the same results up to rounding, and fewer nodes."""
    model = onnxslim.slim(model)
    _name_clips(model)
    _drop_expansions(model)
    model = _by_runtime(model)
    _name_means(model)
    return model


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


class _Graph:
    """A graph's constants and the nodes that make and read each value."""

    def __init__(self, model: ModelProto):
        self.graph = model.graph
        self.constants = {each.name: each for each in self.graph.initializer}
        self.maker = {name: node for node in self.graph.node for name in node.output}
        self.readers = Counter(name for node in self.graph.node for name in node.input)
        self.readers.update(each.name for each in self.graph.output)

    def number(self, name: str) -> float | None:
        """Returns the value of a constant that is one number, or None."""
        if name not in self.constants:
            return None
        value = numpy_helper.to_array(self.constants[name])
        return float(value.reshape(-1)[0]) if value.size == 1 else None

    def split(self, node: NodeProto) -> tuple[str, float] | None:
        """Returns the variable and the number that a node of two inputs has, or None."""
        for value, constant in (node.input, node.input[::-1]):
            if (number := self.number(constant)) is not None and value not in self.constants:
                return value, number
        return None

    def replace(self, node: NodeProto, op: str, inputs: list[str], **attributes: Any) -> None:
        """Makes another operation of a node, with the same name and output."""
        new = helper.make_node(op, inputs, list(node.output), name=node.name, **attributes)
        node.CopyFrom(new)

    def add(self, name: str, value: np.ndarray) -> str:
        """Adds a constant and returns its name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(value, name)
            self.graph.initializer.append(self.constants[name])
        return name

    def sweep(self) -> None:
        """Takes out what nobody reads any more."""
        while True:
            read = {name for node in self.graph.node for name in node.input}
            read |= {each.name for each in self.graph.output}
            dead = [node for node in self.graph.node if not read.intersection(node.output)]
            if not dead:
                break
            for node in dead:
                self.graph.node.remove(node)
        for constant in [each for each in self.graph.initializer if each.name not in read]:
            self.graph.initializer.remove(constant)


def _name_clips(model: ModelProto) -> None:
    """Makes Relu of max(x, 0), and Clip of min(max(x, 0), 6), which runtimes join to a Conv."""
    graph = _Graph(model)
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
    graph = _Graph(model)
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
    graph = _Graph(model)
    known = onnx.shape_inference.infer_shapes(model)
    shapes = {
        each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in (*known.graph.value_info, *known.graph.input)
    }
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
