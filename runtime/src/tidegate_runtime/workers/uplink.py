"""A front end's end of the line: requests to the hub, outcomes from it."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Hashable, Sequence
from zlib import crc32

from tidegate_runtime.batching.dispatcher import Clock
from tidegate_runtime.batching.isolation import host_of
from tidegate_runtime.batching.tickets import Asked, Deliver, Outputs
from tidegate_runtime.errors import Overloaded, RuntimeFault
from tidegate_runtime.metrics import ModelMetrics
from tidegate_runtime.model.child.faults import decode_fault
from tidegate_runtime.tensors import Array
from tidegate_runtime.workers import records, snapshot, tally
from tidegate_runtime.workers.cargo import PACKET_STACK_BYTES, PACKET_TENSOR_BYTES, Incoming, Outgoing
from tidegate_runtime.workers.handed import Handed
from tidegate_runtime.workers.line import Line, opened
from tidegate_runtime.workers.records import HEAD, Cargo, Kind, Times, plain
from tidegate_runtime.workers.remote import Remote, Sent
from tidegate_runtime.workers.snapshot import Snapshot
from tidegate_runtime.workers.stacks import shares, sorted_out

logger = logging.getLogger(__name__)


class Uplink:
    """The hub, as a front end sees it. The end of the hub is the end of this process."""

    def __init__(self, line: socket.socket, clock: Clock = time.monotonic, *, timed: bool = False) -> None:
        """`timed`: whether each outcome is to say when its batch ran, for traces."""
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._timed = timed
        self._number = 0
        self._pending: dict[int, Sent] = {}
        self._questions: dict[int, asyncio.Future[bytes]] = {}
        self.leave = asyncio.Event()
        """Set once the hub wants this process to end."""
        self.on_models: Callable[[Snapshot], None] = lambda _: None
        """Called with all that is served, at first and whenever that has changed."""
        self.handed = Handed()
        """Whatever that names by a number."""
        self.counted: Callable[[], Sequence[ModelMetrics]] = tuple
        self.spans_lost: Callable[[], int] = int
        """What this process has counted."""
        self.exit: Callable[[], None] = _exit
        """Ends this process at once: its clients see their connections cut, and the hub starts another one."""
        self._line = Line(line, self._on_packet, self._on_end)
        self._outgoing = Outgoing(self._announce, self._dropped)
        self._incoming = Incoming(self._released)

    @property
    def lent(self) -> int:
        """Places in this process' slabs that the hub still reads."""
        return self._outgoing.lent

    def ready(self, told: bytes) -> None:
        """Says that this process listens; `told` is for the hub's own pages."""
        self._line.put_parcel(Kind.READY, 0, told)

    def send(
        self,
        remote: Remote,
        arrays: list[Array],
        rows: int,
        deadline: float,
        priority: int,
        deliver: Deliver,
        client: Hashable,
    ) -> Sent:
        """The request, on its way. Raises `RuntimeFault` if there is no memory for its tensors."""
        cargo = self._written(arrays, PACKET_TENSOR_BYTES)
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        asker = _number(client)
        request = records.Request(number, remote.number, rows, priority, deadline, self._timed, cargo, asker)
        try:
            record = records.request(request)
        except BaseException:
            self._outgoing.take_back(cargo)
            raise
        self._line.put(record)
        sent = self._pending[number] = Sent(number, self._clock(), deliver, remote)
        return sent

    def send_all(
        self, remote: Remote, stacks: Sequence[Array], rows: int, priority: int, asked: Sequence[Asked]
    ) -> list[Sent]:
        """As `Hub` says. Raises `RuntimeFault` if there is no memory for their tensors."""
        small = sum([stack.nbytes for stack in stacks]) <= len(asked) * PACKET_TENSOR_BYTES
        cargo = self._written(stacks, PACKET_STACK_BYTES if small else PACKET_TENSOR_BYTES)
        now = self._clock()
        each, sent = [], []
        for _, deadline, deliver, client in asked:
            self._number = number = (self._number + 1) & 0xFFFFFFFF
            each.append((number, deadline, _number(client)))
            sent.append(Sent(number, now, deliver, remote))
        try:
            record = records.requests(records.Requests(remote.number, rows, priority, cargo, each))
        except BaseException:
            self._outgoing.take_back(cargo)
            raise
        self._line.put(record)
        for made in sent:
            self._pending[made.number] = made
        return sent

    def flush(self) -> None:
        """As `Hub` says."""
        self._line.flush()

    def forget(self, sent: Sent) -> None:
        """Nobody waits for it any more."""
        if self._pending.pop(sent.number, None) is not None:
            self._line.put(plain(Kind.WITHDRAW, sent.number))

    def let_go(self, number: int) -> None:
        """Says that this process has nothing more for that model version."""
        self._line.put(plain(Kind.LET_GO, number))

    async def ask(self, question: bytes) -> bytes:
        """The hub's answer to a question of at most `MAX_TEXT_BYTES`.

        Raises the `RuntimeFault` that it has instead, `ExecutionFailed` if it can't answer.
        """
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        self._line.put(records.said(Kind.ASK, number, question))
        self._questions[number] = answer = self._loop.create_future()
        content: bytes = await answer
        return content

    async def close(self) -> None:
        """Says what was counted, and returns once all is sent."""
        self._count(0)
        await self._line.flushed()

    def end(self) -> None:
        """Sends and takes no more."""
        self._line.close()

    def _on_end(self) -> None:
        logger.error("the process with the models is gone")
        self.exit()

    def _on_packet(self, packet: bytes, descriptor: int | None) -> None:
        try:
            if descriptor is None:
                self._on_records(packet)
            else:
                self._on_descriptor(packet, descriptor)
        except Exception:
            # What is behind it in the packet is lost: answers never come, places are never free again.
            logger.exception("what the process with the models says can't be taken")
            self.exit()

    def _on_records(self, packet: bytes) -> None:
        at = 0
        while at < len(packet):
            kind, _, _, number, value = HEAD.unpack_from(packet, at)
            if kind == Kind.OUTCOME:
                outcome, at = records.read_outcome(packet, at)
                arrays = tuple(self._incoming.arrays(packet, outcome.cargo))
                self._mark(outcome.number, leads=outcome.leads)
                self._settle(outcome.number, arrays, outcome.times)
                continue
            if kind == Kind.OUTCOMES:
                numbers, cargo, leads, at = records.read_outcomes(packet, at)
                self._mark(numbers[0], leads=leads)
                self._settle_all(numbers, self._incoming.arrays(packet, cargo))
                continue
            if kind == Kind.FAULT:
                number, text, at = records.read_said(packet, at)
                self._fail(number, decode_fault(text))
                continue
            if kind == Kind.ANSWER:
                number, text, at = records.read_said(packet, at)
                self._answered(number, text)
                continue
            at += HEAD.size
            self._on_plain(kind, number, value)

    def _on_plain(self, kind: int, number: int, value: int) -> None:
        if kind == Kind.RELEASE:
            self._outgoing.released(number, value)
        elif kind == Kind.DROP:
            self._incoming.drop(number)
        elif kind == Kind.ASK_COUNTS:
            self._count(number)
        elif kind == Kind.LEAVE:
            self.leave.set()
        elif kind == Kind.LONG_ANSWER:  # Its descriptor is lost: this process has as many open as it may.
            self._fail(number, Overloaded("too many files are open for the answer to be read; try again later"))
        else:
            raise ValueError(f"a record of kind {kind}")

    def _on_descriptor(self, packet: bytes, descriptor: int) -> None:
        kind, _, _, number, value = HEAD.unpack(packet)
        if kind == Kind.SLAB:
            self._incoming.attach(number, descriptor)
        elif kind == Kind.HANDED:
            self.handed.arrive(number, descriptor)
        elif kind == Kind.MODELS:
            told = snapshot.decode(opened(descriptor, value))
            self.on_models(told)
            self._line.put(plain(Kind.SHOWN, number, told.started))
        else:
            self._answered(number, opened(descriptor, value))

    def _answered(self, number: int, content: bytes) -> None:
        answer = self._questions.pop(number)
        if not answer.done():
            answer.set_result(content)

    def _fail(self, number: int, fault: RuntimeFault) -> None:
        answer = self._questions.pop(number, None)
        if answer is None:
            self._settle(number, fault, None)
        elif not answer.done():
            answer.set_exception(fault)

    def _mark(self, number: int, *, leads: bool) -> None:
        if leads and (sent := self._pending.get(number)) is not None:
            sent.leads = True

    def _settle(self, number: int, outcome: Outputs | RuntimeFault, times: Times | None) -> None:
        sent = self._pending.pop(number, None)
        if sent is None:  # It was withdrawn meanwhile.
            return
        try:
            sent.remote.settle(sent, outcome, times)
        except Exception:
            # One request's answer that can't be written must not keep the others' from them.
            logger.exception("an answer could not be delivered")

    def _settle_all(self, numbers: Sequence[int], stacks: Sequence[Array]) -> None:
        forms = [self._form(number) for number in numbers]
        for form, those, own in sorted_out(numbers, forms, stacks):
            if form is None:
                for number, outputs in zip(those, shares(own, len(those)), strict=True):
                    self._settle(number, outputs, None)
                continue
            sent = [self._pending.pop(number) for number in those]
            try:
                sent[0].remote.settle_all(sent, own)
            except Exception:
                logger.exception("answers could not be delivered")

    def _form(self, number: int) -> object:
        """What is the same for requests that are answered together; None for one that isn't."""
        sent = self._pending.get(number)
        return None if sent is None or sent.taker is None else sent.taker.form

    def _written(self, arrays: Sequence[Array], most: int) -> Cargo:
        try:
            return self._outgoing.write(arrays, most)
        except OSError:
            raise Overloaded("there is no memory for the request's tensors; try again later", "QueueBytes") from None

    def _count(self, number: int) -> None:
        try:
            self._line.put_parcel(Kind.COUNTS, number, tally.encode(self.counted(), self.spans_lost()))
        except OSError:  # As many files are open as may be.
            self._line.put(plain(Kind.COUNTS, number))

    def _announce(self, number: int, descriptor: int) -> None:
        self._line.put_with(plain(Kind.SLAB, number), descriptor)

    def _dropped(self, number: int) -> None:
        self._line.put(plain(Kind.DROP, number))

    def _released(self, slab: int, offset: int) -> None:
        # The last array may be let go on any thread: compression has one, for instance.
        self._line.put_soon(plain(Kind.RELEASE, slab, offset))


def _exit() -> None:
    os._exit(1)


def _number(client: Hashable) -> int:
    """What stands for a client on this line, as long as this process lives; 0 for no known one.

    The upper half stands for its host, and is the same on all lines.
    """
    if client is None:
        return 0
    return crc32(repr(host_of(client)).encode()) << 32 | hash(client) & 0xFFFFFFFF
