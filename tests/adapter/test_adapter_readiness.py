import asyncio
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from tidegate_operator import errors
from tidegate_operator.adapter.command import become_ready, prepared
from tidegate_operator.adapter.fleet import Fleet
from tidegate_operator.adapter.health import STALLED_SECONDS, State, liveness, readiness
from tidegate_operator.adapter.metrics import AdapterMetrics
from tidegate_operator.adapter.scraper import Scraper
from tidegate_operator.process.administration import administration


async def nothing(url: str) -> str:
    raise AssertionError("there are no pods to ask")


def scraper_of(registry: CollectorRegistry) -> Scraper:
    return Scraper(Fleet(), nothing, asyncio.get_running_loop().time, AdapterMetrics(registry))


@pytest.mark.parametrize(
    ("state", "rounds", "ready", "line"),
    [
        (State(), 9, False, "[-]watch failed: not every pod and InferenceService is known yet"),
        (State(known_at_round=7), 9, False, "[-]scrapes failed: 2 of 3 rounds done"),
        (State(known_at_round=7), 10, True, "[+]scrapes ok"),
        (State(known_at_round=7, draining=True), 10, False, "[-]serving failed: shutting down"),
        (State(known_at_round=7, provider="monitoring/x"), 10, True, "[!]apiservice: custom.metrics.k8s.io belongs to"),
    ],
)
def test_readiness_tells_each_check(state: State, rounds: int, ready: bool, line: str) -> None:
    well, report = readiness(state, rounds)
    assert well is ready
    assert line in report


@pytest.mark.looptime(start=100)
async def test_adapter_becomes_ready_when_everything_is_known_and_was_read_since() -> None:
    state, scraper = State(), scraper_of(CollectorRegistry())
    answers: list[Any] = [errors.Unavailable("connection refused", 0), False, False, True]

    async def synced() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    scraping = asyncio.create_task(scraper.run())
    await become_ready(state, scraper, synced)
    # Known at the look at 103, after the rounds at 100 and 102; the rounds at 104, 106 and 108 follow.
    assert (state.known_at_round, scraper.rounds) == (2, 5)
    assert asyncio.get_running_loop().time() == 108
    scraping.cancel()


@pytest.mark.looptime(start=100)
async def test_adapter_that_never_learns_of_everything_gives_up_after_a_minute() -> None:
    async def never() -> bool:
        return False

    with pytest.raises(TimeoutError):
        await become_ready(State(), scraper_of(CollectorRegistry()), never)
    assert asyncio.get_running_loop().time() == 160


@pytest.mark.looptime(start=100)
async def test_adapter_that_starts_without_an_api_server_waits_for_it() -> None:
    registration = object()
    answers: list[Any] = [errors.Unavailable("connection refused", 0)] * 2 + [registration]

    async def prepare() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await prepared(prepare) is registration
    assert asyncio.get_running_loop().time() == 104


async def test_adapter_that_lacks_a_permission_does_not_wait() -> None:
    async def prepare() -> Any:
        raise errors.Forbidden("clusterroles is forbidden", 403)

    with pytest.raises(errors.Forbidden):
        await prepared(prepare)


@pytest.mark.integration
async def test_administration_port_answers_kubelet_and_prometheus() -> None:
    registry, state, time = CollectorRegistry(), State(known_at_round=0), 1000.0
    scraper = Scraper(Fleet(), nothing, lambda: time, AdapterMetrics(registry))
    admin = administration(
        registry,
        "127.0.0.1",
        0,
        ready=lambda: readiness(state, scraper.rounds),
        healthy=lambda: liveness(scraper, time),
    )
    async with admin as listener, aiohttp.ClientSession() as session:

        async def get(path: str) -> tuple[int, str]:
            async with session.get(f"http://127.0.0.1:{listener.getsockname()[1]}{path}") as response:
                assert "Server" not in response.headers
                assert response.content_type == "text/plain"
                return response.status, await response.text()

        assert (await get("/readyz"))[0] == 503
        assert (await get("/healthz"))[0] == 200
        for _ in range(3):
            await scraper.scrape()
        assert (await get("/readyz"))[0] == 200
        assert await get("/healthz") == (200, "ok\n")
        status, page = await get("/metrics")
        assert status == 200
        assert "tidegate_adapter_pods 0.0" in page
        time += STALLED_SECONDS + 1
        assert (await get("/healthz"))[0] == 503
        assert (await get("/livez"))[0] == 503
