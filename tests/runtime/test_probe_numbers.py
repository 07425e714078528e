"""What the warm-up's numbers show, and what happens to models that refuse them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import parser

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import PROBE_ROWS, PROBES, judge_numbers, probe_feeds
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec

ROWS = Signature((TensorSpec("x", Datatype.FP32, ("N", 4)),), (TensorSpec("y", Datatype.FP32, ("N", 4)),))


def parsed(graph: str) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> graph {graph}')


@pytest.mark.parametrize(
    ("function", "batched"),
    [
        pytest.param(lambda x: x * 2, True, id="rows on their own"),
        pytest.param(lambda x: x / np.abs(x).max() * 3, False, id="a scale shared by the batch"),
        pytest.param(lambda x: x - x.mean(axis=0), False, id="a mean over the batch"),
        pytest.param(np.cumsum, False, id="another shape"),
        pytest.param(lambda x: x * np.arange(1, len(x) + 1)[:, None], False, id="the row's place"),
        pytest.param(lambda x: np.round(x / np.ptp(x) * 255) * np.ptp(x) / 255, False, id="a dynamic quantisation"),
        pytest.param(lambda x: x * (1 + 1e-6 * len(x)), True, id="rounding that depends on the batch's size"),
        pytest.param(lambda x: x * np.nan, True, id="NaN in every row"),
    ],
)
def test_numbers_show(function: Callable[[Array], Array], batched: bool) -> None:
    def run(feeds: Feeds) -> list[Array]:
        return [np.asarray(function(feeds["x"]), np.float32)]

    assert judge_numbers(run, probe_feeds(ROWS, PROBES[0], PROBE_ROWS), ROWS).batched is batched


@pytest.mark.parametrize(
    "operators",
    [
        pytest.param("{ y = Softmax<axis=0>(x) }", id="Softmax over axis 0"),
        pytest.param("<int64 a={0}> { y = CumSum(x, a) }", id="CumSum along axis 0"),
        pytest.param(
            "{ q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z) }", id="DynamicQuantizeLinear"
        ),
        pytest.param("<int64[1] a={0}> { m = ReduceMean(x, a) y = Sub(x, m) }", id="a mean over axis 0"),
    ],
)
def test_numbers_alone_would_catch(operators: str) -> None:
    model = parsed("(float[N,4] x) => (float[N,4] y)" + operators)
    session = ort.InferenceSession(model.SerializeToString())
    feeds = probe_feeds(ROWS, PROBES[0], PROBE_ROWS)
    assert not judge_numbers(lambda given: session.run(None, dict(given)), feeds, ROWS).batched


def test_a_model_that_refuses_the_probes_is_served_unbatched(tmp_path: Path) -> None:
    beyond = "(int64[N] x) => (float[N] y) <float[1] t={1}, int64 seven={7}> { i = Add(x, seven) y = Gather(t, i) }"
    onnx.save(parsed(beyond), tmp_path / "m.onnx")
    verdict = load_model(tmp_path / "m.onnx", "cpu", 1, max_rows=8).verdict
    assert not verdict.batched
    assert verdict.reason.startswith("warm-up inputs were rejected: the model rejected the request in its Gather")


def test_a_model_that_fails_on_numbers_it_must_take_does_not_start(tmp_path: Path) -> None:
    onnx.save(parsed("(float[N,4] x) => (float[M,3] y) <int64[2] s={-1,3}> { y = Reshape(x, s) }"), tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match="Reshape") as failure:
        load_model(tmp_path / "m.onnx", "cpu", 1, max_rows=8)
    assert failure.value.reason == "WarmupFailed"


@pytest.mark.parametrize(
    "operators",
    [
        # Scales below zero are refused, as is a share of one.
        pytest.param("float[1,1,2,2] x, float[4] p) => (float[a,b,c,d] y) { y = Resize(x, , p) }", id="scales"),
        pytest.param("float[4] x, float p) => (float[4] y) <bool t={1}> { y = Dropout(x, p, t) }", id="a share"),
    ],
)
def test_a_model_that_refuses_real_numbers_but_ones_or_zeros_is_served_unbatched(
    operators: str, tmp_path: Path
) -> None:
    onnx.save(parsed(f"({operators}"), tmp_path / "m.onnx")
    verdict = load_model(tmp_path / "m.onnx", "cpu", 1, max_rows=8).verdict
    assert not verdict.batched
