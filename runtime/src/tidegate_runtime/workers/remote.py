"""In a front end, what stands in the place of a model version's scheduler: the hub has that."""

import asyncio
from collections.abc import Hashable, Sequence
from typing import Protocol

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.policy import DEFAULT_LEVEL
from tidegate_runtime.batching.requests import Requests
from tidegate_runtime.batching.tickets import OVER, WAITING, Asked, Deliver, Outputs, Ticket
from tidegate_runtime.errors import NotReady, Overloaded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.workers.records import LEAST_TOGETHER, MOST_TOGETHER, Times


class Sent(Ticket):
    """A request that the hub has. Of a ticket it has what adapters use; the rest is the hub's."""

    __slots__ = ("number", "remote")

    def __init__(self, number: int, arrived: float, deliver: Deliver, remote: "Remote") -> None:
        self.number = number
        self.arrived = arrived
        self.deliver = deliver
        self.remote = remote
        self.state = WAITING
        self.trace = None
        self.taker = None
        self.leads = False


class Hub(Protocol):
    """Where requests go."""

    def send(
        self,
        remote: "Remote",
        arrays: list[Array],
        rows: int,
        deadline: float,
        priority: int,
        deliver: Deliver,
        client: Hashable,
    ) -> Sent:
        """The request, on its way. Raises `RuntimeFault` if it can't be sent."""

    def send_all(
        self, remote: "Remote", stacks: Sequence[Array], rows: int, priority: int, asked: Sequence[Asked]
    ) -> list[Sent]:
        """Requests of one shape, their tensors stacked, on their way. Raises `RuntimeFault` if they can't be."""

    def flush(self) -> None:
        """Sends what was put together at once, for no more comes in this turn of the loop."""

    def forget(self, sent: Sent) -> None:
        """Nobody waits for it any more."""


class Remote(Requests):
    """One model version of the hub, by its number there. `run` ends when it is closed and all is answered."""

    def __init__(self, hub: Hub, number: int, inputs: tuple[str, ...], metrics: ModelMetrics) -> None:
        self.number = number
        self._metrics = metrics
        self._hub = hub
        self._inputs = inputs
        self._pending = 0
        self._closing = False
        self._over: asyncio.Future[None] | None = None

    def submit(
        self,
        feeds: Feeds,
        rows: int,
        deadline: float,
        deliver: Deliver,
        *,
        key: Hashable = None,
        priority: int = 0,
        client: Hashable = None,
    ) -> Ticket:
        """As `Requests` says, but what that raises at once is delivered later. `key` is the hub's own."""
        del key
        if self._closing:
            raise NotReady("the server is shutting down; send the request again")
        try:
            arrays = [feeds[name] for name in self._inputs]
            sent = self._hub.send(self, arrays, rows, deadline, _told(priority), deliver, client)
        except Overloaded as refused:
            self._metrics.refuse(refused.refusal or "")
            raise
        self._pending += 1
        return sent

    def submit_all(self, alike: Alike, rows: int, size: int, priority: int) -> list[Ticket] | None:
        """As `Requests` says, but that they are taken means that they are on their way: the hub speaks later."""
        del size
        if self._closing or not LEAST_TOGETHER <= alike.number <= MOST_TOGETHER:
            return None
        stacks = [alike.feeds[name] for name in self._inputs]
        try:
            sent = self._hub.send_all(self, stacks, rows, _told(priority), alike.asked())
        except Overloaded:
            return None
        self._pending += len(sent)
        return [*sent]

    def cut(self) -> None:
        """As `Requests` says."""
        self._hub.flush()

    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request, wherever it is. Never too late."""
        if ticket.state != OVER:
            assert isinstance(ticket, Sent)
            ticket.state = OVER
            self._hub.forget(ticket)
            self._left()

    def settle(self, sent: Sent, outcome: Outputs | RuntimeFault, times: Times | None) -> None:
        """What the hub says of a request that wasn't withdrawn."""
        sent.state = OVER
        self._left()
        if times is not None and sent.trace is not None:
            sent.trace.ran(*times)
        sent.deliver(outcome)

    def settle_all(self, sent: Sequence[Sent], outputs: Sequence[Array]) -> None:
        """The outputs for requests that weren't withdrawn, stacked; who asked takes them so."""
        for each in sent:
            each.state = OVER
        self._left(len(sent))
        taker = sent[0].taker
        assert taker is not None
        taker.deliver_all([each.taker for each in sent], outputs)

    async def run(self) -> None:
        """Returns once it is closed and nothing is awaited of the hub."""
        self._over = asyncio.get_running_loop().create_future()
        self._left(0)
        await self._over

    def close(self) -> None:
        """Takes no more requests. May be called again."""
        self._closing = True
        self._left(0)

    def _left(self, count: int = 1) -> None:
        self._pending -= count
        if self._closing and not self._pending and self._over is not None and not self._over.done():
            self._over.set_result(None)


def _told(priority: int) -> int:
    """What means the same to `policy.level`, of one byte: a client may say 2^63-1."""
    return min(priority, DEFAULT_LEVEL)
