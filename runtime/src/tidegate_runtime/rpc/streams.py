"""Many requests at a time from one stream, their answers in the order of the requests.

Both may be large, and a stream may rest for hours: who waits for the next one lets go of the last.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

Req = TypeVar("Req")
Resp = TypeVar("Resp")


class InOrder(Generic[Req, Resp]):
    """Calls `answer` on each of `requests` as it comes, on at most `inflight` of them at a time."""

    def __init__(self, requests: AsyncIterator[Req], answer: Callable[[Req], Awaitable[Resp]], inflight: int) -> None:
        self.stopped = False
        self._requests = requests
        self._answer = answer
        self._slots = asyncio.Semaphore(inflight)
        self._tasks: asyncio.Queue[asyncio.Task[Resp] | None] = asyncio.Queue()
        self._pending: set[asyncio.Task[Resp]] = set()
        self._reader = asyncio.create_task(self._read())
        # Not by a `finally` in it: one that is cancelled before it has begun runs nothing.
        self._reader.add_done_callback(self._read_all)

    async def answers(self) -> AsyncGenerator[Resp, None]:
        """Each request's answer. Raises what an answer raises, then what reading a request raises."""
        while (task := await self._tasks.get()) is not None:
            yield await task
            del task
            self._slots.release()
        if not self._reader.cancelled():
            await self._reader

    def stop_reading(self) -> None:
        """Leaves further requests unread; `answers` ends once those that were read are answered."""
        if not self._reader.done():
            self.stopped = True
            self._reader.cancel()

    async def close(self) -> None:
        """Drops what isn't answered yet."""
        unfinished = [self._reader, *self._pending]
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def _read(self) -> None:
        await self._slots.acquire()
        async for request in self._requests:
            task = asyncio.ensure_future(self._answer(request))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)
            self._tasks.put_nowait(task)
            del request, task
            await self._slots.acquire()

    def _read_all(self, _reader: "asyncio.Task[None]") -> None:
        self._tasks.put_nowait(None)
