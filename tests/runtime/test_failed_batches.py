"""What becomes of a batch that the engine fails on, by the kind of its failure."""

import asyncio
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import Assembly
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.errors import (
    ExecutionFailed,
    NodeFailed,
    OutOfDeviceMemory,
    RejectedByModel,
    RuntimeFault,
)
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.tensors import Feeds

Fails = Callable[[list[float]], RuntimeFault | None]

BAD = -1.0


class FailingEngine:
    """Runs take 10 ms; `fails` says what comes of a batch with these numbers, None if it is answered."""

    def __init__(self, fails: Fails, hop: float) -> None:
        self._fails = fails
        self._hop = hop
        self.inline = 0
        self.batches: list[list[float]] = []

    async def hop(self) -> float:
        return self._hop

    def run_inline(self, feeds: Feeds) -> Ran:
        assert self._hop, "nothing may run on the loop where the hop takes no time"
        self.inline += 1
        return self._answer(feeds)

    async def run(self, feeds: Feeds) -> Ran:
        numbers = feeds["x"][:, 0].tolist()
        self.batches.append(numbers)
        await asyncio.sleep(0.01)
        fault = self._fails(numbers)
        if fault is not None:
            raise fault
        return self._answer(feeds)

    def _answer(self, feeds: Feeds) -> Ran:
        return [feeds["x"] * 2], 0.01

    def interrupt(self) -> None:
        raise AssertionError("no run here is to be ended")


class Bench:
    """A scheduler in service over an engine that fails, and requests that hold one number."""

    def __init__(self, fails: Fails, hop: float = 0.0) -> None:
        self.engine = FailingEngine(fails, hop)
        self.metrics = ModelMetrics("m", "1", "cpu")
        clock = asyncio.get_running_loop().time
        self.scheduler = Scheduler(self.engine, BatchPolicy(8, 0.0, 100), self.metrics, clock)
        self.serving = asyncio.create_task(self.scheduler.run())

    async def answers(self, *requests: list[float], clients: Sequence[Hashable] = ()) -> list[object]:
        """Twice the first number of each request, or its fault."""
        deadline = asyncio.get_running_loop().time() + 60
        feeds = [{"x": np.array([[number] for number in numbers])} for numbers in requests]
        sent = [
            self.scheduler.infer(each, len(each["x"]), deadline, client=client)
            for each, client in zip(feeds, clients or [None] * len(feeds), strict=True)
        ]
        got = await asyncio.gather(*sent, return_exceptions=True)
        return [one if isinstance(one, BaseException) else float(one[0][0, 0]) for one in got]

    async def close(self) -> None:
        self.scheduler.close()
        await self.serving


def too_large(rows: int) -> Fails:
    return lambda numbers: OutOfDeviceMemory("no room") if len(numbers) > rows else None


def spoiled(fault: RuntimeFault) -> Fails:
    return lambda numbers: fault if BAD in numbers else None


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_batch_that_memory_does_not_hold_is_run_in_halves_and_no_larger_one_is_made_again() -> None:
    b = Bench(too_large(2))
    numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert await b.answers(*[[number] for number in numbers]) == [2 * number for number in numbers]
    assert [len(batch) for batch in b.engine.batches] == [8, 4, 4, 2, 2, 2, 2]
    assert b.metrics.out_of_memory == 3
    b.engine.batches.clear()
    assert await b.answers(*[[number] for number in numbers]) == [2 * number for number in numbers]
    assert [len(batch) for batch in b.engine.batches] == [2, 2, 2, 2]
    assert b.metrics.out_of_memory == 3
    await b.close()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_batches_grow_again_once_memory_has_held_them_for_a_minute() -> None:
    limit = [2]
    b = Bench(lambda numbers: OutOfDeviceMemory("no room") if len(numbers) > limit[0] else None)
    eight = [[1.0]] * 8

    async def sizes(seconds: float) -> list[int]:
        await asyncio.sleep(seconds)
        b.engine.batches.clear()
        assert await b.answers(*eight) == [2.0] * 8
        return [len(batch) for batch in b.engine.batches]

    assert await sizes(0) == [8, 4, 4, 2, 2, 2, 2]
    assert await sizes(50) == [2, 2, 2, 2]
    assert await sizes(20) == [4, 2, 2, 2, 2]  # Tried, and failed: the next try is after two minutes.
    assert await sizes(110) == [2, 2, 2, 2]
    limit[0] = 8
    assert await sizes(20) == [4, 4]
    assert await sizes(130) == [8]
    await b.close()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_request_that_is_too_large_by_itself_leaves_others_their_batches() -> None:
    b = Bench(lambda numbers: OutOfDeviceMemory("no room") if BAD in numbers else None)
    assert isinstance((await b.answers([BAD]))[0], OutOfDeviceMemory)
    assert await b.answers(*[[1.0]] * 8) == [2.0] * 8
    assert [len(batch) for batch in b.engine.batches] == [1, 8]
    await b.close()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_request_that_memory_does_not_hold_is_to_be_sent_again() -> None:
    b = Bench(too_large(2))
    large, small = await b.answers([1.0, 1.0, 1.0], [2.0])
    assert isinstance(large, OutOfDeviceMemory)
    assert (large.http_status, large.grpc_status, large.retry_after_seconds) == (503, "UNAVAILABLE", 1)
    assert small == 4.0
    await b.close()


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("fault", [RejectedByModel("bad"), NodeFailed("bad")])
async def test_what_may_be_one_requests_data_fails_that_request_alone(fault: RuntimeFault) -> None:
    b = Bench(spoiled(fault))
    answers = await b.answers([1.0], [BAD], [3.0], [4.0])
    assert answers == [2.0, fault, 6.0, 8.0]
    await b.close()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_what_may_be_the_engines_fault_is_not_run_again() -> None:
    b = Bench(spoiled(ExecutionFailed("broken")))
    answers = await b.answers([1.0], [BAD], [3.0])
    assert all(isinstance(answer, ExecutionFailed) for answer in answers)
    assert len(b.engine.batches) == 1
    await b.close()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_batch_that_there_is_no_memory_to_put_together_runs_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Assembly.stack

    def with_room_for_two(made: Assembly, requests: list[Feeds], rows: int) -> Feeds:
        if rows > 2:
            raise MemoryError
        return stack(made, requests, rows)

    monkeypatch.setattr(Assembly, "stack", with_room_for_two)
    b = Bench(lambda _numbers: None)
    assert await b.answers([1.0], [2.0], [3.0], [4.0]) == [2.0, 4.0, 6.0, 8.0]
    assert b.engine.batches == [[1.0, 2.0], [3.0, 4.0]]
    assert b.metrics.out_of_memory == 1
    await b.close()


class Unjoined:
    """What no batch can be taken apart from."""

    ndim = 2

    @property
    def shape(self) -> tuple[int, ...]:
        raise ValueError("no rows of their own")


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize("hop", [0.0, 1.0], ids=["on the launch thread", "on the loop"])
async def test_answers_that_can_not_be_taken_apart_fail_their_batch_and_the_next_one_runs(
    hop: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = Bench(lambda _numbers: None, hop)
    assert await b.answers([0.5]) == [1.0]
    for _ in range(2):  # So that it is known what two rows take, which the loop asks for.
        assert await b.answers([1.0], [2.0]) == [2.0, 4.0]
    broken: Any = [Unjoined()]
    with monkeypatch.context() as patched:
        patched.setattr(b.engine, "_answer", lambda _feeds: (broken, 0.01))
        assert all(isinstance(answer, ExecutionFailed) for answer in await b.answers([1.0], [2.0]))
    assert await b.answers([3.0], [4.0]) == [6.0, 8.0]
    assert b.engine.inline == (2 if hop else 0)
    assert b.metrics.inflight == 0
    await b.close()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_model_that_fails_on_everything_ends_up_with_a_run_a_request() -> None:
    b = Bench(lambda _numbers: NodeFailed("broken"))
    for _ in range(30):
        await b.answers(*[[float(number)] for number in range(8)])
    # Halves for a second of the first ten, 15 runs a batch; then all clients run alone.
    assert [len(batch) for batch in b.engine.batches[-8:]] == [1] * 8
    assert len(b.engine.batches) < 30 * 8 + 100
    await b.close()


class Rounds:
    """One bad request among seven good ones, again and again; each is answered by itself."""

    def __init__(self, fault: RuntimeFault) -> None:
        self.bench = Bench(spoiled(fault))
        self.fault = fault
        self.spent = 0.0

    async def run(self, count: int, good: Callable[[int], Hashable], bad: Callable[[int], Hashable]) -> list[int]:
        """The rows of the last round's runs. Clients are told by which good request it is, or in which round."""
        isolation = self.bench.scheduler._backlog._isolation
        for number in range(count):
            clients = [good(place) for place in range(3)] + [bad(number)] + [good(place) for place in range(3, 7)]
            self.bench.engine.batches.clear()
            answers = await self.bench.answers(*[[1.0]] * 3, [BAD], *[[1.0]] * 4, clients=clients)
            assert answers == [*[2.0] * 3, self.fault, *[2.0] * 4]
            self.spent = max(self.spent, isolation._spent.total(asyncio.get_running_loop().time()))
        return [len(batch) for batch in self.bench.engine.batches]


BOTH = pytest.mark.parametrize("fault", [RejectedByModel("bad"), NodeFailed("bad")], ids=["rejected", "failed"])


@pytest.mark.asyncio
@pytest.mark.looptime
@BOTH
async def test_beyond_the_budget_an_operator_that_fails_for_one_requests_data_fails_that_request_alone(
    fault: RuntimeFault,
) -> None:
    r = Rounds(fault)
    # Halves take 60 ms of each round, up to a second; then whose they were runs alone.
    rows = await r.run(40, lambda place: ("good", place), lambda _: ("bad", 1))
    assert sorted(rows) == [1, 7]
    assert r.spent < 1.2
    await r.bench.close()


@pytest.mark.asyncio
@pytest.mark.looptime
@BOTH
async def test_who_connects_anew_for_each_bad_request_runs_alone_by_the_host(fault: RuntimeFault) -> None:
    r = Rounds(fault)
    rows = await r.run(40, lambda place: ("good", place), lambda turn: ("bad", turn))
    assert sorted(rows) == [1, 7]
    assert r.spent < 1.2
    await r.bench.close()


@pytest.mark.asyncio
@pytest.mark.looptime
@BOTH
async def test_behind_a_router_nobody_runs_alone_for_anothers_bad_requests(fault: RuntimeFault) -> None:
    r = Rounds(fault)
    rows = await r.run(40, lambda place: ("router", place), lambda _: ("router", 7))
    assert sorted(rows) == [1, 7]
    await r.bench.close()


@pytest.mark.asyncio
@pytest.mark.looptime
@BOTH
async def test_bad_requests_by_ever_new_clients_make_batches_small_and_take_a_bounded_share(
    fault: RuntimeFault,
) -> None:
    r = Rounds(fault)
    await r.run(400, lambda place: ("good", place), lambda turn: (f"bad{turn}", 1))
    assert 2.0 < r.spent < 3.1
    # Once they are over all is as before.
    await asyncio.sleep(10)
    r.bench.engine.batches.clear()
    assert await r.bench.answers(*[[1.0]] * 8) == [2.0] * 8
    assert [len(batch) for batch in r.bench.engine.batches] == [8]
    await r.bench.close()


def test_an_operator_that_fails_for_its_data_is_told_from_an_engine_that_fails(
    tmp_path: Path,
) -> None:
    # To reshape to what a request says fails as a run-time error, not as an invalid argument.
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"], name="r")],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("shape", TensorProto.INT64, [2]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    session = OnnxSession(path, "cpu", 1)
    with pytest.raises(NodeFailed, match='"r"'):
        session.run({"x": np.zeros(6, np.float32), "shape": np.array([4, 4])}, RunOptions())
