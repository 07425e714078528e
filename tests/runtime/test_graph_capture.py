"""The order in which CUDA graphs are captured, proved and used.

A session on the CPU stands in for the device: it computes right, but captures nothing. So this proves what is asked of
a device and what is made of its answers, not that CUDA does what is asked.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tidegate_runtime.errors import DeviceLost, ExecutionFailed, OutOfDeviceMemory, RuntimeFault
from tidegate_runtime.model.binding import BoundRuns
from tidegate_runtime.model.graph_capture import CAPTURE_RUNS, TIMED_RUNS, capture
from tidegate_runtime.model.graph_policy import Graphs, Ladder
from tidegate_runtime.model.graph_runs import padded, run_on
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Feeds

Build = Callable[..., onnx.ModelProto]


class StandIn:
    """The CPU's buffers for a device's, a clock that runs by what the device is said to cost, and faults to order."""

    def __init__(self, built: onnx.ModelProto, seconds: Callable[[int, int], float]) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(built.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.signature = Signature.declared(session.get_inputs(), session.get_outputs())
        self._runs = BoundRuns(session, self.signature, "cpu")
        self.bound = self._runs.bound
        self._seconds = seconds
        self.now = 0.0
        self.said: list[tuple[int, int]] = []
        self.faults: dict[tuple[int, int], RuntimeFault] = {}
        self.replays: Callable[[int, Sequence[Array]], Sequence[Array]] = lambda _, outputs: outputs

    def run(self, feeds: Feeds, graph: int) -> Sequence[Array]:
        rows = len(feeds["x"])
        self.said.append((rows, graph))
        self.now += self._seconds(rows, graph)
        if fault := self.faults.get((rows, graph)):
            raise fault
        outputs = self._runs.run(feeds, ort.RunOptions(), graph)
        return outputs if graph < 0 else self.replays(graph, outputs)

    def captured(self, rungs: Sequence[int], max_rows: int = 8) -> Ladder:
        return capture(self, rungs, feeds_of, self.signature, lambda: self.now, max_rows=max_rows, batched=True)


def feeds_of(rows: int) -> tuple[Feeds, Feeds]:
    whole = np.arange(4 * (rows + 1), dtype=np.float32).reshape(rows + 1, 4)
    return {"x": whole[:-1]}, {"x": whole[1:]}


def quick_graphs(rows: int, graph: int) -> float:
    return 10.0 + rows if graph < 0 else 1.0 + rows


@pytest.fixture
def device(double: onnx.ModelProto) -> StandIn:
    return StandIn(double, quick_graphs)


def test_a_graph_is_captured_after_ordinary_runs_and_proved_when_all_are_there(device: StandIn) -> None:
    ladder = device.captured([1, 4])
    assert ladder == Ladder(Graphs((1, 4)), {"x": (4,)}, True, (0, 1, 4, 4, 4, 0, 0, 0, 0))
    assert device.said == [
        *[(1, -1)] * (2 + TIMED_RUNS),
        *[(1, 1)] * (CAPTURE_RUNS + TIMED_RUNS),
        *[(4, -1)] * (2 + TIMED_RUNS),
        *[(4, 2)] * (CAPTURE_RUNS + TIMED_RUNS),
        *[(1, 1), (1, -1), (4, 2), (4, -1)],
    ]


def test_a_replay_that_answers_what_was_captured_is_found_out(device: StandIn) -> None:
    kept: dict[int, Sequence[Array]] = {}
    device.replays = kept.setdefault
    assert device.captured([1, 2, 4]) == Ladder(
        Graphs((), 'output "y" of a replay differs from an ordinary run at 1 rows')
    )


def test_a_capture_that_upsets_an_earlier_graph_is_found_out(device: StandIn) -> None:
    device.replays = lambda graph, outputs: (
        outputs if (4, 3) not in device.said or graph != 2 else [output + 1 for output in outputs]
    )
    assert device.captured([1, 2, 4]).graphs == Graphs(
        (), 'output "y" of a replay differs from an ordinary run at 2 rows'
    )


def test_rounding_is_no_difference(device: StandIn) -> None:
    device.replays = lambda _, outputs: [output * np.float32(1 + 1e-6) for output in outputs]
    assert device.captured([1, 2]).graphs == Graphs((1, 2))


@pytest.mark.parametrize("graph", [-1, 3])
def test_what_memory_does_not_do_for_ends_the_ladder_and_no_more(graph: int, device: StandIn) -> None:
    device.faults[4, graph] = OutOfDeviceMemory("a buffer can't be had")
    ladder = device.captured([1, 2, 4, 8])
    assert ladder.graphs == Graphs((1, 2), "memory ended the ladder below 4 rows")
    assert ladder.plan == (0, 1, 2, 0, 0, 0, 0, 0, 0)


def test_any_other_fault_while_capturing_means_no_graphs(device: StandIn) -> None:
    device.faults[2, 2] = ExecutionFailed("operation not permitted when stream is capturing")
    ladder = device.captured([1, 2, 4])
    assert ladder.graphs == Graphs((), "capture failed: operation not permitted when stream is capturing")


def test_a_lost_device_is_told(device: StandIn) -> None:
    device.faults[2, 2] = DeviceLost("CUDA error 700")
    with pytest.raises(DeviceLost):
        device.captured([1, 2, 4])


def test_graphs_that_save_nothing_are_left(double: onnx.ModelProto) -> None:
    device = StandIn(double, lambda rows, graph: rows + (graph > 0))
    assert device.captured([1, 2]).graphs == Graphs((), "no graph is faster than an ordinary run")


def test_outputs_without_a_fixed_place_are_not_captured(model: Build) -> None:
    sides = {"x": (TensorProto.FLOAT, ["N", 4])}
    nonzero = model([helper.make_node("NonZero", ["x"], ["y"])], sides, {"y": (TensorProto.INT64, [2, "M"])})
    device = StandIn(nonzero, quick_graphs)
    device.bound = lambda feeds: False
    assert device.captured([1]).graphs == Graphs((), "outputs of 1 rows have no fixed place")
    assert all(graph == -1 for _, graph in device.said)


class Noted:
    def __init__(self) -> None:
        self.runs: list[tuple[list[Any], int]] = []

    def run(self, feeds: Feeds, options: Any, graph: int) -> Sequence[Array]:
        self.runs.append((feeds["x"][:, 0].tolist(), graph))
        return [feeds["x"] * 2]


@pytest.mark.parametrize(
    ("values", "ran"),
    [
        ([1], ([1], 1)),
        ([1, 2, 3], ([1, 2, 3, 3], 3)),
        ([1, 2, 3, 4], ([1, 2, 3, 4], 3)),
        ([1, 2, 3, 4, 5], ([1, 2, 3, 4, 5], -1)),
    ],
)
def test_a_batch_is_padded_with_a_row_of_its_own_and_the_answer_cut(
    values: list[float], ran: tuple[list[float], int]
) -> None:
    ladder = Ladder(Graphs((1, 2, 4)), {"x": (2,)}, True, (0, 1, 2, 4, 4))
    noted = Noted()
    feeds = {"x": np.repeat(np.array(values, np.float32)[:, None], 2, axis=1)}
    (answer,) = run_on(noted, ladder, feeds, None)
    assert noted.runs == [ran]
    np.testing.assert_array_equal(answer, 2 * feeds["x"])


def test_padding_keeps_type_and_rows() -> None:
    rows = np.array([[1, 2], [3, 4]], np.int8)
    assert padded(rows, 4).tolist() == [[1, 2], [3, 4], [3, 4], [3, 4]]
    assert padded(rows, 4).dtype == np.int8
