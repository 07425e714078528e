"""Requests whose last bytes have come in one turn of the event loop, and what they are to the scheduler."""

from collections.abc import Hashable
from typing import Protocol, TypeVar

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.tickets import Asked, Deliver, Taker, Ticket
from tidegate_runtime.protocol.plain import Known, Layout, Plain, Read
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Feeds


class Member(Taker, Protocol):
    """A request whose last byte has come, as a turn sees it."""

    received: float
    parsed: float
    ticket: Ticket | None
    form: Plain | None
    """What has read it, if it repeats an earlier one but for its numbers, and writes its answer."""

    @property
    def model(self) -> ServedModel:
        """The model that it is for."""

    @property
    def client(self) -> Hashable:
        """Who sent it."""

    @property
    def over(self) -> bool:
        """Whether it was answered, or its client has left."""

    @property
    def seconds_left(self) -> float | None:
        """What its client gave it, from `received` on; None: nothing but what it says itself."""

    @property
    def telling(self) -> bool:
        """Whether its time may stand for that of its batch."""

    @property
    def deliver(self) -> Deliver:
        """Answers it by itself."""

    def find(self) -> Known | None:
        """Its layout and numbers, if it repeats an earlier one; then `form` is set."""

    def take(self) -> None:
        """Has it answered by itself, whatever it is."""

    def submit(self, feeds: Feeds, layout: Layout) -> None:
        """Has it answered by itself, read by its layout."""

    def fail(self) -> None:
        """Answers that the server has a fault."""


M = TypeVar("M", bound=Member)


def together(calls: list[M], read: Read, layout: Layout, model: ServedModel) -> tuple[list[M], Alike]:
    """Calls whose requests were read, in order of their deadlines, and their requests as the scheduler takes them."""
    limit = model.limits.timeout_seconds
    if layout.timeout_seconds is not None and layout.timeout_seconds < limit:
        limit = layout.timeout_seconds

    def asked() -> list[Asked]:
        return [
            (feeds, call.received + limit, call.deliver, call.client)
            for feeds, call in zip(read.feeds, calls, strict=True)
        ]

    if any([call.seconds_left is not None for call in calls]):
        ordered, own = _by_deadline(calls, asked())
        return ordered, Alike.of(own)
    return calls, Alike(read.whole, len(calls), calls[0].received + limit, calls[-1].received + limit, asked)


def alone(call: Member, read: Read, layout: Layout, model: ServedModel) -> Alike:
    """`together` for a single call, in whose cost each step counts."""
    limit, left = model.limits.timeout_seconds, call.seconds_left
    if layout.timeout_seconds is not None and layout.timeout_seconds < limit:
        limit = layout.timeout_seconds
    deadline = call.received + (limit if left is None or limit < left else left)
    return Alike(read.whole, 1, deadline, deadline, lambda: [(read.feeds[0], deadline, call.deliver, call.client)])


def sooner(first: float | None, second: float | None) -> float | None:
    """The smaller of two bounds, of which there may be one or none."""
    if first is None or second is None:
        return first if second is None else second
    return min(first, second)


def _by_deadline(calls: list[M], asked: list[Asked]) -> tuple[list[M], list[Asked]]:
    """Both, in order of what is left to each, with the deadlines that clients gave their requests."""
    own: list[Asked] = []
    for call, (feeds, deadline, deliver, client) in zip(calls, asked, strict=True):
        left = call.seconds_left
        bound = deadline if left is None else min(deadline, call.received + left)
        own.append((feeds, bound, deliver, client))
    order = sorted(range(len(own)), key=lambda place: own[place][1])
    return [calls[place] for place in order], [own[place] for place in order]
