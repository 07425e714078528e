"""What nodes offer and pods ask for, in the whole cluster: listed when a service wants pods that have no node yet.

Nothing of it is watched: a cluster has many more pods than Tidegate's, and most of the time nobody asks.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

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

PAGE: Final = 500
"""Objects a request."""

_RUNNING: Final = {"fieldSelector": "status.phase!=Succeeded,status.phase!=Failed"}


class Census:
    """Lists nodes and pods; what it says is at most `KEPT_SECONDS` old by `clock`."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._listing = asyncio.Lock()
        self._found: _Listed[Inventory] | None = None
        self._quotas: dict[str, _Listed[list[Object]]] = {}

    async def inventory(self) -> Inventory:
        """The nodes, and what is asked of each. Raises `errors.ApiError`, the same one for `KEPT_SECONDS`."""
        async with self._listing:
            if self._found is None or self._old(self._found):
                self._found = await self._listed(self._look())
        return self._found.told()

    async def quotas(self, namespace: str) -> list[Object]:
        """The namespace's ResourceQuotas. Raises `errors.ApiError`, the same one for `KEPT_SECONDS`."""
        async with self._listing:
            self._quotas = {name: listed for name, listed in self._quotas.items() if not self._old(listed)}
            if namespace not in self._quotas:
                self._quotas[namespace] = await self._listed(self._collected(QUOTA, namespace))
            return self._quotas[namespace].told()

    def _old(self, listed: "_Listed[Any]") -> bool:
        return self._clock() - listed.at >= KEPT_SECONDS

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
        async for page in self._pages(POD, query=_RUNNING):
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

    def told(self) -> T:
        if isinstance(self.found, errors.ApiError):
            raise self.found
        return self.found
