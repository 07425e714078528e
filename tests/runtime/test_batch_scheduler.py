"""The scheduler on virtual time; its engine is a table of how long a batch takes and what it does to one."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.place import AT_ONCE_SECONDS
from tidegate_runtime.batching.policy import MARGIN, BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.errors import DeadlineExceeded, ExecutionFailed, NotReady, Overloaded, RejectedByModel, RunEnded
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Feeds

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

RUN_SECONDS = 1.0
POISON = 666.0


class PacedEngine:
    """Doubles its rows in `seconds` a batch; a batch with a poisoned row fails after it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.deaf = False
        self.batches: list[list[float]] = []
        self.started: list[float] = []
        self._interrupted = asyncio.Event()

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise AssertionError("nothing may run on the loop where the hop takes no time")

    async def run(self, feeds: Feeds) -> Ran:
        self.batches.append(feeds["x"][:, 0].tolist())
        self.started.append(asyncio.get_running_loop().time())
        self._interrupted.clear()
        try:
            await asyncio.wait_for(self._interrupted.wait(), self.seconds)
        except TimeoutError:
            if POISON in self.batches[-1]:
                raise RejectedByModel("poison") from None
            return [feeds["x"] * 2], self.seconds
        if self.deaf:
            await asyncio.Event().wait()
        raise RunEnded("interrupted")

    def interrupt(self) -> None:
        self._interrupted.set()


class Bench:
    """A scheduler in service, and requests of one row that hold one number."""

    def __init__(self, seconds: float = RUN_SECONDS, **policy: Any) -> None:
        self.engine = PacedEngine(seconds)
        self.stuck: list[float] = []
        self.metrics = ModelMetrics("m", "1", "cpu")
        defaults: dict[str, Any] = {"max_rows": 4, "max_delay_seconds": 0.005, "queue_size": 100}
        loop = asyncio.get_running_loop()
        self.scheduler = Scheduler(
            self.engine,
            BatchPolicy(**(defaults | policy)),
            self.metrics,
            loop.time,
            on_stuck=lambda: self.stuck.append(loop.time()),
        )

    def send(
        self, *values: float, width: int = 1, within: float = 1000.0, priority: int = 0, client: str | None = None
    ) -> "asyncio.Task[float]":
        async def ask() -> float:
            rows = np.array([[value] * width for value in values])
            deadline = asyncio.get_running_loop().time() + within
            (answer,) = await self.scheduler.infer({"x": rows}, len(values), deadline, priority=priority, client=client)
            assert answer.shape == rows.shape
            return float(answer[0, 0])

        return asyncio.create_task(ask())


@pytest.fixture
def bench() -> Callable[..., Any]:
    @asynccontextmanager
    async def run(**policy: Any) -> AsyncIterator[Bench]:
        bench = Bench(**policy)
        serving = asyncio.create_task(bench.scheduler.run())
        yield bench
        bench.scheduler.close()
        await serving

    return run


async def test_a_lone_request_goes_to_an_idle_engine_at_once(bench: Callable[..., Any]) -> None:
    async with bench(max_delay_seconds=60.0) as b:
        began = asyncio.get_running_loop().time()
        assert await b.send(3.0) == 6.0
        assert b.engine.started == [pytest.approx(began)]


async def test_requests_that_arrive_while_the_engine_runs_form_the_next_batch(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        first = b.send(1.0)
        await asyncio.sleep(0.5)
        rest = [b.send(value) for value in (2.0, 3.0, 4.0)]
        assert await asyncio.gather(first, *rest) == [2.0, 4.0, 6.0, 8.0]
        assert b.engine.batches == [[1.0], [2.0, 3.0, 4.0]]


async def test_requests_of_one_turn_of_the_loop_share_the_first_batch(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        await asyncio.gather(b.send(1.0), b.send(2.0), b.send(3.0))
        assert b.engine.batches == [[1.0, 2.0, 3.0]]


async def test_rows_of_a_request_are_never_split(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        await asyncio.gather(b.send(1.0, 1.0, 1.0), b.send(2.0, 2.0), b.send(3.0))
        assert b.engine.batches == [[1.0, 1.0, 1.0], [2.0, 2.0, 3.0]]


async def test_requests_of_different_shapes_never_share_a_batch(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        await asyncio.gather(b.send(1.0), b.send(2.0, width=2), b.send(3.0), b.send(4.0, width=2))
        assert sorted(b.engine.batches) == [[1.0, 3.0], [2.0, 4.0]]


async def test_one_of_a_batch_cancelled_leaves_its_neighbours_their_answers(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        one, two, three = b.send(1.0), b.send(2.0), b.send(3.0)
        await asyncio.sleep(0.5)
        two.cancel()
        assert [await one, await three] == [2.0, 6.0]
        assert two.cancelled()


async def test_a_request_cancelled_in_the_queue_is_never_run(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        first = b.send(1.0)
        await asyncio.sleep(0.5)
        waiting, other = b.send(2.0), b.send(3.0)
        await asyncio.sleep(0)
        assert b.metrics.queue_depth == 2
        waiting.cancel()
        await asyncio.gather(first, other)
        assert b.engine.batches == [[1.0], [3.0]]
        assert b.metrics.queue_depth == 0


async def test_a_run_that_nobody_waits_for_any_more_is_interrupted(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        began = asyncio.get_running_loop().time()
        one, two = b.send(1.0), b.send(2.0)
        await asyncio.sleep(0.25)
        one.cancel()
        await asyncio.sleep(0)
        two.cancel()
        assert await b.send(3.0) == 6.0
        assert b.engine.started == [pytest.approx(began), pytest.approx(began + 0.25)]


async def test_the_request_over_the_queue_is_refused_at_once(bench: Callable[..., Any]) -> None:
    async with bench(queue_size=2) as b:
        running = b.send(0.0)
        await asyncio.sleep(0.5)
        waiting = [b.send(1.0), b.send(2.0)]
        began = asyncio.get_running_loop().time()
        with pytest.raises(Overloaded, match="2 requests are waiting"):
            await b.send(3.0)
        assert asyncio.get_running_loop().time() == began
        assert await asyncio.gather(running, *waiting) == [0.0, 2.0, 4.0]


async def test_a_request_waits_no_longer_than_its_deadline(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        running = b.send(1.0)
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded, match=r"within 0\.3 s"):
            await b.send(2.0, within=0.3)
        assert asyncio.get_running_loop().time() == pytest.approx(began + 0.3)
        await running
        assert b.engine.batches == [[1.0]]


async def test_a_request_whose_time_is_over_is_not_queued(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        with pytest.raises(DeadlineExceeded):
            await b.send(1.0, within=0.0)
        assert b.engine.batches == []


async def test_a_bad_request_of_a_batch_fails_alone(bench: Callable[..., Any]) -> None:
    async with bench(seconds=0.01) as b:
        answers = await asyncio.gather(*(b.send(value) for value in (1.0, POISON, 3.0, 4.0)), return_exceptions=True)
        assert [answers[0], answers[2], answers[3]] == [2.0, 6.0, 8.0]
        assert isinstance(answers[1], RejectedByModel)
        assert b.engine.batches == [[1.0, POISON, 3.0, 4.0], [1.0, POISON], [3.0, 4.0], [1.0], [POISON]]


async def test_a_batch_of_bad_requests_costs_at_most_twice_as_many_runs(bench: Callable[..., Any]) -> None:
    async with bench(seconds=0.01) as b:
        answers = await asyncio.gather(*(b.send(POISON) for _ in range(4)), return_exceptions=True)
        assert all(isinstance(answer, RejectedByModel) for answer in answers)
        assert len(b.engine.batches) == 7


async def test_closing_answers_what_waits_and_takes_nothing_new(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        running = b.send(1.0)
        await asyncio.sleep(0.5)
        waiting = b.send(2.0)
        await asyncio.sleep(0)
        b.scheduler.close()
        with pytest.raises(NotReady):
            await b.send(3.0)
        assert [await running, await waiting] == [2.0, 4.0]


async def test_a_rare_shape_is_passed_over_no_longer_than_the_delay(bench: Callable[..., Any]) -> None:
    async with bench(max_rows=2, max_delay_seconds=1.5) as b:
        running = b.send(0.0)
        await asyncio.sleep(0.1)
        rare = b.send(9.0, width=2)
        common = [b.send(float(value)) for value in range(1, 7)]
        await asyncio.gather(running, rare, *common)
        # Free at 1.0 (the rare one has waited 0.9 s: the fuller queue goes) and at 2.0 (1.9 s: its turn).
        assert b.engine.batches == [[0.0], [1.0, 2.0], [9.0], [3.0, 4.0], [5.0, 6.0]]


async def test_waiting_and_batches_are_measured(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        first = b.send(1.0)
        await asyncio.sleep(0.5)
        await asyncio.gather(first, b.send(2.0), b.send(3.0))
        assert b.metrics.queue_seconds.total == pytest.approx(1.0)
        assert b.metrics.compute_seconds.total == pytest.approx(2.0)
        assert b.metrics.batch_rows.total == 3


async def test_no_answer_is_another_requests_whatever_is_cancelled_or_poisoned(bench: Callable[..., Any]) -> None:
    generator = np.random.default_rng(3)
    async with bench(max_rows=8, seconds=0.05) as b:
        sent: dict[asyncio.Task[float], float] = {}
        for value in range(1, 400):
            number = POISON if generator.random() < 0.02 else float(value)
            rows, width = int(generator.integers(1, 4)), int(generator.integers(1, 4))
            sent[b.send(*[number] * rows, width=width, within=float(generator.uniform(0.05, 3)))] = number
            await asyncio.sleep(float(generator.exponential(0.005)))
            if generator.random() < 0.2:
                list(sent)[int(generator.integers(len(sent)))].cancel()
        await asyncio.wait(sent)
        answered = [task for task in sent if not task.cancelled() and task.exception() is None]
        assert len(answered) > 100
        assert all(task.result() == 2 * sent[task] for task in answered)
        failed = [task for task in sent if not task.cancelled() and isinstance(task.exception(), RejectedByModel)]
        assert {sent[task] for task in failed} == {POISON}
        assert b.metrics.queue_depth == 0


async def test_one_timer_serves_all_deadlines(bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as b:
        loop = asyncio.get_running_loop()
        timers: list[float] = []
        call_later = loop.call_later

        def counted(delay: float, callback: Callable[..., Any], *rest: Any, **named: Any) -> asyncio.TimerHandle:
            if "expire" in repr(callback):
                timers.append(delay)
            return call_later(delay, callback, *rest, **named)

        monkeypatch.setattr(loop, "call_later", counted)
        running = b.send(0.0, within=100.0)
        await asyncio.sleep(0.25)
        late = [b.send(1.0, within=0.125 * index) for index in range(1, 4)]
        answers = await asyncio.gather(running, *late, return_exceptions=True)
        assert answers[0] == 0.0
        assert all(isinstance(answer, DeadlineExceeded) for answer in answers[1:])
        # For the first request, for the earlier deadline of the second, and once more for each that was left.
        assert timers == [pytest.approx(delay) for delay in (100.0, 0.125, 0.125, 0.125, 99.375)]


async def test_a_run_over_its_limit_is_ended_and_its_requests_fail(bench: Callable[..., Any]) -> None:
    async with bench(run_seconds=0.5) as b:
        began = asyncio.get_running_loop().time()
        with pytest.raises(ExecutionFailed):
            await b.send(1.0)
        assert asyncio.get_running_loop().time() == pytest.approx(began + 0.5)
        assert b.stuck == []


async def test_a_run_that_can_not_be_ended_is_reported_a_second_later() -> None:
    b = Bench(seconds=60.0, run_seconds=0.5)
    b.engine.deaf = True
    serving = asyncio.create_task(b.scheduler.run())
    began = asyncio.get_running_loop().time()
    with pytest.raises(ExecutionFailed, match="did not end"):
        await b.send(1.0)
    assert b.stuck == [pytest.approx(began + 1.5)]
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_request_that_leaves_before_its_run_begins_leaves_no_alarm_behind(bench: Callable[..., Any]) -> None:
    async with bench(seconds=3.0) as b:
        first = b.send(1.0)
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        assert await b.send(2.0) == 4.0
        assert b.stuck == []


async def test_an_answer_is_delivered_once_and_one_that_can_not_be_keeps_no_other_back(
    bench: Callable[..., Any],
) -> None:
    async with bench() as b:
        got: list[object] = []

        def broken(outcome: object) -> None:
            got.append(outcome)
            raise OSError("connection lost")

        rows = {"x": np.array([[1.0]])}
        deadline = asyncio.get_running_loop().time() + 60
        ticket = b.scheduler.submit(rows, 1, deadline, broken)
        b.scheduler.submit(rows, 1, deadline, got.append)
        assert await b.send(3.0) == 6.0
        assert len(got) == 2
        b.scheduler.withdraw(ticket)
        assert b.metrics.queue_depth == 0


async def test_the_next_batch_runs_before_the_answers_of_the_last_are_told(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench(max_rows=2) as b:
        deadline = asyncio.get_running_loop().time() + 60
        told: list[tuple[float, int]] = []

        def told_of(value: float) -> Callable[[object], None]:
            return lambda _: told.append((value, len(b.engine.batches)))

        run = b.engine.run

        async def withdrawing(feeds: Feeds) -> Ran:
            if len(b.engine.batches) == 2:
                # Between its run and its answer a request leaves, which is no concern of the run in progress.
                b.scheduler.withdraw(tickets[3])
            ran: Ran = await run(feeds)
            return ran

        monkeypatch.setattr(b.engine, "run", withdrawing)
        tickets = [
            b.scheduler.submit({"x": np.array([[value]])}, 1, deadline, told_of(value))
            for value in (0.0, 1.0, 2.0, 3.0, 4.0)
        ]
        assert await b.send(9.0) == 18.0
        assert told == [(0.0, 2), (1.0, 2), (2.0, 3), (4.0, 3)]
        assert (b.metrics.inflight, b.stuck) == (0, [])


async def test_a_long_row_of_answers_is_told_in_portions_of_a_millisecond() -> None:
    loop = asyncio.get_running_loop()
    passed = 0.0
    order: list[str] = []

    def clock() -> float:
        return loop.time() + passed

    def told(name: str) -> Callable[[object], None]:
        def deliver(_: object) -> None:
            nonlocal passed
            passed += 0.0004
            if not order or order[-1] == "|":
                loop.call_soon(order.append, "|")
            order.append(name)

        return deliver

    scheduler = Scheduler(PacedEngine(1.0), BatchPolicy(8, 0.0, 100), ModelMetrics("m", "1", "cpu"), clock)
    serving = asyncio.create_task(scheduler.run())
    for name in "-abcdefgh-":
        scheduler.submit({"x": np.array([[1.0]])}, 1, clock() + 60, told(name))
        await asyncio.sleep(0)  # The first runs alone.
    scheduler.close()
    await serving
    assert "".join(order).strip("|") == "-|abc|def|gh|-"


async def test_a_withdrawn_request_hears_nothing(bench: Callable[..., Any]) -> None:
    async with bench() as b:
        got: list[object] = []
        deadline = asyncio.get_running_loop().time() + 60
        waiting = b.scheduler.submit({"x": np.array([[1.0]])}, 1, deadline, got.append)
        b.scheduler.withdraw(waiting)
        assert await b.send(3.0) == 6.0
        assert (got, b.engine.batches) == ([], [[3.0]])


async def test_a_failure_that_is_not_the_datas_fails_the_batch_at_once(bench: Callable[..., Any]) -> None:
    async with bench(run_seconds=0.5) as b:
        answers = await asyncio.gather(*(b.send(value) for value in (1.0, 2.0)), return_exceptions=True)
        assert all(isinstance(answer, ExecutionFailed) for answer in answers)
        assert len(b.engine.batches) == 1


async def test_refusals_are_counted_by_reason(bench: Callable[..., Any]) -> None:
    async with bench(queue_size=1) as b:
        running = b.send(0.0)
        await asyncio.sleep(0.5)
        waiting = b.send(1.0)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await b.send(2.0)
        assert b.metrics.refused == {"QueueFull": 1, "QueueBytes": 0, "Deadline": 0, "TenantRate": 0}
        await asyncio.gather(running, waiting)


class InlineEngine(PacedEngine):
    """One whose runs take no time, and whose hop does."""

    def __init__(self) -> None:
        super().__init__(0.0001)
        self.inline: list[int] = []
        self.blocks = False
        self.seconds = 0.0001
        """What a run says that it took."""

    async def hop(self) -> float:
        return 0.001

    def run_inline(self, feeds: Feeds) -> Ran:
        self.inline.append(len(feeds["x"]))
        if self.blocks:
            raise RunEnded("took too long")
        return [feeds["x"] * 2], self.seconds


class InlineBench(Bench):
    """Its engine may run on the loop, and warm-up has measured one and two rows there."""

    def __init__(self, seconds: float, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self.engine: InlineEngine = InlineEngine()
        costs = CostTable(4)
        shape = costs.shape(compatibility({"x": np.array([[1.0]])}), 1)
        for rows in (1, 1, 1, 2):
            shape.observe(rows, seconds)
        clock = clock or asyncio.get_running_loop().time
        self.scheduler = Scheduler(self.engine, BatchPolicy(4, 0.005, 100), self.metrics, clock, costs)


async def test_runs_that_take_long_since_others_have_their_core_stay_on_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "thread_time", float)  # This thread has none.
    b = InlineBench(0.005)
    b.engine.seconds = 0.005
    serving = asyncio.create_task(b.scheduler.run())
    for _ in range(5):
        assert await b.send(1.0) == 2.0
    assert b.engine.inline == [1] * 5
    b.scheduler.close()
    await serving


@pytest.mark.parametrize(
    ("seconds", "width", "inline"), [(0.002, 1, [1]), (0.008, 1, [1]), (0.0081, 1, []), (0.002, 2, [])]
)
async def test_a_run_is_on_the_loop_if_it_is_known_to_take_two_hops_or_is_tried_there_at_eight_at_most(
    seconds: float, width: int, inline: list[int]
) -> None:
    b = InlineBench(seconds)
    serving = asyncio.create_task(b.scheduler.run())
    assert await b.send(1.0, width=width) == 2.0
    assert b.engine.inline == inline
    assert len(b.engine.batches) == 1 - len(inline)
    b.scheduler.close()
    await serving


@pytest.mark.parametrize(
    ("seconds", "seen"),
    [
        pytest.param(0.0001, [0, 3], id="all of them"),
        pytest.param(AT_ONCE_SECONDS / 2, [0, 2, 3], id="for as long as connections may wait to be read"),
    ],
)
async def test_runs_on_the_loop_follow_each_other_at_once(seconds: float, seen: list[int]) -> None:
    loop = asyncio.get_running_loop()
    # Virtual time stands still while the loop is busy, so each run is added.
    b = InlineBench(0.0001, clock=lambda: loop.time() + seconds * len(b.engine.inline))
    serving = asyncio.create_task(b.scheduler.run())
    sent = [b.send(float(value)) for value in range(10)]
    counts = []
    while not all(task.done() for task in sent):
        counts.append(len(b.engine.inline))
        await asyncio.sleep(0)
    assert sorted(set(counts)) == seen
    assert b.engine.inline == [4, 4, 2]
    b.scheduler.close()
    await serving


async def test_a_run_that_blocks_the_loop_is_done_over_on_the_launch_thread_and_so_are_those_after_it() -> None:
    b = InlineBench(0.0001)
    b.engine.blocks = True
    serving = asyncio.create_task(b.scheduler.run())
    assert await b.send(1.0) == 2.0
    assert await b.send(2.0) == 4.0
    assert (b.engine.inline, b.engine.batches) == ([1], [[1.0], [2.0]])
    b.engine.blocks = False
    await asyncio.sleep(61)
    assert await b.send(3.0) == 6.0
    assert b.engine.inline == [1, 1]
    b.scheduler.close()
    await serving


class Held(Bench):
    """Runs take 20 ms, whatever is in them; requests came every 5 ms for 200 ms; the engine is idle since 220 ms."""

    def __init__(self, max_delay_seconds: float) -> None:
        super().__init__(0.02)
        costs = CostTable(8)
        shape = costs.shape(compatibility({"x": np.array([[1.0]])}), 1)
        for rows in (1, 1, 1, 2, 4, 8):
            shape.observe(rows, 0.02)
        clock = asyncio.get_running_loop().time
        self.scheduler = Scheduler(self.engine, BatchPolicy(8, max_delay_seconds, 100), self.metrics, clock, costs)
        self.began = 0.0

    async def warm(self) -> None:
        self.began = asyncio.get_running_loop().time()
        sent = []
        for _ in range(40):
            sent.append(self.send(0.0))
            await asyncio.sleep(0.005)
        await asyncio.gather(*sent)
        await asyncio.sleep(self.began + 0.221 - asyncio.get_running_loop().time())

    @property
    def last(self) -> tuple[float, int]:
        return self.engine.started[-1] - self.began, len(self.engine.batches[-1])


@pytest.mark.parametrize(
    ("max_delay", "others", "last"),
    [
        pytest.param(0.0, [], (0.221, 1), id="at once, if nothing may be delayed"),
        # 20 / 2 ms pay off, and about 150 a second are expected, one in 7 ms.
        pytest.param(1.0, [], (0.231, 1), id="for as long as it can pay off"),
        pytest.param(0.008, [], (0.229, 1), id="for the longest delay"),
        pytest.param(1.0, [0.002], (0.223 + 0.02 / 3, 2), id="for as long again as it can pay off for two"),
        pytest.param(0.008, [0.002], (0.229, 2), id="for the longest delay of the first"),
        # 20 / 3 ms pay off for two, and one is expected in 7.
        pytest.param(1.0, [0.005], (0.226, 2), id="no longer than until company that came late"),
    ],
)
async def test_an_idle_engine_waits_for_company_that_is_worth_it(
    max_delay: float, others: list[float], last: tuple[float, int]
) -> None:
    b = Held(max_delay)
    serving = asyncio.create_task(b.scheduler.run())
    await b.warm()
    sent = [b.send(1.0)]
    for seconds in others:
        await asyncio.sleep(seconds)
        sent.append(b.send(2.0))
    await asyncio.gather(*sent)
    assert b.last == pytest.approx(last, abs=1e-5)
    b.scheduler.close()
    await serving


async def test_an_idle_engine_waits_no_longer_than_the_most_urgent_can() -> None:
    b = Held(1.0)
    serving = asyncio.create_task(b.scheduler.run())
    await b.warm()
    await b.send(1.0, within=0.025)
    assert b.last == pytest.approx((0.221 + 0.025 - MARGIN * 0.02, 1), abs=1e-5)
    b.scheduler.close()
    await serving
