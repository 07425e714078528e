"""What a turn of a front end brings, as the hub takes and answers it: together where it can, and each its own."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.tickets import Asked, Outputs, Taker
from tidegate_runtime.errors import Overloaded, RejectedByModel, RuntimeFault
from tidegate_runtime.model.child.layout import arrange, pack
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Array
from tidegate_runtime.workers.records import LEAST_TOGETHER, Cargo, Requests, requests
from tidegate_runtime.workers.remote import Remote, Sent
from tidegate_runtime.workers.uplink import Uplink

from .hub_ends import LIMITS, Ends, ends

pytestmark = pytest.mark.asyncio

ONE_ROOM: Final = replace(LIMITS, queue_size=1)
ROOMY: Final = replace(LIMITS, max_batch_size=32)


class Client:
    """Asks for rows of one number, and takes answers by itself or with others of its form."""

    def __init__(self, number: int, form: str, width: int) -> None:
        self.feeds = {"x": np.full((2, width), number, np.float32)}
        self.form = form
        self.answered: asyncio.Future[Array] = asyncio.get_running_loop().create_future()
        self.together = 0

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        if isinstance(outcome, RuntimeFault):
            self.answered.set_exception(outcome)
        else:
            self.answered.set_result(outcome[0].copy())

    @staticmethod
    def deliver_all(takers: Sequence[Taker | None], outputs: Sequence[Array]) -> None:
        parts = outputs[0].reshape(len(takers), 2, -1)
        for taker, own in zip(takers, parts, strict=True):
            assert isinstance(taker, Client)
            taker.together = len(takers)
            taker.answered.set_result(own.copy())

    async def right(self) -> bool:
        return np.array_equal(await self.answered, 2 * self.feeds["x"])


class Front:
    """A front end's end of a line to the hub."""

    def __init__(self, line: Any, model: ServedModel) -> None:
        self.uplink = Uplink(line)
        self.remote = Remote(self.uplink, 7, ("x",), model.metrics)

    def ask(self, clients: list[Client], deadline: float) -> list[Sent]:
        asked: list[Asked] = [(client.feeds, deadline, client.deliver, id(client)) for client in clients]
        size = clients[0].feeds["x"].nbytes
        tickets = self.remote.submit_all(Alike.of(asked), 2, size, 0)
        assert tickets is not None
        for ticket, client in zip(tickets, clients, strict=True):
            ticket.taker = client
        self.remote.cut()
        return [ticket for ticket in tickets if isinstance(ticket, Sent)]


def counted(made: Ends, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many requests were submitted to the hub's model at once, for each time."""
    sizes: list[int] = []
    submit_all, submit = made.model.submit_all_checked, made.model.submit_checked

    def together(alike: Alike, *rest: Any) -> Any:
        tickets = submit_all(alike, *rest)
        if tickets is not None:
            sizes.append(len(tickets))
        return tickets

    def alone(*arguments: Any) -> Any:
        sizes.append(1)
        return submit(*arguments)

    monkeypatch.setattr(made.model, "submit_all_checked", together)
    monkeypatch.setattr(made.model, "submit_checked", alone)
    return sizes


async def until(condition: Callable[[], bool]) -> None:
    """Returns once it holds, which it will after some turns of the loop."""
    while not condition():  # noqa: ASYNC110 -- nothing tells
        await asyncio.sleep(0)


async def warm(front: Front, made: Ends, width: int) -> None:
    """The first request of a shape opens its queue; before that nothing is taken together."""
    row = {"x": np.zeros((2, width), np.float32)}
    await front.remote.infer(row, 2, made.service.clock() + 20)


@pytest.mark.parametrize("width", [4, 400, 4096])
async def test_a_turn_is_taken_together_and_answered_together(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ends(width) as made, asyncio.timeout(10):
        front = Front(made.other, made.model)
        await warm(front, made, width)
        sizes = counted(made, monkeypatch)
        clients = [Client(number, "json", width) for number in range(4)]
        front.ask(clients, made.service.clock() + 20)
        assert all(await asyncio.gather(*(client.right() for client in clients)))
        assert sizes == [4]
        # Outputs of many bytes have places of their own.
        assert {client.together for client in clients} == {0 if width == 4096 else 4}
        assert made.model.metrics.inflight == 0
        front.uplink.end()


async def test_clients_of_several_front_ends_and_forms_share_a_batch_and_get_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ends(4, ROOMY) as made, asyncio.timeout(10):
        link, other = made.linked()
        fronts = [Front(made.other, made.model), Front(other, made.model)]
        await warm(fronts[0], made, 4)
        rows, runs = made.model.metrics.batch_rows.total, sum(made.model.metrics.batch_rows.counts)
        made.engine.open.clear()
        made.engine.began.clear()
        first = asyncio.create_task(warm(fronts[0], made, 4))
        await made.engine.began.wait()
        sizes = counted(made, monkeypatch)
        one = [Client(number, "json", 4) for number in range(4)]
        two = [Client(number, "binary" if number % 2 else "json", 4) for number in range(10, 15)]
        for front, clients in zip(fronts, (one, two), strict=True):
            front.ask(clients, made.service.clock() + 20)
        await until(lambda: sizes == [4, 5])
        made.engine.open.set()
        await first
        assert all(await asyncio.gather(*(client.right() for client in one + two)))
        assert [client.together for client in one + two] == [4] * 4 + [3, 2, 3, 2, 3]
        batches = made.model.metrics.batch_rows
        assert (batches.total - rows, sum(batches.counts) - runs) == (2 + 18, 2), "the nine ran as one batch"
        for front in fronts:
            front.uplink.end()
        link.lost()
        other.close()


async def test_what_cannot_be_taken_together_is_taken_or_refused_each_by_itself() -> None:
    async with ends(4, ONE_ROOM) as made, asyncio.timeout(10):
        front = Front(made.other, made.model)
        await warm(front, made, 4)
        made.engine.open.clear()
        made.engine.began.clear()
        running = asyncio.create_task(warm(front, made, 4))
        await made.engine.began.wait()
        clients = [Client(number, "json", 4) for number in range(4)]
        front.ask(clients, made.service.clock() + 20)
        for refused in clients[1:]:
            with pytest.raises(Overloaded, match="1 requests are waiting"):
                await refused.answered
        made.engine.open.set()
        assert await clients[0].right()
        await running
        front.uplink.end()


async def test_where_all_are_refused_each_is_told_so() -> None:
    async with ends(4, ONE_ROOM) as made, asyncio.timeout(10):
        front = Front(made.other, made.model)
        await warm(front, made, 4)
        made.engine.open.clear()
        made.engine.began.clear()
        running = asyncio.create_task(warm(front, made, 4))
        await made.engine.began.wait()
        waiting = asyncio.create_task(warm(front, made, 4))
        await until(lambda: made.model.metrics.queue_depth == 1)
        clients = [Client(number, "json", 4) for number in range(5)]
        front.ask(clients, made.service.clock() + 20)
        for refused in clients:
            with pytest.raises(Overloaded, match="1 requests are waiting"):
                await refused.answered
        assert made.model.metrics.refused["QueueFull"] == 5
        made.engine.open.set()
        await asyncio.gather(running, waiting)
        front.uplink.end()


async def test_few_go_each_by_itself() -> None:
    async with ends(4) as made:
        front = Front(made.other, made.model)
        clients = [Client(number, "json", 4) for number in range(LEAST_TOGETHER - 1)]
        asked: list[Asked] = [(client.feeds, made.service.clock() + 20, client.deliver, None) for client in clients]
        assert front.remote.submit_all(Alike.of(asked), 2, 32, 0) is None
        front.uplink.end()


async def test_one_that_was_withdrawn_does_not_keep_the_others_from_theirs() -> None:
    async with ends(4) as made, asyncio.timeout(10):
        front = Front(made.other, made.model)
        await warm(front, made, 4)
        made.engine.open.clear()
        made.engine.began.clear()
        clients = [Client(number, "json", 4) for number in range(4)]
        sent = front.ask(clients, made.service.clock() + 20)
        await made.engine.began.wait()
        front.remote.withdraw(sent[1])
        # The hub has answered before it hears that nobody waits any more.
        made.engine.open.set()
        assert all(await asyncio.gather(*(client.right() for client in clients[:1] + clients[2:])))
        assert not clients[1].answered.done()
        await until(lambda: made.model.metrics.inflight == 0)
        front.uplink.end()


async def test_a_number_that_is_used_twice_costs_its_own_front_end_an_answer_and_others_none() -> None:
    async with ends(4, ROOMY) as made, asyncio.timeout(10):
        link, other = made.linked()
        fronts = [Front(made.other, made.model), Front(other, made.model)]
        await warm(fronts[0], made, 4)
        made.engine.open.clear()
        made.engine.began.clear()
        first = asyncio.create_task(warm(fronts[0], made, 4))
        await made.engine.began.wait()
        stacks = np.zeros((8, 4), np.float32)
        places = pack(arrange([(stacks.dtype, stacks.shape, stacks.nbytes)]))
        cargo = Cargo(places, 0, 0, stacks.nbytes, stacks.tobytes())
        other.send(requests(Requests(7, 2, 0, cargo, [(5, made.service.clock() + 20, 0)] * 4)))
        clients = [Client(number, "json", 4) for number in range(4)]
        fronts[0].ask(clients, made.service.clock() + 20)
        await until(lambda: made.model.metrics.queue_depth == 8)
        made.engine.open.set()
        await first
        assert all(await asyncio.gather(*(client.right() for client in clients)))
        for front in fronts:
            front.uplink.end()
        link.lost()
        other.close()


async def test_a_bad_one_fails_alone() -> None:
    async with ends(4) as made, asyncio.timeout(10):
        front = Front(made.other, made.model)
        await warm(front, made, 4)
        clients = [Client(number, "json", 4) for number in (-1, 1, 2, 3)]
        front.ask(clients, made.service.clock() + 20)
        with pytest.raises(RejectedByModel):
            await clients[0].answered
        assert all(await asyncio.gather(*(client.right() for client in clients[1:])))
        front.uplink.end()


async def test_places_in_slabs_are_free_again_after_answers_together() -> None:
    async with ends(400) as made, asyncio.timeout(10):
        front = Front(made.other, made.model)
        await warm(front, made, 400)
        for _ in range(3):
            clients = [Client(number, "json", 400) for number in range(4)]
            front.ask(clients, made.service.clock() + 20)
            assert all(await asyncio.gather(*(client.right() for client in clients)))
        await until(lambda: made.link.lent == 0 and front.uplink.lent <= 1)
        front.uplink.end()
