"""What the calls on HTTP/2 streams have in common, and what they see of their connection."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, Protocol

from tidegate_runtime.errors import DeadlineExceeded
from tidegate_runtime.in_turn import InTurn
from tidegate_runtime.rpc.call import Call, Status, check_answer, status_of
from tidegate_runtime.rpc.http2_credit import Credit
from tidegate_runtime.rpc.http2_packed import STEP_BYTES, Packed
from tidegate_runtime.rpc.http2_patience import REQUEST_BYTES
from tidegate_runtime.rpc.http2_wire import Head, Messages
from tidegate_runtime.rpc.room import Room

OK: Final = Status("OK", "")


class Carrier(Protocol):
    """A connection, as its calls see it.

    `credit` and the window bound what is held of requests that no method has, `room` what streaming methods have.
    `unpacking` is had by one message of the server at a time, in turn by connection.
    """

    clock: Callable[[], float]
    loop: asyncio.AbstractEventLoop
    credit: Credit
    room: Room
    unpacking: InTurn
    peer: Hashable
    stream_window: int
    max_message_bytes: int

    def answer(self, call: "HttpCall", message: bytes) -> None:
        """Ends the call with its one message."""

    def finish(self, call: "HttpCall", status: Status) -> None:
        """Ends the call."""

    def refuse(self, call: "HttpCall", status: Status) -> None:
        """Ends a call whose method never had it."""

    async def send(self, call: "HttpCall", message: bytes) -> None:
        """Sends one of the call's messages; returns when there is room for the next."""

    def consume(self, stream: int, size: int) -> None:
        """Lets the client send so many bytes more."""


class HttpCall(ABC):
    """What calls have in common. `reading` is whether the client has still to send; `began`, an answer has begun."""

    __slots__ = (
        "_borrowed",
        "_carrier",
        "_deadline",
        "_messages",
        "_task",
        "_timer",
        "began",
        "heard",
        "metadata",
        "path",
        "reading",
        "stream",
    )

    patient = False
    """Whether its client may take its time for the request."""

    def __init__(self, carrier: Carrier, stream: int, head: Head, deadline: float | None, max_bytes: int) -> None:
        """`max_bytes` is what a message of the request may have."""
        self.stream = stream
        self.reading = True
        self.began = False
        self.heard = REQUEST_BYTES
        """The bytes that came since this was last set to 0."""
        self._carrier = carrier
        self.path = head.path
        self.metadata = head.metadata
        self._deadline = deadline
        self._messages = Messages(head.encoding, max_bytes)
        self._borrowed = 0
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def data(self, data: bytes) -> None:
        """A piece of the request. Raises any `RuntimeFault`."""

    @abstractmethod
    def end(self) -> None:
        """The request is complete. Raises any `RuntimeFault`."""

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self._carrier.credit.give_back(self.stream)
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _call(self) -> Call:
        now = self._carrier.clock()
        if self._deadline is None:
            return Call(now, None, self.metadata, self._carrier.peer)
        if self._deadline <= now:
            raise DeadlineExceeded("the request's deadline was over before it was read")
        return Call(now, self._deadline - now, self.metadata, self._carrier.peer)

    def _complete(self) -> int:
        """Bytes of the next message, with its prefix; 0, having asked for the rest, if it isn't all there.

        Raises `BodyTooLarge`.
        """
        messages = self._messages
        size = messages.complete()
        if not size and messages.wanted > self._carrier.stream_window and messages.held > self._borrowed:
            more = messages.held - self._borrowed
            self._borrowed = messages.held
            self._carrier.credit.borrow(self.stream, more)
        return size

    async def _unpacked(self, packed: Packed) -> bytes:
        """The message; this server unpacks no other meanwhile."""
        async with self._carrier.unpacking.turn(self._carrier.peer):
            message = packed.step(STEP_BYTES)
            while message is None:
                await asyncio.sleep(0)
                message = packed.step(STEP_BYTES)
        return message

    def _repay(self) -> int:
        """Gives back what was lent for a message that is taken and unpacked, and says how many bytes it was."""
        if not self._borrowed:
            return 0
        self._borrowed = 0
        return self._carrier.credit.give_back(self.stream)

    def _spawn(self, running: Coroutine[Any, Any, None], call: Call) -> None:
        """Runs it, until the deadline at most, and ends the call as it ends."""
        self._run_until(self._guard(running), call.seconds_left)

    def _run_until(self, running: Coroutine[Any, Any, None], seconds_left: float | None) -> None:
        """Runs it, for so long at most."""
        self._task = self._carrier.loop.create_task(running)
        if seconds_left is not None:
            self._timer = self._carrier.loop.call_later(seconds_left, self._late)

    async def _guard(self, running: Coroutine[Any, Any, None]) -> None:
        status = OK
        try:
            await running
        except Exception as error:
            status = status_of(error)
        if self._timer is not None:
            self._timer.cancel()
        self._carrier.finish(self, status)

    def _late(self) -> None:
        assert self._task is not None
        self._task.cancel()
        self._carrier.finish(self, Status("DEADLINE_EXCEEDED", "the call's deadline is over"))

    async def _send(self, message: bytes) -> None:
        check_answer(len(message), self._carrier.max_message_bytes)
        await self._carrier.send(self, message)
