"""Reads and changes the nodes and constants of an ONNX graph."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper


def shapes_of(model: ModelProto) -> dict[str, list[int]]:
    """Returns the shape of each value, with 0 for what is not known before it runs."""
    known = onnx.shape_inference.infer_shapes(model)
    return {
        each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in (*known.graph.value_info, *known.graph.input)
    }


class Graph:
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

    def array(self, name: str) -> np.ndarray | None:
        """Returns the value of a constant, or None."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def split(self, node: NodeProto) -> tuple[str, float] | None:
        """Returns the variable and the number that a node of two inputs has, or None."""
        for value, constant in (node.input, node.input[::-1]):
            if (number := self.number(constant)) is not None and value not in self.constants:
                return value, number
        return None

    def attribute(self, node: NodeProto, name: str, default: Any = None) -> Any:
        """Returns an attribute of a node."""
        found = (helper.get_attribute_value(a) for a in node.attribute if a.name == name)
        return next(found, default)

    def above(self, node: NodeProto, *kinds: str) -> tuple[NodeProto | None, ...]:
        """Returns what made a node's first input, and so on; None where it is of another kind."""
        found: list[NodeProto | None] = []
        for kind in kinds:
            last = found[-1] if found else node
            maker = None if last is None else self.maker.get(last.input[0])
            found.append(maker if maker is not None and maker.op_type == kind else None)
        return tuple(found)

    def readers_of(self, name: str) -> list[NodeProto]:
        """Returns the nodes that read a value."""
        return [node for node in self.graph.node if name in node.input]

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
