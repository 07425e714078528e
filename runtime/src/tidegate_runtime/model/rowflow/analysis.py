"""The walk through a graph: each operator's outputs from its inputs, until every output of the model is known."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import onnx
from onnx import inliner, numpy_helper

from tidegate_runtime.model.rowflow import axes, classical, elementwise, products, shapes
from tidegate_runtime.model.rowflow.arithmetic import without_rows
from tidegate_runtime.model.rowflow.node import RULES, Node
from tidegate_runtime.model.rowflow.values import BATCH, SMALL, Dim, Dims, Fixed, Rows, Unproved, Value, fresh
from tidegate_runtime.tensors import declared_size

__all__ = ["axes", "classical", "elementwise", "follow", "products", "shapes"]

_RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


def follow(model: onnx.ModelProto) -> None:
    """Returns if the rows of a batch stay apart on the way from every input to every output; else raises `Unproved`.

    `model` is changed: functions are inlined, and large constants lose their values, which nothing here needs.
    """
    model = _prepared(model)
    graph = model.graph
    opsets = {imported.domain or "": imported.version for imported in model.opset_import}
    inferred = {info.name: _dims(info) for info in (*graph.value_info, *graph.input, *graph.output)}
    known: dict[str, Value] = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    known |= {info.name: _input(info) for info in graph.input if info.name not in known}
    for proto in graph.node:
        node = Node(
            proto,
            tuple(_look_up(known, name) if name else None for name in proto.input),
            tuple(inferred.get(name) for name in proto.output),
            opsets.get("", 1),
        )
        try:
            outputs = _outputs(node)
        except Unproved as why:
            raise Unproved(f"{proto.op_type} {_shown(proto)}: {why}") from None
        known |= {name: value for name, value in zip(proto.output, outputs, strict=False) if name}
    for info in graph.output:
        value = _look_up(known, info.name)
        if not isinstance(value, Rows) or value.lead != Dim(1, (BATCH,)):
            raise Unproved(f'output "{info.name}" does not have one row per input row')


def forget_weights(model: onnx.ModelProto) -> None:
    """Takes the values out of large constants, which nothing here needs."""
    for tensor in model.graph.initializer:
        if int(np.prod(tensor.dims)) > SMALL:
            name, data_type, dims = tensor.name, tensor.data_type, list(tensor.dims)
            tensor.Clear()
            tensor.name, tensor.data_type = name, data_type
            tensor.dims.extend(dims)


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    if model.functions:
        model = inliner.inline_local_functions(model)
    forget_weights(model)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _outputs(node: Node) -> Sequence[Value]:
    proto = node.proto
    if proto.op_type in _RANDOM:
        raise Unproved("answers are random")
    if any(attribute.HasField("g") or attribute.graphs for attribute in proto.attribute):
        raise Unproved("control flow is not followed")
    if proto.op_type == "Constant" and not proto.domain:
        return [_constant_node(node)]
    if not any(isinstance(value, Rows) for value in node.inputs):
        return without_rows(node)
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    rule = RULES.get((domain, proto.op_type))
    if rule is None:
        raise Unproved("not known to keep the rows of a batch apart")
    return rule(node)


def _input(info: onnx.ValueInfoProto) -> Rows:
    dims = info.type.tensor_type.shape.dim
    if not info.type.tensor_type.HasField("shape") or not dims:
        raise Unproved(f'input "{info.name}" has no leading dimension')
    lead, *tail = map(_size, dims)
    if isinstance(lead, int):
        raise Unproved(f'input "{info.name}" has a fixed leading dimension of {lead}')
    if lead and lead in tail:
        raise Unproved(f'input "{info.name}" has the batch\'s dimension twice')
    return Rows(Dim(1, (BATCH,)), tuple(map(_dim, dims[1:])))


def _constant(tensor: onnx.TensorProto) -> Fixed:
    dims = tuple(Dim(size) for size in tensor.dims)
    small = int(np.prod(tensor.dims)) <= SMALL and tensor.data_location != onnx.TensorProto.EXTERNAL
    return Fixed(dims, numpy_helper.to_array(tensor) if small else None)


def _constant_node(node: Node) -> Fixed:
    value = node.attribute("value")
    if isinstance(value, onnx.TensorProto):
        return _constant(value)
    for name in ("value_int", "value_ints", "value_float", "value_floats"):
        value = node.attribute(name)
        if value is not None:
            array = np.asarray(value)
            return Fixed(tuple(Dim(size) for size in array.shape), array if array.size <= SMALL else None)
    return Fixed(node.inferred[0])


def _dims(info: onnx.ValueInfoProto) -> Dims | None:
    tensor = info.type.tensor_type
    return tuple(_dim(dim) for dim in tensor.shape.dim) if tensor.HasField("shape") else None


def _dim(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    size = _size(dim)
    if isinstance(size, int):
        return Dim(size)
    return Dim(1, (size,)) if size else fresh()


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | str:
    return declared_size(dim.dim_value if dim.HasField("dim_value") else dim.dim_param)


def _look_up(known: dict[str, Value], name: str) -> Value:
    if name not in known:
        raise Unproved(f'"{name}" is not computed by a known operator')
    return known[name]


def _shown(proto: onnx.NodeProto) -> str:
    name = proto.name or (proto.output[0] if proto.output else "")
    return f'"{name[:80]}"'
