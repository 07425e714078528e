"""Signs of life of each kind's watch.

kopf tells nobody of bookmarks, nor that it tries again; so what its session asks and receives is looked at here.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from tidegate_operator.kube.objects import Kind
from tidegate_operator.process.ticks import ticks

DEAD_SECONDS = 120.0
"""Neither heard of nor tried for so long, a watch is dead: bookmarks come each minute, a silent one is asked anew."""

_LOOK_SECONDS = 1.0


@dataclass
class _Watch:
    kind: str
    heard: float
    """When anything was received last: an answer, an event, a bookmark."""
    tried: float
    """When it was asked last, whatever came of it."""
    stream: aiohttp.StreamReader | None = None
    received: int = 0


class Pulse:
    """When the watch of each of `kinds` was last heard of, on the loop's clock; in each of `namespaces`, if any are."""

    def __init__(self, kinds: Iterable[Kind], clock: Callable[[], float], namespaces: Iterable[str] = ()) -> None:
        chosen = tuple(namespaces)
        self._clock = clock
        self._watches = {
            path: _Watch(kind.name, clock(), clock()) for kind in kinds for path in kind.collections(chosen)
        }

    def silence(self) -> dict[str, float]:
        """Seconds since each kind was heard of last, in the namespace that has said nothing for longest."""
        now = self._clock()
        longest: dict[str, float] = {}
        for watch in self._watches.values():
            longest[watch.kind] = max(now - watch.heard, longest.get(watch.kind, 0.0))
        return longest

    def health(self) -> tuple[bool, str]:
        """Whether every watch is alive, and the words for it.

        One that the API server keeps refusing is alive: to restart the process would not help it.
        """
        now = self._clock()
        dead = {watch.kind for watch in self._watches.values() if now - max(watch.heard, watch.tried) > DEAD_SECONDS}
        if dead:
            return False, f"nothing was heard of {', '.join(sorted(dead))} for {DEAD_SECONDS:g} s\n"
        return True, "ok\n"

    def trace(self) -> aiohttp.TraceConfig:
        """What a session tells of its requests to."""
        config = aiohttp.TraceConfig()
        config.on_request_start.append(self._asked)
        config.on_request_end.append(self._answered)
        config.on_request_exception.append(self._asked)
        return config

    async def listen(self) -> None:
        """Look at what the watches have received, until cancelled."""
        async for now in ticks(_LOOK_SECONDS):
            self.look(now)

    def look(self, now: float) -> None:
        """Take in what was received since the last look."""
        for watch in self._watches.values():
            if watch.stream is not None and watch.stream.total_bytes != watch.received:
                watch.received, watch.heard = watch.stream.total_bytes, now

    async def _asked(
        self,
        session: aiohttp.ClientSession,
        context: SimpleNamespace,
        request: aiohttp.TraceRequestStartParams | aiohttp.TraceRequestExceptionParams,
    ) -> None:
        if watch := self._watches.get(request.url.path):
            watch.tried = self._clock()

    async def _answered(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestEndParams
    ) -> None:
        watch = self._watches.get(request.url.path)
        if watch is None or request.response.status >= 400:
            return
        watch.heard = self._clock()
        if request.url.query.get("watch") == "true":
            watch.stream, watch.received = request.response.content, 0


def loop_clock() -> Callable[[], float]:
    """The running loop's clock."""
    return asyncio.get_running_loop().time
