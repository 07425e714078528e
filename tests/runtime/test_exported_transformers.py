"""Transformers as torch.onnx and optimum write them: sizes of the request are computed in the graph, and cut by.

What comes from a request's length is the same for every row of a batch; what comes from the batch's size is not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from bench.models import MODELS
from tidegate_runtime.model.batchability import judge_graph, judge_numbers
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Feeds

UNDECLARED = Signature((), ())

WORDS, WIDE, HEADS, POSITIONS = 50, 8, 2, 40


class Export:
    """Nodes and constants as they are written; each call returns the name of an output."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = attributes.pop("output", f"n{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return str(name)

    def constant(self, value: Any, kind: Any = np.int64) -> str:
        return self("Constant", value=numpy_helper.from_array(np.asarray(value, kind)))

    def weight(self, *shape: int) -> str:
        return self.constant(self.random.normal(0, 0.5, shape), np.float32)

    def size(self, x: str, axis: int) -> str:
        """A dimension as torch reads it: Shape, Gather, Unsqueeze."""
        return self("Unsqueeze", self("Gather", self("Shape", x), self.constant(axis), axis=0), self.constant([0]))

    def expanded(self, x: str, *sizes: str) -> str:
        """`x.expand(…)`: a size of -1 would keep what there is, which is looked at when the model runs."""
        wanted = self("Reshape", self("Concat", *sizes, axis=0), self.constant([-1]))
        ones = self(
            "ConstantOfShape", self("Shape", wanted), value=numpy_helper.from_array(np.array([1], np.int64), "one")
        )
        keeps = self("Equal", wanted, self("Mul", ones, self.constant(-1)))
        return self("Expand", x, self("Where", keeps, ones, wanted))

    def dense(self, x: str) -> str:
        return self("Add", self("MatMul", x, self.weight(WIDE, WIDE)), self.weight(WIDE))

    def normalized(self, x: str) -> str:
        mean = self("Sub", x, self("ReduceMean", x, axes=[-1]))
        spread = self(
            "Sqrt", self("Add", self("ReduceMean", self("Mul", mean, mean), axes=[-1]), self.constant(1e-5, np.float32))
        )
        return self("Mul", self("Div", mean, self("Abs", spread)), self.weight(WIDE))

    def model(self) -> onnx.ModelProto:
        ids = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in TOKENS]
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", WIDE])
        graph = helper.make_graph(self.nodes, "main_graph", ids, [output])
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


TOKENS = ("input_ids", "attention_mask")


def bert(attention: str) -> onnx.ModelProto:
    """One layer, with mean pooling and normalisation as sentence-transformers has them."""
    g = Export()
    rows, length, one = (*(g.size("input_ids", axis) for axis in (0, 1)), g.constant([1]))
    zero = g.constant([0])
    places = g("Slice", g.constant(np.arange(POSITIONS)[None]), zero, length, one, one)
    kinds = g("Slice", g.constant(np.zeros((1, POSITIONS))), zero, length, one, one)
    x = g(
        "Add",
        g("Gather", g.weight(WORDS, WIDE), "input_ids"),
        g("Gather", g.weight(2, WIDE), g.expanded(kinds, rows, length)),
    )
    x = g.normalized(g("Add", x, g("Gather", g.weight(POSITIONS, WIDE), places)))
    mask = g("Unsqueeze", g("Unsqueeze", "attention_mask", one), g.constant([2]))
    if attention == "sdpa":
        mask = g.expanded(mask, rows, one, length, length)
    if attention == "causal":
        steps = g("Range", g.constant(0), g("Squeeze", length), g.constant(1))
        later = g("Greater", steps, g("Reshape", g("Add", steps, g.constant(0)), g("Concat", length, one, axis=0)))
        mask = g("Where", later, g.constant(0), mask)
    hidden = g("Mul", g("Sub", g.weight(), g("Cast", mask, to=TensorProto.FLOAT)), g.constant(-1e4, np.float32))
    x = g.normalized(g("Add", x, attended(g, x, hidden, rows, length)))
    weights = g(
        "Cast", g.expanded(g("Unsqueeze", "attention_mask", g.constant([-1])), rows, length, g.size(x, 2)), to=1
    )
    summed = g("ReduceSum", g("Mul", x, weights), one, keepdims=0)
    mean = g("Div", summed, g("Clip", g("ReduceSum", weights, one, keepdims=0), g.constant(1e-9, np.float32)))
    norm = g("Clip", g("ReduceL2", mean, axes=[1]), g.constant(1e-12, np.float32))
    g("Div", mean, g("Expand", norm, g("Shape", mean)), output="embedding")
    return g.model()


def attended(g: Export, x: str, hidden: str, rows: str, length: str) -> str:
    parts = g("Concat", rows, length, g.constant([HEADS]), g.constant([WIDE // HEADS]), axis=0)
    split = [g("Reshape", g.dense(x), parts) for _ in range(3)]
    query, value = (g("Transpose", part, perm=[0, 2, 1, 3]) for part in split[:2])
    key = g("Transpose", split[2], perm=[0, 2, 3, 1])
    # The root of a head's width, read from the tensor as scaled_dot_product_attention does.
    last = g("Slice", g("Shape", query), g.constant([-1]), g.constant([2**63 - 1]))
    scores = g("Div", g("MatMul", query, key), g("Sqrt", g("Cast", last, to=TensorProto.FLOAT)))
    mixed = g("Transpose", g("MatMul", g("Softmax", g("Add", scores, hidden), axis=-1), value), perm=[0, 2, 1, 3])
    flat = g("Concat", g.size(mixed, 0), g.size(mixed, 1), g.constant([WIDE]), axis=0)
    return g.dense(g("Reshape", mixed, flat))


@pytest.mark.parametrize("attention", ["eager", "sdpa", "causal"])
def test_batched_is_bert_as_torch_exports_it(attention: str) -> None:
    model = bert(attention)
    for length in (1, 2, 7, POSITIONS):
        random = np.random.default_rng(length)
        ids = random.integers(0, WORDS, (5, length))
        mask = (np.arange(length) < random.integers(1, length + 1, (5, 1))).astype(np.int64)
        assert_rows_keep_apart(model, {"input_ids": ids, "attention_mask": mask})
    assert proof(model) == "rows proved independent"


def proof(model: onnx.ModelProto) -> str:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return judge_graph(copy, UNDECLARED).reason


def assert_rows_keep_apart(model: onnx.ModelProto, feeds: Feeds) -> None:
    """Alone, together and in reverse order, through ONNX Runtime."""
    session = ort.InferenceSession(model.SerializeToString())
    signature = Signature.declared(session.get_inputs(), session.get_outputs())

    def run(given: Feeds) -> Sequence[Array]:
        return list(session.run(None, dict(given)))

    assert judge_numbers(run, feeds, signature).batched


def parsed(body: str) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> graph {body}')


IDS = "(int64[N,S] x) => (int64[N,K] y) <int64 zero={0}, int64 one={1}, int64[1] o={0}, int64[1] i={1}> "
"""With s, the shape; n and l, the batch's size and the length, as scalars; ns and ls, as vectors."""
SIZES = "s = Shape(x) n = Gather(s, zero) l = Gather(s, one) ns = Unsqueeze(n, o) ls = Unsqueeze(l, o)"

SAME_FOR_EVERY_ROW = [
    pytest.param("c = Range(zero, l, one) y = Add(x, c)", id="Range over the length"),
    pytest.param("c = Range(zero, l, one) e = Expand(c, s) y = Add(x, e)", id="Range expanded to the batch"),
    pytest.param("c = ConstantOfShape(ls) y = Concat<axis=1>(x, x)", id="zeros of the length"),
    pytest.param("d = Sub(l, one) e = Unsqueeze(d, o) y = Slice(x, e, ls, i)", id="Slice of rows at the last place"),
    pytest.param("y = Add(x, ls)", id="the length as a number"),
    pytest.param("m = Neg(i) e = Concat<axis=0>(ns, m) y = Reshape(x, e)", id="a constant computed in the graph"),
    pytest.param("m = Sub(o, i) k = Equal(s, m) w = Where(k, i, s) y = Expand(x, w)", id="Where there is no -1"),
    pytest.param("f = Cast<to=1>(l) h = Sqrt(f) q = Cast<to=7>(h) y = Add(x, q)", id="the length's root"),
    pytest.param("r = Range(zero, l, one) t = Shape(r) e = Concat<axis=0>(ns, t) y = Reshape(x, e)", id="Shape"),
    pytest.param(
        "q = Concat<axis=0>(ls, i) r = Range(zero, l, one) c = Reshape(r, q) t = Transpose(c) y = Mul(x, t)",
        id="a Reshape of constants by the length",
    ),
]

DIFFERENT_BY_BATCH = [
    pytest.param("c = Range(zero, n, one) d = Unsqueeze(c, i) y = Add(x, d)", "Range", id="Range over the batch"),
    pytest.param(
        "h = Constant<value_ints=[1,2,3,4,5,6,7,8]>() c = Slice(h, o, ns) d = Unsqueeze(c, i) y = Mul(x, d)",
        "Slice",
        id="Slice of a table to the batch",
    ),
    pytest.param("y = Slice(x, o, ns, i)", "Slice", id="Slice of rows by the batch"),
    pytest.param("e = Sub(ns, i) y = Slice(x, e, ns, o)", "Sub", id="Slice of the last row"),
    pytest.param(
        "d = Unsqueeze(x, o) e = Concat<axis=0>(ns, s) z = Expand(d, e) y = ReduceMax<keepdims=0>(z, i)",
        "Unsqueeze",
        id="Expand that adds a batch before the batch",
    ),
    pytest.param(
        "t = Concat<axis=0>(ls, ns) c = ConstantOfShape(t) y = Transpose(c)",
        "ConstantOfShape",
        id="a batch behind the length",
    ),
    pytest.param(
        "c = Range(zero, l, one) d = Unsqueeze(c, i) t = Concat<axis=0>(ls, ns) e = Expand(d, t) y = Transpose(e)",
        "Expand",
        id="Expand to the length and the batch",
    ),
    pytest.param(
        "c = Range(zero, l, one) d = Unsqueeze(c, i) e = Expand(d, s) y = Add(x, e)",
        "Expand",
        id="Expand of a number per row",
    ),
    pytest.param("k = Equal(ns, i) y = Where(k, x, o)", "Equal", id="whether there is one row"),
    pytest.param("k = Equal(s, i) w = Where(k, i, s) y = Expand(x, w)", "Equal", id="Where a size is 1"),
    pytest.param("m = Mod(n, one) y = Add(x, m)", "Mod", id="arithmetic that isn't followed"),
    pytest.param("a = Abs(x) b = Min(a, one) y = Gather(s, b)", "Gather", id="sizes picked by data"),
    pytest.param("t = Concat<axis=0>(ls, ns) y = Reshape(x, t)", "Reshape", id="Reshape to length and batch"),
    pytest.param(
        "d = Sub(ls, ls) e = Concat<axis=0>(d, ls) y = Reshape(x, e)", "Reshape", id="Reshape by a difference"
    ),
    pytest.param(
        "d = Sub(l, l) u = Unsqueeze(d, o) t = Concat<axis=0>(ns, u) r = Reshape(x, t) "
        "m = Constant<value_ints=[-1]>() e = Concat<axis=0>(m, u, ls) y = Reshape(r, e)",
        "Reshape",
        id="Reshape by a difference of 0, which copies a size",
    ),
    pytest.param(
        "c = Constant<value = int64[3,1] {1,2,3}>() m = Mul(l, c) y = Add(x, m)", "Add", id="a column of numbers"
    ),
]


@pytest.mark.parametrize("body", SAME_FOR_EVERY_ROW)
def test_the_same_for_every_row_is(body: str) -> None:
    model = parsed(IDS + "{" + SIZES + " " + body + "}")
    for length in (1, 3, 6):
        assert_rows_keep_apart(model, {"x": np.arange(5 * length).reshape(5, length)})
    assert proof(model) == "rows proved independent"


@pytest.mark.parametrize(("body", "where"), DIFFERENT_BY_BATCH)
def test_different_by_batch_is(body: str, where: str) -> None:
    assert proof(parsed(IDS + "{" + SIZES + " " + body + "}")).startswith(f'{where} "')


def test_batched_is_the_benchmark_s_transformer() -> None:
    model = onnx.load_from_string(MODELS["minilm"].build())
    assert proof(model) == "rows proved independent"


def test_the_batch_s_size_is_not_data_for_a_table_s_places() -> None:
    graph = "(int64[N,4] x) => (int64[N,4,K] y) { s = Shape(x) y = Gather(s, x) }"
    assert proof(parsed(graph)) == 'Gather "y": the batch\'s size is used as data'


def test_a_column_of_three_is_not_taken_for_a_row_of_three() -> None:
    graph = (
        "(int64[N,3] x) => (int64[N,3] y) <int64[3,1] c={1,2,3}, int64 one={1}>"
        "{ s = Shape(x) l = Gather(s, one) m = Mul(l, c) y = Add(x, m) }"
    )
    assert proof(parsed(graph)) == 'Add "y": a constant reaches across the batch\'s axis'
