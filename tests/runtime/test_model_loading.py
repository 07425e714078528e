"""Files that are no model, devices that aren't there, and a session's failures."""

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from tidegate_runtime.errors import ExecutionFailed, RejectedByModel, StartupFailure
from tidegate_runtime.model import loading
from tidegate_runtime.model.batchability import BatchingRules, Verdict
from tidegate_runtime.model.cpus import usable_cpus
from tidegate_runtime.model.files import find_model
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.model.warmup import Doubt, warm_up
from tidegate_runtime.naming import Reason
from tidegate_runtime.tensors import Array, Datatype, Feeds, TensorSpec

Build = Callable[..., onnx.ModelProto]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"<!doctype html><title>Sign in</title>", "HTML or XML", id="a web page"),
        pytest.param(b'\n {"error": "no"}', "JSON", id="a JSON error"),
        pytest.param(pickle.dumps({"a": 1}), "a Python pickle", id="a pickle"),
        pytest.param(zipped(), "a zip archive", id="a zip archive"),
        pytest.param(gzip.compress(b"x"), "a gzip archive", id="a gzip archive"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "HDF5", id="a Keras file"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer", id="a Git LFS pointer"),
        pytest.param(b"\x08\x08" + b"\xff" * 100, "not a valid ONNX model", id="garbage that begins like a model"),
    ],
)
def test_not_a_model_is(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(StartupFailure, match=message) as failure:
        load_model(path, "cpu", 1, 8)
    assert failure.value.reason == "ModelInvalid"
    assert "export the model to ONNX" in failure.value.message


def test_not_a_model_is_one_that_was_cut_short(magika_path: Path, tmp_path: Path) -> None:
    content = magika_path.read_bytes()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(StartupFailure, match="Protobuf parsing failed") as failure:
        load_model(tmp_path, "cpu", 1, 8)
    assert failure.value.reason == "ModelInvalid"


def test_an_operator_that_does_not_exist_is_named(model: Build, tmp_path: Path) -> None:
    one = {"x": (TensorProto.FLOAT, ["N"])}
    onnx.save(model([helper.make_node("Frobnicate", ["x"], ["y"])], one, {"y": one["x"]}), tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match="Frobnicate") as failure:
        load_model(tmp_path / "m.onnx", "cpu", 1, 8)
    assert failure.value.reason == "ModelInvalid"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param([], "found none", id="no model"),
        pytest.param(["a.onnx", "b.onnx"], "found a.onnx, b.onnx", id="two models"),
    ],
)
def test_a_directory_must_hold_one_model(files: list[str], message: str, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(StartupFailure, match=message) as failure:
        find_model(tmp_path)
    assert failure.value.reason == "ModelNotFound"


def test_a_path_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match="does not exist") as failure:
        find_model(tmp_path / "absent")
    assert failure.value.reason == "ModelNotFound"


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this build has CUDA")
def test_a_build_without_cuda_says_so(magika_path: Path) -> None:
    with pytest.raises(StartupFailure, match="has no CUDAExecutionProvider; use the image variant") as failure:
        load_model(magika_path, "cuda", 1, 8)
    assert failure.value.reason == "DeviceUnavailable"


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="this build has CUDA")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_session_that_fell_back_to_the_cpu_is_not_taken(magika_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(StartupFailure, match="fell back from CUDAExecutionProvider to CPUExecution") as failure:
        load_model(magika_path, "cuda", 1, 8)
    assert failure.value.reason == "DeviceUnavailable"


def test_a_graph_that_never_ends_fails_its_warm_up(
    endless: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "RUN_LIMIT_SECONDS", 0.2)
    monkeypatch.setattr("tidegate_runtime.model.endless.doubtful_loop", lambda _: None)
    onnx.save(endless, tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match="does the graph loop forever") as failure:
        load_model(tmp_path / "m.onnx", "cpu", 1, 8)
    assert failure.value.reason == "WarmupFailed"


def test_a_loop_that_may_never_end_has_less_time_for_its_first_run(
    endless: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LOOP_LIMIT_SECONDS", 0.2)
    onnx.save(endless, tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match=r'within 0.2 s; does the loop "y" go on .* --warmup-seconds') as failure:
        load_model(tmp_path / "m.onnx", "cpu", 1, 8)
    assert failure.value.reason == "WarmupFailed"


def test_a_loop_that_may_never_end_has_the_time_that_it_is_given(
    endless: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "LOOP_LIMIT_SECONDS", 60.0)
    onnx.save(endless, tmp_path / "m.onnx")
    with pytest.raises(StartupFailure, match="no end within 1 s; does the graph loop forever"):
        load_model(tmp_path / "m.onnx", "cpu", 1, 8, run_seconds=1)


def test_a_loop_that_has_ended_once_is_doubted_no_more() -> None:
    rows: list[int] = []

    class Growing:
        signature = Signature((TensorSpec("x", Datatype.FP32, ("N", 2)),), (TensorSpec("y", Datatype.FP32, ("N", 2)),))

        def run(self, feeds: Feeds, options: RunOptions) -> list[Array]:
            Event().wait(1.0 if len(rows) == 1 else 0.0)  # the second is over the doubt's limit
            assert not options.terminate
            rows.append(len(feeds["x"]))
            return [feeds["x"]]

    session: Any = Growing()
    doubt = Doubt("y", 0.5)
    assert warm_up(session, Verdict(True, "declared"), 8, BatchingRules(declared=True), 60.0, doubt).verdict.batched
    assert len(rows) >= 3


def test_a_model_that_is_slow_but_gets_on_is_not_taken_for_one_that_never_ends() -> None:
    rows: list[int] = []

    class Slow:
        signature = Signature((TensorSpec("x", Datatype.FP32, ("N", 2)),), (TensorSpec("y", Datatype.FP32, ("N", 2)),))

        def run(self, feeds: Feeds, options: RunOptions) -> list[Array]:
            Event().wait(1)  # all runs together are over the limit, each is far below
            assert not options.terminate
            rows.append(len(feeds["x"]))
            return [feeds["x"]]

    session: Any = Slow()
    warm = warm_up(session, Verdict(True, "declared"), 8, BatchingRules(declared=True), limit_seconds=2.5)
    assert warm.verdict.batched
    assert len(rows) >= 3


def test_a_largest_batch_of_one_is_the_reason(double: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    verdict = load_model(tmp_path / "m.onnx", "cpu", 1, max_rows=1).verdict
    assert verdict == Verdict(False, "the largest batch is set to 1")


def test_values_that_an_operator_refuses_are_the_clients_fault(model: Build, tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["t", "x"], ["y"], name="table")]
    built = model(nodes, {"x": (TensorProto.INT64, ["N"])}, {"y": (TensorProto.FLOAT, ["N"])}, {"t": np.ones(3, "f")})
    onnx.save(built, tmp_path / "m.onnx")
    session = OnnxSession(tmp_path / "m.onnx", "cpu", 1)
    with pytest.raises(RejectedByModel, match=r'Gather operator "table": indices element out of data bounds, idx=9'):
        session.run({"x": np.array([9])}, RunOptions())


def test_any_other_failure_shows_no_path_of_the_server(model: Build, tmp_path: Path) -> None:
    free: dict[str, Any] = {"x": (TensorProto.FLOAT, ["N", "A"]), "z": (TensorProto.FLOAT, ["N", "B"])}
    built = model([helper.make_node("Add", ["x", "z"], ["y"])], free, {"y": (TensorProto.FLOAT, ["N", "C"])})
    onnx.save(built, tmp_path / "m.onnx")
    session = OnnxSession(tmp_path / "m.onnx", "cpu", 1)
    with pytest.raises(ExecutionFailed) as failure:
        session.run({"x": np.ones((1, 2), "f"), "z": np.ones((1, 3), "f")}, RunOptions())
    assert str(failure.value) == 'the model failed on this request in its Add operator ""; the server\'s log says how'


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("50000 100000", 1), ("100000 100000", 1), ("max 100000", None), ("99999900000 100000", None), ("", None)],
)
def test_threads_follow_the_cpu_quota(quota: str, cpus: int | None, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    unlimited = usable_cpus(tmp_path / "absent")
    assert usable_cpus(tmp_path / "cpu.max") == (unlimited if cpus is None else cpus)


def test_a_model_of_bf16_and_strings_is_refused_at_start(tmp_path: Path, model: Build) -> None:
    nodes = [helper.make_node("Identity", ["s"], ["t"]), helper.make_node("Identity", ["x"], ["y"])]
    texts, halves = (TensorProto.STRING, ["N"]), (TensorProto.BFLOAT16, ["N"])
    path = tmp_path / "model.onnx"
    onnx.save(model(nodes, {"s": texts, "x": halves}, {"t": texts, "y": halves}), path)
    with pytest.raises(StartupFailure, match="BF16 tensors and string inputs") as failure:
        load_model(path, "cpu", 1, 8)
    assert failure.value.reason is Reason.UNSUPPORTED_SIGNATURE
