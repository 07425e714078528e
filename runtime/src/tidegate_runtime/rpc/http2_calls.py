"""Calls on HTTP/2 streams, by the kinds of methods: from the pieces of a request to its method.

A connection tells a call what comes (`data`, `end`, `cancel`); a call tells its connection what to send.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from tidegate_runtime.errors import Malformed, NotServed
from tidegate_runtime.rpc.call import Call, status_of
from tidegate_runtime.rpc.http2_call import Carrier, HttpCall
from tidegate_runtime.rpc.http2_packed import Packed
from tidegate_runtime.rpc.http2_wire import Head, whole
from tidegate_runtime.rpc.methods import BothStream, Method, ServerStream, Unary
from tidegate_runtime.rpc.room import UnderWay


class _OneRequest(HttpCall):
    """A call whose request is one message, which is taken, unpacked and worked on once the request has ended."""

    __slots__ = ("_message",)

    def __init__(self, carrier: Carrier, stream: int, head: Head, deadline: float | None, max_bytes: int) -> None:
        super().__init__(carrier, stream, head, deadline, max_bytes)
        self._message: bytes | None = None

    def data(self, data: bytes) -> None:
        """A piece of the request. Raises any `RuntimeFault`."""
        self.heard += len(data)
        messages = self._messages
        if self._message is None and not messages.held:
            self._message = whole(data, messages.max_bytes)
            if self._message is not None:
                return
        messages.add(data)
        size = 0
        if self._message is None:
            size = self._complete()
            if not size:
                return
        if messages.held > size:
            raise NotServed("the method takes one message; the request has more")

    def end(self) -> None:
        """The request is complete. Raises any `RuntimeFault`."""
        self.reading = False
        message, self._message = self._message, None
        if message is None:
            taken = self._taken()
            if isinstance(taken, Packed):
                seconds_left = self._call().seconds_left
                self._run_until(self._begin(taken), seconds_left)
                return
            self._repay()
            message = taken
        self._start(message, self._call())

    def _taken(self) -> bytes | Packed:
        size = self._messages.complete()
        if size:
            return self._messages.take(size)
        if self._messages.held:
            raise Malformed("the request ends within a message")
        raise NotServed("the method takes one message; the request has none")

    async def _begin(self, packed: Packed) -> None:
        """Starts once the message is unpacked."""
        try:
            message = await self._unpacked(packed)
            self._repay()
            if self._timer is not None:
                self._timer.cancel()
            self._start(message, self._call())
        except Exception as error:
            self._task = None
            self._carrier.refuse(self, status_of(error))

    @abstractmethod
    def _start(self, message: bytes, call: Call) -> None:
        """The whole request is there."""


class UnaryCall(_OneRequest):
    """One message in, one out: without a task where the method can be asked without one."""

    __slots__ = ("_method", "_withdraw")

    def __init__(
        self, carrier: Carrier, stream: int, head: Head, deadline: float | None, method: Unary[Any, Any]
    ) -> None:
        super().__init__(carrier, stream, head, deadline, method.max_bytes(carrier.max_message_bytes))
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
        super().__init__(carrier, stream, head, deadline, method.max_bytes(carrier.max_message_bytes))
        self._method = method

    def _start(self, message: bytes, call: Call) -> None:
        self._spawn(self._run(message, call), call)

    async def _run(self, message: bytes, call: Call) -> None:
        async with aclosing(self._method.answers(message, call)) as answers:
            async for answer in answers:
                await self._send(answer)


class BothStreamCall(HttpCall):
    """Many in, many out, from the head on.

    Messages that the method hasn't asked for, or that there is no room for, fill the stream's window.
    """

    __slots__ = ("_method", "_under_way", "_waiting")

    patient = True

    def __init__(
        self, carrier: Carrier, stream: int, head: Head, deadline: float | None, method: BothStream[Any, Any]
    ) -> None:
        super().__init__(carrier, stream, head, deadline, method.max_bytes(carrier.max_message_bytes))
        self._method = method
        self._waiting: asyncio.Future[None] | None = None
        self._under_way = UnderWay(carrier.room)
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
        try:
            async with aclosing(self._method.answers(self._requests(), call, self._under_way.made)) as answers:
                async for answer in answers:
                    await self._send(answer)
                    del answer
                    self._under_way.answered()
        finally:
            self._under_way.close()

    async def _requests(self) -> AsyncIterator[bytes]:
        while True:
            while not (size := self._complete()):
                if not self.reading:
                    if self._messages.held:
                        raise Malformed("the request ends within a message")
                    return
                self._waiting = self._carrier.loop.create_future()
                await self._waiting
            await self._under_way.begin(self._messages.most(size))
            taken = self._messages.take(size)
            message = await self._unpacked(taken) if isinstance(taken, Packed) else taken
            self._under_way.measured(len(message))
            size -= self._repay()
            if self.reading:
                self._carrier.consume(self.stream, size)
            yield message
            del taken, message

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
