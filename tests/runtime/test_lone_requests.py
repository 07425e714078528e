"""What a turn brings to an idle engine: past the queue, and yet in all that can be seen as if it had waited."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import looptime
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate_runtime.batching.alike import Alike, Passed
from tidegate_runtime.batching.cost_table import CostTable
from tidegate_runtime.batching.dispatcher import Dispatcher
from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.rows import compatibility
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.batching.tickets import OVER, Asked, Outputs, Taker, Tap, Ticket
from tidegate_runtime.errors import (
    DeadlineExceeded,
    NodeFailed,
    OutOfDeviceMemory,
    Overloaded,
    RejectedByModel,
    RunEnded,
    RuntimeFault,
)
from tidegate_runtime.histogram import Histogram
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Array, Feeds

HOP = 0.0004
FAULTS: dict[float, Exception] = {
    -1.0: RejectedByModel("its data"),
    -2.0: NodeFailed("an operator"),
    -3.0: OutOfDeviceMemory("memory"),
    -4.0: RuntimeError("the engine itself"),
}
ENDLESS = -5.0
"""Ends a run on the event loop, which it blocks, and nowhere else."""
SHORT = -6.0
"""Has the model answer with a row too few."""


class Engine:
    """Doubles its rows in 0.1 ms and 0.02 a row, times `slowness`; some numbers make a run fail."""

    def __init__(self) -> None:
        self.slowness = 1.0
        self.inline = 0

    async def hop(self) -> float:
        return HOP

    def run_inline(self, feeds: Feeds) -> Ran:
        self.inline += 1
        if ENDLESS in feeds["x"]:
            raise RunEnded("too long for the event loop")
        return self._ran(feeds)

    async def run(self, feeds: Feeds) -> Ran:
        outputs, seconds = self._ran(feeds)
        await asyncio.sleep(seconds)
        return outputs, seconds

    def interrupt(self) -> None: ...

    def _ran(self, feeds: Feeds) -> Ran:
        for number, fault in FAULTS.items():
            if number in feeds["x"]:
                raise fault
        outputs = feeds["x"] * 2
        seconds = self.slowness * (0.0001 + 0.00002 * len(outputs))
        return [outputs[1:] if SHORT in outputs / 2 else outputs], seconds


class Caller:
    """Keeps what it is told, either way."""

    form = None

    def __init__(self, told: list[Any], number: int) -> None:
        self._told = told
        self._number = number
        self.ticket: Ticket | None = None
        self.leads = False

    @property
    def led(self) -> bool:
        return self.leads or (self.ticket is not None and self.ticket.leads)

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        told = repr(outcome) if isinstance(outcome, RuntimeFault) else outcome[0].tolist()
        self._told.append((self._number, told))

    def deliver_all(self, takers: Sequence[Taker | None], outputs: Sequence[Array]) -> None:
        shares = np.split(outputs[0], len(takers)) if len(takers) > 1 else [outputs[0]]
        for taker, share in zip(takers, shares, strict=True):
            if isinstance(taker, Caller):
                taker.deliver((share,))


class World:
    """A scheduler in service, asked as the turns of an event loop ask it; `passing`: by `pass_by`, where it may be."""

    def __init__(self, passing: bool, **policy: Any) -> None:
        self.passing = passing
        self.passed = 0
        self.told: list[Any] = []
        self.callers: list[Caller] = []
        self.engine = Engine()
        self.costs = CostTable(4)
        shape = self.costs.shape(compatibility(feeds_of([0.0])), 1)
        for rows in (1, 2, 4) * 6:
            shape.observe(rows, 0.0001 + 0.00002 * rows)
        self.metrics = ModelMetrics("m", "1", "cpu")
        self.clock = asyncio.get_running_loop().time
        bounds: dict[str, Any] = {"max_rows": 4, "max_delay_seconds": 0.0, "queue_size": 4, "queue_bytes": 64}
        self.dispatcher = Dispatcher(self.clock)
        self.scheduler = Scheduler(
            self.engine, BatchPolicy(**(bounds | policy)), self.metrics, self.clock, self.costs, None, self.dispatcher
        )

    def turn(self, values: Sequence[float], rows: int, within: float, client: str) -> None:
        """What one turn of the loop brought."""
        callers = [Caller(self.told, len(self.told) * 100 + place) for place in range(len(values))]
        self.callers += callers
        asked: list[Asked] = [
            (feeds_of([value] * rows), self.clock() + within, caller.deliver, client)
            for value, caller in zip(values, callers, strict=True)
        ]
        alike = Alike.of(asked)
        if self.passing and (passed := self.scheduler.pass_by(alike, rows, 4 * rows)):
            self._on_passed(passed, callers)
            return
        try:
            tickets = self.scheduler.submit_all(alike, rows, 4 * rows, 0)
        except (Overloaded, DeadlineExceeded) as refusal:
            self.told += [repr(refusal)] * len(asked)
            return
        for each, caller in zip(asked, callers, strict=True):
            if tickets is None:
                try:
                    ticket = self.scheduler.submit(each[0], rows, each[1], caller.deliver, client=client)
                except (Overloaded, DeadlineExceeded) as refusal:
                    self.told.append(repr(refusal))
                else:
                    ticket.taker, caller.ticket = caller, ticket
        for ticket, caller in zip(tickets or (), callers, strict=False):
            ticket.taker, caller.ticket = caller, ticket
        self.scheduler.cut()

    def _on_passed(self, passed: Passed, callers: list[Caller]) -> None:
        self.passed += 1
        if passed.outputs is not None:
            callers[0].leads = True
            callers[0].deliver_all(callers, passed.outputs)
        for ticket, caller in zip(passed.tickets, callers, strict=False):
            caller.ticket = ticket
            if ticket.state != OVER:
                ticket.taker = caller
        if passed.outputs is None:
            self.scheduler.cut()

    def seen(self) -> list[Any]:
        """All that can be told of it."""
        backlog: Any = self.scheduler._backlog
        counts = {
            name: (value.counts, value.total) if isinstance(value, Histogram) else value
            for name, value in vars(self.metrics).items()
            if not name.startswith("_") and name not in {"costs", "margin", "unqueued"}
        }
        counts["runs"] = (self.metrics.request_compute_seconds, self.metrics.last_run)
        counts["margin"] = self.metrics.margin()
        batches = {rows: (each.runs, each.requests, each.seconds) for rows, each in self.metrics.batches.items()}
        costs = [
            (rows, runs.number, runs.mean, runs.p99, runs.touched, list(runs._recent), shape._seen, shape._excess)
            for shape in self.costs.shapes.values()
            for rows, runs in shape._runs.items()
        ]
        shapes = [(s.trial_at, s.trial_gap, s.cap, s.row_seconds, s.single_seconds) for s in self.costs.shapes.values()]
        queues = [
            (q.rows, q.came, q.used, q.rate, q.rated, q.held, len(q), q.work, len(q._entries))
            for q in [*backlog._queues.values(), *backlog.active]
        ]
        apart = backlog._isolation
        load = backlog.load
        return [
            self.told, [caller.led for caller in self.callers],
            counts, batches, self.metrics._offered._slots, costs, shapes, queues,
            (backlog.depth, backlog.bytes, backlog.offered_seconds, self.costs.way_seconds),
            (load.mean, load.spread, load.running and len(load.running.tickets)),
            (apart._apart, apart._offenders, apart._spent.total(self.clock())), list(backlog.place._barred.values()),
            self.dispatcher.asked, self.engine.inline,
        ]  # fmt: skip


def feeds_of(values: Sequence[float]) -> Feeds:
    return {"x": np.array(values, np.float32).reshape(-1, 1)}


def on_virtual_time(scenario: Any) -> None:
    loop = looptime.new_event_loop(start=100.0)
    try:
        loop.run_until_complete(scenario)
    finally:
        loop.close()


TURNS = st.tuples(
    st.lists(st.sampled_from([1.0, 1.0, 2.0, 3.0, *FAULTS, ENDLESS, SHORT]), min_size=1, max_size=3)
    | st.lists(st.just(1.0), min_size=1, max_size=4),
    st.sampled_from([1, 1, 1, 2, 4]),
    st.sampled_from([60.0, 60.0, 0.0005, 0.0002, 0.0001, 0.0]),
    st.sampled_from(["a", "b"]),
    st.sampled_from([0.0, 0.00005, 0.001, 0.3, 20.0, 70.0]),
    st.sampled_from([1.0, 1.0, 1.0, 0.2, 3.0, 40.0]),
)


@given(st.lists(TURNS, max_size=12))
@example([([1.0], 4, 60.0, "a", 0.001, 3.0)] * 12)  # Until two rows at a time are the better batch.
@example([([1.0, -1.0], 1, 60.0, "a", 0.001, 40.0)] * 12 + [([1.0], 1, 60.0, "a", 0.001, 1.0)])
@example([([1.0, 2.0, 3.0], 1, 60.0, "a", 0.001, 1.0), ([1.0, SHORT], 1, 60.0, "b", 0.001, 1.0)])
@example([([1.0, ENDLESS, 3.0], 1, 60.0, "a", 0.001, 1.0)])
def test_what_passes_by_changes_what_it_would_have_changed_in_the_queue(turns: list[Any]) -> None:
    async def both() -> None:
        worlds = [World(passing) for passing in (True, False)]
        serving = [asyncio.create_task(world.scheduler.run()) for world in worlds]
        await asyncio.sleep(0.001)
        for values, rows, within, client, pause, slowness in turns:
            for world in worlds:
                world.engine.slowness = slowness
                world.turn(values, rows, within, client)
            assert worlds[0].seen() == worlds[1].seen()
            await asyncio.sleep(pause)
            for _ in range(20):  # What is due at this very moment comes to an end in both.
                await asyncio.sleep(0)
            assert worlds[0].seen() == worlds[1].seen()
        for world in worlds:
            world.scheduler.close()
        await asyncio.gather(*serving)
        assert worlds[0].seen() == worlds[1].seen()

    on_virtual_time(both())


@pytest.mark.parametrize(
    ("unlike", "passes"),
    [
        ({}, True),
        ({"within": 0.0001}, False),
        ({"policy": {"preferred": (2, 4)}}, False),
        ({"waiting": True}, False),
        ({"shared": True}, True),
        ({"closed": True}, False),
        ({"slow": True}, False),
        ({"width": 2}, False),
        ({"apart": True}, False),
        ({"count": 4}, True),
        ({"count": 5}, False),
        ({"count": 4, "policy": {"queue_size": 3}}, False),
        ({"count": 4, "policy": {"queue_bytes": 15}}, False),
        ({"count": 1, "policy": {"queue_bytes": 3}}, True),
        ({"count": 4, "within": 0.00015}, False),
    ],
    ids=lambda given: "+".join(given) if isinstance(given, dict) else str(given),
)
def test_only_what_would_run_on_the_loop_at_once_passes_by(unlike: dict[str, Any], passes: bool) -> None:
    usual = {"within": 60.0, "policy": {}, "count": 1, "width": 1} | dict.fromkeys(
        ("waiting", "shared", "closed", "slow", "apart"), False
    )
    given = SimpleNamespace(**(usual | unlike))

    async def ask() -> None:
        world = World(True, **given.policy)
        other = World(True)
        if given.shared:
            other.scheduler._dispatcher = world.dispatcher
        serving = [asyncio.create_task(each.scheduler.run()) for each in (world, other)]
        await asyncio.sleep(0.001)
        if given.slow:
            for shape in world.costs.shapes.values():
                for _ in range(200):
                    shape.observe(1, 0.01)
        if given.apart:
            world.scheduler._backlog._isolation.spent(1.1, world.clock())
            world.scheduler._backlog._isolation.offended("somebody", world.clock())
        if given.closed:
            world.scheduler.close()
        deadline = world.clock() + given.within
        if given.waiting:
            world.scheduler.submit(feeds_of([1.0]), 1, deadline, lambda _: None)
        feeds = {"x": np.ones((1, given.width), np.float32)}
        asked: list[Asked] = [(feeds, deadline, lambda _: None, None)] * given.count
        passed = world.scheduler.pass_by(Alike.of(asked), 1, 4)
        assert (passed is not None) == passes
        assert world.engine.inline == passes
        for each in (world, other):
            each.scheduler.close()
        await asyncio.gather(*serving)

    on_virtual_time(ask())


def test_turns_pass_by_again_once_nobody_is_kept_apart_any_more() -> None:
    async def ask() -> None:
        world = World(True)
        serving = asyncio.create_task(world.scheduler.run())
        await asyncio.sleep(0.001)
        isolation = world.scheduler._backlog._isolation
        for client in ("left", "gone"):
            isolation.spent(2.0, world.clock())
            isolation.offended(client, world.clock())
            await asyncio.sleep(1.0)
        # Neither comes back; the second's ten seconds are over a second after the first's.
        for seconds, together in ((8.5, False), (1.0, True)):
            await asyncio.sleep(seconds)
            asked: list[Asked] = [(feeds_of([1.0]), world.clock() + 60, lambda _: None, "b")] * 2
            passed = world.scheduler.pass_by(Alike.of(asked), 1, 4)
            assert (passed is not None) == together
            tickets = world.scheduler.submit_all(Alike.of(asked), 1, 4, 0)
            assert (tickets is not None) == together
            world.scheduler.cut()
        world.scheduler.close()
        await serving

    on_virtual_time(ask())


def test_nothing_passes_by_while_another_models_requests_wait_for_the_device() -> None:
    async def ask() -> None:
        world, other = World(True), World(True)
        other.scheduler._dispatcher = world.dispatcher
        serving = [asyncio.create_task(each.scheduler.run()) for each in (world, other)]
        await asyncio.sleep(0.001)
        for waits, passed in ((False, True), (True, False)):
            if waits:
                other.scheduler._backlog.admit(feeds_of([1.0]), 1, world.clock(), world.clock() + 60, lambda _: None)
            asked: list[Asked] = [(feeds_of([1.0]), world.clock() + 60, lambda _: None, None)]
            assert (world.scheduler.pass_by(Alike.of(asked), 1, 4) is not None) == passed
        other.scheduler.cut()
        for each in (world, other):
            each.scheduler.close()
        await asyncio.gather(*serving)

    on_virtual_time(ask())


def test_nothing_passes_by_while_some_of_it_is_copied() -> None:
    async def ask() -> None:
        world = World(True)
        serving = asyncio.create_task(world.scheduler.run())
        await asyncio.sleep(0.001)
        for tap, passed in ((None, 1), (Mock(Tap, choose=lambda _: ()), 1), (None, 2)):
            world.scheduler.tapped(tap)
            world.turn([1.0], 1, 60.0, "a")
            await asyncio.sleep(0.01)
            assert world.passed == passed
        assert world.told == [(number, [[2.0]]) for number in (0, 100, 200)]
        world.scheduler.close()
        await serving

    on_virtual_time(ask())


def test_a_turn_of_several_runs_as_one_batch_past_the_queue() -> None:
    async def ask() -> None:
        world = World(True)
        serving = asyncio.create_task(world.scheduler.run())
        await asyncio.sleep(0.001)
        world.turn([1.0, 2.0, 3.0, 4.0], 1, 60.0, "a")
        assert world.told == [(0, [[2.0]]), (1, [[4.0]]), (2, [[6.0]]), (3, [[8.0]])]
        assert (world.passed, world.engine.inline, world.metrics.batches[4].requests) == (1, 1, 4)
        assert [caller.led for caller in world.callers] == [True, False, False, False]
        world.scheduler.close()
        await serving

    on_virtual_time(ask())


def test_a_run_that_would_block_the_loop_goes_on_elsewhere_and_is_answered() -> None:
    async def ask() -> None:
        world = World(True)
        serving = asyncio.create_task(world.scheduler.run())
        await asyncio.sleep(0.001)
        world.turn([ENDLESS], 1, 60.0, "a")
        assert (world.passed, world.metrics.inflight, world.metrics.queue_depth) == (1, 1, 0)
        await asyncio.sleep(0.01)
        assert world.told == [(0, [[2 * ENDLESS]])]
        world.turn([1.0], 1, 60.0, "a")
        assert (world.passed, world.engine.inline) == (1, 1), "its shape is off the loop for a minute"
        world.scheduler.close()
        await serving

    on_virtual_time(ask())
