"""Holds a router's question until there is something new to say.

Envoy asks again once to twice `refresh_delay` after each answer. A held question makes a change reach it at once, and
costs nothing while nothing changes.
"""

import asyncio
import contextlib
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping

from pydantic import BaseModel

from tidegate_operator.xds.catalogue import Catalogue, Topic, View
from tidegate_operator.xds.metrics import XdsMetrics
from tidegate_operator.xds.versions import Standing, Version, standing

HOLD_SECONDS: Mapping[str, float] = {"listeners": 25, "clusters": 25, "routes": 25, "endpoints": 280}
"""How long a question is held at most; below the `request_timeout` that Envoy is given for the same type.

Every revision has a subscription of its own for endpoints, and each question repeats 77 kB that describe Envoy: these
are held longer.
"""
SHARE_HOLD_SECONDS = 25.0
"""The same for a pod's question about its share; below what the runtime waits, which docs/api.md tells."""
REJECTION_PAUSE_SECONDS = 1.0
PUBLISH_DELAY_SECONDS = 0.01
"""Events of different objects overtake each other by about a millisecond; what comes together is shown together."""
_REMEMBERED = 1024
_OF_ONE = frozenset({"endpoints", "share"})
"""Kinds of which each question is about one thing, by its name."""


class Node(BaseModel):
    """Who asks."""

    id: str = ""


class DiscoveryRequest(BaseModel):
    """The part of Envoy's `DiscoveryRequest` that is looked at."""

    version_info: str = ""
    resource_names: list[str] = []
    node: Node = Node()


class Discovery:
    """Questions on hold over a catalogue.

    `freshen` returns after the catalogue has taken over a listing that began after the call; it may take as long as the
    API server is away.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        metrics: XdsMetrics,
        freshen: Callable[[], Awaitable[None]],
        hold_seconds: Mapping[str, float] = HOLD_SECONDS,
    ) -> None:
        self._catalogue = catalogue
        self._metrics = metrics
        self._freshen = freshen
        self._hold_seconds = {"share": SHARE_HOLD_SECONDS, **hold_seconds}
        self._waiting: dict[Topic, set[asyncio.Future[None]]] = {}
        self._sent: OrderedDict[tuple[str, Topic], Version] = OrderedDict()
        self._publication: asyncio.TimerHandle | None = None
        self._closed = False
        self.ready = False
        """Whether both kinds were listed; before that, a router would get an empty configuration."""

    def noticed(self) -> None:
        """The catalogue has seen something: publish it in a moment."""
        if self._publication is None:
            self._publication = asyncio.get_running_loop().call_later(PUBLISH_DELAY_SECONDS, self.publish)

    def publish(self) -> None:
        """Publish what the catalogue has seen, and answer the questions that were waiting for it."""
        if self._publication is not None:
            self._publication.cancel()
            self._publication = None
        self._wake(self._catalogue.publish())
        self._metrics.published(self._catalogue.services_version, self._catalogue.slices_version)

    def close(self) -> None:
        """Answer all questions now, held ones and later ones: routers go on with another replica."""
        self._closed = True
        self._wake(list(self._waiting))

    async def ask(self, kind: str, request: DiscoveryRequest) -> bytes | None:
        """The `DiscoveryResponse` for a router that asks for `kind`, once there is one; None if nothing changed."""
        topic = (kind, request.resource_names[0] if kind in _OF_ONE and request.resource_names else "")
        hold = self._hold_seconds[kind] * random.uniform(0.9, 1.0)
        view = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(hold):
                view = await self._news(topic, Version.parse(request.version_info), request.node.id)
        if view is None:
            self._metrics.answered(kind, "unchanged")
            return None
        self._remember((request.node.id, topic), view.version)
        self._metrics.answered(kind, "sent")
        return view.body

    async def _news(self, topic: Topic, caller: Version | None, node: str) -> View | None:
        patient = topic[0] not in _OF_ONE and caller is not None
        while not self._closed:
            view = self._catalogue.view(topic)
            match standing(view.version, caller):
                case Standing.SAME:
                    await self._change(topic)
                case Standing.BEHIND:
                    freshened = await _first(self._freshen(), self._change(topic))
                    view = self._catalogue.view(topic)
                    if freshened and standing(view.version, caller) is Standing.BEHIND:
                        # Even what the API server has now is older: the caller's version is of a time before a backup
                        # was restored.
                        return view
                case Standing.NEWER:
                    if not patient or self._sent.get((node, topic)) != view.version:
                        return view
                    patient = False
                    self._metrics.answered(topic[0], "rejected")
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(REJECTION_PAUSE_SECONDS):
                            await self._change(topic)
        return None

    async def _change(self, topic: Topic) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(topic, set())
        waiting.add(change)
        try:
            await change
        finally:
            waiting.discard(change)
            if not waiting:
                self._waiting.pop(topic, None)

    def _wake(self, topics: Iterable[Topic]) -> None:
        for topic in topics:
            for change in self._waiting.get(topic, ()):
                if not change.done():
                    change.set_result(None)

    def _remember(self, asked: tuple[str, Topic], version: Version) -> None:
        if asked[1][0] in _OF_ONE:
            return
        self._sent[asked] = version
        self._sent.move_to_end(asked)
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)


async def _first(one: Awaitable[None], other: Awaitable[None]) -> bool:
    """Whether `one` was done, when either is; what isn't is cancelled."""
    tasks = [asyncio.ensure_future(one), asyncio.ensure_future(other)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
