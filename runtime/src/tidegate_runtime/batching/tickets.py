"""A request that waits or runs, the queue it waits in, and the batch it runs in.

Classes with slots rather than frozen dataclasses: one ticket a request is made and changed on the hot path.
"""

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Sequence
from math import inf
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from tidegate_runtime.batching.costs import ShapeCosts
from tidegate_runtime.batching.work import Work
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.tracing.request import RequestTrace

Outputs = tuple[Array, ...]
Deliver = Callable[[Outputs | RuntimeFault], None]


class Taker(Protocol):
    """Who asked, where answering a batch of such at once is cheaper than each of them by `Ticket.deliver`."""

    @property
    def form(self) -> object:
        """The same for those who can be answered together."""

    @property
    def deliver_all(self) -> "DeliverAll":
        """Takes a batch's outputs, or a part, for their takers in order, with as many rows each. It raises nothing.

        None stands for one that has left.
        """


DeliverAll = Callable[[Sequence[Taker | None], Sequence[Array]], None]


class Chosen(NamedTuple):
    """A request of a batch, by its position there: its inputs, and their bytes; what a copy has to show."""

    position: int
    feeds: Feeds
    size: int
    authorization: str | None = None


class Tap(Protocol):
    """Who gets some of the requests, each with its answer once that is told. It raises nothing."""

    def choose(self, tickets: "Sequence[Ticket]") -> Sequence[Chosen]:
        """Of a batch that gave answers, the requests that it wants."""

    def take(self, chosen: Chosen, outputs: Outputs) -> None:
        """One of them, and all outputs of the model for it: both are read only, and may lie in others' memory."""


NOTHING: Final = Work(0.0, 0.0)

Asked = tuple[Feeds, float, Deliver, Hashable]
"""A request among several that come together: inputs, deadline, who is told, and the client."""


WAITING: Final = 0
RUNNING: Final = 1
OVER: Final = 2
RAN: Final = 3
"""A ticket's states. Plain numbers, since an enumeration's member costs a look-up of its own; 0 reads as "alive"."""


class Ticket:
    """One request. `rows` is what it counts for in a batch, `size` its bytes; times are in the clock's seconds."""

    __slots__ = (
        "arrived",
        "authorization",
        "client",
        "deadline",
        "deliver",
        "due",
        "feeds",
        "hop",
        "leads",
        "level",
        "queue",
        "rows",
        "shape",
        "size",
        "state",
        "taker",
        "tight",
        "trace",
        "trial",
    )

    def __init__(  # noqa: PLR0913, PLR0917 -- positional for the hot path; made in one place alone
        self,
        feeds: Feeds,
        rows: int,
        size: int,
        arrived: float,
        deadline: float,
        due: float,
        level: int,
        deliver: Deliver,
        client: Hashable,
        queue: "Queue",
        shape: ShapeCosts,
    ) -> None:
        self.feeds: Feeds | None = feeds
        self.rows = rows
        self.size = size
        self.arrived = arrived
        self.deadline = deadline
        self.due = due
        self.level = level
        self.deliver = deliver
        self.client = client
        self.queue = queue
        self.shape = shape
        self.state = WAITING
        self.trial = False
        self.tight = False
        """Whether it was let in behind others, by a prediction that took a good part of its time."""
        self.leads = False
        """Whether it is the one of its batch, which ran, whose time may stand for all."""
        self.hop = False
        """Set by who asked, if another server has sent it on: it goes no further."""
        self.authorization: str | None = None
        """Set by who asked, if a copy of the request has to show the same."""
        self.trace: RequestTrace | None = None
        """Set by who asked, if the request is recorded."""
        self.taker: Taker | None = None
        """Set by who asked, if it is one."""


RATE_SECONDS: Final = 0.05

_DUE = attrgetter("due")


class Queue:
    """Requests in order of their virtual deadlines, first come first served where these are equal.

    A request that leaves stays in the list as a dead entry, in O(1), until it comes to the head or the dead outnumber
    the living.
    """

    __slots__ = (
        "_entries",
        "_live",
        "alone",
        "came",
        "family",
        "held",
        "length",
        "rate",
        "rated",
        "rows",
        "shape",
        "suspect",
        "together",
        "tried",
        "used",
        "work",
    )

    def __init__(
        self, shape: ShapeCosts, *, alone: bool = False, together: bool = False, suspect: bool = False
    ) -> None:
        self.shape = shape
        """The costs of the requests in it; where they run alone, each ticket has its own."""
        self.alone = alone
        """Whether each of its requests runs by itself, whatever its shape."""
        self.together = together
        """Whether it takes no more requests and runs as a whole: a batch, or a part of one, that has to run again."""
        self.suspect = suspect
        """Whether it is a part of a batch that the model refused for its data."""
        self.family: Hashable = None
        self.length = 0
        """Of requests that may be padded: what their shape has in common with others, and their length."""
        self.rows = 0
        self.work = NOTHING
        self.used = 0.0
        self.came = 0
        self.rate = 0.0
        """Rows a second that come, refused ones included, and those since the figure was last brought up to date."""
        self.rated = 0.0
        self.held = 0
        """Rows that ran in batches kept smaller than they could be, since a larger one was tried."""
        self.tried = 0
        """The rows of the larger one tried last; 0 once all sizes have been."""
        self._entries: list[Ticket] = []
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[Ticket]:
        return (ticket for ticket in self._entries if not ticket.state)

    def rate_until(self, now: float) -> None:
        """Brings `rate` up to date: an exponential mean over about `RATE_SECONDS`."""
        passed = now - self.rated
        if passed > 0:
            self.rate += (self.came / passed - self.rate) * passed / (passed + RATE_SECONDS)
            self.rated = now
            self.came = 0

    def head(self) -> Ticket:
        """The first of at least one."""
        return self._entries[0]

    def first(self, max_rows: int) -> tuple[list[Ticket], int, float]:
        """As many in order as fit `max_rows`, at least one of at least one; their rows; their earliest deadline."""
        taken: list[Ticket] = []
        rows = 0
        earliest = inf
        for ticket in self._entries:
            if ticket.state:
                continue
            if rows + ticket.rows > max_rows and taken:
                break
            taken.append(ticket)
            rows += ticket.rows
            if ticket.deadline < earliest:  # noqa: PLR1730 -- `min` takes three times as long
                earliest = ticket.deadline
        return taken, rows, earliest

    def add(self, ticket: Ticket) -> None:
        """Puts a ticket in its place."""
        entries = self._entries
        if not entries or ticket.due >= entries[-1].due:
            entries.append(ticket)
        else:
            entries.insert(bisect_right(entries, ticket.due, key=_DUE), ticket)
        self._live += 1
        self.rows += ticket.rows

    def extend(self, tickets: "list[Ticket]", rows: int) -> None:
        """Puts tickets of `rows` in all in their places; they are in order themselves."""
        entries = self._entries
        if not entries or tickets[0].due >= entries[-1].due:
            entries += tickets
            self._live += len(tickets)
            self.rows += rows
        else:
            for ticket in tickets:
                self.add(ticket)

    def left(self, count: int, rows: int) -> None:
        """Notes that `count` tickets of `rows` in all, whose states say so already, wait here no more."""
        self._live -= count
        self.rows -= rows
        entries = self._entries
        if not self._live:
            entries.clear()
        elif entries[0].state:
            del entries[: next(index for index, ticket in enumerate(entries) if not ticket.state)]
        elif len(entries) > 2 * self._live + 32:
            self._entries = [ticket for ticket in entries if not ticket.state]


class Batch:
    """Requests that run together. `awaited` counts those that still want the answer."""

    __slots__ = ("assembly", "awaited", "cost", "length", "on_loop", "rows", "shape", "started", "suspect", "tickets")

    def __init__(self, tickets: list[Ticket], rows: int, shape: ShapeCosts, suspect: bool, started: float) -> None:
        self.tickets = tickets
        self.rows = rows
        self.shape = shape
        self.suspect = suspect
        """Whether it is a part of a batch that the model refused for its data."""
        self.started = started
        self.length = 0
        """What its requests, if they are several, are padded to; 0 if they are of one shape."""
        self.on_loop = False
        """Whether it runs on the event loop rather than on the device's own thread or process."""
        self.awaited = len(tickets)
        self.assembly = 0.0
        """Seconds that putting its tensors together took."""
        self.cost = shape.at(rows)

    def deliver_all(self) -> DeliverAll | None:
        """What takes all outputs at once, if all its requests still wait, are takers of one form, and as many rows."""
        first = self.tickets[0]
        taker, rows = first.taker, first.rows
        if taker is None or self.length:
            return None
        form = taker.form
        for ticket in self.tickets:
            other = ticket.taker
            if other is None or other.form is not form or ticket.rows != rows or ticket.state != RUNNING:
                return None
        return taker.deliver_all
