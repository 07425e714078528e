"""The two models: one that costs next to nothing, and one of several milliseconds."""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bench.models import MODELS, Model, Rows

WIDTH: Final = 1024
PRODUCTS: Final = 24


def _rows(random: np.random.Generator, count: int) -> Rows:
    return {"x": random.normal(size=(count, 16)).astype(np.float32)}


def _slow() -> bytes:
    """A chain of products with one matrix, which stays in the processor's cache."""
    random = np.random.default_rng(5)
    constants = {
        "first": random.normal(0, 0.25, (16, WIDTH)),
        "middle": random.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)),
        "last": random.normal(0, WIDTH**-0.5, (WIDTH, 3)),
    }
    nodes = [helper.make_node("MatMul", ["x", "first"], ["h0"])]
    nodes += [helper.make_node("MatMul", [f"h{step}", "middle"], [f"h{step + 1}"]) for step in range(PRODUCTS)]
    nodes.append(helper.make_node("MatMul", [f"h{PRODUCTS}", "last"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8).SerializeToString()


TWO: Final = {"tiny": MODELS["tabular"], "slow": Model(f"slow-{PRODUCTS}", _slow, _rows, absolute=1e-3, relative=1e-2)}
