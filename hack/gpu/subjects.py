"""The models that are tried, as files: the known ones of the conformance tool, and two of the benchmark's."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from bench.models import MODELS, TOKENS, VOCABULARY, Rows
from tidegate_conformance.models.catalogue import KNOWN
from tidegate_conformance.models.known import Feeds, KnownModel


def known(folder: Path) -> Iterator[tuple[str, Path, Callable[[int], Feeds]]]:
    """Name, file and inputs by seed of each known model's versions."""
    for model in KNOWN.values():
        for version, build in model.graphs.items():
            path = folder / f"{model.name}-{version}.onnx"
            onnx.save(build(), path)
            yield f"{model.name} {version}", path, partial(_example, model)


def _example(model: KnownModel, seed: int) -> Feeds:
    # Of the one that counts to its input in a loop, any number would do, but not in a lifetime.
    return {"n": np.array([seed])} if "n" in {spec.name for spec in model.inputs} else model.example(seed, seed + 1)


def benched(name: str, folder: Path, tokens: int) -> tuple[Path, Callable[[int], Rows]]:
    """A model of the benchmark, "tabular" or "minilm", and rows for it; all sizes but the batch's are fixed."""
    path = folder / f"{name}.onnx"
    model = onnx.load_from_string(MODELS[name].build())
    for given in model.graph.input:
        for axis, size in enumerate(given.type.tensor_type.shape.dim):
            if axis > 0 and size.dim_param:
                size.dim_value = tokens
    onnx.save(model, path)
    return path, partial(_texts, tokens) if name == "minilm" else partial(_drawn, name)


def _drawn(name: str, rows: int) -> Rows:
    return MODELS[name].rows(np.random.default_rng(rows), rows)


def _texts(length: int, rows: int) -> Rows:
    ids = np.random.default_rng(rows).integers(1000, VOCABULARY, (rows, length))
    return dict(zip(TOKENS, (ids, np.ones_like(ids)), strict=True))


def greedy(folder: Path) -> Path:
    """A model that needs `A`² floats twice for `A` floats a row."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["m"]),
        helper.make_node("Exp", ["m"], ["e"]),
        helper.make_node("ReduceMax", ["e", "axes"], ["y"], keepdims=0),
    ]
    axes = onnx.numpy_helper.from_array(np.array([1, 2]), "axes")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "A", 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])
    graph = helper.make_graph(nodes, "greedy", [x], [y], [axes])
    path = folder / "greedy.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path
