"""Which InferenceServices are due for a pass: each at most once in the queue, and never in two passes at a time."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 300.0
IDLE_SHARE = 8
"""While there always is news, every eighth key is one without: they wait, but not for ever."""


class KeyQueue(Generic[K]):
    """A queue of keys with the semantics of client-go's work queue, on the loop's clock.

    A key added while it waits is there once; added while it is worked on, it comes again after `done`. Keys of which
    nothing new is known wait while there are others, but for one in `IDLE_SHARE`: after a start, what somebody changes
    then isn't behind a thousand that are only looked at again. `waited` is told for how many seconds each key was due
    when it is taken.
    """

    def __init__(self, waited: Callable[[float], None] = lambda seconds: None) -> None:
        self._waited = waited
        self._due_since: dict[K, float] = {}
        self._ready: deque[K] = deque()
        self._idle: dict[K, None] = {}
        """Due, in this order, when nothing is in `_ready`."""
        self._in_a_row = 0
        """Keys taken from `_ready` since one of `_idle` was."""
        self._dirty: set[K] = set()
        self._working: set[K] = set()
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._dirty)

    def add(self, key: K, *, news: bool = True) -> None:
        """Make `key` due now; without `news`, behind those that are due with some."""
        if key in self._dirty:
            if news and key in self._idle:
                del self._idle[key]
                self._ready.append(key)
            return
        self._dirty.add(key)
        self._due_since[key] = asyncio.get_running_loop().time()
        if key in self._working:
            return
        if news:
            self._ready.append(key)
        else:
            self._idle[key] = None
        self._notify()

    def add_after(self, key: K, seconds: float) -> None:
        """Make `key` due in `seconds`, or earlier if it was to be due earlier already."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        waiting = self._later.get(key)
        if waiting is not None:
            if waiting.when() <= due:
                return
            waiting.cancel()
        self._later[key] = loop.call_at(due, self._fall_due, key)

    def retry(self, key: K, longest: float = LAST_RETRY_SECONDS) -> float:
        """Make `key` due after a pause in seconds that doubles with each failure in a row; returns the pause."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        pause: float = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 32), longest)
        self.add_after(key, pause)
        return pause

    def succeeded(self, key: K) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)

    def forget(self, key: K) -> None:
        """Forget all about a key that is gone."""
        self._failures.pop(key, None)
        if waiting := self._later.pop(key, None):
            waiting.cancel()

    async def get(self) -> K:
        """The next due key, in the order in which they became due; call `done` with it after the work."""
        while not (self._ready or self._idle):
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # A wake-up that this waiter will not use belongs to the next one.
                if waiter.done() and not waiter.cancelled():
                    self._notify()
                raise
        key = self._take()
        self._dirty.discard(key)
        self._working.add(key)
        self._waited(asyncio.get_running_loop().time() - self._due_since.pop(key))
        return key

    def done(self, key: K) -> None:
        """Let `key` be worked on again."""
        self._working.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._notify()

    def _take(self) -> K:
        if self._idle and (not self._ready or self._in_a_row >= IDLE_SHARE - 1):
            self._in_a_row = 0
            key = next(iter(self._idle))
            del self._idle[key]
            return key
        self._in_a_row += 1
        return self._ready.popleft()

    def _fall_due(self, key: K) -> None:
        self._later.pop(key, None)
        self.add(key)

    def _notify(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
