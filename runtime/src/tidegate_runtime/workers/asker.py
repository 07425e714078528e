"""A front end's request in the hub, from when it is taken to its answer; those of one batch are answered together."""

import logging
from collections.abc import Sequence
from typing import Final, Protocol, cast

from tidegate_runtime.batching.tickets import Outputs, Taker, Ticket
from tidegate_runtime.errors import ExecutionFailed, NotReady, RuntimeFault
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Array
from tidegate_runtime.tracing.request import RequestTrace
from tidegate_runtime.workers.cargo import PACKET_TENSOR_BYTES, Outgoing
from tidegate_runtime.workers.records import LEAST_TOGETHER, MOST_TOGETHER, Cargo, Times
from tidegate_runtime.workers.stacks import shares, sorted_out

logger = logging.getLogger(__name__)


class _Noted(RequestTrace):
    """Takes a run's times for the front end, which has the trace."""

    __slots__ = ("times",)

    def __init__(self) -> None:
        self.times: Times | None = None

    def ran(self, admitted: float, started: float, assembly: float, compute: float, ended: float, rows: int) -> None:
        """Keeps them."""
        self.times = Times(admitted, started, assembly, compute, ended, rows)


class Answering(Protocol):
    """A front end, as whoever answers it needs it."""

    def answer(self, asker: "Asker", outcome: Outputs | RuntimeFault) -> None:
        """Tells it what became of the request. It raises nothing."""

    def answer_all(self, askers: "Sequence[Asker]", outputs: Sequence[Array]) -> None:
        """Tells it the outputs for several of its requests, stacked. It raises nothing."""


class Asker:
    """A `Taker`. `number` is the request's on the front end's line; `ticket` is there once it is taken, until its end.

    Not beyond it: each has the other, so its tensors would be kept until cycles are looked for.
    """

    __slots__ = ("link", "model", "number", "ticket")

    form: Final = None
    """The same for all: whose request is whose is sorted out behind the batch."""

    ticket: Ticket

    def __init__(self, link: Answering, number: int, model: ServedModel) -> None:
        self.link = link
        self.number = number
        self.model = model

    def note_times(self) -> None:
        """Has `times` noted, which are one request's: it is answered alone."""
        self.ticket.trace, self.ticket.taker = _Noted(), None

    @property
    def times(self) -> Times | None:
        """When its batch ran; None if that wasn't noted."""
        trace = self.ticket.trace
        return trace.times if isinstance(trace, _Noted) else None

    def deliver(self, outcome: Outputs | RuntimeFault) -> None:
        """As `Ticket.deliver`."""
        if not isinstance(outcome, RuntimeFault):
            # The batch, which is over, may be kept for a while; what lies in the front end's slab is to be released.
            # Not with a fault: one that is late may be part of a batch that is yet to be put together.
            self.ticket.feeds = None
        self.link.answer(self, outcome)
        del self.ticket

    def withdraw(self) -> None:
        """Nobody waits for it any more."""
        self.model.withdraw(self.ticket)
        del self.ticket

    @staticmethod
    def deliver_all(takers: Sequence[Taker | None], outputs: Sequence[Array]) -> None:
        """As `Taker.deliver_all`, for requests of any front ends."""
        count = len(takers)
        long = sum([output.nbytes for output in outputs]) > count * PACKET_TENSOR_BYTES
        if count < LEAST_TOGETHER or long or None in takers:
            # Of long answers each has a place of its own: who reads one slowly doesn't hold those of others.
            each = [tuple(outputs)] if count == 1 else shares(outputs, count)
            for taker, own in zip(takers, each, strict=True):
                if taker is not None:
                    cast("Asker", taker).deliver(own)
        else:
            askers = cast("Sequence[Asker]", takers)
            for asker in askers:
                asker.ticket.feeds = None
            keys = [(asker.link, place // MOST_TOGETHER) for place, asker in enumerate(askers)]
            for _, those, stacks in sorted_out(askers, keys, outputs):
                those[0].link.answer_all(those, stacks)


def written(outgoing: Outgoing, outputs: Sequence[Array], most: int) -> Cargo | RuntimeFault:
    """`outputs` on their way, up to `most` bytes in the packet, or what to say instead."""
    try:
        return outgoing.write(outputs, most)
    except RuntimeFault as fault:
        return fault
    except OSError:
        return NotReady("there is no memory for the answer; send the request again")
    except Exception:
        logger.exception("an answer could not be sent")
        return ExecutionFailed("the answer could not be sent; the server's log says how")
