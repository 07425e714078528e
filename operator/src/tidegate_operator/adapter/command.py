"""The `metrics-adapter` command: builds the parts and runs them until a signal."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime

import aiohttp
from prometheus_client import CollectorRegistry

from tidegate_operator import errors
from tidegate_operator.adapter import watch
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.health import State, liveness, readiness
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.adapter.registration import Registration
from tidegate_operator.adapter.scraper import Clock, Scraper
from tidegate_operator.adapter.settings import AdapterSettings
from tidegate_operator.adapter.web import OnlyFrontProxy, metrics_api
from tidegate_operator.kube.client import ApiServer
from tidegate_operator.process.administration import administration
from tidegate_operator.process.pages import http_fetch
from tidegate_operator.process.serving import serving
from tidegate_operator.process.ticks import ticks, until

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0


async def run(settings: AdapterSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises errors.ApiError, frontproxy.NoFrontProxy or OSError where it can't begin, and an ExceptionGroup where a part
    of it ends before it should.
    """
    clock = epoch_clock()
    fleet, state, registry = Fleet(), State(), CollectorRegistry()
    metrics = AdapterMetrics(registry)
    async with contextlib.AsyncExitStack() as stack:
        cluster = await ApiServer.open()
        stack.push_async_callback(cluster.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        scraper = Scraper(fleet, http_fetch(session), clock, metrics)
        admin = administration(
            registry,
            settings.host,
            settings.admin_port,
            ready=lambda: readiness(state, scraper.rounds),
            healthy=lambda: liveness(scraper, clock()),
        )
        await stack.enter_async_context(admin)
        registration = await prepared(lambda: Registration.prepare(cluster, settings, clock))
        api = OnlyFrontProxy(metrics_api(fleet, clock), lambda: registration.doorway.proxy)
        await stack.enter_async_context(serving(api, settings.host, settings.port, registration.doorway.context))
        logger.info("metrics adapter serves", extra={"port": settings.port, "admin_port": settings.admin_port})

        async def register_when_ready() -> None:
            await become_ready(state, scraper, lambda: watch.synced(fleet, cluster))
            await registration.run(state, metrics)

        await _until_stopped(fleet, state, settings.drain_seconds, scraper.run, register_when_ready)


async def prepared(prepare: Callable[[], Awaitable[Registration]]) -> Registration:
    """What `prepare` gives, as soon as the API server answers it; any other error is raised."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await prepare()
        except errors.Unavailable as error:
            # Not an end of the process: those that follow each other are started again later and later.
            logger.warning("API server can't be reached", extra={"error": str(error)})
        await until(loop.time() + RETRY_SECONDS)


async def become_ready(state: State, scraper: Scraper, synced: Callable[[], Awaitable[bool]]) -> None:
    """Return once the watch has told of everything and it has been scraped; raises TimeoutError after a minute."""
    async with asyncio.timeout(watch.SYNC_SECONDS):
        async for _ in ticks(1.0):
            if state.known_at_round is None and await _or_not_yet(synced):
                state.known_at_round = scraper.rounds
            if readiness(state, scraper.rounds)[0]:
                return


async def _or_not_yet(synced: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await synced()
    except errors.ApiError as error:
        logger.warning("pods and InferenceServices can't be listed", extra={"error": str(error)})
        return False


async def _until_stopped(
    fleet: Fleet, state: State, drain_seconds: float, *work: Callable[[], Coroutine[None, None, None]]
) -> None:
    loop = asyncio.get_running_loop()
    watching, stop, stop_watching = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def watch_pods() -> None:
        await watch.run(fleet, watching, stop_watching)
        watching.set()
        stop.set()

    async with asyncio.TaskGroup() as group:
        # These before kopf: at its end it cancels every task that is younger than it.
        background = [group.create_task(begin()) for begin in work]
        group.create_task(watch_pods())
        await watching.wait()
        # kopf has taken them over, and would end before anyone else knows.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await stop.wait()
        logger.info("metrics adapter stops", extra={"drain_seconds": drain_seconds})
        state.draining = True
        await until(loop.time() + drain_seconds)
        for task in background:
            task.cancel()
        stop_watching.set()


def epoch_clock() -> Clock:
    """Seconds since the epoch that never go back: the loop's clock, set by the system's once."""
    loop = asyncio.get_running_loop()
    offset = datetime.now(UTC).timestamp() - loop.time()
    return lambda: loop.time() + offset
