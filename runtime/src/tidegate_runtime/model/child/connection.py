"""The parent's side of one child: what it is told, and what it answers. Everything runs on the event loop.

Outputs reach their consumers in one of two ways. Small ones are copied out of slab 0, which so is free again at once.
Large ones are lent from one of the other slabs, and the child isn't given that slab again while any of them, or a view
of one, is in use; when all are in use, outputs are copied, whatever their size.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from tidegate_runtime.batching.engine import Ran
from tidegate_runtime.errors import EngineLost, RuntimeFault, StartupFailure
from tidegate_runtime.model.child import messages
from tidegate_runtime.model.child.faults import decode_fault
from tidegate_runtime.model.child.messages import DONE_HEAD, END, HEAD, Kind
from tidegate_runtime.model.child.passage import KEPT_SHAPES, Incoming, Outgoing
from tidegate_runtime.model.child.report import LoadReport, decode_report
from tidegate_runtime.model.child.slab import attach
from tidegate_runtime.tensors import Array, Feeds

logger = logging.getLogger(__name__)

STUCK_SECONDS: Final = 1.0
"""How long a run may go on after it was told to end; then the child is killed."""

COPIED_BYTES: Final = 64 * 1024
"""Outputs of at most this many bytes in all are copied: that is quicker than to keep account of them."""

MAX_SLABS: Final = 8


class Connection:
    """One child, from its start to its end; runs one batch at a time.

    `kill` ends the child; whoever calls it learns of the end elsewhere and calls `lost`.
    """

    def __init__(self, line: socket.socket, second_line: socket.socket, kill: Callable[[], None]) -> None:
        self._line = line
        self._second_line = second_line
        self._kill = kill
        self._loop = asyncio.get_running_loop()
        self.loaded: asyncio.Future[LoadReport] = self._loop.create_future()
        """What the child reports, or `StartupFailure`, or `EngineLost`."""
        self.fault: EngineLost | None = None
        """Set once the child has ended."""
        self._names: list[str] = []
        self._longest = messages.longest(0)
        self._inputs = Outgoing(self._announce)
        self._outputs = {number: Incoming() for number in range(MAX_SLABS)}
        self._description = b""
        self._large: set[bytes] = set()
        self._run = 0
        self._answer: asyncio.Future[Ran] | None = None
        self._left: asyncio.Future[None] | None = None
        self._stuck: asyncio.TimerHandle | None = None
        line.setblocking(False)
        self._loop.add_reader(line.fileno(), self._on_readable)

    async def run(self, requests: Sequence[Feeds]) -> Ran:
        """Runs the rows of all `requests` below each other. Raises `RuntimeFault`; `EngineLost` when the child ends."""
        while self._left is not None:
            await asyncio.wait({self._left})
        if self.fault is not None:
            raise self.fault
        if self._answer is not None:
            raise RuntimeError("one run at a time")
        self._run = run = (self._run + 1) & 0xFFFFFFFF
        self._description = description = self._written(requests)
        number = self._free_slab() if description in self._large else 0
        with suppress(ConnectionError):  # The child is gone: `lost` is about to be called.
            self._line.send(HEAD.pack(Kind.RUN, number, run) + description)
        answer: asyncio.Future[Ran] = self._loop.create_future()
        self._answer = answer
        try:
            return await answer
        except asyncio.CancelledError:
            if self._answer is answer:  # The child is still at it, and reads the slab.
                self._left = self._loop.create_future()
                self.interrupt()
            raise

    def interrupt(self) -> None:
        """Ends the run in progress; the child, too, if that takes longer than `STUCK_SECONDS`."""
        if self._answer is None or self._stuck is not None:
            return
        with suppress(OSError):
            self._second_line.send(END.pack(self._run))
        self._stuck = self._loop.call_later(STUCK_SECONDS, self._give_up)

    def lost(self, fault: EngineLost) -> None:
        """The child has ended; what it said before counts. Arrays that were lent stay valid."""
        while self._on_readable():
            pass
        self.fault = fault
        self._loop.remove_reader(self._line.fileno())
        self._line.close()
        self._second_line.close()
        # Not left to the garbage collector: the memory is the system's, and the next child needs as much.
        self._inputs = Outgoing(self._announce)
        self._outputs.clear()
        if not self.loaded.done():
            self.loaded.set_exception(fault)
            self.loaded.exception()  # or else its loss is logged when nobody waits for it any more
        self._settle(fault)

    def _written(self, requests: Sequence[Feeds]) -> bytes:
        """Puts the inputs into the slab and says what lies there."""
        if len(requests) == 1:
            feeds = requests[0]
            return self._inputs.write([feeds[name] for name in self._names])
        return self._inputs.write_joined([[feeds[name] for feeds in requests] for name in self._names])

    def _free_slab(self) -> int:
        for number in range(1, MAX_SLABS):
            if not self._outputs[number].lent:
                return number
        return 0

    def _on_readable(self) -> bool:
        """Takes the next message. False if there was none, or the child has to go."""
        try:
            message, descriptor = messages.receive(self._line, self._longest)
            if message:
                self._on_message(message, descriptor)
                return True
        except BlockingIOError:
            return False
        except Exception:  # Whatever a process sends that a model has upset, it's the process that goes.
            logger.exception("the engine's process can't be understood")
        self._loop.remove_reader(self._line.fileno())
        self._kill()
        return False

    def _on_message(self, message: bytes, descriptor: int | None) -> None:
        kind, number, run = HEAD.unpack_from(message)
        if descriptor is None and run != self._run:
            raise ValueError(f"an answer to run {run} instead of {self._run}")
        if kind == Kind.DONE:
            seconds = DONE_HEAD.unpack_from(message)[3]
            self._settle((self._taken(number, message[DONE_HEAD.size :]), seconds))
        elif kind == Kind.FAULT:
            self._settle(decode_fault(message[HEAD.size :]))
        elif descriptor is None:
            raise ValueError(f"message of kind {kind} without a descriptor")
        elif kind == Kind.SLAB:
            self._outputs[number].replace(descriptor)
        else:
            self._on_loaded(attach(descriptor).root[:run].tobytes())

    def _on_loaded(self, content: bytes) -> None:
        try:
            report = decode_report(content)
        except StartupFailure as failure:
            self.loaded.set_exception(failure)
            return
        self._names = [spec.name for spec in report.signature.inputs]
        self._longest = messages.longest(len(report.signature.outputs))
        self.loaded.set_result(report)

    def _taken(self, number: int, description: bytes) -> Sequence[Array]:
        """The outputs, in a form that outlives the next run."""
        slab = self._outputs[number]
        if number == 0:
            views = slab.view(description)
            if sum([view.nbytes for view in views]) > COPIED_BYTES:
                self._remember_large()
            return [view.copy() for view in views]
        return slab.lend(description)

    def _remember_large(self) -> None:
        """The next time, inputs like these give outputs that are lent."""
        if len(self._large) >= KEPT_SHAPES:
            self._large.clear()
        self._large.add(self._description)

    def _settle(self, outcome: Ran | RuntimeFault) -> None:
        answer, self._answer = self._answer, None
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
        if self._left is not None:
            self._left.set_result(None)
            self._left = None
        if answer is None or answer.done():
            return
        if isinstance(outcome, RuntimeFault):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def _give_up(self) -> None:
        logger.error("a run can't be ended; the engine's process is killed", extra={"seconds": STUCK_SECONDS})
        self._kill()

    def _announce(self, descriptor: int) -> None:
        with suppress(ConnectionError):
            messages.send_with(self._line, HEAD.pack(Kind.SLAB, 0, 0), descriptor)
