"""The engine in this process with a real session: where runs happen, how they end, and a scheduler on top."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.errors import RunEnded
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.costing import cost_table
from tidegate_runtime.model.engine import ThreadEngine
from tidegate_runtime.model.loading import load_model
from tidegate_runtime.model.session import OnnxSession


@pytest.fixture
def launch() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def session(folder: Path, model: onnx.ModelProto) -> OnnxSession:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return OnnxSession(path, "cpu", 1)


async def test_a_run_gives_the_outputs_and_the_seconds_it_took(
    tmp_path: Path, double: onnx.ModelProto, launch: ThreadPoolExecutor
) -> None:
    engine = ThreadEngine(session(tmp_path, double), launch)
    feeds = {"x": np.ones((2, 4), np.float32)}
    for outputs, seconds in (await engine.run(feeds), engine.run_inline(feeds)):
        np.testing.assert_array_equal(outputs[0], feeds["x"] * 2)
        assert seconds > 0


async def test_the_hop_is_measured_where_runs_may_be_on_the_loop(
    tmp_path: Path, double: onnx.ModelProto, launch: ThreadPoolExecutor
) -> None:
    loaded = session(tmp_path, double)
    assert await ThreadEngine(loaded, launch).hop() > 0
    assert await ThreadEngine(loaded, launch, inline=False).hop() == 0


async def test_a_run_that_blocks_the_loop_is_ended(
    tmp_path: Path, endless: onnx.ModelProto, launch: ThreadPoolExecutor
) -> None:
    engine = ThreadEngine(session(tmp_path, endless), launch)
    with pytest.raises(RunEnded):
        engine.run_inline({"n": np.array(1)})


async def test_an_interrupted_run_ends(tmp_path: Path, endless: onnx.ModelProto, launch: ThreadPoolExecutor) -> None:
    engine = ThreadEngine(session(tmp_path, endless), launch)
    run = asyncio.create_task(engine.run({"n": np.array(1)}))
    await asyncio.sleep(0)
    engine.interrupt()
    with pytest.raises(RunEnded):
        await run


async def test_what_ended_one_run_does_not_end_the_next(
    tmp_path: Path, slow: onnx.ModelProto, launch: ThreadPoolExecutor
) -> None:
    engine = ThreadEngine(session(tmp_path, slow), launch)
    engine.interrupt()
    outputs, _ = await engine.run({"n": np.array(3)})
    engine.interrupt()
    assert outputs[0] == 3


async def test_each_request_gets_its_own_rows_whether_runs_are_on_the_loop_or_the_thread(
    tmp_path: Path, double: onnx.ModelProto, launch: ThreadPoolExecutor
) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(double, path)
    loaded = load_model(path, "cpu", 1, 32)
    costs = cost_table(loaded.costs, loaded.signature, 32)
    (shape,) = costs.shapes.values()
    threads = set()

    class Watched(ThreadEngine):
        async def hop(self) -> float:
            # So that a run of one row is on the loop and one of 32 may be on either side, as measured.
            cost = shape.at(1)
            assert cost is not None
            return cost.p99

    run = loaded.session.run

    def noted(feeds: object, options: object) -> object:
        threads.add(threading.current_thread().name)
        return run(feeds, options)  # type: ignore[arg-type]

    loaded.session.run = noted  # type: ignore[method-assign,assignment]
    metrics = ModelMetrics("m", "1", "cpu")
    scheduler = Scheduler(Watched(loaded.session, launch), BatchPolicy(32, 0.005, 4096), metrics, time.monotonic, costs)
    serving = asyncio.create_task(scheduler.run())

    async def ask(value: float) -> None:
        rows = np.full((1 + int(value) % 3, 4), value, np.float32)
        (answer,) = await scheduler.infer({"x": rows}, len(rows), time.monotonic() + 60)
        np.testing.assert_array_equal(answer, rows * 2)

    for burst in range(40):
        await asyncio.gather(*(ask(float(1000 * burst + index)) for index in range(1 + burst * 3)))
    scheduler.close()
    await serving
    assert "MainThread" in threads
    assert metrics.queue_depth == 0


def test_warm_up_measures_powers_of_two_and_the_largest_batch(tmp_path: Path, double: onnx.ModelProto) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(double, path)
    loaded = load_model(path, "cpu", 1, 12)
    (shape,) = cost_table(loaded.costs, loaded.signature, 12).shapes.values()
    assert [rows for rows, _ in shape.counts()] == [1, 2, 4, 8, 12]
