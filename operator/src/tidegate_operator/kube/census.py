"""What nodes offer and pods ask for, in the whole cluster: listed when a service wants pods that have no node yet.

Nothing of it is watched: a cluster has many more pods than Tidegate's, and most of the time nobody asks.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from tidegate_operator import errors
from tidegate_operator.fit import Amounts, Inventory, Object
from tidegate_operator.fit.nodes import used_by
from tidegate_operator.fit.requests import total
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import NODE, POD, QUOTA, Kind

T = TypeVar("T")

logger = logging.getLogger(__name__)

KEPT_SECONDS: Final = 30.0
"""How long what was listed is told again: however many services wait, the cluster is listed twice a minute at most."""

LONG_KEPT_SECONDS: Final = 300.0
"""The same for who hears of a change otherwise, as where pods wait for a node: of a thousand somebody always asks."""

PATIENCE_SECONDS: Final = 2.0
"""How long a pass waits for a listing; a later one is told what it brought."""

PAGE: Final = 200
"""Objects a request: 500 pods once read weigh 20 MiB, though only sums are kept of them."""

_PLACED: Final = {"fieldSelector": "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"}
"""Pods that take something of a node."""


class Census:
    """Lists nodes and pods; what it says is at most `KEPT_SECONDS` old by `clock`, or as old as who asks bears.

    A listing goes on though nobody waits for it any more: passes of all services must not stand behind a slow one.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._inventory: asyncio.Task[_Listed[Inventory]] | None = None
        self._quotas: dict[str, asyncio.Task[_Listed[list[Object]]]] = {}

    async def inventory(self, kept_seconds: float = KEPT_SECONDS) -> Inventory:
        """The nodes, and what is asked of each. Raises `errors.ApiError`, the same one for `KEPT_SECONDS`."""
        if self._inventory is None or self._over(self._inventory, kept_seconds):
            self._inventory = asyncio.create_task(self._listed(self._look()))
        return await _told(self._inventory)

    async def quotas(self, namespace: str, kept_seconds: float = KEPT_SECONDS) -> list[Object]:
        """The namespace's ResourceQuotas. Raises `errors.ApiError`, the same one for `KEPT_SECONDS`."""
        bound = LONG_KEPT_SECONDS
        self._quotas = {name: listing for name, listing in self._quotas.items() if not self._over(listing, bound)}
        if namespace not in self._quotas or self._over(self._quotas[namespace], kept_seconds):
            self._quotas[namespace] = asyncio.create_task(self._listed(self._collected(QUOTA, namespace)))
        return await _told(self._quotas[namespace])

    def _over(self, listing: "asyncio.Task[_Listed[T]]", kept_seconds: float) -> bool:
        if not listing.done():
            return False
        if listing.cancelled() or listing.exception() is not None:
            return True
        found = listing.result()
        bound = KEPT_SECONDS if isinstance(found.found, errors.ApiError) else kept_seconds
        return self._clock() - found.at >= bound

    async def _listed(self, listing: Awaitable[T]) -> "_Listed[T]":
        try:
            return _Listed(await listing, self._clock())
        except errors.ApiError as error:
            logger.warning("what fits can't be told", extra={"error": str(error), "retry_seconds": KEPT_SECONDS})
            return _Listed(error, self._clock())

    async def _look(self) -> Inventory:
        nodes = await self._collected(NODE)
        used: dict[str, Amounts] = {}
        # Page by page: of ten thousand pods only sums are kept.
        async for page in self._pages(POD, query=_PLACED):
            for name, amounts in used_by(page).items():
                used[name] = total([used.get(name, {}), amounts])
        return Inventory(nodes, used)

    async def _collected(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        return [item async for page in self._pages(kind, namespace) for item in page]

    async def _pages(
        self, kind: Kind, namespace: str | None = None, query: Mapping[str, str] = MappingProxyType({})
    ) -> AsyncIterator[list[Object]]:
        asked = {"limit": str(PAGE), **query}
        while True:
            answer = await self._cluster.get(kind.collection(namespace), asked)
            yield answer["items"]
            if not (token := answer["metadata"].get("continue")):
                return
            asked["continue"] = token


@dataclass(frozen=True)
class _Listed(Generic[T]):
    """What a listing brought, or how it failed, and when."""

    found: T | errors.ApiError
    at: float


async def _told(listing: "asyncio.Task[_Listed[T]]") -> T:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = (await asyncio.shield(listing)).found
    except TimeoutError:
        raise errors.Unavailable("they are still being listed", 0) from None
    if isinstance(found, errors.ApiError):
        raise found
    return found
