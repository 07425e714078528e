"""What takes a model's requests: a scheduler, or what stands for one that another process has."""

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable

from tidegate_runtime.batching.alike import Alike, Passed
from tidegate_runtime.batching.tickets import Deliver, Outputs, Tap, Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.tensors import Feeds
from tidegate_runtime.tracing.request import current


class Requests(ABC):
    """Requests of one model version. `run` is its one task; all else is called from its event loop."""

    @abstractmethod
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
        """Queues a request. `deliver` is called from the loop, once, with its outputs or its fault, unless withdrawn.

        `rows` ≥ 1 is what it counts for in a batch, `deadline` in the clock's seconds. `key` is equal for requests that
        may share a batch and cost the same; left out, it is made from the tensors' names, types and shapes. `priority`
        1 is the highest, 0 the default. `client` is whose requests run alone if they spoil others' batches.

        Raises `Overloaded` at once if the queue is full or the answer would come too late, `DeadlineExceeded` if the
        deadline is past, `NotReady` after `close`.
        """

    def submit_all(self, alike: Alike, rows: int, size: int, priority: int) -> list[Ticket] | None:
        """Queues requests of `rows` and `size` bytes each at once; `cut` has them run.

        None if they aren't taken as a whole, for whatever reason; `submit` then says of each whether and why. Raises
        what it raises, if that is the answer to each of them.
        """
        del alike, rows, size, priority
        return None

    def filling(self, feeds: Feeds, rows: int) -> int:
        """How many requests of `rows` each, with inputs like `feeds`, make the batch that runs while more wait; ≥ 1.

        All that a turn brings, where they aren't run here.
        """
        del feeds, rows
        return sys.maxsize

    def pass_by(self, alike: Alike, rows: int, size: int, *, more: bool = False) -> Passed | None:
        """Runs requests of `rows` and `size` bytes each, which a turn of the loop brought, now, past the queue.

        That is where `submit_all` and `cut` would run them so all the same. With outputs their time is the caller's to
        tell, and no `deliver` is called; the first of them led the batch. Without them the run failed: each has been
        told so, or waits to run again, for which `cut` is to be called. None, and nothing is done, wherever anything
        else might come of it, as where something waits or the run isn't one for the event loop. `more` of the turn's
        come behind them.
        """
        del alike, rows, size, more
        return None

    def cut(self) -> None:  # noqa: B027 -- where `submit_all` takes nothing there is nothing to do
        """Has what `submit_all` has queued run, as soon as it may: no more of it comes in this turn of the loop."""

    def cut_soon(self) -> None:  # noqa: B027 -- as `cut`
        """`cut` at the loop's next turn."""

    def tapped(self, tap: Tap | None) -> None:
        """`tap` gets some of the requests and their answers from here on; None: nobody does.

        Without effect where another process runs them.
        """
        del tap

    async def infer(
        self,
        feeds: Feeds,
        rows: int,
        deadline: float,
        *,
        priority: int = 0,
        client: Hashable = None,
        hop: bool = False,
    ) -> Outputs:
        """The outputs for these rows alone, in declared order. Raises what `submit` raises or delivers.

        `hop` is `Ticket.hop`. If the caller is cancelled, the request is withdrawn, wherever it is.
        """
        outputs, _ = await self.inferred(feeds, rows, deadline, priority=priority, client=client, hop=hop)
        return outputs

    async def inferred(
        self,
        feeds: Feeds,
        rows: int,
        deadline: float,
        *,
        priority: int = 0,
        client: Hashable = None,
        hop: bool = False,
        authorization: str | None = None,
    ) -> tuple[Outputs, bool]:
        """What `infer` says, and whether the request led its batch (`Ticket.leads`).

        `authorization` is the ticket's.
        """
        future: asyncio.Future[Outputs] = asyncio.get_running_loop().create_future()

        def deliver(outcome: Outputs | RuntimeFault) -> None:
            if future.done():
                return
            if isinstance(outcome, RuntimeFault):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        ticket = self.submit(feeds, rows, deadline, deliver, priority=priority, client=client)
        ticket.trace = current.get()
        ticket.hop = hop
        ticket.authorization = authorization
        try:
            return await future, ticket.leads
        finally:
            self.withdraw(ticket)

    @abstractmethod
    def withdraw(self, ticket: Ticket) -> None:
        """Forgets a request: it is not answered any more. Never too late."""

    @abstractmethod
    async def run(self) -> None:
        """Returns once it is closed and all that it took is answered."""

    @abstractmethod
    def close(self) -> None:
        """Takes no more requests. May be called again."""
