"""Joins both ends of a network, and its means over a picture, to the layout between them.

Between the first convolution and the last mean an ONNX graph is in channels first, (B, C, H, W),
and runtimes keep it in a layout of their own there. JAX has (B, H, W, C): what stands outside, or
leaves it for a moment, costs more than it computes.
"""

import numpy as np
from onnx import ModelProto, NodeProto, helper

from bcjax.exports.onnx_editing import Graph, shapes_of

_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
_AFFINE = ("Add", "Div", "Mul", "Sub")
_ELEMENTWISE = ("Add", "Clip", "Erf", "Mul", "Relu", "Sigmoid", "Sqrt", "Tanh")


def join(model: ModelProto) -> None:
    """Changes a graph so that it leaves channels first as seldom as can be."""
    _normalise_channels_first(model)
    _pool_within(model)
    _pool_at_the_end(model)
    del model.graph.value_info[:]  # shapes, some of which hold no more


def _normalise_channels_first(model: ModelProto) -> None:
    """Turns the picture while it is uint8, and makes one Mul and one Add of the normalisation.

    Over (B, H, W, 3) each operation would go through the picture in steps of three numbers.
    """
    graph = Graph(model)
    value, scale, shift = graph.graph.input[0].name, np.ones(3), np.zeros(3)
    chain: list[NodeProto] = []
    while len(readers := graph.readers_of(value)) == 1:
        (node,) = readers
        chain.append(node)
        if node.op_type == "Transpose":
            break
        constant = graph.array(node.input[1]) if node.op_type in _AFFINE else None
        known = constant is not None and constant.size in (1, 3) and node.input[0] == value
        if node.op_type != "Cast" and not known:
            return
        if constant is not None:
            factor = constant.astype(np.float64).reshape(-1)
            if node.op_type in ("Mul", "Div"):
                factor = 1 / factor if node.op_type == "Div" else factor
                scale, shift = scale * factor, shift * factor
            else:
                shift = shift + (factor if node.op_type == "Add" else -factor)
        value = node.output[0]
    if not chain or graph.attribute(chain[-1], "perm") != _TO_FIRST or chain[0].op_type != "Cast":
        return
    start, end = chain[0].input[0], chain[-1].output[0]
    places = [each.astype(np.float32).reshape(1, 3, 1, 1) for each in (scale, shift)]
    made = [
        helper.make_node("Transpose", [start], ["turned"], name="turn", perm=_TO_FIRST),
        helper.make_node("Cast", ["turned"], ["numbers"], name="cast", to=1),
        helper.make_node(
            "Mul", ["numbers", graph.add("scale", places[0])], ["scaled"], name="scale"
        ),
        helper.make_node("Add", ["scaled", graph.add("shift", places[1])], [end], name="shift"),
    ]
    for node in chain:
        graph.graph.node.remove(node)
    for place, node in enumerate(made):
        graph.graph.node.insert(place, node)
    graph.sweep()


def _pool_within(model: ModelProto) -> None:
    """Makes GlobalAveragePool of a mean that is a (B, 1, 1, C) for a moment, as in SE blocks."""
    graph, shapes = Graph(model), shapes_of(model)
    for node in graph.graph.node:
        if node.op_type != "Transpose" or graph.attribute(node, "perm") != _TO_FIRST:
            continue
        share, between, total = graph.above(node, "Div", "Reshape", "ReduceSum")
        if share is None or between is None or total is None:
            continue
        axes, shape = graph.array(total.input[1]), shapes.get(total.input[0], [])
        if axes is None or list(axes) != [2, 3] or len(shape) != 4:
            continue
        if graph.number(share.input[1]) == shape[2] * shape[3] > 0:
            graph.replace(node, "GlobalAveragePool", [total.input[0]])
    graph.sweep()


def _pool_at_the_end(model: ModelProto) -> None:
    """Computes what stands between the last convolutions and the mean in channels first, too."""
    graph, shapes = Graph(model), shapes_of(model)
    for mean in graph.graph.node:
        axes = graph.array(mean.input[1]) if mean.op_type in ("ReduceMean", "ReduceSum") else None
        if axes is None or list(axes) != [1, 2] or graph.attribute(mean, "keepdims", 1):
            continue
        of_one = shapes.get(mean.input[0], [])[1:3] == [1, 1]
        between = _back_to_turns(graph, mean)
        if not between or not (mean.op_type == "ReduceMean" or of_one):
            continue
        for node in between:
            _turn(graph, node)
        pooled = f"{mean.output[0]}_pooled"
        before = graph.maker.get(mean.input[0])
        within = before.input[0] if before in between and _is_turn(graph, before) else None
        pool = helper.make_node(
            "GlobalAveragePool", [within or mean.input[0]], [pooled], name=pooled
        )
        graph.graph.node.insert(list(graph.graph.node).index(mean), pool)
        graph.replace(mean, "Flatten", [pooled], axis=1)
        break
    graph.sweep()


def _back_to_turns(graph: Graph, mean: NodeProto) -> list[NodeProto]:
    """Returns the operations between a mean and the Transposes that it is of, and these.

    None are returned if others read them, or one of them is not about each number alone.
    """
    found: list[NodeProto] = []
    waiting = [mean.input[0]]
    while waiting:
        name = waiting.pop()
        maker = graph.maker.get(name)
        if name in graph.constants or maker in found:
            continue
        if maker is None:
            return []
        found.append(maker)
        if not _is_turn(graph, maker):
            joins = maker.op_type == "Concat" and graph.attribute(maker, "axis") in (3, -1)
            if maker.op_type not in _ELEMENTWISE and not joins:
                return []
            waiting += maker.input
    outputs = {name for node in found for name in node.output}
    among = [*found, mean]
    others = [n for n in graph.graph.node if n not in among and outputs.intersection(n.input)]
    return [] if others else found


def _is_turn(graph: Graph, node: NodeProto) -> bool:
    return node.op_type == "Transpose" and graph.attribute(node, "perm") == _TO_LAST


def _turn(graph: Graph, node: NodeProto) -> None:
    """Makes an operation one of channels first: of what its Transposes are of."""
    if _is_turn(graph, node):
        return
    for place, name in enumerate(node.input):
        maker, constant = graph.maker.get(name), graph.array(name)
        if maker is not None and _is_turn(graph, maker):
            node.input[place] = maker.input[0]
        elif constant is not None and constant.size > 1:
            turned = constant.reshape(-1, 1, 1)
            node.input[place] = graph.add(f"{name}_channels_first", turned)
    for attribute in node.attribute:
        if attribute.name == "axis":
            attribute.i = 1
