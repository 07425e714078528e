"""All known models. Each is a few nodes, so that its answer is beyond doubt."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tidegate_conformance.datatypes import Datatype
from tidegate_conformance.models.known import Feeds, KnownModel, Spec

_ONNX: Final[dict[Datatype, int]] = {
    Datatype.BOOL: TensorProto.BOOL,
    Datatype.UINT8: TensorProto.UINT8,
    Datatype.UINT16: TensorProto.UINT16,
    Datatype.UINT32: TensorProto.UINT32,
    Datatype.UINT64: TensorProto.UINT64,
    Datatype.INT8: TensorProto.INT8,
    Datatype.INT16: TensorProto.INT16,
    Datatype.INT32: TensorProto.INT32,
    Datatype.INT64: TensorProto.INT64,
    Datatype.FP16: TensorProto.FLOAT16,
    Datatype.BF16: TensorProto.BFLOAT16,
    Datatype.FP32: TensorProto.FLOAT,
    Datatype.FP64: TensorProto.DOUBLE,
    Datatype.BYTES: TensorProto.STRING,
}


def _graph(
    inputs: tuple[Spec, ...],
    outputs: tuple[Spec, ...],
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
) -> onnx.ModelProto:
    def declared(specs: tuple[Spec, ...]) -> list[onnx.ValueInfoProto]:
        # The first free dimension has one name everywhere, or no server could know that rows go in and come out.
        return [
            helper.make_tensor_value_info(
                spec.name,
                _ONNX[spec.datatype],
                [f"d{axis}" if size == -1 else size for axis, size in enumerate(spec.shape)],
            )
            for spec in specs
        ]

    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "graph", declared(inputs), declared(outputs), initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _identity(datatype: Datatype) -> KnownModel:
    inputs, outputs = (Spec("x", datatype, (-1, 4)),), (Spec("y", datatype, (-1, 4)),)
    build = partial(_graph, inputs, outputs, [helper.make_node("Identity", ["x"], ["y"])])
    name = f"identity_{datatype.value.lower()}"
    return KnownModel(name, inputs, outputs, {"1": lambda feeds: {"y": feeds["x"]}}, {"1": build})


def _add_sub(name: str, datatype: Datatype, shape: tuple[int, ...]) -> KnownModel:
    inputs = Spec("a", datatype, shape), Spec("b", datatype, shape)
    outputs = Spec("sum", datatype, shape), Spec("difference", datatype, shape)
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])]

    def answer(feeds: Feeds) -> Feeds:
        # Whole numbers wrap around in ONNX Runtime as in numpy.
        return {"sum": feeds["a"] + feeds["b"], "difference": feeds["a"] - feeds["b"]}

    return KnownModel(name, inputs, outputs, {"1": answer}, {"1": partial(_graph, inputs, outputs, nodes)})


def _rows() -> KnownModel:
    inputs, outputs = (Spec("x", Datatype.FP32, (-1, 4)),), (Spec("y", Datatype.FP32, (-1, 4)),)
    nodes = [helper.make_node("Mul", ["x", "two"], ["m"]), helper.make_node("Add", ["m", "one"], ["y"])]
    constants = {"two": np.float32(2), "one": np.float32(1)}
    build = partial(_graph, inputs, outputs, nodes, constants)
    return KnownModel(
        "rows", inputs, outputs, {"1": lambda feeds: {"y": feeds["x"] * np.float32(2) + np.float32(1)}}, {"1": build}
    )


def _rank(rank: int) -> KnownModel:
    shape = tuple(range(2, 2 + rank))
    inputs, outputs = (Spec("x", Datatype.FP32, shape),), (Spec("y", Datatype.FP32, shape),)
    build = partial(_graph, inputs, outputs, [helper.make_node("Neg", ["x"], ["y"])])
    return KnownModel(f"rank{rank}", inputs, outputs, {"1": lambda feeds: {"y": -feeds["x"]}}, {"1": build})


def _versioned() -> KnownModel:
    inputs, outputs = (Spec("x", Datatype.FP32, (-1, 4)),), (Spec("y", Datatype.FP32, (-1, 4)),)

    def build(factor: int) -> Callable[[], onnx.ModelProto]:
        node = helper.make_node("Mul", ["x", "factor"], ["y"])
        return partial(_graph, inputs, outputs, [node], {"factor": np.float32(factor)})

    def answer(factor: int) -> Callable[[Feeds], Feeds]:
        return lambda feeds: {"y": feeds["x"] * np.float32(factor)}

    factors = {"1": 2, "2": 3}
    return KnownModel(
        "versioned",
        inputs,
        outputs,
        {version: answer(factor) for version, factor in factors.items()},
        {version: build(factor) for version, factor in factors.items()},
    )


def _counting() -> KnownModel:
    """Counts to n one by one, about a million a second: something that takes time."""
    inputs, outputs = (Spec("n", Datatype.INT64, (1,)),), (Spec("y", Datatype.INT64, (1,)),)

    def build() -> onnx.ModelProto:
        body = helper.make_graph(
            [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["count", "step"], ["counted"])],
            "body",
            [
                helper.make_tensor_value_info("i", TensorProto.INT64, []),
                helper.make_tensor_value_info("go", TensorProto.BOOL, []),
                helper.make_tensor_value_info("count", TensorProto.INT64, [1]),
            ],
            [
                helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("counted", TensorProto.INT64, [1]),
            ],
        )
        nodes = [
            helper.make_node("Squeeze", ["n"], ["trips"]),
            helper.make_node("Loop", ["trips", "true", "start"], ["y"], body=body),
        ]
        constants = {"true": np.array(True), "start": np.zeros(1, np.int64), "step": np.ones(1, np.int64)}
        return _graph(inputs, outputs, nodes, constants)

    return KnownModel("counting", inputs, outputs, {"1": lambda feeds: {"y": feeds["n"]}}, {"1": build})


def _catalogue() -> list[KnownModel]:
    return [
        _add_sub("add_sub", Datatype.FP32, (2, 4)),
        _add_sub("add_sub_free", Datatype.INT32, (-1, -1)),
        _rows(),
        _versioned(),
        _counting(),
        *map(_rank, range(6)),
        *map(_identity, Datatype),
    ]


KNOWN: Final[dict[str, KnownModel]] = {model.name: model for model in _catalogue()}
