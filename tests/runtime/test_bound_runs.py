"""Runs on buffers that stay, with a real session on the CPU: the same code that a GPU's buffers go through."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from tidegate_runtime.model.binding import GRAPH_ENTRY, BoundRuns, can_bind
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Datatype

Build = Callable[..., onnx.ModelProto]
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def opened(built: onnx.ModelProto) -> tuple[Any, Signature]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(
        built.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
    )
    return session, Signature.declared(session.get_inputs(), session.get_outputs())


def doubling(double: onnx.ModelProto, limit_bytes: int = 1 << 20) -> BoundRuns:
    session, signature = opened(double)
    return BoundRuns(session, signature, "cpu", limit_bytes)


def run(runs: BoundRuns, *given_rows: float, graph: int = -1) -> Array:
    rows = np.repeat(np.array(given_rows, np.float32)[:, None], 4, axis=1)
    (answer,) = runs.run({"x": rows}, ort.RunOptions(), graph)
    return answer


def test_answers_are_the_session_s_own_and_stay_when_the_next_ones_come(double: onnx.ModelProto) -> None:
    runs = doubling(double)
    answers = [run(runs, *values) for values in ([1], [2], [3, 4], [5, 6], [7])]
    assert [answer[:, 0].tolist() for answer in answers] == [[2], [4], [6, 8], [10, 12], [14]]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(-9, 9)), min_size=1, max_size=12))
def test_any_order_of_shapes_gives_what_the_session_gives(model: Build, cases: list[tuple[int, int, int]]) -> None:
    nodes = [helper.make_node("Add", ["x", "z"], ["s"]), helper.make_node("ReduceSum", ["s"], ["t"], keepdims=0)]
    sides = {"x": (FLOAT, ["N", "A"]), "z": (FLOAT, [])}
    session, signature = opened(model(nodes, sides, {"s": (FLOAT, ["N", "A"]), "t": (FLOAT, [])}))
    runs = BoundRuns(session, signature, "cpu", 400)
    for rows, columns, value in cases:
        feeds = {"x": np.full((rows, columns), value, np.float32), "z": np.array(value, np.float32)}
        for got, wanted in zip(runs.run(feeds, ort.RunOptions()), session.run(None, feeds), strict=True):
            np.testing.assert_array_equal(got, wanted)
        assert 0 <= runs.held_bytes <= 400


def test_buffers_keep_their_places_from_run_to_run(double: onnx.ModelProto) -> None:
    runs = doubling(double)
    feeds = {"x": np.ones((2, 4), np.float32)}
    assert not runs.bound(feeds)
    run(runs, 1, 2)
    assert runs.bound(feeds)
    (binding,) = runs._bindings.values()
    before = [value.data_ptr() for value in (*binding.inputs, *binding.outputs)]
    run(runs, 3, 4)
    assert [value.data_ptr() for value in (*binding.inputs, *binding.outputs)] == before
    assert runs.held_bytes == 2 * 2 * 4 * 4


def test_inputs_may_be_views_that_cannot_be_written(double: onnx.ModelProto) -> None:
    runs = doubling(double)
    whole = np.arange(32, dtype=np.float32).reshape(4, 8)
    whole.flags.writeable = False
    for view in (whole[:, ::2], whole[::-1, :4]):
        (answer,) = runs.run({"x": view}, ort.RunOptions())
        np.testing.assert_array_equal(answer, 2 * view)


def test_the_longest_unused_buffers_go_but_not_those_of_a_graph(double: onnx.ModelProto) -> None:
    runs = doubling(double, limit_bytes=320)  # 32 bytes a row: one, two, three and four rows together
    run(runs, 1)
    run(runs, 1, graph=7)
    for rows in (2, 3, 4, 1, 2):
        run(runs, *range(rows))
    bound = [rows for rows in range(1, 5) if runs.bound({"x": np.ones((rows, 4), np.float32)})]
    assert bound == [1, 2, 3, 4]
    assert runs.held_bytes == 320
    run(runs, 1, 2, 3, 4, 5, 6, 7, 8, 9)  # 144 bytes in: more than a quarter, so it isn't bound
    assert runs.held_bytes == 320
    run(runs, 1, 2, 3, 4, 5)
    bound = [rows for rows in range(1, 6) if runs.bound({"x": np.ones((rows, 4), np.float32)})]
    assert bound == [1, 2, 5], "three and four rows were unused for longest"


def test_a_graph_needs_what_a_run_without_it_has_shown(double: onnx.ModelProto) -> None:
    with pytest.raises(ValueError, match="a graph needs outputs that are bound"):
        run(doubling(double), 1, graph=1)


@pytest.mark.parametrize(("graph", "said"), [(-1, "-1"), (3, "3")])
def test_every_run_names_its_graph(graph: int, said: str, double: onnx.ModelProto) -> None:
    runs = doubling(double)
    run(runs, 1)
    options = ort.RunOptions()
    runs.run({"x": np.ones((1, 4), np.float32)}, options, graph)
    assert options.get_run_config_entry(GRAPH_ENTRY) == said


def test_outputs_whose_shape_depends_on_values_are_not_bound(model: Build) -> None:
    built = model([helper.make_node("NonZero", ["x"], ["y"])], {"x": (FLOAT, ["N"])}, {"y": (INT, [1, "M"])})
    runs = BoundRuns(*opened(built), "cpu")
    for values in ([1, 0, 1], [0, 0, 1], [0, 0, 0], [1, 1, 1], [1, 0]):
        (answer,) = runs.run({"x": np.array(values, np.float32)}, ort.RunOptions())
        assert answer.tolist() == [list(np.flatnonzero(values))]
    assert not runs.bound({"x": np.ones(3, np.float32)})
    assert runs.held_bytes == (3 + 2) * 4, "inputs alone"


def test_what_an_operator_rejects_keeps_its_class(model: Build) -> None:
    nodes = [helper.make_node("Gather", ["t", "x"], ["y"], name="table")]
    built = model(nodes, {"x": (INT, ["N"])}, {"y": (FLOAT, ["N"])}, {"t": np.ones(3, "f")})
    runs = BoundRuns(*opened(built), "cpu")
    for index, fails in ((2, False), (9, True), (1, False), (9, True)):
        if fails:
            with pytest.raises(ort_errors.InvalidArgument, match="idx=9 must be within"):
                runs.run({"x": np.array([index])}, ort.RunOptions())
        else:
            assert runs.run({"x": np.array([index])}, ort.RunOptions())[0].tolist() == [1.0]


def test_a_run_on_buffers_can_be_ended(slow: onnx.ModelProto) -> None:
    runs = BoundRuns(*opened(slow), "cpu")
    runs.run({"n": np.array(3)}, ort.RunOptions())
    options = ort.RunOptions()
    options.terminate = True
    with pytest.raises(Exception, match="terminate"):
        runs.run({"n": np.array(10**15)}, options)


@pytest.mark.parametrize(
    ("datatype", "can"), [(Datatype.FP32, True), (Datatype.BOOL, True), (Datatype.BYTES, False), (Datatype.BF16, False)]
)
def test_strings_and_bf16_have_no_buffers(datatype: Datatype, can: bool, double: onnx.ModelProto) -> None:
    _, signature = opened(double)
    changed = tuple(dataclasses.replace(spec, datatype=datatype) for spec in signature.outputs)
    assert can_bind(Signature(signature.inputs, changed)) is can
