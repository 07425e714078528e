"""Brings the catalogue up to date by whole listings: at start, on request, and now and then."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from tidegate_operator.errors import ApiError
from tidegate_operator.kube import listing
from tidegate_operator.kube.client import Cluster
from tidegate_operator.kube.objects import ENDPOINT_SLICE, SERVICES
from tidegate_operator.naming import CHILDREN_SELECTOR
from tidegate_operator.xds.catalogue import Catalogue

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""Between two listings at least, however many ask."""


class Lister:
    """Lists InferenceServices and EndpointSlices into a catalogue, and calls `listed` after each time."""

    def __init__(
        self,
        cluster: Cluster,
        catalogue: Catalogue,
        listed: Callable[[], None],
        period_seconds: float,
        namespaces: Iterable[str] = (),
    ) -> None:
        self._cluster = cluster
        self._namespaces = tuple(namespaces)
        self._catalogue = catalogue
        self._listed = listed
        self._period_seconds = period_seconds
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []

    async def fresh(self) -> None:
        """Return once a listing that began after this call has been taken over."""
        listed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(listed)
        self._wanted.set()
        await listed

    async def run(self) -> None:
        """List for ever; an API server that is away is asked again."""
        while True:
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            try:
                await self._list()
            except ApiError as error:
                logger.warning("listing failed, to be tried again", extra={"error": str(error)})
                self._waiting += waiting
                self._wanted.set()
            else:
                self._listed()
                for listed in waiting:
                    if not listed.done():
                        listed.set_result(None)
            await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._period_seconds)

    async def _list(self) -> None:
        # Without a resourceVersion: the API server's latest, not a cache's, so that a later answer can't be older.
        since = self._catalogue.services_version
        services = await listing.whole(self._cluster, SERVICES, self._namespaces)
        self._catalogue.list_services(services, since)
        since = self._catalogue.slices_version
        children = {"labelSelector": CHILDREN_SELECTOR}
        slices = await listing.whole(self._cluster, ENDPOINT_SLICE, self._namespaces, children)
        self._catalogue.list_slices(slices, since)
