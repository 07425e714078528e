"""The engine in a child process: answers, datatypes, memory that is shared and lent, crashes, hangs, restarts."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper

from tidegate_runtime.batching.dispatcher import Dispatcher
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.errors import (
    DeadlineExceeded,
    EngineLost,
    OutOfDeviceMemory,
    RejectedByModel,
    RunEnded,
    StartupFailure,
)
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.batchability import BatchingRules, Verdict
from tidegate_runtime.model.child.connection import COPIED_BYTES, MAX_SLABS, Connection
from tidegate_runtime.model.child.engine import ChildEngine
from tidegate_runtime.model.child.layout import arrange, pack
from tidegate_runtime.model.child.messages import DONE_HEAD, HEAD, Kind, pair, send_with
from tidegate_runtime.model.child.process import CHILD
from tidegate_runtime.model.child.report import (
    LoadReport,
    LoadTask,
    decode_report,
    decode_task,
    encode_report,
    encode_task,
)
from tidegate_runtime.model.child.restarts import in_a_row, load_patience, restart_delay
from tidegate_runtime.model.child.slab import attach, create
from tidegate_runtime.model.device import DeviceOptions
from tidegate_runtime.model.graph_policy import Graphs
from tidegate_runtime.model.ladder import Costs
from tidegate_runtime.model.signature import Signature
from tidegate_runtime.served_model import Limits, Loaded
from tidegate_runtime.service import Service
from tidegate_runtime.tensors import Array, Datatype, Feeds, InferRequest, Tensor, TensorSpec

pytestmark = [pytest.mark.integration]

Build = Callable[..., onnx.ModelProto]
TINY = (sys.executable, str(Path(__file__).with_name("tiny_child.py")))
PATIENCE_SECONDS = 60.0

ONNX_KINDS = {
    Datatype.BOOL: TensorProto.BOOL,
    Datatype.UINT8: TensorProto.UINT8,
    Datatype.UINT16: TensorProto.UINT16,
    Datatype.UINT32: TensorProto.UINT32,
    Datatype.UINT64: TensorProto.UINT64,
    Datatype.INT8: TensorProto.INT8,
    Datatype.INT16: TensorProto.INT16,
    Datatype.INT32: TensorProto.INT32,
    Datatype.INT64: TensorProto.INT64,
    Datatype.FP16: TensorProto.FLOAT16,
    Datatype.BF16: TensorProto.BFLOAT16,
    Datatype.FP32: TensorProto.FLOAT,
    Datatype.FP64: TensorProto.DOUBLE,
    Datatype.BYTES: TensorProto.STRING,
}


@asynccontextmanager
async def engine_of(
    path: Path | str,
    command: tuple[str, ...] = CHILD,
    max_rows: int = 8,
    delay: Callable[[int], float] = restart_delay,
    patience: float = PATIENCE_SECONDS,
    readiness_changed: Callable[[], None] = lambda: None,
    load_patience: Callable[[float], float] = load_patience,
) -> AsyncIterator[ChildEngine]:
    task = LoadTask(str(path), "cpu", 1, max_rows, vetting=False)
    engine = ChildEngine(task, command, delay, readiness_changed, load_patience)
    try:
        async with asyncio.timeout(patience):
            await engine.start()
            yield engine
    finally:
        await engine.close()


async def outputs_of(engine: ChildEngine, feeds: Feeds) -> Sequence[Array]:
    return (await engine.run(feeds))[0]


def words(*texts: str) -> dict[str, Array]:
    return {"a": np.array(texts, np.object_), "b": np.array(texts, np.object_)}


async def test_outputs_equal_those_of_onnx_runtime_bit_for_bit(magika_path: Path) -> None:
    direct = ort.InferenceSession(str(magika_path), providers=["CPUExecutionProvider"])
    (given_input,) = direct.get_inputs()
    generator = np.random.default_rng(1)
    async with engine_of(magika_path) as engine:
        for rows in (1, 3, 8, 1):
            feeds = {given_input.name: generator.integers(0, 256, (rows, *given_input.shape[1:])).astype(np.int32)}
            expected, outputs = direct.run(None, feeds), await outputs_of(engine, feeds)
            assert [array.tobytes() for array in outputs] == [array.tobytes() for array in expected]
            assert [array.shape for array in outputs] == [array.shape for array in expected]


async def test_requests_are_laid_below_each_other_in_their_order(double: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    requests = [{"x": np.full((rows, 4), rows, np.float32)} for rows in (1, 3, 2)]
    async with engine_of(tmp_path) as engine:
        (answer,), seconds = await engine.run_batch(requests)
    np.testing.assert_array_equal(answer[:, 0], [2, 6, 6, 6, 4, 4])
    assert 0 < seconds < PATIENCE_SECONDS


@pytest.mark.parametrize("absent", [Datatype.BYTES, Datatype.BF16], ids="without {}".format)
async def test_every_datatype_passes_through_whatever_its_shape(absent: Datatype, model: Build, tmp_path: Path) -> None:
    """But strings and BF16 not together: ONNX Runtime's Python binding can't do that."""
    datatypes = [datatype for datatype in Datatype if datatype is not absent]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in datatypes]
    shapes = ["", "A", "B"]
    inputs = {name.value: (ONNX_KINDS[name], [f"{name}{axis}" for axis in shapes]) for name in datatypes}
    outputs = {f"{name}_out": inputs[name] for name in datatypes}
    onnx.save(model(nodes, inputs, outputs), tmp_path / "m.onnx")
    generator = np.random.default_rng(2)
    async with engine_of(tmp_path) as engine:
        for shape in [(1, 1, 1), (2, 0, 3), (0, 1, 1), (3, 2, 5), (1, 1, 1), (7, 100, 90)]:
            feeds = {name.value: _random(name, shape, generator) for name in datatypes}
            for got, wanted in zip(await outputs_of(engine, feeds), feeds.values(), strict=True):
                assert got.dtype == wanted.dtype
                assert got.shape == wanted.shape
                assert got.tolist() == wanted.tolist()


def _random(datatype: Datatype, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    numbers: Array = generator.integers(0, 2 if datatype is Datatype.BOOL else 100, shape)
    if datatype is not Datatype.BYTES:
        return numbers.astype(datatype.numpy)
    texts = np.empty(shape, np.object_)
    texts[...] = (
        np.vectorize(lambda number: "水\0é"[: number % 4] * number, otypes=[object])(numbers) if numbers.size else ""
    )
    return texts


async def test_a_scalar_comes_back_as_one(slow: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(slow, tmp_path / "m.onnx")
    async with engine_of(tmp_path) as engine:
        (answer,) = await outputs_of(engine, {"n": np.array(5)})
    assert answer.shape == ()
    assert answer == 5


async def test_what_the_model_rejects_is_told_as_in_process(model: Build, tmp_path: Path) -> None:
    nodes = [helper.make_node("Gather", ["t", "x"], ["y"], name="table")]
    built = model(nodes, {"x": (TensorProto.INT64, ["N"])}, {"y": (TensorProto.FLOAT, ["N"])}, {"t": np.ones(3, "f")})
    onnx.save(built, tmp_path / "m.onnx")
    async with engine_of(tmp_path) as engine:
        with pytest.raises(
            RejectedByModel, match=r'Gather operator "table": indices element out of data bounds, idx=9'
        ):
            await outputs_of(engine, {"x": np.array([9])})
        assert (await outputs_of(engine, {"x": np.array([2])}))[0] == [1]


async def test_outputs_may_outgrow_every_slab_before(model: Build, tmp_path: Path) -> None:
    node = helper.make_node("Expand", ["x", "shape"], ["y"])
    sides = {"x": (TensorProto.FLOAT, []), "shape": (TensorProto.INT64, ["R"])}
    onnx.save(model([node], sides, {"y": (TensorProto.FLOAT, ["A"])}), tmp_path / "m.onnx")
    async with engine_of(tmp_path, max_rows=1) as engine:
        for size in (1, COPIED_BYTES, 3_000_000, 10, 3_000_001, 20_000_000):
            (answer,) = await outputs_of(engine, {"x": np.array(size, np.float32), "shape": np.array([size])})
            assert answer.shape == (size,)
            assert (answer == np.float32(size)).all()


def test_the_task_reaches_the_child_as_it_was_given() -> None:
    rules = BatchingRules(True, {Datatype.FP16: 0.25})
    options = DeviceOptions(1 << 20, 0, "exhaustive", "/cache")
    for task in (
        LoadTask("/m", "cpu", 2, 8),
        LoadTask("/m", "tensorrt", 2, 8, options=options),
        LoadTask("/m", "cuda", 0, 1, False, rules, 'name: "m"', 0.5),
    ):
        assert decode_task(encode_task(task)) == task


def test_the_report_reaches_the_server_as_it_was_given() -> None:
    specs = (TensorSpec("x", Datatype.BF16, ("N", 3, "")), TensorSpec("s", Datatype.BYTES, ()))
    costs = Costs({"x": (1, 3, 8), "s": ()}, {1: (0.5, 0.25), 8: (1.5,)})
    graphs = Graphs((1, 2, 4), "memory ended the ladder below 8 rows")
    report = LoadReport(Signature(specs, specs[::-1]), Verdict(True, "proved"), {"s": ("cat", "dog")}, costs, graphs)
    assert decode_report(encode_report(report)) == report


async def test_the_child_measures_what_runs_cost(double: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    async with engine_of(tmp_path, max_rows=4) as engine:
        assert engine.report is not None
        assert list(engine.report.costs.seconds) == [1, 2, 4]


async def test_the_model_may_be_refused_by_the_child(tmp_path: Path) -> None:
    engine = ChildEngine(LoadTask(str(tmp_path / "absent"), "cpu", 1, 8))
    with pytest.raises(StartupFailure, match="does not exist") as failure:
        await engine.start()
    assert failure.value.reason == "ModelNotFound"
    assert engine.pid is not None
    assert not engine.ready
    await engine.close()


def numbers(value: float, size: int = 50_000) -> dict[str, Array]:
    return {"a": np.full(size, value, np.float32), "b": np.full(1, value, np.float32)}


async def test_an_answer_in_use_is_never_written_over() -> None:
    """A consumer that holds on to parts of every answer, to more of them than there are slabs."""
    async with engine_of("numbers", TINY) as engine:
        held = []
        for value in range(3 * MAX_SLABS):
            outputs = await outputs_of(engine, numbers(value))
            held.append((value, outputs[0][-7:], outputs[0][:3].data, outputs[1]))
            del outputs
        for value, part, raw, small in held:
            assert part.tolist() == [value] * 7
            assert raw.tolist() == [value] * 3
            assert small.tolist() == [value]


async def test_slabs_that_nobody_uses_any_more_are_used_again() -> None:
    before = _mapped_slabs()
    async with engine_of("numbers", TINY) as engine:
        for value in range(3 * MAX_SLABS):
            await outputs_of(engine, numbers(value))
        # For inputs, for outputs that are copied, and two by turns: the event loop holds the last outputs for a while.
        assert _mapped_slabs() - before in {3, 4}
    assert _mapped_slabs() == before


def _mapped_slabs() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:tidegate-tensors")


async def test_answers_outlive_the_process_that_gave_them() -> None:
    async with engine_of("numbers", TINY) as engine:
        await outputs_of(engine, numbers(1))
        outputs = await outputs_of(engine, numbers(2))
    assert (outputs[0] == 2).all()
    assert not outputs[0].flags.writeable


numpy_shapes = arrays.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=9)


async def test_a_thousand_shapes_make_the_round_trip() -> None:
    unknown_to_hypothesis = {Datatype.BYTES, Datatype.BF16}
    kinds = st.sampled_from([datatype.numpy for datatype in Datatype if datatype not in unknown_to_hypothesis])
    tensors = kinds.flatmap(lambda dtype: arrays.arrays(dtype, numpy_shapes, elements=arrays.from_dtype(dtype)))
    async with engine_of("numbers", TINY, patience=300) as engine:
        loop = asyncio.get_running_loop()

        @settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
        @given(tensors, tensors)
        def check(a: Array, b: Array) -> None:
            got = asyncio.run_coroutine_threadsafe(outputs_of(engine, {"a": a, "b": b}), loop).result(PATIENCE_SECONDS)
            assert [(x.dtype, x.shape, x.tobytes()) for x in got] == [(x.dtype, x.shape, x.tobytes()) for x in (a, b)]

        await asyncio.to_thread(check)


async def test_any_text_makes_the_round_trip() -> None:
    texts = arrays.arrays(np.object_, numpy_shapes, elements=st.text())
    async with engine_of("words", TINY) as engine:
        loop = asyncio.get_running_loop()

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        @given(texts, texts)
        def check(a: Array, b: Array) -> None:
            got = asyncio.run_coroutine_threadsafe(outputs_of(engine, {"a": a, "b": b}), loop).result(PATIENCE_SECONDS)
            assert [x.tolist() for x in got] == [a.tolist(), b.tolist()]

        await asyncio.to_thread(check)


async def test_a_fault_keeps_its_meaning_and_its_text() -> None:
    async with engine_of("words", TINY) as engine:
        with pytest.raises(RejectedByModel, match="none of that, 水"):
            await outputs_of(engine, words("reject"))


@pytest.mark.parametrize(
    ("order", "how"),
    [("segfault", r"signal 11 \(Segmentation fault\)"), ("exit", "code 3"), ("lost", "a fault of the device")],
)
async def test_the_run_that_ends_the_process_fails_and_the_next_one_has_a_new_process(order: str, how: str) -> None:
    async with engine_of("words", TINY) as engine:
        first = engine.pid
        with pytest.raises(EngineLost, match=how) as lost:
            await outputs_of(engine, words(order))
        assert (lost.value.http_status, lost.value.grpc_status, lost.value.retry_after_seconds) == (
            503,
            "UNAVAILABLE",
            1,
        )
        assert not engine.ready
        assert [array.tolist() for array in await outputs_of(engine, words("hello"))] == [["hello"], ["hello"]]
        assert engine.ready
        assert engine.pid != first
        assert engine.restarts == 1


async def test_a_batch_that_ends_the_process_is_not_tried_on_the_next_one() -> None:
    async with engine_of("words", TINY) as engine:
        metrics = ModelMetrics("m", "1", "cpu")
        scheduler = Scheduler(engine, BatchPolicy(4, 0.005, 100), metrics, time.monotonic)
        deadline = time.monotonic() + PATIENCE_SECONDS
        requests = [asyncio.create_task(scheduler.infer(words("exit"), 1, deadline)) for _ in range(4)]
        serving = asyncio.create_task(scheduler.run())
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [EngineLost] * 4
        answer = await scheduler.infer(words("hello"), 1, deadline)
        assert answer[0].tolist() == ["hello"]
        assert engine.restarts == 1
        scheduler.close()
        await serving


async def test_the_service_is_not_ready_while_there_is_no_process() -> None:
    service = Service(Limits(4, 0.005, 100, 1 << 20, PATIENCE_SECONDS))
    async with engine_of("words", TINY, readiness_changed=service.engines_changed) as engine:
        assert engine.report is not None
        service.expect("m", "1", "cpu")
        report = engine.report
        service.open("m", "1", Loaded(report.signature, report.verdict, engine, engine_ready=lambda: engine.ready))
        model = service.model("m", None)
        tensors = [Tensor(name, Datatype.BYTES, array) for name, array in words("exit").items()]
        assert service.ready
        with pytest.raises(EngineLost):
            await model.infer(InferRequest(tuple(tensors)), time.monotonic())
        assert not service.ready
        tensors = [Tensor(name, Datatype.BYTES, array) for name, array in words("hello").items()]
        await model.infer(InferRequest(tuple(tensors)), time.monotonic())
        assert service.ready
        await service.close()


async def test_who_asks_for_it_is_told_when_the_engine_is_lost_and_when_it_is_back() -> None:
    told: list[bool] = []
    engine = ChildEngine(LoadTask("words", "cpu", 1, 8), TINY, readiness_changed=lambda: told.append(engine.ready))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await engine.start()
        with pytest.raises(EngineLost):
            await outputs_of(engine, words("exit"))
        await outputs_of(engine, words("hello"))
        assert told == [True, False, True]
        await engine.close()


async def test_a_batch_that_cannot_be_ended_is_late_and_the_next_one_has_a_new_process() -> None:
    async with engine_of("words", TINY) as engine:
        scheduler = Scheduler(engine, BatchPolicy(4, 0.005, 100), ModelMetrics("m", "1", "cpu"), time.monotonic)
        serving = asyncio.create_task(scheduler.run())
        with pytest.raises(DeadlineExceeded):
            await scheduler.infer(words("hang"), 1, time.monotonic() + 0.1)
        answer = await scheduler.infer(words("hello"), 1, time.monotonic() + PATIENCE_SECONDS)
        assert answer[0].tolist() == ["hello"]
        assert engine.restarts == 1
        scheduler.close()
        await serving


async def test_a_run_that_cannot_be_ended_costs_the_process() -> None:
    async with engine_of("words", TINY) as engine:
        run = asyncio.create_task(outputs_of(engine, words("hang")))
        await asyncio.sleep(0)
        engine.interrupt()
        with pytest.raises(EngineLost, match="signal 9"):
            await run
        assert (await outputs_of(engine, words("hello")))[0].tolist() == ["hello"]


async def test_an_endless_run_is_ended_and_the_process_stays(slow: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(slow, tmp_path / "m.onnx")
    async with engine_of(tmp_path) as engine:
        first = engine.pid
        run = asyncio.create_task(outputs_of(engine, {"n": np.array(10**15)}))
        await asyncio.sleep(0)
        engine.interrupt()
        with pytest.raises(RunEnded):
            await run
        assert (await outputs_of(engine, {"n": np.array(7)}))[0] == 7
        assert (engine.pid, engine.restarts) == (first, 0)


async def test_a_caller_that_leaves_takes_its_run_with_it(slow: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(slow, tmp_path / "m.onnx")
    async with engine_of(tmp_path) as engine:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(outputs_of(engine, {"n": np.array(10**15)}), 0.05)
        assert (await outputs_of(engine, {"n": np.array(7)}))[0] == 7
        assert engine.restarts == 0


async def test_the_wait_for_a_new_process_can_be_ended() -> None:
    async with engine_of("words", TINY) as engine:
        with pytest.raises(EngineLost):
            await outputs_of(engine, words("segfault"))
        run = asyncio.create_task(outputs_of(engine, words("hello")))
        await asyncio.sleep(0)
        engine.interrupt()
        with pytest.raises(RunEnded):
            await run


async def test_a_model_that_ends_its_process_three_times_is_not_served() -> None:
    engine = ChildEngine(LoadTask("crash", "cpu", 1, 8), TINY)
    with pytest.raises(StartupFailure, match="ended 3 times in a row, last by signal 11") as failure:
        await engine.start()
    assert failure.value.reason == "WarmupFailed"
    assert engine.restarts == 2
    with pytest.raises(EngineLost):
        await outputs_of(engine, words("hello"))


def brief(first_seconds: float) -> float:
    return 5 * first_seconds + 1


async def test_a_process_that_hangs_while_it_loads_again_is_ended_and_the_next_one_serves(tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    loads.write_text("serve\nhang\nserve\n")
    async with engine_of(loads, TINY, delay=lambda _: 0, load_patience=brief) as engine:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineLost, match="signal 9"):
            await outputs_of(engine, numbers(3, 2))
        assert (await outputs_of(engine, numbers(3, 2)))[0].tolist() == [3, 3]
        assert engine.restarts == 2


async def test_a_model_that_hangs_at_every_load_again_ends_the_service(tmp_path: Path) -> None:
    loads = tmp_path / "loads"
    loads.write_text("serve\nhang\nhang\nhang\n")
    async with engine_of(loads, TINY, delay=lambda _: 0, load_patience=brief) as engine:
        assert engine.pid is not None
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(StartupFailure, match=r"3 times in a row, last by a load of more than \d+ s$") as failure:
            await engine.failed()
        assert failure.value.reason == "WarmupFailed"


async def test_a_device_that_capturing_graphs_breaks_is_used_without_graphs() -> None:
    engine = ChildEngine(LoadTask("capture", "cuda", 1, 8), TINY, lambda _: 0)
    async with asyncio.timeout(PATIENCE_SECONDS):
        report = await engine.start()
        assert report.graphs == Graphs((), "a process that was to capture them ended")
        assert engine.restarts == 1
        assert (await outputs_of(engine, numbers(3, 2)))[0].tolist() == [3, 3]
        await engine.close()


def squares(size: int) -> dict[str, Array]:
    """Inputs for which `square` needs `size`² floats, two times."""
    return {"x": np.ones((1, size, 1), np.float32)}


def square(model: Build) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["m"], name="square"),
        helper.make_node("Exp", ["m"], ["e"]),
        helper.make_node("ReduceMax", ["e", "axes"], ["y"], keepdims=0),
    ]
    free = {"x": (TensorProto.FLOAT, ["N", "A", 1])}
    return model(nodes, free, {"y": (TensorProto.FLOAT, ["N"])}, {"axes": np.array([1, 2])})


async def test_a_batch_beyond_the_arena_s_limit_fails_alone_and_what_fits_is_answered(
    model: Build, tmp_path: Path
) -> None:
    onnx.save(square(model), tmp_path / "m.onnx")
    task = LoadTask(str(tmp_path), "cpu", 1, 8, vetting=False, options=DeviceOptions(arena_bytes=16 << 20))
    engine = ChildEngine(task)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await engine.start()
            for size in (100, 500, 1000):
                assert np.isclose((await outputs_of(engine, squares(size)))[0], np.e).all()
            with pytest.raises(OutOfDeviceMemory, match="a buffer of 16000000 bytes can't be had"):
                await outputs_of(engine, squares(2000))
            first = engine.pid
            assert np.isclose((await outputs_of(engine, squares(1000)))[0], np.e).all()
            # The arena holds pieces of 1000² floats, too small for this one, until it is told to let them go.
            assert np.isclose((await outputs_of(engine, squares(1300)))[0], np.e).all()
            assert engine.pid == first
    finally:
        await engine.close()


async def test_a_model_that_is_refused_on_the_way_back_ends_the_service(
    tmp_path: Path, double: onnx.ModelProto
) -> None:
    onnx.save(double, tmp_path / "m.onnx")
    async with engine_of(tmp_path) as engine:
        assert engine.pid is not None
        (tmp_path / "m.onnx").unlink()
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(StartupFailure, match="found none"):
            await engine.failed()
        with pytest.raises(EngineLost):
            await outputs_of(engine, {"x": np.ones((1, 4), np.float32)})


async def test_the_process_of_a_model_out_of_service_answers_to_its_end_and_has_no_successor() -> None:
    async with engine_of("words", TINY) as engine:
        engine.retire()
        assert [array.tolist() for array in await outputs_of(engine, words("hello"))] == [["hello"], ["hello"]]
        with pytest.raises(EngineLost, match="code 3"):
            await outputs_of(engine, words("exit"))
        await engine.failed()
        with pytest.raises(EngineLost, match="isn't started again"):
            await outputs_of(engine, words("hello"))
        assert engine.restarts == 0


@pytest.mark.parametrize("delay", [0, PATIENCE_SECONDS], ids=["while it loads", "before it is started"])
async def test_nobody_waits_for_a_new_process_of_a_model_out_of_service(delay: float) -> None:
    device = Dispatcher(time.monotonic)
    async with engine_of("words", TINY, delay=lambda _: delay, readiness_changed=device.review) as engine:
        scheduler = Scheduler(
            engine,
            BatchPolicy(4, 0.005, 100),
            ModelMetrics("m", "1", "cpu"),
            time.monotonic,
            dispatcher=device,
            available=lambda: engine.ready or engine.retired,
        )
        serving = asyncio.create_task(scheduler.run())
        with pytest.raises(EngineLost, match="code 3"):
            await scheduler.infer(words("exit"), 1, time.monotonic() + PATIENCE_SECONDS)
        waiting = asyncio.create_task(scheduler.infer(words("hello"), 1, time.monotonic() + PATIENCE_SECONDS))
        for _ in range(3):  # It comes, it is cut, and it goes back to its queue.
            await asyncio.sleep(0)
        assert not engine.ready
        engine.retire()
        with pytest.raises(EngineLost, match="isn't started again"):
            await waiting
        scheduler.close()
        await serving


async def test_restarts_leave_nothing_behind() -> None:
    async with engine_of("words", TINY, delay=lambda _: 0, patience=300) as engine:
        await outputs_of(engine, words("hello"))
        descriptors, slabs = len(os.listdir("/proc/self/fd")), _mapped_slabs()
        for _ in range(25):
            with pytest.raises(EngineLost):
                await outputs_of(engine, words("exit"))
            assert (await outputs_of(engine, words("hello")))[0].tolist() == ["hello"]
        assert (len(os.listdir("/proc/self/fd")), _mapped_slabs()) == (descriptors, slabs)
        assert engine.restarts == 25


def test_restarts_are_further_and_further_apart() -> None:
    assert [restart_delay(crashes) for crashes in range(1, 10)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert [in_a_row(4, 29.9), in_a_row(4, 30)] == [5, 1]


def test_a_load_again_has_a_minute_or_three_times_what_the_first_took() -> None:
    assert [load_patience(first) for first in (0.1, 20, 21, 600)] == [60, 60, 63, 1800]


def _too_far(line: socket.socket) -> None:
    _, descriptor = create(1)
    send_with(line, HEAD.pack(Kind.SLAB, 0, 0), descriptor)
    os.close(descriptor)
    beyond = arrange([(Datatype.FP32.numpy, (1 << 20,), 1 << 22)])
    line.send(DONE_HEAD.pack(Kind.DONE, 0, 0, 0.0) + pack(beyond))


@pytest.mark.parametrize(
    "say",
    [
        pytest.param(lambda line: line.send(b"?"), id="too short"),
        pytest.param(lambda line: line.send(b"\xff" * 100), id="no message"),
        pytest.param(lambda line: line.send(b"\x05" * 100_000), id="too long"),
        pytest.param(lambda line: line.send(DONE_HEAD.pack(Kind.DONE, 0, 7, 0.0)), id="an answer to another run"),
        pytest.param(lambda line: line.send(HEAD.pack(Kind.SLAB, 0, 0)), id="a slab without its descriptor"),
        pytest.param(lambda line: line.send(HEAD.pack(Kind.FAULT, 0, 0) + b"{"), id="a fault that is no JSON"),
        pytest.param(
            lambda line: send_with(line, HEAD.pack(Kind.LOADED, 0, 9), line.fileno()), id="a socket as a report"
        ),
        pytest.param(_too_far, id="outputs beyond the slab's end"),
    ],
)
async def test_a_process_that_cannot_be_understood_is_ended(say: Callable[[socket.socket], Any]) -> None:
    killed = asyncio.Event()
    (line, theirs), (second_line, their_second) = pair(), pair()
    connection = Connection(line, second_line, killed.set)
    with theirs, their_second:
        say(theirs)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await killed.wait()
    connection.lost(EngineLost("killed"))
    with pytest.raises(EngineLost):
        await connection.loaded
    with pytest.raises(EngineLost):
        await connection.run([words("hello")])


def test_memory_that_the_peer_could_cut_short_is_not_taken() -> None:
    descriptor = os.memfd_create("loose")
    os.ftruncate(descriptor, 4096)
    with pytest.raises(ValueError, match="sealed"):
        attach(descriptor)
