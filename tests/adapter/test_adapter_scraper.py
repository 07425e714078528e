import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from tidegate_operator.adapter import scraper as scraping
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.adapter.scraper import Scraper
from tidegate_operator.exposition import Malformed
from tidegate_operator.process.pages import MAX_PAGE_BYTES, Fetch, http_fetch, page_url
from tidegate_operator.process.ticks import next_tick, ticks

PAGE = "tidegate_queue_depth 3\n"
Body = Callable[..., dict[str, Any]]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def scraper_of(fleet: Fleet, fetch: Fetch, registry: CollectorRegistry) -> Scraper:
    return Scraper(fleet, fetch, asyncio.get_running_loop().time, AdapterMetrics(registry))


def outcomes(registry: CollectorRegistry) -> dict[str, float]:
    return {
        sample.labels["outcome"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "tidegate_adapter_scrapes_total"
    }


@pytest.mark.parametrize(
    ("due", "now", "expected"),
    [(10.0, 10.0, 12.0), (10.0, 11.9, 12.0), (10.0, 12.0, 12.0), (10.0, 12.1, 14.0), (10.0, 19.0, 20.0)],
)
def test_next_tick_is_the_first_one_that_is_not_past(due: float, now: float, expected: float) -> None:
    assert next_tick(due, 2.0, now) == expected


@pytest.mark.looptime(start=100)
async def test_ticks_keep_their_pace_however_long_the_work_takes() -> None:
    loop, seen = asyncio.get_running_loop(), []
    durations = iter([0.5, 0.0, 3.0, 0.5, 0.0])
    async for _ in ticks(2.0):
        seen.append(loop.time())
        duration = next(durations, None)
        if duration is None:
            break
        await asyncio.sleep(duration)
    assert seen == [100, 102, 104, 108, 110, 112]


@pytest.mark.looptime(start=100)
async def test_every_pod_with_an_address_is_read_every_two_seconds(pod_body: Body, registry: CollectorRegistry) -> None:
    fleet, asked = Fleet(), []
    for name, address in [("a", "10.0.0.1"), ("b", "10.0.0.2"), ("pending", None)]:
        fleet.see_pod(pod_body(name, address=address), deleted=False)

    async def fetch(url: str) -> str:
        asked.append((asyncio.get_running_loop().time(), url))
        return PAGE

    scraper = scraper_of(fleet, fetch, registry)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await scraper.run()
    assert asked == [(at, f"http://10.0.0.{host}:8082/metrics") for at in (100, 102, 104) for host in (1, 2)]
    assert scraper.rounds == 3
    assert scraper.last_round == 104
    assert registry.get_sample_value("tidegate_adapter_pods") == 2


@pytest.mark.looptime(start=100)
async def test_a_pod_that_hangs_is_given_up_after_a_second_and_holds_up_nobody(
    pod_body: Body, registry: CollectorRegistry
) -> None:
    fleet, answered = Fleet(), Counter[float]()
    fleet.see_pod(pod_body("hangs", address="10.0.0.1"), deleted=False)
    fleet.see_pod(pod_body("answers", address="10.0.0.2"), deleted=False)

    async def fetch(url: str) -> str:
        if "10.0.0.1" in url:
            await asyncio.Event().wait()
        answered[asyncio.get_running_loop().time()] += 1
        return PAGE

    scraper = scraper_of(fleet, fetch, registry)
    await scraper.scrape()
    assert asyncio.get_running_loop().time() == 101
    assert answered == {100.0: 1}
    assert outcomes(registry) == {"timeout": 1, "ok": 1}


@pytest.mark.looptime(start=100)
async def test_no_more_pods_than_the_limit_are_asked_at_once(pod_body: Body, registry: CollectorRegistry) -> None:
    fleet, active, most = Fleet(), 0, 0
    for number in range(scraping.CONCURRENCY + 20):
        fleet.see_pod(pod_body(f"pod-{number}"), deleted=False)

    async def fetch(url: str) -> str:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.5)
        active -= 1
        return PAGE

    await scraper_of(fleet, fetch, registry).scrape()
    assert most == scraping.CONCURRENCY
    assert outcomes(registry) == {"ok": scraping.CONCURRENCY + 20}


@pytest.mark.looptime(start=100)
async def test_a_pod_deleted_while_it_is_asked_is_not_recorded(pod_body: Body, registry: CollectorRegistry) -> None:
    fleet = Fleet()
    fleet.see_pod(pod_body(), deleted=False)

    async def fetch(url: str) -> str:
        fleet.see_pod(pod_body(), deleted=True)
        return PAGE

    await scraper_of(fleet, fetch, registry).scrape()
    assert fleet.pods() == []


def test_an_ipv6_address_is_bracketed() -> None:
    assert page_url("fd00::7") == "http://[fd00::7]:8082/metrics"


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """An HTTP server on this machine with pages of several kinds."""

    async def metrics(request: web.Request) -> web.Response:
        assert request.headers["Accept"] == "text/plain"
        return web.Response(text=PAGE)

    async def huge(request: web.Request) -> web.Response:
        return web.Response(body=b"#" * (MAX_PAGE_BYTES + 1))

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound("/metrics")

    async def broken(request: web.Request) -> web.Response:
        return web.Response(status=500, text=PAGE)

    async def binary(request: web.Request) -> web.Response:
        return web.Response(body=PAGE.encode() + b"\xff\xfe\n")

    app = web.Application()
    for handler in (metrics, huge, elsewhere, broken, binary):
        app.router.add_get(f"/{handler.__name__}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.integration
async def test_a_page_is_fetched_over_http(server: str) -> None:
    async with aiohttp.ClientSession() as session:
        fetch = http_fetch(session)
        assert await fetch(f"{server}/metrics") == PAGE
        assert (await fetch(f"{server}/binary")).startswith(PAGE)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("path", "error"),
    [("huge", Malformed), ("elsewhere", aiohttp.ClientResponseError), ("broken", aiohttp.ClientResponseError)],
)
async def test_a_page_that_is_too_long_moved_or_failed_is_refused(
    server: str, path: str, error: type[Exception]
) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(error):
            await http_fetch(session)(f"{server}/{path}")


@pytest.mark.integration
async def test_outcomes_of_real_pods_are_counted_and_what_they_answer_is_recorded(
    server: str, pod_body: Body, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    pages = {
        "good": f"{server}/metrics",
        "broken": f"{server}/broken",
        "huge": f"{server}/huge",
        "gone": f"http://127.0.0.1:{unused_tcp_port}/metrics",
    }
    fleet = Fleet()
    for name in pages:
        fleet.see_pod(pod_body(name, address=name), deleted=False)
    monkeypatch.setattr(scraping, "page_url", pages.__getitem__)
    async with aiohttp.ClientSession() as session:
        await scraper_of(fleet, http_fetch(session), registry).scrape()
    assert outcomes(registry) == {"ok": 1, "refused": 1, "malformed": 1, "unreachable": 1}
    means = {pod.name: fleet.window(pod).mean("tidegate_queue_depth", since=0) for pod in fleet.pods()}
    assert means == {"good": 3.0, "broken": None, "huge": None, "gone": None}
