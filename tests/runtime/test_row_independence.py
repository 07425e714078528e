"""Which graphs may be batched. A wrong "yes" mixes users' answers, so each way to be wrong has its model here."""

from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
from onnx import parser

from tidegate_runtime.model.batchability import Verdict, judge_graph
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.signature import Signature

UNDECLARED = Signature((), ())
"""Nothing said of inputs and outputs, so that the graph alone decides."""


def parsed(graph: str, opset: int = 18) -> onnx.ModelProto:
    """A model in ONNX' textual form: inputs, outputs, constants, operators."""
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "ai.onnx.ml": 3]> graph {graph}')


X = "(float[N,4] x) => (float[N,4] y)"
FREE = "(float[N,4] x) => (float[M,K] y)"
IMAGE = "(float[N,3,8,8] x) => (float[N,3,8,8] y)"
STATISTICS = "<float[3] s={1,1,1}, float[3] b={1,1,1}, float[3] m={1,1,1}, float[3] v={1,1,1}>"

MIXING = [
    pytest.param(X + "{ y = Softmax<axis=0>(x) }", "Softmax", id="Softmax over axis 0"),
    pytest.param(X + "{ y = Softmax<axis=-2>(x) }", "Softmax", id="Softmax over axis -2 of two"),
    pytest.param(X + "<int64[1] a={0}> { m = ReduceMean(x, a) y = Sub(x, m) }", "ReduceMean", id="a mean over axis 0"),
    pytest.param(X + "{ m = ReduceMax(x) y = Div(x, m) }", "ReduceMax", id="a maximum over all axes"),
    pytest.param(
        X + "{ q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z) }",
        "DynamicQuantizeLinear",
        id="DynamicQuantizeLinear",
    ),
    pytest.param(
        IMAGE + STATISTICS + "{ y, rm, rv = BatchNormalization<training_mode=1>(x, s, b, m, v) }",
        "BatchNormalization",
        id="BatchNormalization in training mode",
    ),
    pytest.param(X + "<int64 a={0}> { y = CumSum(x, a) }", "CumSum", id="CumSum along axis 0"),
    pytest.param(FREE + "<int64[2] s={-1,8}> { y = Reshape(x, s) }", "Reshape", id="Reshape that joins rows"),
    pytest.param(FREE + "<int64[2] s={1,-1}> { y = Reshape(x, s) }", "Reshape", id="Reshape to a batch of one"),
    pytest.param(FREE + "<int64[2] s={2,4}> { y = Reshape(x, s) }", "Reshape", id="Reshape to a constant batch"),
    pytest.param(
        X + "<int64[2] s={1,-1}, int64[2] u={-1,4}> { r = Reshape(x, s) t = Softmax<axis=1>(r) y = Reshape(t, u) }",
        "Reshape",
        id="Reshape to one row and back",
    ),
    pytest.param(FREE + "<int64[2] i={0,0}> { y = Gather<axis=0>(x, i) }", "Gather", id="Gather on axis 0"),
    pytest.param(
        X + "{ t = Transpose<perm=[1,0]>(x) s = Softmax<axis=1>(t) y = Transpose<perm=[1,0]>(s) }",
        "Transpose",
        id="Softmax across rows behind a Transpose",
    ),
    pytest.param(FREE + "{ y = Concat<axis=0>(x, x) }", "Concat", id="Concat on axis 0"),
    pytest.param(
        FREE + "<int64[1] b={0}, int64[1] e={1}, int64[1] a={0}> { y = Slice(x, b, e, a) }",
        "Slice",
        id="Slice of the first row",
    ),
    pytest.param(
        X + "<int64[1] b={-1}, int64[1] e={-2147483648}, int64[1] a={0}, int64[1] s={-1}> { y = Slice(x, b, e, a, s) }",
        "Slice",
        id="Slice that reverses the rows",
    ),
    pytest.param(FREE + "<int64[1] k={1}> { y, i = TopK<axis=0>(x, k) }", "TopK", id="TopK along axis 0"),
    pytest.param("(float[N,4] x) => (int64[K] y) { y = ArgMax<keepdims=0>(x) }", "ArgMax", id="ArgMax by default"),
    pytest.param(
        FREE + "{ t = Transpose<perm=[1,0]>(x) y = MatMul(x, t) }", "Transpose", id="rows multiplied with each other"
    ),
    pytest.param(FREE + '{ y = Einsum<equation="ij,kj->ik">(x, x) }', "Einsum", id="Einsum of rows with each other"),
    pytest.param(
        FREE + "<float[2,4] c={1,1,1,1,1,1,1,1}> { y = Add(x, c) }", "Add", id="a constant with rows of its own"
    ),
    pytest.param(
        "(float[N,4] x) => (float[N,M,4] y) <int64[1] a={1}> { u = Unsqueeze(x, a) y = Sub(u, x) }",
        "Sub",
        id="rows broadcast against each other",
    ),
    pytest.param(
        X + "<int64 zero={0}> { s = Shape(x) n = Gather(s, zero) f = Cast<to=1>(n) y = Div(x, f) }",
        "Cast",
        id="the batch's size as a number",
    ),
    pytest.param("(float[N,1] x) => (float[N] y) { y = Squeeze(x) }", "Squeeze", id="Squeeze without axes"),
    pytest.param(
        "(float[N,3,8,8] x) => (int64[N,3,1,1] y) { p, y = MaxPool<kernel_shape=[8,8]>(x) }",
        "MaxPool",
        id="places counted through the whole batch",
    ),
    pytest.param(X + "{ y = RandomNormalLike(x) }", "RandomNormalLike", id="random numbers"),
    pytest.param("(float[N,4] x) => (int64[K,M] y) { y = NonZero(x) }", "NonZero", id="an unknown operator"),
    pytest.param(
        "(float[N,1] x) => (float[N,1] y) <float[1,1] w={1}, float[2,1] c={1,2}> { y = Gemm(x, w, c) }",
        "Gemm",
        id="a bias per row",
    ),
    pytest.param(FREE + "{ y = Flatten<axis=0>(x) }", "Flatten", id="Flatten from axis 0 on"),
    pytest.param(FREE + "<int64[4] p={1,0,0,0}> { y = Pad(x, p) }", "Pad", id="Pad that adds a row"),
    pytest.param(
        "(float[N,4] x) => (float[K] y) <float[2] c={1,2}> { y = Identity(c) }", "output", id="an answer without rows"
    ),
]


@pytest.mark.parametrize(("graph", "where"), MIXING)
def test_not_batched_is(graph: str, where: str) -> None:
    verdict = judge_graph(parsed(graph), UNDECLARED)
    assert not verdict.batched
    assert verdict.reason.startswith(f'{where} "')


def test_not_batched_is_softmax_from_axis_0_on_of_an_old_operator_set() -> None:
    assert not judge_graph(parsed(X + "{ y = Softmax<axis=0>(x) }", opset=11), UNDECLARED).batched


SEPARATE = [
    pytest.param(
        "(float[N,1] x) => (float[N,2] y) <float[1,2] w={2,3}, float[2] b={1,2}>"
        "{ g = Gemm(x, w, b) r = Relu(g) y = Softmax(r) }",
        id="a dense layer",
    ),
    pytest.param(
        "(float[N,3,8,8] x) => (float[N,3] y) <float[3,3,1,1] w={1,2,3,4,5,6,7,8,9}, float[3] s={1,1,1},"
        "float[3] b={1,1,1}, float[3] m={1,1,1}, float[3] v={1,1,1}>"
        "{ c = Conv<kernel_shape=[1,1]>(x, w) n = BatchNormalization(c, s, b, m, v)"
        "  p = MaxPool<kernel_shape=[2,2]>(n) a = GlobalAveragePool(p) y = Flatten(a) }",
        id="a small image model",
    ),
    pytest.param(X + "<int64[1] a={-1}> { m = ReduceMean(x, a) y = Sub(x, m) }", id="a mean over features"),
    pytest.param(
        "(float[N,4] x) => (float[N,2,2] y) <int64[1] zero={0}, int64[1] one={1}, int64[2] tail={2,2}>"
        "{ s = Shape(x) n = Slice(s, zero, one) to = Concat<axis=0>(n, tail) r = Reshape(x, to)"
        "  t = Transpose<perm=[0,2,1]>(r) q = MatMul(r, t) y = Softmax(q) }",
        id="attention within a row",
    ),
    pytest.param(
        "(float[N,2,4] x) => (float[N,2,1] y) <int64[2] flat={-1,4}, float[4,1] w={1,2,3,4}, int64[3] to={-1,2,1}>"
        "{ f = Reshape(x, flat) m = MatMul(f, w) y = Reshape(m, to) }",
        id="positions folded into the leading axis and back",
    ),
    pytest.param(
        "(int64[N,S] x) => (float[N,3] y) <float[2,3] t={1,2,3,4,5,6}, int64[1] a={1}>"
        "{ e = Gather(t, x) y = ReduceSum<keepdims=0>(e, a) }",
        id="an embedding",
    ),
    pytest.param(
        "(float[N,4] a, float[M,4] b) => (float[N,4] y) { y = Add(a, b) }",
        id="inputs whose leading dimensions have different names",
    ),
    pytest.param(
        "(float[N,1] x) => (int64[N] l, float[N,2] y) { s = ai.onnx.ml.Scaler<offset=[0.5], scale=[2.0]>(x)"
        "  l, y = ai.onnx.ml.LinearClassifier<coefficients=[1.0, -1.0], intercepts=[0.0, 1.0],"
        '  classlabels_ints=[0, 1], post_transform="SOFTMAX">(s) }',
        id="a linear classifier of ai.onnx.ml",
    ),
    pytest.param(
        '(float[N,1] x) => (float[N,2] y) <float[1,2] w={2,3}> { y = Einsum<equation="ni,ij->nj">(x, w) }', id="Einsum"
    ),
    pytest.param("(float[N,4] x) => (float[N,6] y) <int64[4] p={0,1,0,1}> { y = Pad(x, p) }", id="a Pad of features"),
    pytest.param(
        X + "<float s={0.1}, uint8 z={3}> { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }",
        id="quantisation by a constant scale",
    ),
    pytest.param(X + "{ s = Shape(x) y = Expand(x, s) }", id="Expand to the shape it has"),
]


@pytest.mark.parametrize("graph", SEPARATE)
def test_batched_is(graph: str, tmp_path: Path) -> None:
    onnx.save(parsed(graph), tmp_path / "m.onnx")
    assert load_model(tmp_path / "m.onnx", "cpu", 1, max_rows=8).verdict == Verdict(True, "rows proved independent")


def test_batched_is_a_softmax_of_an_old_operator_set_over_features() -> None:
    assert judge_graph(parsed(X + "{ y = Softmax(x) }", opset=11), UNDECLARED).batched


def test_batched_is_a_real_classifier(magika_path: Path) -> None:
    assert load_model(magika_path, "cpu", 1, max_rows=4).verdict.batched


@pytest.mark.parametrize("name", ["?", "None", "-1", -1])
def test_sizes_that_the_exporter_calls_unknown_are_not_taken_for_the_batch_s_nor_for_each_other(
    name: int | str,
) -> None:
    def judged(output: str) -> bool:
        model = parsed(f"(float[?,3,?,?] x) => (float[?,3,?,?] y) {{ {output} }}".replace("?", "A"))
        for info in (*model.graph.input, *model.graph.output):
            for dim in info.type.tensor_type.shape.dim:
                if dim.dim_param and isinstance(name, int):
                    dim.dim_value = name
                elif dim.dim_param:
                    dim.dim_param = str(name)
        return judge_graph(model, UNDECLARED).batched

    assert judged("y = Relu(x)")
    # [batch, 3, height, width] to [?, 3, width, width]: batch's size only if height and width are the same.
    width = "three = Constant<value_ints=[3]>() s = Shape<start=3>(x) m = Constant<value_ints=[-1]>() "
    assert not judged(width + "to = Concat<axis=0>(m, three, s, s) y = Reshape(x, to)")


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        pytest.param("float[1,4] x", 'input "x" has a fixed leading dimension of 1', id="a fixed leading dimension"),
        pytest.param("float x", 'input "x" has no leading dimension', id="a scalar"),
        pytest.param("float[N,N] x", 'input "x" has the batch\'s dimension twice', id="a square"),
    ],
)
def test_an_input_without_a_free_leading_dimension_is_not_batched(declared: str, reason: str) -> None:
    graph = f"({declared}) => (float[N,4] y) {{ y = Identity(x) }}"
    assert judge_graph(parsed(graph), UNDECLARED) == Verdict(False, reason)


def test_an_output_with_a_fixed_leading_dimension_is_not_batched() -> None:
    model = parsed("(float[N,4] x) => (float[1,4] y) { y = Identity(x) }")
    session = ort.InferenceSession(model.SerializeToString())
    signature = Signature.declared(session.get_inputs(), session.get_outputs())
    assert judge_graph(model, signature) == Verdict(False, 'output "y" has no free leading dimension')


def test_control_flow_is_not_followed() -> None:
    branch = "() => (float[N,4] b) { b = Identity(x) }"
    graph = X + f"<bool c={{1}}> {{ y = If(c)<then_branch=yes {branch}, else_branch=no {branch}> }}"
    assert judge_graph(parsed(graph), UNDECLARED) == Verdict(False, 'If "y": control flow is not followed')


def test_functions_of_the_model_are_looked_into() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18, "local": 1]> graph ' + X + "{ y = local.Mix(x) }"
        '<domain: "local", opset_import: ["": 18]> Mix (a) => (b) { b = Softmax<axis=0>(a) }'
    )
    assert "computes across the batch" in judge_graph(model, UNDECLARED).reason


def test_the_reason_names_the_operator() -> None:
    reason = judge_graph(parsed(X + "{ y = Softmax<axis=0>(x) }"), UNDECLARED).reason
    assert reason == 'Softmax "y": computes across the batch'
