"""The hub's end of the line to one front end: its requests in, their outcomes out."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from tidegate_runtime.batching.alike import Alike
from tidegate_runtime.batching.tickets import Asked, Outputs, Ticket
from tidegate_runtime.errors import RuntimeFault
from tidegate_runtime.model.child.faults import encode_fault
from tidegate_runtime.served_model import ServedModel
from tidegate_runtime.tensors import Array, Feeds
from tidegate_runtime.workers import records
from tidegate_runtime.workers.asker import Asker, written
from tidegate_runtime.workers.cargo import PACKET_STACK_BYTES, PACKET_TENSOR_BYTES, Incoming, Outgoing
from tidegate_runtime.workers.counting import Counting
from tidegate_runtime.workers.inquiries import Answering, Inquiries
from tidegate_runtime.workers.line import Line, opened
from tidegate_runtime.workers.pulse import Pulse
from tidegate_runtime.workers.records import HEAD, Kind, Request, Requests, plain
from tidegate_runtime.workers.stacks import shares

logger = logging.getLogger(__name__)

NOTHING_HANDED: Final[Mapping[int, int]] = {}


class Link:
    """One front end, from its start to its end. `lost` comes last."""

    def __init__(
        self,
        line: socket.socket,
        kill: Callable[[], None],
        changed: Callable[[bytes | None], None],
        answering: Answering,
        starting_seconds: float,
    ) -> None:
        """`kill` ends a front end that can't be understood or hangs. `answering` answers its questions.

        Until it listens, it may take `starting_seconds`.
        `changed` is called when the front end listens, with what it says of itself, and when it does as it was told.
        """
        self._kill = kill
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._models: dict[int, ServedModel] = {}
        self._handed: set[int] = set()
        self._requests: dict[int, Asker] = {}
        self.counting = Counting(lambda number: self._line.put(plain(Kind.ASK_COUNTS, number)))
        self.ready = False
        """Whether the front end listens, or did."""
        self.started = False
        """Whether it knows that all that was expected at start is served."""
        self._gone = False
        self._shown = 0
        self._showing: set[asyncio.Future[None]] = set()
        self._incoming = Incoming(self._released)
        self._outgoing = Outgoing(self._announce, self._dropped)
        self._line = Line(line, self._on_packet, self._on_end)
        self._inquiries = Inquiries(answering, self._line)
        self.pulse = Pulse(lambda: self._line.put(plain(Kind.ASK_COUNTS)), self._on_silence, starting_seconds)

    @property
    def lent(self) -> int:
        """Places in the hub's slabs that the front end still reads."""
        return self._outgoing.lent

    def tell(
        self, turn: int, models: dict[int, ServedModel], told: bytes, handed: Mapping[int, int] = NOTHING_HANDED
    ) -> None:
        """Tells what is served, for the `turn`-th time.

        Each of `models`, by the numbers in it, is kept until the front end has nothing more for it. `handed` are
        the descriptors in it that the front end is to have, too.
        """
        if self._gone:
            return
        for number, model in models.items():
            if number not in self._models:
                self._models[number] = model
                model.hold()
        for number in handed.keys() - self._handed:
            self._line.put_with(plain(Kind.HANDED, number), handed[number])
        self._handed = set(handed)
        self._line.put_parcel(Kind.MODELS, turn, told)

    def leave(self) -> None:
        """Asks the front end to answer what it has, and to end."""
        self._line.put(plain(Kind.LEAVE))

    async def shows(self, turn: int) -> None:
        """Returns once the front end does as it was told that turn, or is gone."""
        while self._shown < turn and not self._gone:
            shown = self._loop.create_future()
            self._showing.add(shown)
            await shown

    async def count(self) -> None:
        """Brings `counting` up to date, if the front end answers in time."""
        if not self._gone:
            await self.counting.renew()

    def lost(self) -> None:
        """The front end has ended: nobody waits for its requests any more, and its slabs go."""
        while not self._gone and self._line.read():
            pass  # What it said before its end counts.
        self._gone = True
        self.pulse.stop()
        self._line.close()
        for asker in self._requests.values():
            asker.withdraw()
        self._requests.clear()
        for model in self._models.values():
            model.release()
        self._models.clear()
        self._incoming.close()
        self._outgoing = Outgoing(self._announce, self._dropped)
        self._wake()
        self.counting.end()

    def _on_end(self) -> None:
        self._gone = True
        self._kill()

    def _on_silence(self) -> None:
        logger.error("a front end hangs and is killed", extra={"by": self.pulse.hung})
        self._on_end()

    def _on_packet(self, packet: bytes, descriptor: int | None) -> None:
        self.pulse.heard = True
        try:
            if descriptor is None:
                self._on_records(packet)
            else:
                self._on_descriptor(packet, descriptor)
        except Exception:  # Whatever a process sends that a client has upset, it's the process that goes.
            logger.exception("a front end can't be understood")
            self._on_end()

    def _on_records(self, packet: bytes) -> None:
        at = 0
        while at < len(packet):
            kind, _, _, number, value = HEAD.unpack_from(packet, at)
            if kind == Kind.REQUEST:
                request, at = records.read_request(packet, at)
                self._submit(packet, request)
                continue
            if kind == Kind.REQUESTS:
                requests, at = records.read_requests(packet, at)
                self._submit_all(packet, requests)
                continue
            if kind == Kind.ASK:
                number, question, at = records.read_said(packet, at)
                self._inquiries.take(number, question)
                continue
            at += HEAD.size
            self._on_plain(kind, number, value)

    def _on_plain(self, kind: int, number: int, value: int) -> None:
        if kind == Kind.RELEASE:
            self._outgoing.released(number, value)
        elif kind == Kind.WITHDRAW:
            self._withdraw(number)
        elif kind == Kind.DROP:
            self._incoming.drop(number)
        elif kind == Kind.LET_GO:
            self._models.pop(number).release()
        elif kind == Kind.COUNTS:  # Without a descriptor, of which one end has too many.
            self.counting.untold(number)
        elif kind == Kind.SHOWN:
            self._on_shown(number, started=bool(value))
        else:
            raise ValueError(f"a record of kind {kind}")

    def _on_descriptor(self, packet: bytes, descriptor: int) -> None:
        kind, _, _, number, value = HEAD.unpack(packet)
        if kind == Kind.SLAB:
            self._incoming.attach(number, descriptor)
        elif kind == Kind.COUNTS:
            self.counting.told(number, opened(descriptor, value))
        else:
            self.ready = True
            self.pulse.listens()
            self._changed(opened(descriptor, value))

    def _submit(self, packet: bytes, request: Request) -> None:
        model = self._models[request.model]
        arrays = self._incoming.arrays(packet, request.cargo)
        feeds = dict(zip(_names(model), arrays, strict=True))
        asker = Asker(self, request.number, model)
        taken = self._take(asker, feeds, request.rows, request.deadline, request.priority, request.client)
        if taken and request.timed:
            asker.note_times()

    def _submit_all(self, packet: bytes, requests: Requests) -> None:
        model, each = self._models[requests.model], requests.each
        stacks = self._incoming.arrays(packet, requests.cargo)
        names = _names(model)
        feeds = [dict(zip(names, arrays, strict=True)) for arrays in shares(stacks, len(each))]
        askers = [Asker(self, number, model) for number, _, _ in each]
        asked: list[Asked] = [
            (own, deadline, asker.deliver, self._client(client))
            for own, asker, (_, deadline, client) in zip(feeds, askers, each, strict=True)
        ]
        size = sum([stack.nbytes for stack in stacks]) // len(each)
        try:
            alike = Alike(dict(zip(names, stacks, strict=True)), len(each), each[0][1], each[-1][1], lambda: asked)
            tickets = model.submit_all_checked(alike, requests.rows, size, requests.priority)
        except RuntimeFault as fault:
            told = encode_fault(fault)
            for asker in askers:
                self._line.put(records.fault(asker.number, told))
            return
        if tickets is None:
            for asker, own, (_, deadline, client) in zip(askers, feeds, each, strict=True):
                self._take(asker, own, requests.rows, deadline, requests.priority, client)
            return
        for asker, ticket in zip(askers, tickets, strict=True):
            self._taken(asker, ticket)
        # Not at once: what other front ends have sent meanwhile shares the batch.
        self._loop.call_soon(model.cut)

    def _take(self, asker: Asker, feeds: Feeds, rows: int, deadline: float, priority: int, client: int) -> bool:
        try:
            ticket = asker.model.submit_checked(feeds, rows, deadline, priority, asker.deliver, self._client(client))
        except RuntimeFault as fault:
            self._line.put(records.fault(asker.number, encode_fault(fault)))
            return False
        self._taken(asker, ticket)
        return True

    def _taken(self, asker: Asker, ticket: Ticket) -> None:
        asker.ticket, ticket.taker = ticket, asker
        self._requests[asker.number] = asker

    def _client(self, client: int) -> Hashable:
        # The host first, as in an address: a client has connections to several front ends.
        return (client >> 32, self, client) if client else None

    def answer(self, asker: Asker, outcome: Outputs | RuntimeFault) -> None:
        """As `Answering` says."""
        number = asker.number
        self._requests.pop(number, None)
        told = outcome if isinstance(outcome, RuntimeFault) else written(self._outgoing, outcome, PACKET_TENSOR_BYTES)
        if isinstance(told, RuntimeFault):
            self._line.put(records.fault(number, encode_fault(told)))
        else:
            self._line.put(records.outcome(number, told, asker.times, asker.ticket.leads))

    def answer_all(self, askers: Sequence[Asker], outputs: Sequence[Array]) -> None:
        """As `Answering` says."""
        numbers = [asker.number for asker in askers]
        for number in numbers:
            # A number that a front end has used twice is its own concern, and not that of whoever shares the batch.
            self._requests.pop(number, None)
        told = written(self._outgoing, outputs, PACKET_STACK_BYTES)
        if isinstance(told, RuntimeFault):
            for number in numbers:
                self._line.put(records.fault(number, encode_fault(told)))
        else:
            self._line.put(records.outcomes(numbers, told, askers[0].ticket.leads))
        # Nothing more comes of this run, and who waits for it shall not wait for what else this turn brings.
        self._line.flush()

    def _withdraw(self, number: int) -> None:
        asker = self._requests.pop(number, None)
        if asker is not None:  # or else its outcome is on its way
            asker.withdraw()

    def _on_shown(self, turn: int, *, started: bool) -> None:
        self._shown, self.started = turn, started
        self._wake()
        self._changed(None)

    def _wake(self) -> None:
        for shown in self._showing:
            if not shown.done():
                shown.set_result(None)
        self._showing.clear()

    def _announce(self, number: int, descriptor: int) -> None:
        self._line.put_with(plain(Kind.SLAB, number), descriptor)

    def _dropped(self, number: int) -> None:
        self._line.put(plain(Kind.DROP, number))

    def _released(self, slab: int, offset: int) -> None:
        # The last array may be let go on the launch thread, or when all is over.
        with contextlib.suppress(RuntimeError):
            self._line.put_soon(plain(Kind.RELEASE, slab, offset))


def _names(model: ServedModel) -> list[str]:
    return [spec.name for spec in model.signature.inputs]
