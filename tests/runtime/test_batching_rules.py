"""What a configuration may say of batching: it overrides the proof, and is held against what the model answers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from tidegate_runtime.errors import StartupFailure
from tidegate_runtime.model.batchability import PROBES, TOLERANCE, BatchingRules, Verdict, judge_numbers, probe_feeds
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec

X = "(float[N,4] x) => (float[N,4] y)"
DYNAMIC = X + "{ q, s, z = DynamicQuantizeLinear(x) y = DequantizeLinear(q, s, z) }"
"""Rows share a scale, so the proof says no; whoever knows what the model is for may say yes."""
REDUCED = "(float[N,4] x) => (float[M,4] y) <int64[1] a={0}> { y = ReduceMean(x, a) }"
NONZERO = "(float[N,4] x) => (int64[M,2] y) { n = NonZero(x) y = Transpose(n) }"
BEYOND = "(int64[N] x) => (float[N] y) <float[1] t={1}, int64 seven={7}> { i = Add(x, seven) y = Gather(t, i) }"


def verdict(folder: Path, graph: str, rules: BatchingRules, max_rows: int = 8) -> Verdict:
    onnx.save(parser.parse_model(f'<ir_version: 8, opset_import: ["": 18]> graph {graph}'), folder / "m.onnx")
    return load_model(folder / "m.onnx", "cpu", 1, max_rows, rules=rules, measure_seconds=0).verdict


@pytest.mark.parametrize(
    ("graph", "declared", "expected"),
    [
        pytest.param(DYNAMIC, True, Verdict(True, "declared to be batchable"), id="yes where the proof says no"),
        pytest.param(X + "{ y = Abs(x) }", False, Verdict(False, "declared not to be batchable"), id="no against it"),
        pytest.param(X + "{ y = Abs(x) }", None, Verdict(True, "rows proved independent"), id="nothing"),
        pytest.param(
            BEYOND,
            True,
            Verdict(True, "declared to be batchable; unchecked, since warm-up inputs were rejected"),
            id="yes where no warm-up input is taken",
        ),
    ],
)
def test_declared_is(graph: str, declared: bool | None, expected: Verdict, tmp_path: Path) -> None:
    assert verdict(tmp_path, graph, BatchingRules(declared)) == expected


def test_a_largest_batch_of_one_goes_before_a_declaration(tmp_path: Path) -> None:
    assert (
        verdict(tmp_path, DYNAMIC, BatchingRules(declared=True), max_rows=1).reason == "the largest batch is set to 1"
    )


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        pytest.param(NONZERO, r'batchable, but output "y" has shape \[20, 2\] for 5 rows', id="rows by content"),
        pytest.param(
            "(float[2,4] x) => (float[2,4] y) { y = Abs(x) }", '"x" has no free leading', id="a fixed number of rows"
        ),
        pytest.param(REDUCED, '"y" has no free leading dimension', id="one row for all"),
    ],
)
def test_a_declaration_that_the_model_contradicts_is_refused(graph: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match=message) as failure:
        verdict(tmp_path, graph, BatchingRules(declared=True))
    assert failure.value.reason == "UnsupportedSignature"


@pytest.mark.parametrize(("tolerance", "batched"), [({}, False), ({Datatype.FP32: 1e-7}, False), (TOLERANCE, True)])
def test_rounding_with_the_size_of_the_batch_passes_within_the_tolerance(
    tolerance: dict[Datatype, float], batched: bool
) -> None:
    rows = Signature((TensorSpec("x", Datatype.FP32, ("N", 4)),), (TensorSpec("y", Datatype.FP32, ("N", 4)),))

    def run(feeds: Feeds) -> list[Array]:
        return [feeds["x"] * np.float32(1 + 1e-5 * len(feeds["x"]))]

    assert judge_numbers(run, probe_feeds(rows, PROBES[0], 5), rows, tolerance).batched is batched


def test_nan_equals_nan_where_nothing_is_tolerated() -> None:
    rows = Signature((TensorSpec("x", Datatype.FP32, ("N", 4)),), (TensorSpec("y", Datatype.FP32, ("N", 4)),))
    assert judge_numbers(lambda feeds: [feeds["x"] * np.nan], probe_feeds(rows, PROBES[0], 5), rows, {}).batched
