"""Reads the metrics page of every pod, every other second, into the fleet."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from tidegate_operator.adapter import exposition
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.inventory import Pod
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.naming import ADMIN_PORT
from tidegate_operator.process.ticks import ticks

PERIOD_SECONDS = 2.0
TIMEOUT_SECONDS = 1.0
"""Per pod, from connecting to the last byte."""
CONCURRENCY = 256
"""Pods asked at once: even where that many don't answer, as many again are read within one period."""
MAX_PAGE_BYTES = 1 << 20

Fetch = Callable[[str], Awaitable[str]]
"""The page at a URL; raises TimeoutError, aiohttp.ClientError or exposition.Malformed."""
Clock = Callable[[], float]
"""Seconds since the epoch."""


class Scraper:
    """Scrapes the fleet's pods; `rounds` counts how often all of them were tried."""

    def __init__(self, fleet: Fleet, fetch: Fetch, clock: Clock, metrics: AdapterMetrics) -> None:
        self._fleet = fleet
        self._fetch = fetch
        self._clock = clock
        self._metrics = metrics
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self.rounds = 0
        self.last_round: float | None = None

    async def run(self) -> None:
        """Scrape every two seconds until cancelled."""
        async for _ in ticks(PERIOD_SECONDS):
            await self.scrape()

    async def scrape(self) -> None:
        """Try every pod that has an address once."""
        pods = [pod for pod in self._fleet.pods() if pod.address is not None]
        self._metrics.pods_known(len(pods))
        async with asyncio.TaskGroup() as group:
            for pod in pods:
                group.create_task(self._scrape_pod(pod))
        self.rounds += 1
        self.last_round = self._clock()

    async def _scrape_pod(self, pod: Pod) -> None:
        async with self._slots:
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    page = await self._fetch(page_url(pod))
                reading = exposition.parse(page)
            except TimeoutError:
                outcome = "timeout"
            except exposition.Malformed:
                outcome = "malformed"
            except aiohttp.ClientResponseError:
                outcome = "refused"
            except (aiohttp.ClientError, OSError):
                outcome = "unreachable"
            else:
                outcome = "ok"
                self._fleet.record(pod.uid, reading, self._clock())
        self._metrics.scraped(outcome)


def page_url(pod: Pod) -> str:
    """Where a pod with an address serves its metrics."""
    host = f"[{pod.address}]" if pod.address and ":" in pod.address else pod.address
    return f"http://{host}:{ADMIN_PORT}/metrics"


def http_fetch(session: aiohttp.ClientSession) -> Fetch:
    """Fetch by HTTP.

    Whoever may label a pod chooses what answers here, so redirects aren't followed and the size is bounded.
    """

    async def fetch(url: str) -> str:
        async with session.get(url, allow_redirects=False, headers={"Accept": "text/plain"}) as response:
            if response.status != 200:
                raise aiohttp.ClientResponseError(
                    response.request_info, response.history, status=response.status, message="not 200"
                )
            page = bytearray()
            async for part in response.content.iter_any():
                page += part
                if len(page) > MAX_PAGE_BYTES:
                    raise exposition.Malformed(f"longer than {MAX_PAGE_BYTES} bytes")
            return page.decode("utf-8", errors="replace")

    return fetch
