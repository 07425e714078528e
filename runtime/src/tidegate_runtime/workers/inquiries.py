"""A front end's questions at the hub, from when each comes to its answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from tidegate_runtime.errors import ExecutionFailed, Overloaded, RuntimeFault
from tidegate_runtime.model.child.faults import encode_fault
from tidegate_runtime.workers import records
from tidegate_runtime.workers.line import Line
from tidegate_runtime.workers.records import MAX_TEXT_BYTES, Kind

logger = logging.getLogger(__name__)

Answering = Callable[[bytes], Awaitable[bytes]]
"""The answer to a question, to come; it may raise `RuntimeFault`. For what is none it raises `ValueError` at once."""

MOST_AT_ONCE: Final = 256
"""Questions of one front end; each is a request that somebody waits for."""


class Inquiries:
    """Answered beside each other, whatever any of them takes."""

    def __init__(self, answering: Answering, line: Line) -> None:
        self._answering = answering
        self._line = line
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, number: int, question: bytes) -> None:
        """Has the question of that number answered. Raises `ValueError` for what is none."""
        if len(self._tasks) >= MOST_AT_ONCE:
            self._refuse(number, Overloaded(f"{MOST_AT_ONCE} questions wait for their answers; try again later"))
            return
        task = asyncio.create_task(self._answer(number, self._answering(question)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, number: int, coming: Awaitable[bytes]) -> None:
        try:
            content = await coming
            if len(content) <= MAX_TEXT_BYTES:
                self._line.put(records.said(Kind.ANSWER, number, content))
            else:
                self._line.put_parcel(Kind.LONG_ANSWER, number, content)
        except RuntimeFault as fault:
            self._refuse(number, fault)
        except Exception:  # Whoever asked must not wait for ever.
            logger.exception("a front end's question can't be answered")
            self._refuse(number, ExecutionFailed("the answer can't be had; the server's log says why"))

    def _refuse(self, number: int, fault: RuntimeFault) -> None:
        self._line.put(records.fault(number, encode_fault(fault)))
