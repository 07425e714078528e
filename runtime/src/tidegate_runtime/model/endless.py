"""Loops of which the graph itself shows that they never end. Pure.

Such a model would be found out by its warm-up alone, where a run that goes on can't be told from a slow one. Only what
is certain is refused. A loop whose end depends on numbers is left to the warm-up, which has less patience with it.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import onnx
from onnx import numpy_helper

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.explanation import printable
from tidegate_runtime.naming import Reason

ENDLESS_TRIPS: Final = 10**11
"""More than a day of the quickest steps, a million a second."""

FEW_TRIPS: Final = 10**6
"""So many of the quickest steps take a second."""

_OF_SIZES: Final = frozenset({"Shape", "Size"})
_KEEPS_SIZES: Final = frozenset(
    {"Add", "Cast", "Concat", "Div", "Gather", "Identity", "Max", "Min", "Mul", "ReduceMax", "ReduceProd", "Reshape"}
    | {"Slice", "Squeeze", "Sub", "Unsqueeze"}
)

Constants = Mapping[str, onnx.TensorProto]


def refuse_endless(model: onnx.ModelProto) -> None:
    """Raises `StartupFailure` for a loop that every run reaches and none leaves."""
    graph = model.graph
    constants = _constants(graph, {})
    for node in _needed(graph):
        if node.op_type == "Loop" and node.domain in {"", "ai.onnx"} and _is_endless(node, constants):
            name = printable(node.name or node.output[0], 64)
            raise StartupFailure(
                Reason.MODEL_INVALID,
                f'the loop "{name}" never ends: its condition is always true, and nothing bounds its steps; '
                "export the model with a trip count, or with a condition that its body computes",
            )


def doubtful_loop(model: onnx.ModelProto) -> str | None:
    """The name of a loop of which the graph doesn't show that it ends soon; None if there is none.

    Shown is a trip count that is a constant up to a million, or computed from nothing but sizes and constants.
    """
    graphs: list[tuple[Iterable[onnx.NodeProto], set[str]]] = [
        (_needed(model.graph), _bounds(model.graph, _defaults(model.graph))),
        *((function.node, set()) for function in model.functions),
    ]
    while graphs:
        nodes, bounded = graphs.pop()
        for node in nodes:
            if node.op_type == "Loop" and node.domain in {"", "ai.onnx"} and [*node.input, ""][0] not in bounded:
                return printable(node.name or node.output[0], 64)
            graphs += [
                (inner.g.node, _bounds(inner.g, bounded - _inputs(inner.g)))
                for inner in node.attribute
                if inner.HasField("g")
            ]
    return None


def _defaults(graph: onnx.GraphProto) -> set[str]:
    """Inputs that have a value which bounds a loop; up to IR version 3 every initializer had to be an input, too."""
    given = _inputs(graph)
    return {tensor.name for tensor in graph.initializer if tensor.name in given and not _is_beyond(tensor, FEW_TRIPS)}


def _bounds(graph: onnx.GraphProto, known: Iterable[str] = ()) -> set[str]:
    """The names of what is a constant that bounds a loop, or computed from sizes and constants, and `known` ones."""
    constants = _constants(graph, {})
    bounded = set(known)
    bounded.update(name for name, tensor in constants.items() if not _is_beyond(tensor, FEW_TRIPS))
    for node in graph.node:
        if node.op_type in _OF_SIZES or (node.op_type in _KEEPS_SIZES and bounded.issuperset(filter(None, node.input))):
            bounded.update(node.output)
    return bounded


def _is_endless(node: onnx.NodeProto, constants: Constants) -> bool:
    trips, condition, *_ = [*node.input, "", ""]
    if trips and not _is_beyond(constants.get(trips), ENDLESS_TRIPS):
        return False
    body = next(attribute.g for attribute in node.attribute if attribute.name == "body")
    inner = _constants(body, {name: value for name, value in constants.items() if name not in _inputs(body)})
    source = _source(body, body.output[0].name)
    if source == body.input[1].name:
        return not condition or _is_true(constants.get(condition))
    return _is_true(inner.get(source)) and (not condition or _is_true(constants.get(condition)))


def _needed(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    """The nodes that outputs come of; ONNX Runtime takes out the others. Subgraphs may use any name."""
    wanted = {output.name for output in graph.output}
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            for attribute in node.attribute:
                wanted.update(name for inner in attribute.g.node for name in inner.input)
            yield node


def _constants(graph: onnx.GraphProto, outer: Constants) -> Constants:
    """What has the same value in every run, by name, as far as it is written down."""
    constants = dict(outer)
    given = _inputs(graph)
    constants.update((tensor.name, tensor) for tensor in graph.initializer if tensor.name not in given)
    for node in graph.node:
        if node.op_type == "Constant":
            constants.update((node.output[0], tensor) for tensor in map(_written, node.attribute) if tensor is not None)
        elif node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants


def _written(attribute: onnx.AttributeProto) -> onnx.TensorProto | None:
    """What a Constant's attribute says, if it is a tensor or integers."""
    match attribute.name:
        case "value":
            return attribute.t
        case "value_int":
            return numpy_helper.from_array(np.array(attribute.i, np.int64))
        case "value_ints":
            return numpy_helper.from_array(np.array(attribute.ints, np.int64))
    return None


def _inputs(graph: onnx.GraphProto) -> set[str]:
    """What the graph is given; it hides what has the same name outside."""
    return {value.name for value in graph.input}


def _source(graph: onnx.GraphProto, name: str) -> str:
    """The name of what `name` is a copy of."""
    for node in reversed(graph.node):
        if node.op_type == "Identity" and name in node.output:
            name = node.input[0]
    return name


def _is_true(tensor: onnx.TensorProto | None) -> bool:
    return (
        tensor is not None and tensor.data_type == onnx.TensorProto.BOOL and bool(numpy_helper.to_array(tensor).all())
    )


def _is_beyond(tensor: onnx.TensorProto | None, trips: int) -> bool:
    return (
        tensor is not None
        and tensor.data_type == onnx.TensorProto.INT64
        and int(numpy_helper.to_array(tensor).min()) >= trips
    )
