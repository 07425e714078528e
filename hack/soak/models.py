"""What is served, and what each model makes of its input."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STEPS: Final = 200
"""Of the model that counts: long enough that it isn't run on the server's event loop."""


@dataclass(frozen=True)
class Model:
    """One that is served. `columns` draws the size of a row; `draw` a value, `answer` what comes of it."""

    name: str
    datatype: str
    columns: Callable[[Random], int]
    draw: Callable[[Random], Any]
    answer: Callable[[Any], Any]


MODELS: Final[Mapping[str, Model]] = {
    model.name: model
    for model in (
        Model("double", "FP32", lambda random: 4, lambda random: float(random.randrange(-999, 1000)), lambda x: 2 * x),
        Model(
            "negate",
            "INT64",
            lambda random: random.choice((1, 2, 3, 5, 8, 13, 21, 200)),
            lambda random: random.randrange(-(2**60), 2**60),
            lambda x: -x,
        ),
        Model(
            "count", "FP32", lambda random: 2, lambda random: float(random.randrange(-999, 1000)), lambda x: x + STEPS
        ),
        Model("text", "BYTES", lambda random: 1, lambda random: f"é{random.randrange(10**9)}", lambda x: x),
    )
}
_KINDS: Final = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64, "BYTES": TensorProto.STRING}


def store(root: Path, version: str = "1") -> None:
    """Writes a model repository, of models of one version."""
    _put(root, version, "double", [helper.make_node("Add", ["x", "x"], ["y"])], 4)
    _put(root, version, "negate", [helper.make_node("Neg", ["x"], ["y"])], "K")
    _put(root, version, "text", [helper.make_node("Identity", ["x"], ["y"])], 1)
    _put(root, version, "count", [helper.make_node("Loop", ["steps", "true", "x"], ["y"], body=_body())], 2)


def _body() -> onnx.GraphProto:
    info = helper.make_tensor_value_info
    return helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["value", "one"], ["next"])],
        "body",
        [
            info("i", TensorProto.INT64, []),
            info("go", TensorProto.BOOL, []),
            info("value", TensorProto.FLOAT, ["N", 2]),
        ],
        [info("go_on", TensorProto.BOOL, []), info("next", TensorProto.FLOAT, ["N", 2])],
    )


def _put(root: Path, version: str, name: str, nodes: list[onnx.NodeProto], columns: int | str) -> None:
    kind = _KINDS[MODELS[name].datatype]
    constants = {"steps": np.array(STEPS), "true": np.array(True), "one": np.array(1, np.float32)}
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", kind, ["N", columns])],
        [helper.make_tensor_value_info("y", kind, ["N", columns])],
        [numpy_helper.from_array(value, key) for key, value in constants.items()] if name == "count" else [],
    )
    folder = root / name / version
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), folder / "model.onnx"
    )
