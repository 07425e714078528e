"""Who taps a model's requests gets each with its own answer, once all of its batch are told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.batching.policy import BatchPolicy
from tidegate_runtime.batching.scheduler import Scheduler
from tidegate_runtime.batching.tickets import RAN, Chosen, Outputs, Taker, Ticket
from tidegate_runtime.errors import RejectedByModel, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Array, Feeds

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

POISON = 666.0


class Doubling:
    """Takes a second for a batch."""

    async def hop(self) -> float:
        return 0.0

    def run_inline(self, feeds: Feeds) -> Ran:
        raise NotImplementedError

    async def run(self, feeds: Feeds) -> Ran:
        await asyncio.sleep(1.0)
        if POISON in feeds["x"]:
            raise RejectedByModel("poison")
        return [feeds["x"] * 2, feeds["x"] + 1], 1.0

    def interrupt(self) -> None: ...


class Everything:
    """Takes all that it can, and notes how many had been told then."""

    def __init__(self, told: list[float]) -> None:
        self.told = told
        self.taken: list[tuple[list[float], list[list[float]]]] = []
        self.told_before: list[int] = []

    def choose(self, tickets: Sequence[Ticket]) -> Sequence[Chosen]:
        return [
            Chosen(position, ticket.feeds, ticket.size)
            for position, ticket in enumerate(tickets)
            if ticket.state == RAN and ticket.feeds is not None
        ]

    def take(self, chosen: Chosen, outputs: Outputs) -> None:
        self.taken.append((chosen.feeds["x"].ravel().tolist(), [output.ravel().tolist() for output in outputs]))
        self.told_before.append(len(self.told))


class Together:
    """A taker of whole batches."""

    form = "one"

    def __init__(self, told: list[float]) -> None:
        self.told = told

    def deliver_all(self, takers: Sequence[Taker | None], outputs: Sequence[Array]) -> None:
        self.told += [0.0] * (len(takers) - list(takers).count(None))

    def deliver(self, _outcome: Outputs | RuntimeFault) -> None:
        self.told.append(0.0)


class Bench:
    def __init__(self) -> None:
        self.told: list[float] = []
        self.tap = Everything(self.told)
        policy = BatchPolicy(max_rows=8, max_delay_seconds=0.0, queue_size=100)
        self.scheduler = Scheduler(Doubling(), policy, ModelMetrics("m", "1", "cpu"), asyncio.get_running_loop().time)
        self.scheduler.tapped(self.tap)

    def send(self, *values: float, together: bool = False) -> Ticket:
        taker = Together(self.told)
        rows = np.array([[value] for value in values])
        ticket = self.scheduler.submit({"x": rows}, len(values), 1000.0, taker.deliver)
        if together:
            ticket.taker = taker
        return ticket


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    serving = asyncio.create_task(made.scheduler.run())
    await asyncio.sleep(0)
    yield made
    made.scheduler.close()
    await serving


def answered(*values: float) -> tuple[list[float], list[list[float]]]:
    return [*values], [[2 * value for value in values], [value + 1 for value in values]]


@pytest.mark.parametrize("together", [False, True])
async def test_each_request_of_a_batch_comes_with_its_own_answer(together: bool) -> None:
    async with bench() as made:
        for values in ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)):
            made.send(*values, together=together)
        await asyncio.sleep(2)
        assert made.tap.taken == [answered(1.0, 2.0), answered(3.0, 4.0), answered(5.0, 6.0)]
        assert made.tap.told_before == [3, 3, 3]


async def test_requests_of_unlike_sizes_come_apart_as_they_are() -> None:
    async with bench() as made:
        made.send(1.0)
        made.send(2.0, 3.0, 4.0)
        await asyncio.sleep(2)
        assert made.tap.taken == [answered(1.0), answered(2.0, 3.0, 4.0)]


async def test_a_request_that_came_alone_has_all_of_the_answer() -> None:
    async with bench() as made:
        made.send(1.0, 2.0, together=True)
        await asyncio.sleep(2)
        assert made.tap.taken == [answered(1.0, 2.0)]


async def test_who_left_is_not_among_them() -> None:
    async with bench() as made:
        made.send(1.0)
        left = made.send(2.0)
        await asyncio.sleep(0.5)
        made.scheduler.withdraw(left)
        await asyncio.sleep(2)
        assert made.tap.taken == [answered(1.0)]


async def test_what_failed_is_not_among_them() -> None:
    async with bench() as made:
        for value in (1.0, POISON, 3.0, 4.0):
            made.send(value)
        await asyncio.sleep(20)
        assert sorted(made.tap.taken) == [answered(1.0), answered(3.0), answered(4.0)]


async def test_answers_that_are_told_in_portions_are_handed_on_after_the_last() -> None:
    async with bench() as made:
        # Something waits when the first batch ends, so its answers are told while the second one runs.
        values: list[Any] = [float(value) for value in range(8)]
        for value in values:
            made.send(value)
        await asyncio.sleep(0.5)
        made.send(9.0)
        await asyncio.sleep(3)
        assert made.tap.taken == [answered(value) for value in [*values, 9.0]]
        assert made.tap.told_before == [8] * 8 + [9]


async def test_nobody_taps_any_more_once_that_is_said() -> None:
    async with bench() as made:
        made.send(1.0)
        await asyncio.sleep(0.5)
        made.scheduler.tapped(None)
        await asyncio.sleep(2)
        assert made.tap.taken == []
        assert made.told == [0.0]
