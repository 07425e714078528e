"""A model repository on disk, and how a runtime that serves it is asked."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SECONDS = 60.0


def times(factor: float) -> onnx.ModelProto:
    """y = factor · x on rows of two numbers."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy")
    constant = numpy_helper.from_array(np.array(factor, np.float32), "factor")
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    graph = helper.make_graph([node], "graph", [x], [y], [constant])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


class Repository:
    """A model repository on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, version: int, model: onnx.ModelProto | bytes, config: str | None = None) -> None:
        folder = self.root / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        content = model if isinstance(model, bytes) else model.SerializeToString()
        (folder / "model.onnx").write_bytes(content)
        if config is not None:
            (self.root / name / "config.pbtxt").write_text(config)

    def remove(self, name: str, version: int | None = None) -> None:
        shutil.rmtree(self.root / name / (str(version) if version else ""))


def body(*rows: float) -> dict[str, Any]:
    data = [number for row in rows for number in (row, -row)]
    return {"inputs": [{"name": "x", "shape": [len(rows), 2], "datatype": "FP32", "data": data}]}


def first(answer: httpx2.Response) -> float:
    assert answer.status_code == 200, answer.text
    return float(answer.json()["outputs"][0]["data"][0])


def post(process: Any, path: str, content: Any = None, **options: Any) -> httpx2.Response:
    return httpx2.post(process.admin_url(path), json=content if content is not None else {}, timeout=60, **options)


def index(process: Any, **content: Any) -> dict[tuple[str, str], tuple[str, str]]:
    entries = post(process, "/v2/repository/index", content).json()
    return {(each["name"], each.get("version", "")): (each["state"], each.get("reason", "")) for each in entries}


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it never came true"


def logged(process: Any, message: str) -> list[dict[str, Any]]:
    """The log's lines with that message; that all lines are JSON is part of what is tested."""
    lines = [json.loads(line) for line in process.log.read_text().splitlines()]
    return [line for line in lines if line["message"] == message]
