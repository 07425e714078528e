"""A router has no limit of its own on what is under way: the pods refuse what is too much, and say why."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

pytestmark = pytest.mark.integration

STABLE = "churn-aaaaaaaa"
AT_ONCE, MORE = 1100, 100
"""Above what Envoy takes by its defaults, 1,024 connections of a cluster, and as many requests; and how many at a time,
since a pod takes only so many connections in the second that one may take."""


class Callers:
    """Requests, none of which waits for another."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/v2/models/churn/infer"
        self._asking: list[asyncio.Task[int]] = []

    def ask(self, count: int) -> None:
        self._asking += [asyncio.create_task(self._one()) for _ in range(count)]

    @property
    def answered(self) -> bool:
        return any(one.done() for one in self._asking)

    async def answers(self) -> Counter[int]:
        return Counter(await asyncio.gather(*self._asking))

    async def close(self) -> None:
        for one in self._asking:
            one.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def _one(self) -> int:
        async with self._session.post(self._url, data=b"{}", headers={"Host": "churn.ml"}) as response:
            await response.read()
            return response.status


@pytest.fixture
async def callers(mesh: Any) -> AsyncIterator[Callers]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        found = Callers(session, mesh.router.url)
        yield found
        await found.close()


async def _serving(mesh: Any, count: int) -> list[Any]:
    pods: list[Any] = await mesh.pods(STABLE, count)
    mesh.xds.endpoints(101, STABLE, *pods)
    mesh.xds.service(102, stable=STABLE)
    await mesh.start()
    await mesh.sees(STABLE, count)
    return pods


async def test_what_is_under_way_is_limited_by_the_pods_alone(mesh: Any, callers: Callers, until: Any) -> None:
    (pod,) = await _serving(mesh, 1)
    pod.gate.clear()
    for number in range(MORE, AT_ONCE + 1, MORE):
        callers.ask(MORE)

        async def there(number: int = number) -> bool:
            return callers.answered or await mesh.stat(f"cluster.ml/{STABLE}/pods.upstream_rq_active") == number

        await until(there, f"{number} are the pod's to answer")
        assert not callers.answered
    pod.gate.set()
    assert await callers.answers() == {200: AT_ONCE}


async def test_however_many_meet_a_pod_that_has_just_gone_another_answers_them(mesh: Any) -> None:
    """Envoy's default is three requests of a cluster that are tried again at a time."""
    gone, _ = await _serving(mesh, 2)
    router = urlsplit(mesh.router.url)
    clients = [await asyncio.open_connection(router.hostname, router.port) for _ in range(200)]
    await gone.stop()
    # They are all there before the router knows of the first that the pod is gone; then it sends it no others.
    mesh.router.process.send_signal(signal.SIGSTOP)
    for _, writer in clients:
        writer.write(b"POST /v2/models/churn/infer HTTP/1.1\r\nHost: churn.ml\r\nContent-Length: 2\r\n\r\n{}")
    mesh.router.process.send_signal(signal.SIGCONT)
    statuses = Counter([(await reader.readline()).split()[1] for reader, _ in clients])
    for _, writer in clients:
        writer.close()
    assert statuses == {b"200": 200}
    assert await mesh.stat(f"cluster.ml/{STABLE}.upstream_rq_retry") > 20
