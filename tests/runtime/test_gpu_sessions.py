"""A session told to be on a GPU, all the way from the file to its answers.

There is none: the CPU's provider and buffers stand in, slowed down where no graph is named. So this shows what a
session does with a device, not what CUDA does.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tidegate_runtime.model import binding, graph_warmup, libraries, session
from tidegate_runtime.model.binding import BoundRuns
from tidegate_runtime.model.device import CPU, DeviceOptions, Providers, providers
from tidegate_runtime.model.graph_policy import Graphs
from tidegate_runtime.model.loading import LoadedModel, load_model
from tidegate_runtime.model.session import RunOptions
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.tensors import Array, Feeds

Build = Callable[..., onnx.ModelProto]
ORDINARY_SECONDS = 0.005
ROW_SECONDS = 0.0003
"""Of a graph's."""
NO_CAPTURE = (
    "[ONNXRuntimeError] : 1 : FAIL : This session cannot use the graph capture feature as requested by the user "
    " as the model has control flow nodes which can't be supported by CUDAExecutionProvider"
)


class StandInRuns(BoundRuns):
    """Notes which graph each run names."""

    named: list[tuple[int, int]]

    def __init__(self, opened: Any, signature: Signature, device: str) -> None:
        assert device == "cuda"
        super().__init__(opened, signature, "cpu")
        StandInRuns.named = []

    def run(self, feeds: Feeds, options: Any, graph: int = -1) -> Sequence[Array]:
        rows = (*next(iter(feeds.values())).shape, 1)[0]
        time.sleep(ORDINARY_SECONDS if graph == -1 else rows * ROW_SECONDS)
        outputs = super().run(feeds, options, graph)
        assert options.get_run_config_entry(binding.GRAPH_ENTRY) == str(graph)
        self.named.append((rows, graph))
        return outputs


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Providers]:
    """What each session was told to run on."""
    asked: list[Providers] = []

    def stand_in(device: str, options: DeviceOptions, *, graphs: bool) -> Providers:
        asked.append(providers(device, options, graphs=graphs))
        return [(CPU, {})]

    monkeypatch.setattr(session, "providers", stand_in)
    monkeypatch.setattr(libraries, "PROVIDERS", {"cuda": (CPU,), "tensorrt": (CPU,)})
    monkeypatch.setattr(session, "BoundRuns", StandInRuns)
    monkeypatch.setattr(graph_warmup, "CUDA", CPU)
    return asked


def loaded(built: onnx.ModelProto, folder: Path, device: str = "cuda", **options: Any) -> LoadedModel:
    onnx.save(built, folder / "m.onnx")
    return load_model(
        folder / "m.onnx", device, 1, 8, measure_seconds=options.pop("measure", 0), options=DeviceOptions(**options)
    )


def answered(model: LoadedModel, *values: float) -> list[float]:
    StandInRuns.named.clear()
    rows = np.repeat(np.array(values, np.float32)[:, None], 4, axis=1)
    (answer,) = model.session.run({"x": rows}, RunOptions())
    return [float(value) for value in answer[:, 0]]


def test_batches_are_run_by_the_graphs_that_warm_up_captured(
    told: list[Providers], double: onnx.ModelProto, tmp_path: Path
) -> None:
    model = loaded(double, tmp_path, measure=0.5)
    assert model.graphs == Graphs((1, 2, 4, 8))
    assert told[0][0][1]["enable_cuda_graph"] == "1"
    assert list(model.costs.seconds) == [1, 2, 4, 8], "costs are those of the runs as they will be"
    assert min(model.costs.seconds[1]) < ORDINARY_SECONDS
    for values, named in [((1,), (1, 1)), ((1, 2), (2, 2)), ((1, 2, 3), (4, 3)), ((1, 2, 3, 4, 5), (8, 4))]:
        assert answered(model, *values) == [2 * value for value in values]
        assert StandInRuns.named == [named]
    assert answered(model, *range(9)) == [2 * value for value in range(9)]
    assert StandInRuns.named == [(9, -1)]


def test_without_memory_for_graphs_there_are_none(
    told: list[Providers], double: onnx.ModelProto, tmp_path: Path
) -> None:
    model = loaded(double, tmp_path, graph_bytes=0)
    assert model.graphs == Graphs((), "switched off")
    assert told[0][0][1]["enable_cuda_graph"] == "0"
    assert answered(model, 1, 2) == [2, 4]
    assert StandInRuns.named == [(2, -1)]


def test_a_model_whose_rows_are_not_independent_has_a_graph_of_its_one_shape(
    told: list[Providers], model: Build, tmp_path: Path
) -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["y"], axis=0)]
    sides = {"x": (TensorProto.FLOAT, [3, 4])}
    fixed = loaded(model(nodes, sides, {"y": (TensorProto.FLOAT, [3, 4])}), tmp_path)
    assert fixed.graphs == Graphs((1,))
    answered(fixed, 1, 2, 3)
    assert StandInRuns.named == [(3, 1)]


def test_a_model_with_sizes_that_requests_tell_has_none(told: list[Providers], model: Build, tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["y"])]
    sides = {"x": (TensorProto.FLOAT, ["N", "S"])}
    free = loaded(model(nodes, sides, {"y": (TensorProto.FLOAT, ["N", "S"])}), tmp_path)
    assert free.graphs == Graphs((), 'input "x" has sizes that only requests tell')
    assert answered(free, 1, 2) == [-1, -2]


def test_control_flow_has_no_graphs(told: list[Providers], slow: onnx.ModelProto, tmp_path: Path) -> None:
    assert loaded(slow, tmp_path).graphs == Graphs((), "Loop is control flow, which a graph can't follow")


def test_what_onnx_runtime_refuses_to_capture_is_opened_without_graphs(
    told: list[Providers], double: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ort.InferenceSession

    def refusing(*arguments: Any, **options: Any) -> Any:
        if told[-1][0][1]["enable_cuda_graph"] == "1":
            raise RuntimeError(NO_CAPTURE)
        return opened(*arguments, **options)

    monkeypatch.setattr(ort, "InferenceSession", refusing)
    model = loaded(double, tmp_path)
    reason = "the model has control flow nodes which can't be supported by CUDAExecutionProvider"
    assert model.graphs == Graphs((), reason)
    assert answered(model, 3) == [6]


def test_strings_are_run_without_buffers_and_name_no_graph(told: list[Providers], model: Build, tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    sides = {"x": (TensorProto.STRING, ["N", 1])}
    texts = loaded(model(nodes, sides, {"y": (TensorProto.STRING, ["N", 1])}), tmp_path)
    options = RunOptions()
    (answer,) = texts.session.run({"x": np.array([["a"], ["b"]], np.object_)}, options)
    assert answer.tolist() == [["a"], ["b"]]
    assert options.get_run_config_entry(binding.GRAPH_ENTRY) == "-1"


def test_tensorrt_has_buffers_and_no_graphs(told: list[Providers], double: onnx.ModelProto, tmp_path: Path) -> None:
    model = loaded(double, tmp_path, "tensorrt", engine_cache="/cache")
    assert model.graphs == Graphs((), "TensorRT has its own")
    assert [name for name, _ in told[0]] == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert answered(model, 1, 2) == [2, 4]
    assert StandInRuns.named == [(2, -1)]
