"""A call on an HTTP/2 stream: from the pieces of its request to its method, whatever the method's kind.

A connection tells a call what comes (`data`, `end`, `cancel`); a call tells its connection what to send.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import aclosing
from typing import Any, Final, Protocol

from tidegate_runtime.errors import DeadlineExceeded, Malformed, NotServed
from tidegate_runtime.rpc.call import Call, Status, check_answer, status_of
from tidegate_runtime.rpc.http2_credit import Credit
from tidegate_runtime.rpc.http2_patience import REQUEST_BYTES
from tidegate_runtime.rpc.http2_wire import Head, Messages, whole
from tidegate_runtime.rpc.methods import BothStream, Method, ServerStream, Unary

OK: Final = Status("OK", "")


class Carrier(Protocol):
    """A connection, as its calls see it. `credit` and the window bound what is held of their requests."""

    clock: Callable[[], float]
    loop: asyncio.AbstractEventLoop
    credit: Credit
    peer: Hashable
    stream_window: int
    max_message_bytes: int

    def answer(self, call: "HttpCall", message: bytes) -> None:
        """Ends the call with its one message."""

    def finish(self, call: "HttpCall", status: Status) -> None:
        """Ends the call."""

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

    def __init__(self, carrier: Carrier, stream: int, head: Head, deadline: float | None) -> None:
        self.stream = stream
        self.reading = True
        self.began = False
        self.heard = REQUEST_BYTES
        """The bytes that came since this was last set to 0."""
        self._carrier = carrier
        self.path = head.path
        self.metadata = head.metadata
        self._deadline = deadline
        self._messages = Messages(head.encoding, carrier.max_message_bytes)
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

    def _take(self) -> tuple[bytes, int] | None:
        """The next message and what of it is to be granted; None, having asked for the rest, if it isn't there."""
        messages = self._messages
        taken = messages.take()
        if taken is None:
            if messages.wanted > self._carrier.stream_window and messages.held > self._borrowed:
                more = messages.held - self._borrowed
                self._borrowed = messages.held
                self._carrier.credit.borrow(self.stream, more)
            return None
        if self._borrowed:
            self._borrowed = 0
            return taken[0], taken[1] - self._carrier.credit.give_back(self.stream)
        return taken

    def _spawn(self, running: Coroutine[Any, Any, None], call: Call) -> None:
        """Runs it, until the deadline at most, and ends the call as it ends."""
        self._task = self._carrier.loop.create_task(self._guard(running))
        if call.seconds_left is not None:
            self._timer = self._carrier.loop.call_later(call.seconds_left, self._late)

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


class _OneRequest(HttpCall):
    """A call whose request is one message."""

    __slots__ = ("_message",)

    def __init__(self, carrier: Carrier, stream: int, head: Head, deadline: float | None) -> None:
        super().__init__(carrier, stream, head, deadline)
        self._message: bytes | None = None

    def data(self, data: bytes) -> None:
        """A piece of the request. Raises any `RuntimeFault`."""
        self.heard += len(data)
        if self._message is None and not self._messages.held:
            self._message = whole(data, self._carrier.max_message_bytes)
            if self._message is not None:
                return
        self._messages.add(data)
        if self._message is None and (taken := self._take()) is not None:
            self._message = taken[0]
        if self._message is not None and self._messages.held:
            raise NotServed("the method takes one message; the request has more")

    def end(self) -> None:
        """The request is complete. Raises any `RuntimeFault`."""
        self.reading = False
        if self._messages.held:
            raise Malformed("the request ends within a message")
        if self._message is None:
            raise NotServed("the method takes one message; the request has none")
        message, self._message = self._message, None
        self._start(message, self._call())

    @abstractmethod
    def _start(self, message: bytes, call: Call) -> None:
        """The whole request is there."""


class UnaryCall(_OneRequest):
    """One message in, one out: without a task where the method can be asked without one."""

    __slots__ = ("_method", "_withdraw")

    def __init__(
        self, carrier: Carrier, stream: int, head: Head, deadline: float | None, method: Unary[Any, Any]
    ) -> None:
        super().__init__(carrier, stream, head, deadline)
        self._method = method
        self._withdraw: Callable[[], None] | None = None

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        super().cancel()
        if self._withdraw is not None:
            self._withdraw()

    def _start(self, message: bytes, call: Call) -> None:
        if self._method.submit is None:
            self._spawn(self._run(message, call), call)
        else:
            self._withdraw = self._method.start(message, call, self._deliver)

    def _deliver(self, outcome: bytes | Exception) -> None:
        if not isinstance(outcome, bytes):
            self._carrier.finish(self, status_of(outcome))
        else:
            self._carrier.answer(self, outcome)

    async def _run(self, message: bytes, call: Call) -> None:
        await self._send(await self._method.answer(message, call))


class ServerStreamCall(_OneRequest):
    """One message in, many out."""

    __slots__ = ("_method",)

    def __init__(
        self, carrier: Carrier, stream: int, head: Head, deadline: float | None, method: ServerStream[Any, Any]
    ) -> None:
        super().__init__(carrier, stream, head, deadline)
        self._method = method

    def _start(self, message: bytes, call: Call) -> None:
        self._spawn(self._run(message, call), call)

    async def _run(self, message: bytes, call: Call) -> None:
        async with aclosing(self._method.answers(message, call)) as answers:
            async for answer in answers:
                await self._send(answer)


class BothStreamCall(HttpCall):
    """Many in, many out, from the head on. Messages that the method hasn't asked for fill the stream's window."""

    __slots__ = ("_method", "_waiting")

    patient = True

    def __init__(
        self, carrier: Carrier, stream: int, head: Head, deadline: float | None, method: BothStream[Any, Any]
    ) -> None:
        super().__init__(carrier, stream, head, deadline)
        self._method = method
        self._waiting: asyncio.Future[None] | None = None
        call = self._call()
        self._spawn(self._run(call), call)

    def data(self, data: bytes) -> None:
        """Wakes the method if it waits."""
        self._messages.add(data)
        self._wake()

    def end(self) -> None:
        """Wakes it for the last time."""
        self.reading = False
        self._wake()

    async def _run(self, call: Call) -> None:
        async with aclosing(self._method.answers(self._requests(), call)) as answers:
            async for answer in answers:
                await self._send(answer)

    async def _requests(self) -> AsyncIterator[bytes]:
        while True:
            while (taken := self._take()) is None:
                if not self.reading:
                    if self._messages.held:
                        raise Malformed("the request ends within a message")
                    return
                self._waiting = self._carrier.loop.create_future()
                await self._waiting
            message, size = taken
            if self.reading:
                self._carrier.consume(self.stream, size)
            yield message

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def call_of(carrier: Carrier, stream: int, head: Head, deadline: float | None, method: Method) -> HttpCall:
    """A call of the method. Raises `DeadlineExceeded`."""
    if isinstance(method, Unary):
        return UnaryCall(carrier, stream, head, deadline, method)
    if isinstance(method, ServerStream):
        return ServerStreamCall(carrier, stream, head, deadline, method)
    return BothStreamCall(carrier, stream, head, deadline, method)
