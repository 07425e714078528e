"""The engine in this process: one launch thread, and the event loop's own where a run is cheaper than the way there."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from statistics import median
from threading import Thread
from typing import Any, Final
from weakref import WeakKeyDictionary

from tidegate_runtime.errors import RunEnded, RuntimeFault
from tidegate_runtime.model.session import OnnxSession, RunOptions
from tidegate_runtime.tensors import Array, Feeds

HOPS: Final = 64
"""Round trips to the launch thread that are measured at start; their median counts."""

INLINE_LIMIT_SECONDS: Final = 0.5
"""A run on the event loop is ended after this, give or take a half: meanwhile the process answers nobody."""

_measured: Final[WeakKeyDictionary[Executor, float]] = WeakKeyDictionary()

WATCH_SECONDS: Final = INLINE_LIMIT_SECONDS / 2
REST_SECONDS: Final = 10.0


class ThreadEngine:
    """Runs a session on `thread`, an executor with a single worker; on the calling thread, too, if `inline`.

    Each run has options of its own, since a flag to end it that comes too late would end the next one that shares them;
    to make them takes 0.2 µs.
    """

    def __init__(self, session: OnnxSession, thread: Executor, *, inline: bool = True) -> None:
        self._session = session
        self._thread = thread
        self._inline = inline
        self._options: Any = None
        self._watched: tuple[float, Any] | None = None
        self._watching = False

    async def hop(self) -> float:
        """Seconds to the launch thread and back, where nothing is done; 0 if all runs have to go there."""
        if not self._inline:
            return 0.0
        if self._thread in _measured:  # Later there would be runs in between, and the first hops are as long.
            return _measured[self._thread]
        loop = asyncio.get_running_loop()
        taken = []
        for _ in range(HOPS):
            started = time.perf_counter()
            await loop.run_in_executor(self._thread, _nothing)
            taken.append(time.perf_counter() - started)
        _measured[self._thread] = median(taken)
        return _measured[self._thread]

    def run_inline(self, feeds: Feeds) -> tuple[Sequence[Array], float]:
        """The model's outputs in declared order and the seconds it took; blocks.

        Raises `RejectedByModel`, `ExecutionFailed`, or `RunEnded` if it took longer than `INLINE_LIMIT_SECONDS`.
        """
        options = RunOptions()
        started = time.perf_counter()
        self._watched = (started, options)
        if not self._watching:
            self._watching = True
            Thread(target=self._watch, name="inline-watch", daemon=True).start()
        try:
            outputs = self._session.run(feeds, options)
        except RuntimeFault as fault:
            raise _ended(options, fault) from fault
        finally:
            self._watched = None
        return outputs, time.perf_counter() - started

    async def run(self, feeds: Feeds) -> tuple[Sequence[Array], float]:
        """The model's outputs in declared order and the seconds it took on the launch thread.

        Raises `RejectedByModel` or `ExecutionFailed`, `RunEnded` after `interrupt`.
        """
        options = self._options = RunOptions()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, feeds, options)
        except RuntimeFault as fault:
            raise _ended(options, fault) from fault
        finally:
            self._options = None

    def interrupt(self) -> None:
        """Ends the `run` in progress between two operators or iterations of a loop."""
        if self._options is not None:
            self._options.terminate = True

    def close(self) -> None:
        """Lets the session go, and with it its memory. Nothing is run after it."""
        del self._session

    def _timed(self, feeds: Feeds, options: Any) -> tuple[Sequence[Array], float]:
        started = time.perf_counter()
        outputs = self._session.run(feeds, options)
        return outputs, time.perf_counter() - started

    def _watch(self) -> None:
        """Ends runs that block the loop; leaves when there were none for a while. A timer a run would cost more."""
        idle = 0.0
        while self._watching:
            time.sleep(WATCH_SECONDS)
            watched = self._watched
            idle = 0.0 if watched is not None else idle + WATCH_SECONDS
            if watched is not None and time.perf_counter() - watched[0] > INLINE_LIMIT_SECONDS:
                watched[1].terminate = True
            if idle >= REST_SECONDS:
                self._watching = False
                # A run that began before that was said has not asked for another watch.
                self._watching = self._watched is not None


def _nothing() -> None:
    pass


def _ended(options: Any, fault: RuntimeFault) -> RuntimeFault:
    return RunEnded("the run was ended before it was done") if options.terminate else fault
