"""Reads the metrics page of every pod, every other second, into the fleet."""

import asyncio
from collections.abc import Callable

import aiohttp

from tidegate_operator.adapter.exposition import parse
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.inventory import Pod
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.exposition import Malformed
from tidegate_operator.process.pages import Fetch, page_url
from tidegate_operator.process.ticks import ticks

PERIOD_SECONDS = 2.0
TIMEOUT_SECONDS = 1.0
"""Per pod, from connecting to the last byte."""
CONCURRENCY = 256
"""Pods asked at once: even where that many don't answer, as many again are read within one period."""

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
                    page = await self._fetch(page_url(pod.address or ""))
                reading = parse(page)
            except TimeoutError:
                outcome = "timeout"
            except Malformed:
                outcome = "malformed"
            except aiohttp.ClientResponseError:
                outcome = "refused"
            except (aiohttp.ClientError, OSError):
                outcome = "unreachable"
            else:
                outcome = "ok"
                self._fleet.record(pod.uid, reading, self._clock())
        self._metrics.scraped(outcome)
