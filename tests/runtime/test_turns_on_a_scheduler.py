"""Turns of any size before a scheduler: each call is answered once and with its own, whatever becomes of a batch."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate_runtime.batching.alike import Alike, Passed
from tidegate_runtime.batching.tickets import OVER, Outputs, Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.protocol.plain import Layout, Read
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.turn import Turn

from .test_lone_requests import ENDLESS, World, feeds_of, on_virtual_time

BAD = -1.0
LAYOUT = Layout(rows=1, size=4)


class Codec:
    def read(self, _layout: object, numbers: Sequence[float]) -> Read:
        return Read(feeds_of(numbers), len(numbers))


class Call:
    """Keeps its answers; one that comes by its ticket needs what the turn sets."""

    form = Codec()
    over = False
    seconds_left = None
    telling = True
    client = None

    def __init__(self, model: "Served", number: float) -> None:
        self.model = model
        self.number = number
        self.received = model.world.clock()
        self.parsed: float | None = None
        self.ticket: Ticket | None = None
        self.answers: list[float | str] = []

    def find(self) -> tuple[Layout, float]:
        return LAYOUT, self.number

    def submit(self, feeds: Feeds, _layout: Layout) -> None:
        try:
            self.ticket = self.model.world.scheduler.submit(feeds, 1, self.received + 30, self.deliver)
        except RuntimeFault as fault:
            self.answers.append(type(fault).__name__)
        else:
            self.parsed, self.ticket.taker = self.ticket.arrived, self

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        if isinstance(outcome, RuntimeFault):
            self.answers.append(type(outcome).__name__)
            return
        assert self.ticket is not None
        assert self.ticket.state == OVER
        assert self.parsed is not None
        assert self.parsed >= self.received
        self.answers.append(float(outcome[0][0, 0]))

    def deliver_all(self, takers: Sequence[Any], outputs: Sequence[Array]) -> None:
        self.model.turn.deliver_all(takers, outputs)

    def fail(self) -> None:
        raise AssertionError("the turn failed")


class OnVirtualTime(Turn[Any]):
    def _write_all(self, first: Any, calls: Sequence[Any], outputs: Sequence[Array], *, leads: bool) -> None:
        del first, leads
        for call, rows in zip(calls, np.split(outputs[0], len(calls)), strict=True):
            if call is not None:
                assert call.parsed >= call.received
                call.answers.append(float(rows[0, 0]))

    def _refuse_all(self, model: Any, calls: Sequence[Any], fault: RuntimeFault) -> None:
        del model
        for call in calls:
            call.answers.append(type(fault).__name__)


class Served:
    """A scheduler as a turn knows a model."""

    limits = SimpleNamespace(timeout_seconds=30.0)

    def __init__(self) -> None:
        self.world = World(True, queue_size=100, queue_bytes=1 << 20)
        self.turn = OnVirtualTime(self.world.clock)
        self.passed = 0

    def filling(self, _layout: Layout, feeds: Feeds) -> int:
        return self.world.scheduler.filling(feeds, 1)

    def pass_by(self, layout: Layout, alike: Alike, *, more: bool = False) -> Passed | None:
        passed = self.world.scheduler.pass_by(alike, 1, layout.size, more=more)
        self.passed += passed is not None
        return passed

    def submit_all(self, layout: Layout, alike: Alike) -> list[Ticket] | None:
        return self.world.scheduler.submit_all(alike, 1, layout.size, 0)

    def cut(self) -> None:
        self.world.scheduler.cut()

    def cut_soon(self) -> None:
        self.world.scheduler.cut_soon()

    def hold(self) -> None: ...

    def release(self) -> None: ...


async def answered(turns: Sequence[Sequence[float]]) -> tuple[list[Call], int]:
    """The calls of the turns, answered, and how many batches passed the queue by."""
    model = Served()
    scheduler = model.world.scheduler
    serving = asyncio.create_task(scheduler.run())
    await asyncio.sleep(0.001)
    calls = []
    for numbers in turns:
        come = [Call(model, number) for number in numbers]
        for call in come:
            model.turn.join(call)
        calls += come
        await asyncio.sleep(0.0001)
    scheduler.close()
    await serving
    return calls, model.passed


@given(st.lists(st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0, BAD, ENDLESS]), min_size=1, max_size=14), max_size=5))
@example([[1.0, 2.0, 3.0, 4.0, 1.0, BAD, 3.0, 4.0, 1.0, 2.0]])
@example([[BAD] * 9, [1.0] * 9])
@example([[1.0] * 5 + [ENDLESS] + [2.0] * 5, [1.0] * 9])
def test_each_call_is_answered_once_and_with_its_own(turns: list[list[float]]) -> None:
    async def check() -> None:
        calls, _ = await answered(turns)
        for call in calls:
            assert len(call.answers) == 1
            if isinstance(call.answers[0], float):
                assert call.number != BAD
                assert call.answers == [2 * call.number]
        if not any(BAD in numbers for numbers in turns):
            assert all(isinstance(call.answers[0], float) for call in calls)

    on_virtual_time(check())


@pytest.mark.parametrize(("count", "batches"), [(1, 1), (4, 1), (5, 2), (14, 4)])
def test_on_an_idle_engine_a_turn_of_any_size_passes_the_queue_by(count: int, batches: int) -> None:
    async def check() -> None:
        _, passed = await answered([[1.0] * count])
        assert passed == batches

    on_virtual_time(check())


def test_a_bad_request_in_a_turn_of_several_batches_fails_alone() -> None:
    async def check() -> None:
        calls, passed = await answered([[1.0, 2.0, 3.0, 4.0, 1.0, BAD, 3.0, 4.0, 1.0]])
        (refused,) = [call.answers for call in calls if call.number == BAD]
        assert refused == ["RejectedByModel"]
        assert [call.answers for call in calls if call.number != BAD] == [[2.0 * n] for n in (1, 2, 3, 4, 1, 3, 4, 1)]
        assert passed >= 2

    on_virtual_time(check())
