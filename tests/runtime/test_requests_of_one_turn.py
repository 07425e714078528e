"""Requests that come together: taken as one after the other would be, and answered at once where they ran together."""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.backlog import Backlog
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import KEPT_BYTES, whole_shape
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.batching.tickets import Asked, Outputs, Taker, Ticket
from tidegate_runtime.errors import DeadlineExceeded, Overloaded, RejectedByModel, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.protocol.plain import Answers
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.web.turn import HttpTurn

FEEDS: Feeds = {"x": np.zeros((1, 2), np.float32)}
SIZE = 8


def ignored(_: Outputs | RuntimeFault) -> None:
    pass


def backlog() -> Backlog:
    """One that knows what its batches of up to 4 rows cost: 10 ms and 1 ms a row."""
    table = CostTable(4)
    made = Backlog(BatchPolicy(4, 0.0, 12, 100), table)
    made.withdraw(made.admit(FEEDS, 1, 0.0, 10.0, ignored))
    (shape,) = table.shapes.values()
    for _ in range(3):
        for rows in (1, 2, 4):
            shape.observe(rows, 0.010 + rows * 0.001)
    return made


def state(made: Backlog) -> list[Any]:
    (queue,) = made.active or [None]
    waiting = [(t.arrived, t.deadline, t.due, t.level, t.rows, t.size, t.client, t.trial) for t in queue or ()]
    sums = [round(figure, 9) for figure in (made.load.mean, made.load.spread, made.offered_seconds)]
    return [waiting, made.depth, made.bytes, *sums, queue and (queue.rows, queue.came, queue.used, queue.work)]


@given(
    st.lists(st.lists(st.sampled_from([0.005, 0.02, 0.03, 0.05, 1.0]), min_size=1, max_size=6), max_size=4),
    st.integers(0, 4),
    st.booleans(),
)
def test_what_is_taken_together_is_what_would_be_taken_one_by_one(
    groups: list[list[float]], priority: int, running: bool
) -> None:
    together, singly = backlog(), backlog()
    now = 1.0
    if running:
        for made in (together, singly):
            made.admit(FEEDS, 1, now, now + 10, ignored)
            made.load.running, made.load.holder = made.cut(now, 1), made
    for group in groups:
        now += 0.001
        asked: list[Asked] = [(FEEDS, now + within, ignored, "c") for within in sorted(group)]
        before = state(together)
        taken: list[Ticket] | RuntimeFault | None
        try:
            taken = together.admit_all(Alike.of(asked), 1, SIZE, now, priority)
        except (Overloaded, DeadlineExceeded) as refusal:
            taken = refusal
        if isinstance(taken, RuntimeFault):
            for feeds, deadline, deliver, client in asked:
                with pytest.raises(type(taken)) as refused:
                    singly.admit(feeds, 1, now, deadline, deliver, None, priority, client)
                assert (refused.value.refusal, refused.value.retry_after_seconds) == (
                    taken.refusal,
                    taken.retry_after_seconds,
                )
            assert state(together) == state(singly)
            continue
        if taken is None:
            assert state(together) == before
            with contextlib.suppress(Overloaded, DeadlineExceeded):
                for feeds, deadline, deliver, client in asked:
                    together.admit(feeds, 1, now, deadline, deliver, None, priority, client)
        # If one were refused here that was taken there, this would say so.
        with contextlib.suppress(*(() if taken is not None else (Overloaded, DeadlineExceeded))):
            for feeds, deadline, deliver, client in asked:
                singly.admit(feeds, 1, now, deadline, deliver, None, priority, client)
        assert state(together) == state(singly)


def test_more_than_the_queue_has_room_for_are_not_taken_together() -> None:
    made = backlog()
    asked: list[Asked] = [(FEEDS, 100.0, ignored, None)] * 13
    assert made.admit_all(Alike.of(asked), 1, 1, 1.0, 0) is None
    assert made.admit_all(Alike.of(asked[:12]), 1, 1, 1.0, 0) is not None
    with pytest.raises(Overloaded, match="12 requests are waiting, the limit"):
        made.admit_all(Alike.of(asked[:2]), 1, 1, 1.0, 0)
    bulky = backlog()
    assert bulky.admit_all(Alike.of(asked[:3]), 1, 40, 1.0, 0) is None
    assert bulky.admit_all(Alike.of(asked[:2]), 1, 40, 1.0, 0) is not None


def test_where_requests_run_alone_they_are_known_by_the_whole_shape_of_each() -> None:
    table = CostTable(1)
    made = Backlog(BatchPolicy(1, 0.0, 12, 100), table)
    for rows in (1, 2):
        made.withdraw(made.admit({"x": np.zeros((rows, 2), np.float32)}, 1, 0.0, 10.0, ignored))
    tickets = made.admit_all(Alike.of([(FEEDS, 100.0, ignored, None)] * 2), 1, SIZE, 1.0, 0)
    assert tickets is not None
    assert [ticket.shape for ticket in tickets] == [table.shapes[whole_shape(FEEDS)]] * 2


def test_where_even_who_has_most_time_is_refused_all_are_with_one_answer() -> None:
    made = backlog()
    made.admit(FEEDS, 1, 1.0, 11.0, ignored)
    made.load.running, made.load.holder = made.cut(1.0, 1), made
    # 11 ms for the run in progress and as much for its own.
    asked: list[Asked] = [(FEEDS, 1.0 + within, ignored, None) for within in (0.012, 0.015, 0.020)]
    with pytest.raises(Overloaded, match=r"would take about 0\.02\d* s, 0\.02 s are left"):
        made.admit_all(Alike.of(asked), 1, SIZE, 1.0, 0)
    assert made.admit_all(Alike.of([*asked, (FEEDS, 1.030, ignored, None)]), 1, SIZE, 1.0, 0) is None
    with pytest.raises(DeadlineExceeded, match="over before"):
        made.admit_all(Alike.of(asked), 1, SIZE, 1.020, 0)


class Doubling:
    """Runs on a thread's stand-in; a negative number fails its batch."""

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise AssertionError("nothing may run on the loop where the hop takes no time")

    async def run(self, feeds: Feeds) -> Ran:
        await asyncio.sleep(0.01)
        if feeds["x"].min() < 0:
            raise RejectedByModel("negative")
        return [feeds["x"] * 2], 0.01

    def interrupt(self) -> None: ...


class Caller:
    """Takes what it is told, by itself or with others of its form."""

    def __init__(self, form: object, told: list[list[float]]) -> None:
        self.form = form
        self.alone: list[Outputs | RuntimeFault] = []
        self._told = told

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        self.alone.append(outcome)

    def deliver_all(self, takers: Sequence[Taker | None], outputs: Sequence[Array]) -> None:
        assert len(takers) == len(outputs[0])
        self._told.append(outputs[0][:, 0].tolist())


async def answered(values: Sequence[float], forms: Sequence[object], leave: int | None = None) -> tuple[Any, Any]:
    """What callers of these forms were told together, and how many of them by themselves."""
    loop = asyncio.get_running_loop()
    policy = BatchPolicy(8, 0.0, 100)
    scheduler = Scheduler(Doubling(), policy, ModelMetrics("m", "1", "cpu"), loop.time)
    serving = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0)
    first: list[Outputs | RuntimeFault] = []
    scheduler.submit({"x": np.zeros((1, 2), np.float32)}, 1, loop.time() + 10, first.append)  # Opens the queue.
    await asyncio.sleep(1)
    assert first
    told: list[list[float]] = []
    callers = [Caller(form, told) for form in forms]
    asked: list[Asked] = [
        ({"x": np.full((1, 2), value, np.float32)}, loop.time() + 10, caller.deliver, None)
        for value, caller in zip(values, callers, strict=True)
    ]
    tickets: list[Ticket] | None = scheduler.submit_all(Alike.of(asked), 1, 8, 0)
    assert tickets is not None
    for ticket, caller in zip(tickets, callers, strict=True):
        ticket.taker = caller if caller.form is not None else None
    scheduler.cut()
    if leave is not None:
        await asyncio.sleep(0.005)
        scheduler.withdraw(tickets[leave])
    scheduler.close()
    await serving
    return told, [
        [one if isinstance(one, RuntimeFault) else one[0][0, 0] for one in caller.alone] for caller in callers
    ]


FORM, OTHER = object(), object()


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    ("forms", "leave", "together", "alone"),
    [
        pytest.param([FORM] * 3, None, [[2.0, 4.0, 6.0]], [[], [], []], id="all of one form"),
        pytest.param([FORM, OTHER, FORM], None, [], [[2.0], [4.0], [6.0]], id="of two forms"),
        pytest.param([FORM, FORM, None], None, [], [[2.0], [4.0], [6.0]], id="one that is told by itself"),
        pytest.param([FORM] * 3, 1, [], [[2.0], [], [6.0]], id="one that has left"),
    ],
)
async def test_who_ran_together_is_told_together_if_all_are_alike(
    forms: list[object], leave: int | None, together: list[list[float]], alone: list[list[float]]
) -> None:
    assert await answered([1, 2, 3], forms, leave) == (together, alone)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_a_bad_request_among_those_that_came_together_fails_alone() -> None:
    together, alone = await answered([1, -2, 3, 4], [FORM] * 4)
    assert sorted(number for batch in together for number in batch) == [2.0, 6.0, 8.0]
    assert [bool(told) for told in alone] == [False, True, False, False]
    assert isinstance(alone[1][0], RejectedByModel)


class Passing(Doubling):
    """Its output is its input, in the memory of the batch."""

    async def run(self, feeds: Feeds) -> Ran:
        await asyncio.sleep(0.01)
        return [feeds["x"]], 0.01


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_long_answers_are_told_in_portions_that_the_next_batch_does_not_overwrite() -> None:
    loop = asyncio.get_running_loop()
    width = KEPT_BYTES // 8
    scheduler = Scheduler(Passing(), BatchPolicy(2, 0.0, 100), ModelMetrics("m", "1", "cpu"), loop.time)
    serving = asyncio.create_task(scheduler.run())
    first: list[Outputs | RuntimeFault] = []
    scheduler.submit({"x": np.zeros((1, width), np.float32)}, 1, loop.time() + 10, first.append)
    await asyncio.sleep(1)
    told: list[list[float]] = []
    callers = [Caller(FORM, told) for _ in range(6)]
    asked: list[Asked] = [
        ({"x": np.full((1, width), value, np.float32)}, loop.time() + 10, caller.deliver, None)
        for value, caller in enumerate(callers)
    ]
    tickets = scheduler.submit_all(Alike.of(asked), 1, 4 * width, 0)
    assert tickets is not None
    for ticket, caller in zip(tickets, callers, strict=True):
        ticket.taker = caller
    scheduler.cut()
    scheduler.close()
    await serving
    assert told == [[0.0], [1.0], [2.0], [3.0], [4.0, 5.0]]


class Short:
    """A codec that writes an answer too few."""

    as_text = False

    def answers(self, outputs: Sequence[Array], count: int) -> Answers:
        return Answers(b"", [b""] * (count - 1), b"")


def test_where_a_batchs_answers_cannot_be_written_each_client_is_told() -> None:
    failed: list[int] = []
    calls: list[Any] = [
        SimpleNamespace(form=Short(), ticket=None, server_state=None, fail=partial(failed.append, number))
        for number in range(3)
    ]
    HttpTurn(lambda: 0.0).deliver_all([calls[0], None, calls[2]], [np.zeros((3, 2), np.float32)])
    assert failed == [0, 2]
