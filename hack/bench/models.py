"""The models that are served: drawn here with fixed seeds, but for the image one, which is a published classifier.

Speed doesn't follow from the values of weights, so the transformer has the shape of all-MiniLM-L6-v2 and random ones:
nothing has to be downloaded, and the same file comes out everywhere.
"""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bench.environments import Unavailable
from bench.paths import UV, cache, digest

# As it was when it was loaded: what is drawn follows from that, whatever is edited meanwhile.
_SOURCE = Path(__file__).read_bytes()

Array = NDArray[Any]
Rows = dict[str, Array]


@dataclass(frozen=True)
class Model:
    """A model, and the requests that it is asked.

    `rows(random, count)` draws `count` requests of one row each, as one array per input. Answers may be off by
    `absolute + relative × |expected|`: batches change the order in which floats are added.
    """

    name: str
    build: Callable[[], bytes]
    rows: Callable[[np.random.Generator, int], Rows]
    absolute: float = 1e-5
    relative: float = 1e-4
    alternating: bool = field(default=False)
    """Whether consecutive requests have different shapes."""

    def path(self) -> Path:
        """The file, made if it isn't there.

        Raises:
            Unavailable: the image model couldn't be had.
        """
        path = cache() / "models" / digest(_SOURCE) / self.name / "model.onnx"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            partial.write_bytes(self.build())
            partial.rename(path)
        return path


class _Graph:
    """Collects nodes and constants; each call of an operator returns the name of its output."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, shape[0] ** -0.5, shape))

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = attributes.pop("name", f"n{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return str(name)

    def dense(self, x: str, wide: int, high: int) -> str:
        return self("Add", self("MatMul", x, self.weight(wide, high)), self.weight(high))

    def normalized(self, x: str, wide: int) -> str:
        return self("LayerNormalization", x, self.constant(np.ones(wide)), self.constant(np.zeros(wide)), axis=-1)

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> bytes:
        graph = helper.make_graph(self.nodes, "bench", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _floats(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])


def _tabular() -> bytes:
    graph = _Graph(1)
    x = graph("Relu", graph.dense("x", 16, 64))
    x = graph("Relu", graph.dense(x, 64, 64))
    graph("Softmax", graph.dense(x, 64, 4), axis=-1, name="y")
    return graph.model([_floats("x", 16)], [_floats("y", 4)])


def _gbdt(trees: int = 100, depth: int = 6) -> bytes:
    """Full binary trees over 16 features; node i's children are 2i+1 and 2i+2."""
    graph = _Graph(2)
    inner, total = 2**depth - 1, 2 ** (depth + 1) - 1
    nodes = [(tree, node) for tree in range(trees) for node in range(total)]
    leaves = [(tree, node) for tree, node in nodes if node >= inner]
    graph(
        "TreeEnsembleRegressor",
        "x",
        name="y",
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[tree for tree, _ in nodes],
        nodes_nodeids=[node for _, node in nodes],
        nodes_featureids=graph.random.integers(0, 16, len(nodes)).tolist(),
        nodes_modes=["LEAF" if node >= inner else "BRANCH_LEQ" for _, node in nodes],
        nodes_values=graph.random.normal(size=len(nodes)).astype(np.float32).tolist(),
        nodes_truenodeids=[2 * node + 1 if node < inner else 0 for _, node in nodes],
        nodes_falsenodeids=[2 * node + 2 if node < inner else 0 for _, node in nodes],
        target_treeids=[tree for tree, _ in leaves],
        target_nodeids=[node for _, node in leaves],
        target_ids=[0] * len(leaves),
        target_weights=graph.random.normal(size=len(leaves)).astype(np.float32).tolist(),
    )
    return graph.model([_floats("x", 16)], [_floats("y", 1)])


VOCABULARY, WIDE, HEADS, INNER, LAYERS, POSITIONS = 30522, 384, 12, 1536, 6, 512


def _minilm() -> bytes:
    graph = _Graph(3)
    mask = graph("Cast", "attention_mask", to=TensorProto.FLOAT)
    length = graph("Gather", graph("Shape", "input_ids"), graph.constant([1], np.int64))
    # As exporters write it: the table of positions is cut to the length of the request.
    places = graph(
        "Slice", graph.weight(POSITIONS, WIDE), graph.constant([0], np.int64), length, graph.constant([0], np.int64)
    )
    words = graph("Gather", graph.constant(graph.random.normal(0, 0.05, (VOCABULARY, WIDE))), "input_ids")
    x = graph.normalized(graph("Add", words, places), WIDE)
    # 0 for a token that counts, -10,000 for padding, over [N, heads, query, key].
    hidden = graph("Mul", graph("Sub", mask, graph.constant(1)), graph.constant(10_000))
    hidden = graph("Unsqueeze", hidden, graph.constant([1, 2], np.int64))
    for _ in range(LAYERS):
        x = graph.normalized(graph("Add", x, _attention(graph, x, hidden)), WIDE)
        gelu = _gelu(graph, graph.dense(x, WIDE, INNER))
        x = graph.normalized(graph("Add", x, graph.dense(gelu, INNER, WIDE)), WIDE)
    weights = graph("Unsqueeze", mask, graph.constant([2], np.int64))
    axis = graph.constant([1], np.int64)
    pooled = graph(
        "Div",
        graph("ReduceSum", graph("Mul", x, weights), axis, keepdims=0),
        # Of a row that is all padding, as sentence-transformers has it.
        graph("Max", graph("ReduceSum", weights, axis, keepdims=0), graph.constant(1e-9)),
    )
    graph("LpNormalization", pooled, axis=-1, p=2, name="embedding")
    ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "S"]) for name in TOKENS]
    return graph.model(ids, [_floats("embedding", WIDE)])


TOKENS = ("input_ids", "attention_mask")


def _attention(graph: _Graph, x: str, hidden: str) -> str:
    shape = graph.constant([0, 0, HEADS, WIDE // HEADS], np.int64)

    def heads(order: list[int]) -> str:
        return graph("Transpose", graph("Reshape", graph.dense(x, WIDE, WIDE), shape), perm=order)

    scores = graph("MatMul", heads([0, 2, 1, 3]), heads([0, 2, 3, 1]))
    scores = graph("Add", graph("Mul", scores, graph.constant((WIDE // HEADS) ** -0.5)), hidden)
    mixed = graph("MatMul", graph("Softmax", scores, axis=-1), heads([0, 2, 1, 3]))
    flat = graph("Transpose", mixed, perm=[0, 2, 1, 3])
    return graph.dense(graph("Reshape", flat, graph.constant([0, 0, WIDE], np.int64)), WIDE, WIDE)


def _gelu(graph: _Graph, x: str) -> str:
    half = graph("Mul", x, graph.constant(0.5))
    return graph("Mul", half, graph("Add", graph("Erf", graph("Mul", x, graph.constant(2**-0.5))), graph.constant(1)))


IMAGE_PACKAGE = "rapidocr-onnxruntime==1.4.4"


def _cnn() -> bytes:
    """The text-direction classifier of a wheel on PyPI, without what the wheel depends on."""
    folder = cache() / "packages" / IMAGE_PACKAGE
    if not folder.exists():
        done = subprocess.run(
            [UV, "pip", "install", "--quiet", "--no-deps", "--target", folder, IMAGE_PACKAGE],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise Unavailable(f"{IMAGE_PACKAGE}: {done.stderr.strip()[-600:]}")
    return next(folder.rglob("*cls*.onnx")).read_bytes()


def _sixteen(random: np.random.Generator, count: int) -> Rows:
    return {"x": random.normal(size=(count, 16)).astype(np.float32).round(6)}


def _tokens(length: int) -> Callable[[np.random.Generator, int], Rows]:
    def draw(random: np.random.Generator, count: int) -> Rows:
        ids = random.integers(1000, VOCABULARY, (count, length))
        return dict(zip(TOKENS, (ids, np.ones_like(ids)), strict=True))

    return draw


def _pixels(random: np.random.Generator, count: int) -> Rows:
    """Eight-bit pixels scaled to [-1, 1], with the three digits that are enough for eight bits."""
    return {"x": (random.integers(0, 256, (count, 3, 48, 192)) / 127.5 - 1).astype(np.float32).round(3)}


MODELS = {
    model.name: model
    for model in (
        Model("tabular", _tabular, _sixteen),
        Model("gbdt", _gbdt, _sixteen, absolute=1e-3),
        Model("minilm", _minilm, _tokens(32), absolute=1e-3),
        Model("minilm-mixed", _minilm, _tokens(32), absolute=1e-3, alternating=True),
        Model("cnn", _cnn, _pixels, absolute=1e-3, relative=1e-3),
    )
}
