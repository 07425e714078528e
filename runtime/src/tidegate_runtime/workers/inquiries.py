"""A front end's questions at the hub, from when each comes to its answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tidegate_runtime.errors import ExecutionFailed, RuntimeFault
from tidegate_runtime.model.child.faults import encode_fault
from tidegate_runtime.workers import records
from tidegate_runtime.workers.line import Line
from tidegate_runtime.workers.records import Kind

logger = logging.getLogger(__name__)

Answer = Callable[[bytes], Awaitable[bytes]]
"""To a question. Raises the `RuntimeFault` that is the answer instead."""


class Inquiries:
    """Answered beside each other, whatever any of them takes."""

    def __init__(self, answer: Answer, line: Line) -> None:
        self._find = answer
        self._line = line
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, number: int, question: bytes) -> None:
        """Has the question of that number answered."""
        task = asyncio.create_task(self._answer(number, question))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, question: bytes) -> None:
        try:
            self._line.put_parcel(Kind.ANSWER, number, await self._find(question))
        except Exception as error:  # Whoever asked must not wait for ever.
            self._line.put(records.fault(number, encode_fault(_told(error))))


def _told(error: Exception) -> RuntimeFault:
    if isinstance(error, RuntimeFault):
        return error
    logger.error("a front end's question can't be answered", exc_info=error)
    return ExecutionFailed("the process with the models can't answer; the server's log says why")
