"""The `xds` command: builds the parts and runs them until a signal."""

import asyncio
import contextlib
import logging
import signal

from tidegate_operator.kube import watching
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.kube.objects import ENDPOINT_SLICE, SERVICES, Object
from tidegate_operator.naming import CHILDREN_SELECTOR
from tidegate_operator.process.administration import administration
from tidegate_operator.process.serving import serving
from tidegate_operator.xds.catalogue import Catalogue
from tidegate_operator.xds.discovery import Discovery
from tidegate_operator.xds.listing import Lister
from tidegate_operator.xds.metrics import XdsMetrics
from tidegate_operator.xds.settings import XdsSettings
from tidegate_operator.xds.web import discovery_app, readiness

logger = logging.getLogger(__name__)


async def run(settings: XdsSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises OSError where a port is taken, and an ExceptionGroup where the watch, or another part, ends on its own: the
    process is then started again, and routers keep what they have.
    """
    metrics = XdsMetrics()
    external, exposed = settings.external_domain, settings.exposed or settings.external_domain != ""
    catalogue = Catalogue(settings.cluster_domain, external=external, exposed=exposed)
    watched = settings.watch_namespaces
    async with contextlib.AsyncExitStack() as stack:
        cluster = await ApiServer.open()
        stack.push_async_callback(cluster.close)
        lister = Lister(cluster, catalogue, lambda: _publish(discovery), settings.relist_seconds, watched)
        discovery = Discovery(catalogue, metrics, lister.fresh)
        where = (settings.host, settings.admin_port)
        admin = administration(metrics.registry, *where, ready=lambda: readiness(discovery))
        await stack.enter_async_context(admin)
        await stack.enter_async_context(serving(discovery_app(discovery, metrics), settings.host, settings.port))
        # Before the ports close, or they would wait for the questions on hold.
        stack.callback(discovery.close)
        logger.info("xds serves", extra={"port": settings.port, "admin_port": settings.admin_port})
        await _until_stopped(catalogue, discovery, lister, watched)


def _publish(discovery: Discovery) -> None:
    discovery.publish()
    discovery.ready = True


async def _until_stopped(
    catalogue: Catalogue, discovery: Discovery, lister: Lister, namespaces: tuple[str, ...]
) -> None:
    loop = asyncio.get_running_loop()
    stop, stop_watching, watching_began = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def watch() -> None:
        # After a first listing: kopf doesn't look again for a kind that isn't there when it starts.
        await lister.fresh()
        await _watch(catalogue, discovery, namespaces, watching_began, stop_watching)
        if not stop.is_set():
            raise RuntimeError("the watch ended")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with asyncio.TaskGroup() as group:
        # Before kopf: at its end it cancels every task that is younger than it.
        listing = group.create_task(lister.run())
        watch_task = group.create_task(watch())
        takeover = group.create_task(_keep_signals(watching_began, stop))
        await stop.wait()
        logger.info("xds stops")
        discovery.close()
        for task in (listing, takeover) if watching_began.is_set() else (listing, takeover, watch_task):
            task.cancel()
        stop_watching.set()


async def _keep_signals(watching_began: asyncio.Event, stop: asyncio.Event) -> None:
    """Take SIGTERM and SIGINT back from kopf, which would end before the held questions are answered."""
    await watching_began.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _watch(
    catalogue: Catalogue,
    discovery: Discovery,
    namespaces: tuple[str, ...],
    began: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    async def on_service(item: Object, deleted: bool) -> None:
        (catalogue.lose_service if deleted else catalogue.see_service)(item)
        discovery.noticed()

    async def on_slice(item: Object, deleted: bool) -> None:
        (catalogue.lose_slice if deleted else catalogue.see_slice)(item)
        discovery.noticed()

    handlers = {SERVICES: on_service, ENDPOINT_SLICE: on_slice}
    selectors = {ENDPOINT_SLICE: CHILDREN_SELECTOR}
    await watching.watch(handlers, selectors, namespaces=namespaces, began=began, stop=stop)
